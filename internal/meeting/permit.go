package meeting

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
	case s.share:
		return s.attendee.Capabilities.Content.maySend() // places were counted when it joined
	case !s.attendee.Capabilities.Video.maySend():
		return false
	}
	return s.camera != nil || r.cameras() < r.cfg.MaxCameras
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

// maySee says whether s may know of other's camera or content, and watch it.
func (s *seat) maySee(other *seat) bool {
	c := s.attendee.Capabilities
	switch {
	case other == s, s.share: // a share watches nothing
		return false
	case other.share:
		return c.Video.mayReceive() && c.Content.mayReceive()
	}
	return c.Video.mayReceive()
}
