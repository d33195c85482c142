package connector

import (
	"slices"
	"testing"
)

// A meeting and a token are free for another pipeline as soon as one is told to
// stop, however long its worker takes.
func TestWhoIsInTheWay(t *testing.T) {
	for status, want := range map[Status]bool{
		NotStarted: true, Initializing: true, InProgress: true, Stopping: false, Stopped: false, Failed: false,
	} {
		for _, kind := range []Kind{LiveConnector, Capture, Concatenation} {
			p := Pipeline{Status: status, Spec: Spec{Kind: kind, MeetingID: "m", RequestToken: "t"}}
			found := words(p)
			if got := slices.Contains(found, meetingWord(p.Spec)); got != (want && kind != Concatenation) {
				t.Errorf("%s %s: got the meeting taken %t, want %t", status, kind, got, want && kind != Concatenation)
			}
			if got := slices.Contains(found, "token "+tokenKey(p.Spec)); got != want {
				t.Errorf("%s %s: got the token taken %t, want %t", status, kind, got, want)
			}
		}
	}
}
