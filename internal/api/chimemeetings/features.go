package chimemeetings

import "belfry.live/belfry/internal/meeting"

// maxHighResolution is how many attendees a meeting may have whose video is
// FHD or whose content is UHD.
const maxHighResolution = 25

// spec returns the features as package meeting keeps them.
func (f *features) spec() meeting.Features {
	var spec meeting.Features
	if f == nil {
		return spec
	}
	if f.Audio != nil {
		spec.EchoReduction = f.Audio.EchoReduction
	}
	if f.Video != nil {
		spec.VideoMaxResolution = f.Video.MaxResolution
	}
	if f.Content != nil {
		spec.ContentResolution = f.Content.MaxResolution
	}
	if f.Attendee != nil {
		spec.MaxAttendees = f.Attendee.MaxCount
	}
	return spec
}

// featuresShape returns what was asked for, and nothing where nothing was.
func featuresShape(f meeting.Features) *features {
	if f == (meeting.Features{}) {
		return nil
	}
	var shape features
	if f.EchoReduction != "" {
		shape.Audio = &audioFeatures{f.EchoReduction}
	}
	if f.VideoMaxResolution != "" {
		shape.Video = &videoFeatures{f.VideoMaxResolution}
	}
	if f.ContentResolution != "" {
		shape.Content = &videoFeatures{f.ContentResolution}
	}
	if f.MaxAttendees != 0 {
		shape.Attendee = &attendeeFeatures{f.MaxAttendees}
	}
	return &shape
}

// checkFeatures refuses high resolutions in meetings of many.
func checkFeatures(f meeting.Features) error {
	if f.VideoMaxResolution != "FHD" && f.ContentResolution != "UHD" {
		return nil
	}
	switch {
	case f.MaxAttendees == 0:
		return invalid("MeetingFeatures.Attendee.MaxCount is required with FHD video or UHD content")
	case f.MaxAttendees > maxHighResolution:
		return invalid("MeetingFeatures.Attendee.MaxCount must be at most %d with FHD video or UHD content: %d",
			maxHighResolution, f.MaxAttendees)
	}
	return nil
}

// capabilitiesFor returns what an attendee of such a meeting may do, given
// what was asked for (nil: nothing in particular).
func capabilitiesFor(f meeting.Features, asked *meeting.Capabilities) (meeting.Capabilities, error) {
	noVideo, noContent := f.VideoMaxResolution == "None", f.ContentResolution == "None"
	if asked == nil {
		c := meeting.Capabilities{Audio: meeting.SendReceive, Video: meeting.SendReceive, Content: meeting.SendReceive}
		switch {
		case noVideo && noContent:
			c.Video, c.Content = meeting.None, meeting.None
		case noVideo:
			c.Video = meeting.Receive // content is seen as video
		case noContent:
			c.Content = meeting.None
		}
		return c, nil
	}
	c := *asked
	switch {
	case noVideo && c.Video != meeting.None:
		return c, invalid("Capabilities.Video must be None, as the meeting's Video.MaxResolution is None: %q", c.Video)
	case noContent && c.Content != meeting.None:
		return c, invalid("Capabilities.Content must be None, as the meeting's Content.MaxResolution is None: %q", c.Content)
	case receives(c.Content) && !receives(c.Video):
		return c, invalid("Capabilities.Content is %q, which needs Capabilities.Video to be SendReceive or Receive: %q", c.Content, c.Video)
	}
	return c, nil
}

func receives(c meeting.Capability) bool { return c == meeting.SendReceive || c == meeting.Receive }
