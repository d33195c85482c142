package meeting

import (
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/wire/chime"
)

// setCapabilities changes what attendees may do who may be here.
func (r *room) setCapabilities(attendees []AttendeeID, c Capabilities) {
	changed := make(map[AttendeeID]bool, len(attendees))
	for _, id := range attendees {
		changed[id] = true
	}
	for s := range r.all {
		if changed[s.home.ID] {
			s.home.Capabilities = c
		}
		if changed[baseOf(s.attendee.ID)] && s.attendee.Capabilities != c {
			s.attendee.Capabilities = c
			r.follow(s)
		}
	}
}

// follow does what the capabilities of s, which have changed, ask for. What
// it may see follows with the INDEX.
func (r *room) follow(s *seat) {
	if s.out || r.seats[s.attendee.ID] != s {
		return
	}
	s.log.Info("capabilities changed", "capabilities", s.attendee.Capabilities)
	s.applySound()
	switch {
	case s.share && !s.attendee.Capabilities.Content.maySend():
		s.session.Notify("the attendee may not share content any more")
		r.dismiss(s, statusForbidden, signal.CloseForbidden, "the attendee may not share content")
		return
	case s.camera != nil && !r.mayPublish(s):
		r.cameraOff(s)
		f := indexFrame(r.index(s))
		f.Error = &chime.ErrorFrame{Status: proto.Uint32(statusViewOnly)} // the client would show its own tile for ever
		s.session.Notify("the attendee may not send video any more")
		s.send(f)
	}
	r.indexChanged()
}
