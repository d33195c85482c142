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
	before := time.Now()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	time.Sleep(50 * time.Millisecond) // meanwhile nobody reads
	b := make([]byte, 100)
	n, from, at, err := s.receive(b)
	if err != nil || string(b[:n]) != "hello" || from.String() != c.LocalAddr().String() {
		t.Fatalf("got %q from %v, %v", b[:n], from, err)
	}
	if at.Before(before.Add(-time.Millisecond)) || at.After(after.Add(time.Millisecond)) {
		t.Errorf("got arrival %v after it was sent, want at most %v", at.Sub(before), after.Sub(before))
	}
	for name, control := range map[string][]byte{"none": nil, "cut": make([]byte, 20), "another": make([]byte, controlSize)} {
		if got := arrivalOf(control, after); !got.Equal(after) {
			t.Errorf("control message %s: got %v, want the time of reading", name, got)
		}
	}
}
