package link

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// A datagram that waited for the reader came when it came.
func TestArrivalIsThatAtTheMachine(t *testing.T) {
	l := open(t, Config{})
	defer l.Close()
	s := l.sockets[0]
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", s.local().Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 100)
	var before, after, at time.Time
	for deadline := time.Now().Add(patience); ; {
		before = time.Now()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		after = time.Now()
		time.Sleep(50 * time.Millisecond) // meanwhile nobody reads
		var n int
		if n, _, at, err = s.receive(b); err != nil || string(b[:n]) != "hello" {
			t.Fatalf("got %q, %v", b[:n], err)
		}
		// The kernel begins to note arrivals some time after it was asked to.
		if at.Before(after.Add(time.Millisecond)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got arrival %v after it was sent, want at most %v", at.Sub(before), after.Sub(before))
		}
	}
	if at.Before(before.Add(-time.Millisecond)) {
		t.Errorf("got arrival %v before it was sent", before.Sub(at))
	}
	for name, control := range map[string][]byte{"none": nil, "cut": make([]byte, 20), "another": make([]byte, controlSize)} {
		if got := arrivalOf(control, after); !got.Equal(after) {
			t.Errorf("control message %s: got %v, want the time of reading", name, got)
		}
	}
}
