package event

import "testing"

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"events.>", "events.1.aws.chime.meeting.m", true},
		{"events.1.>", "events.1.aws.chime.meeting.m", true},
		{"events.2.>", "events.1.aws.chime.meeting.m", false},
		{"events.*.aws.chime.>", "events.1.aws.chime.meeting.m", true},
		{"events.*.aws.ivs.>", "events.1.aws.chime.meeting.m", false},
		{"events.1.aws.chime.meeting.m", "events.1.aws.chime.meeting.m", true},
		{"events.1.aws.chime.meeting.m", "events.1.aws.chime.meeting.mm", false},
		{"events.1.aws.chime.meeting", "events.1.aws.chime.meeting.m", false},
		{"events.1.aws.chime.meeting.m.x", "events.1.aws.chime.meeting.m", false},
		{"events.1.aws.>", "events.1.awss.chime.meeting.m", false},
	} {
		if got := matches(c.pattern, c.subject); got != c.want {
			t.Errorf("%s of %s: got %v, want %v", c.subject, c.pattern, got, c.want)
		}
	}
}
