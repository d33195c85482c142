package config_test

import (
	"strings"
	"testing"
	"time"
)

func TestMeetingsMayNeverEnd(t *testing.T) {
	c, err := load(t, "[meeting]\nempty_timeout = \"never\"", "BELFRY_MEETING_MAX_AGE=48h")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if c.Meeting.EmptyTimeout.Duration.Duration >= 0 || c.Meeting.MaxAge.Duration.Duration != 48*time.Hour {
		t.Errorf("got %v and %v, want never and 48h", c.Meeting.EmptyTimeout, c.Meeting.MaxAge)
	}
	for _, bad := range []string{"0s", "-1s", "500ms"} {
		c, err := load(t, "", "BELFRY_MEETING_EMPTY_TIMEOUT="+bad)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), "meeting.empty_timeout") {
			t.Errorf("%s: got %v, want an error that names the setting", bad, err)
		}
	}
	if _, err := load(t, "", "BELFRY_MEETING_EMPTY_TIMEOUT=ever"); err == nil {
		t.Error("got no error for a word that is none")
	}
}
