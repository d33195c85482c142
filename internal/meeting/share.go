package meeting

import "belfry.live/belfry/internal/meeting/signal"

// refusedShare says whether s may not share content. An attendee shares while
// it takes part itself; after a restart its share may be the first to come
// back.
func (r *room) refusedShare(s *seat) (status uint32, why string) {
	base := r.seats[s.home.ID]
	if base == nil {
		base = r.promoted[s.home.ID]
	}
	switch {
	case base == nil && r.awaited[s.home.ID] == nil:
		return statusForbidden, "the attendee that shares content is not in the meeting"
	case base != nil && base.hidden:
		return statusForbidden, "those who watch a replica meeting cannot share content"
	}
	if base != nil {
		s.attendee = base.attendee
		s.attendee.ID = contentOf(base.attendee.ID)
		s.hidden = false
	}
	if !s.attendee.Capabilities.Content.maySend() {
		return statusForbidden, "the attendee may not share content"
	}
	return 0, ""
}

// shares returns how much content is shared.
func (r *room) shares() int {
	n := 0
	for _, s := range r.seats {
		if s.share {
			n++
		}
	}
	return n
}

// endShare ends what an attendee shares, who does not take part any more.
func (r *room) endShare(sharer AttendeeID, status uint32) {
	if s := r.seats[contentOf(sharer)]; s != nil {
		r.dismiss(s, status, signal.CloseGone, "the attendee that shares content has left")
	}
}
