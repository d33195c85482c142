package meeting

import "strings"

// content marks the id of a content share: it is that of who shares, and this.
const content = "#content"

func contentOf(id AttendeeID) AttendeeID { return id + content }

// baseOf returns who shares, or id itself.
func baseOf(id AttendeeID) AttendeeID { return AttendeeID(strings.TrimSuffix(string(id), content)) }

// maySend and mayReceive say what a capability allows; the empty one, of
// records that say nothing, allows all.
func (c Capability) maySend() bool    { return c != Receive && c != None }
func (c Capability) mayReceive() bool { return c != Send && c != None }

// mayPublish says whether s may have its camera on, or its content shown. One
// that has, may.
func (r *room) mayPublish(s *seat) bool {
	switch {
	case s.hidden:
		return false
	case s.share && !s.maySpeak(), !s.share && !s.attendee.Capabilities.Video.maySend():
		return false
	case s.camera != nil:
		return true
	case !s.share && r.cameras() >= r.cfg.MaxCameras: // a share's place was counted when it joined
		return false
	}
	r.countVideos(r.published())
	return r.service.gate.videoFits()
}

// noVideo is the status for one that may not publish now. A share without its
// picture is nothing; all others watch on.
func (s *seat) noVideo() uint32 {
	if s.share {
		return statusNoSource
	}
	return statusViewOnly
}

// cameras returns how many cameras are on; content is not counted.
func (r *room) cameras() int {
	n := 0
	for _, s := range r.seats {
		if s.camera != nil && !s.share {
			n++
		}
	}
	return n
}

// published returns how many videos there are, cameras and content.
func (r *room) published() int {
	n := 0
	for _, s := range r.seats {
		if s.camera != nil {
			n++
		}
	}
	return n
}

// maySee says whether s may know of other's camera or content, and watch it.
func (s *seat) maySee(other *seat) bool {
	c := s.attendee.Capabilities
	switch {
	case baseOf(other.attendee.ID) == baseOf(s.attendee.ID), s.share: // its own; and a share watches nothing
		return false
	case other.share:
		return c.Video.mayReceive() && c.Content.mayReceive()
	}
	return c.Video.mayReceive()
}

// maySpeak says whether what s says is for the mix, if it is not hidden.
func (s *seat) maySpeak() bool {
	if s.share {
		return s.attendee.Capabilities.Content.maySend()
	}
	return s.attendee.Capabilities.Audio.maySend()
}

// deaf says whether s hears nothing. Nobody listens to a share's connection.
func (s *seat) deaf() bool { return s.share || !s.attendee.Capabilities.Audio.mayReceive() }
