package turn_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"belfry.live/belfry/internal/meeting/turn"
)

// gone says whether err is what a closed connection gives.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// stunHead is the front of a STUN message of the length.
func stunHead(kind, length uint16) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, kind)
	binary.BigEndian.PutUint16(b[2:], length)
	binary.BigEndian.PutUint32(b[4:], 0x2112a442)
	return b
}

func TestMalformedStreamsAreCut(t *testing.T) {
	r := start(t, turn.Limits{})
	for name, b := range map[string][]byte{
		"HTTP":                        []byte("GET / HTTP/1.1\r\n\r\n"),
		"TLS":                         {22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3},
		"RTMP":                        bytes.Repeat([]byte{3}, 1537),
		"length beyond 16 bits":       append(stunHead(3, 0xffec), 0, 0, 0, 0),
		"longer than allowed":         stunHead(3, 4000),
		"length that is no multiple":  stunHead(3, 3),
		"another cookie":              make([]byte, 20),
		"channel data of 65535 bytes": {0x40, 0, 0xff, 0xff},
		"attribute beyond the end":    append(stunHead(3, 4), 0, 6, 0, 200),
	} {
		d := r.dial(t, "tcp", "")
		if _, err := d.conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := d.tryRead(5 * time.Second); !gone(err) {
			t.Errorf("%s: got %v, want the connection cut", name, err)
		}
	}
}

func TestWaitingConnectionsAreBounded(t *testing.T) {
	const places = 4
	r := start(t, turn.Limits{Waiting: places, FirstRequest: 2 * time.Second})
	working := r.dial(t, "tcp", "alice")
	if code := errorCode(working.allocate()); code != 0 {
		t.Fatalf("got %d, want success", code)
	}
	var flood []*dialogue
	for range places * 3 {
		flood = append(flood, r.dial(t, "tcp", ""))
	}
	for _, d := range flood {
		// Some never say anything, as one that speaks a byte a minute would.
		if _, err := d.tryRead(20 * time.Second); !gone(err) {
			t.Errorf("got %v, want the connection cut", err)
		}
	}
	until(t, "nobody waits, some are refused, the allocation lives", func() bool {
		got := r.Stats()
		return got.Waiting == 0 && got.Dropped["connection"] > 0 && got.Allocations == 1
	})
	if code := errorCode(working.ask(stun.MethodRefresh)); code != 0 {
		t.Errorf("refresh in spite of the flood: got %d", code)
	}
	if code := errorCode(r.dial(t, "tcp", "bob").allocate()); code != 0 {
		t.Errorf("allocation after the flood: got %d", code)
	}
}

func TestOneAddressTakesNotAllPlaces(t *testing.T) {
	r := start(t, turn.Limits{Waiting: 100, WaitingPerAddress: 3})
	for range 10 {
		r.dial(t, "tcp", "")
	}
	until(t, "seven are refused", func() bool { return r.Stats().Dropped["connection"] == 7 })
	if got := r.Stats().Waiting; got != 3 {
		t.Errorf("got %d waiting, want 3", got)
	}
}

// Strangers may write anybody's address on a datagram.
func TestStrangersAreAnsweredSeldom(t *testing.T) {
	r := start(t, turn.Limits{})
	d := r.dial(t, "udp", "")
	const requests = 2000
	bytesOut := 0
	for i := range requests {
		m := d.request(stun.MethodAllocate, overUDP)
		bytesOut += len(m.Raw)
		if _, err := d.conn.Write(m.Raw); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		if i%20 == 19 { // more do not fit the socket's buffer
			until(t, "the server has taken them", func() bool {
				got := r.Stats()
				return got.Unauthorized+got.Unanswered == int64(i+1)
			})
		}
	}
	answers, bytesIn := 0, 0
	for {
		b, err := d.tryRead(300 * time.Millisecond)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		answers++
		bytesIn += len(b)
	}
	if answers > 700 || r.Stats().Unanswered == 0 {
		t.Errorf("got %d answers to %d requests (%d counted unanswered), want few", answers, requests, r.Stats().Unanswered)
	}
	if bytesIn > 2*bytesOut {
		t.Errorf("got %d bytes for %d", bytesIn, bytesOut)
	}
}

