package network

import (
	"strings"
	"testing"
)

// relayed counts how often the server sent an attendee to the relay.
func relayed(log string) int { return strings.Count(log, "attendee is sent to the relay") }

func TestOpenNetwork(t *testing.T) {
	l := newLab(t)
	s := l.serve("http://" + serverIP + ":8080")
	m := l.meets()
	if m.JoinMs.Max > 3000 {
		t.Errorf("joining took %v ms, want no detour", m.JoinMs.Max)
	}
	if n := relayed(s.Log.String()); n != 0 {
		t.Errorf("%d attendees were sent to the relay, want none", n)
	}
}

func TestUDPBlocked(t *testing.T) {
	l := newLab(t)
	l.blockAllBut("meta l4proto tcp")
	s := l.serve("http://" + serverIP + ":8080")
	m := l.meets()
	if m.JoinMs.Max > 5000 {
		t.Errorf("joining took %v ms, want ICE-TCP at the first attempt", m.JoinMs.Max)
	}
	if n := relayed(s.Log.String()); n != 0 {
		t.Errorf("%d attendees were sent to the relay, want none: TCP gets through", n)
	}
}

// Nothing but port 443 gets through: the first attempt fails, the second one
// is sent to TURN over TLS.
func TestOnlyTLS(t *testing.T) {
	l := newLab(t)
	l.blockAllBut("tcp dport 443")
	s := l.serve("https://" + serverIP)
	l.meets()
	if n := relayed(s.Log.String()); n < 2 {
		t.Errorf("%d attendees were sent to the relay, want both", n)
	}
}

func TestRelayAlways(t *testing.T) {
	for name, passes := range map[string]string{
		"UDP": "meta l4proto { tcp, udp }",
		"TCP": "meta l4proto tcp",
		"TLS": "tcp dport 443",
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.blockAllBut(passes)
			s := l.serve("https://"+serverIP, "RELAY=always")
			m := l.meets()
			if m.JoinMs.Max > 5000 {
				t.Errorf("joining took %v ms, want it at the first attempt", m.JoinMs.Max)
			}
			if n := relayed(s.Log.String()); n != 2 {
				t.Errorf("%d attendees were sent to the relay, want 2", n)
			}
		})
	}
}

// The lab does block what it says: without any way nobody gets in.
func TestNoWayAtAll(t *testing.T) {
	l := newLab(t)
	l.blockAllBut("tcp dport 8080")
	l.serve("http://" + serverIP + ":8080")
	if m := l.attendees("--count", "1", "--duration", "1s"); m.Joined != 0 {
		t.Errorf("got %d attendees in, want none", m.Joined)
	}
}

func TestIPv6Only(t *testing.T) {
	for _, how := range []string{"udp", "tcp"} {
		t.Run(how, func(t *testing.T) {
			l := newLab(t)
			l.without("-4")
			l.serve("http://[" + serverIP6 + "]:8080")
			l.meets("--transport", how)
		})
	}
	t.Run("relay", func(t *testing.T) {
		l := newLab(t)
		l.without("-4")
		s := l.serve("http://["+serverIP6+"]:8080", "RELAY=always")
		l.meets()
		if n := relayed(s.Log.String()); n != 2 {
			t.Errorf("%d attendees were sent to the relay, want 2", n)
		}
	})
}