func TestSlowReaderHoldsUpNobody(t *testing.T) {
	r := start(t, turn.Limits{})
	slow, quick := r.dial(t, "tcp", "slow"), r.dial(t, "tcp", "quick")
	for _, d := range []*dialogue{slow, quick} {
		d.allocate()
		d.ask(stun.MethodChannelBind, channel(0x4000), peer(here))
		if _, err := d.conn.Write([]byte{0x40, 0, 0, 1, 0x80, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		d.read() // its echo: from here on media comes
	}
	payload := make([]byte, 1200)
	_, _ = rand.Read(payload)
	payload[0] = 0x80
	for i := range 10_000 { // 12 MB: more than the kernel keeps
		began := time.Now()
		r.media.send(payload)
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("packet %d: took %v, want no wait for the slow reader", i, took)
		}
		if b := quick.read(); len(b) != 4+len(payload) || !bytes.Equal(b[4:], payload) {
			t.Fatalf("packet %d: got %d bytes, want the packet", i, len(b))
		}
	}
	if got := r.Stats().Dropped["slow client"]; got == 0 {
		t.Error("nothing was dropped for the slow reader")
	}
	r.stop() // does not wait for the slow one either
}

func TestBandwidthIsBounded(t *testing.T) {
	r := start(t, turn.Limits{Uplink: 80_000, Downlink: 40_000}) // 10 and 5 kB/s, for 2 s at once
	d := r.dial(t, "tcp", "alice")
	d.allocate()
	d.ask(stun.MethodChannelBind, channel(0x4000), peer(here))
	b := binary.BigEndian.AppendUint16([]byte{0x40, 0}, 1000)
	b = append(b, 0x80)
	b = append(b, make([]byte, 999)...)
	for range 100 {
		if _, err := d.conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	d.ask(stun.MethodRefresh)
	up, down := r.Stats().UpPackets, r.Stats().DownPackets
	if up < 20 || up > 40 || down < 10 || down > 20 {
		t.Errorf("got %d packets up, %d down, want little more than 20 and 10", up, down)
	}
}

func TestFloodOfAllocations(t *testing.T) {
	r := start(t, turn.Limits{Allocations: 200, AllocationsPerAttendee: 1000})
	bystander := r.dial(t, "udp", "bystander")
	bystander.allocate()
	bystander.ask(stun.MethodChannelBind, channel(0x4000), peer(here))
	refused := 0
	for range 300 {
		d := r.dial(t, "udp", "mallory")
		if code := errorCode(d.allocate()); code == stun.CodeInsufficientCapacity {
			refused++
		} else if code != 0 {
			t.Fatalf("got %d, want success or 508", code)
		}
	}
	if refused != 101 {
		t.Errorf("got %d refused, want 101", refused)
	}
	want := []byte{0x40, 0, 0, 4, 0x80, 1, 2, 3}
	if _, err := bystander.conn.Write(want); err != nil {
		t.Fatal(err)
	}
	if got := bystander.read(); !bytes.Equal(got, want) {
		t.Errorf("bystander: got %x, want %x", got, want)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	r := start(t, turn.Limits{})
	var dialogues []*dialogue
	for i := range 30 {
		d := r.dial(t, []string{"udp", "tcp"}[i%2], "alice")
		d.allocate()
		dialogues = append(dialogues, d)
	}
	for range 5 {
		r.dial(t, "tcp", "") // says nothing
	}
	r.stop()
	if got := r.Stats(); got.Allocations != 0 || got.Attendees != 0 || got.Waiting != 0 {
		t.Errorf("got %+v, want nothing left", got)
	}
	if routes, _ := r.media.count(); routes != 0 {
		t.Errorf("got %d routes, want none", routes)
	}
	if _, err := dialogues[1].tryRead(5 * time.Second); !gone(err) {
		t.Errorf("got %v, want the connection closed", err)
	}
	until(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

func TestListenerThatBreaksEndsRun(t *testing.T) {
	s := turn.New(turn.Config{Media: newEcho(), Secret: turn.NewSecret(nil)}, discard())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context(), nil, l) }()
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
}
