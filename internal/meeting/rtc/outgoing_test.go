package rtc

import (
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/port"
	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// A nullLink takes everything.
type nullLink struct{}

func (nullLink) Wake()              {}
func (nullLink) Write([]byte) error { return nil }

func testCiphers(t testing.TB) cipherPair {
	t.Helper()
	c, err := newCiphers(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfile(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSendAllocatesNothing(t *testing.T) {
	p := newOpenPeer(t)
	payload := make([]byte, 1100)
	buf := make([]byte, 0, port.MaxPacket)
	now := time.Unix(1000, 0)
	var seq uint16
	send := func() {
		seq++
		now = now.Add(10 * time.Millisecond)
		if !p.out.Send(sfu.Outgoing{Packet: sfu.NewPacket(payload), SSRC: 1, Seq: seq, Type: 96}) {
			t.Fatal("no room in the queue")
		}
		d, _, ok := p.nextPacket(now)
		if !ok {
			t.Fatal("nothing to send")
		}
		// Header with the transport-wide number, payload, tag.
		if n, want := p.seal(buf, d, now), 12+8+len(payload)+16; n != want {
			t.Fatalf("got a packet of %d bytes, want %d", n, want)
		}
	}
	send()
	if n := testing.AllocsPerRun(1000, send); n > 0 {
		t.Errorf("sending allocates %v times per packet, want 0", n)
	}
}

func TestQueue(t *testing.T) {
	q := queue{limit: 100}
	pkt := sfu.NewPacket(nil)
	next, seq := uint16(0), uint16(0)
	for range 50 {
		for range 3 {
			if q.push(sfu.Outgoing{Packet: pkt, Seq: seq}) {
				seq++
			}
		}
		if x, ok := q.pop(); !ok || x.Seq != next {
			t.Fatalf("got %d, %v, want %d", x.Seq, ok, next)
		}
		next++
	}
	if q.count != 99 {
		t.Errorf("waiting: got %d, want 99", q.count)
	}
	if q.push(sfu.Outgoing{}); q.push(sfu.Outgoing{}) {
		t.Error("more than the limit is taken")
	}
	for q.count > 0 {
		q.pop()
	}
	if _, ok := q.pop(); ok {
		t.Error("something comes out of an empty queue")
	}
}

// newOpenPeer returns a peer without a network that believes to be connected.
func newOpenPeer(t testing.TB) *Peer {
	t.Helper()
	p := newPublishingPeer(t)
	p.out.open(nullLink{}, testCiphers(t))
	return p
}

func TestWriteAudio(t *testing.T) {
	p := newPublishingPeer(t)
	frame := AudioFrame{Payload: []byte{0xf8, 0xff, 0xfe}, Timestamp: 960, Time: time.Now()}
	if err := p.WriteAudio(frame); err != nil || p.out.audio.count != 0 {
		t.Errorf("before the connection: got %v and %d packets, want nil and 0", err, p.out.audio.count)
	}
	p.out.open(nullLink{}, testCiphers(t))
	for i := range audioQueue {
		if err := p.WriteAudio(frame); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	if err := p.WriteAudio(frame); err != ErrQueueFull {
		t.Errorf("full: got %v, want %v", err, ErrQueueFull)
	}
	x, _ := p.out.audio.pop()
	if x.Type != 109 || x.SSRC != p.out.audioSSRC || x.Timestamp != 960 {
		t.Errorf("got %+v, want type 109, SSRC %d, timestamp 960", x, p.out.audioSSRC)
	}
	x.Packet.Release()
	drain := func() {
		if err := p.WriteAudio(frame); err != nil {
			t.Fatal(err)
		}
		x, _ := p.out.audio.pop()
		x.Packet.Release()
	}
	if n := testing.AllocsPerRun(1000, drain); n != 0 {
		t.Errorf("WriteAudio allocates %v times per frame, want 0", n)
	}
	frame.Payload = make([]byte, sfu.MaxPayload+1)
	if err := p.WriteAudio(frame); err == nil {
		t.Error("a frame that is too long is taken")
	}
	p.out.shut()
	if err := p.WriteAudio(frame); err != ErrClosed {
		t.Errorf("after the end: got %v, want %v", err, ErrClosed)
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	p := newOpenPeer(t)
	p.ev.Audio = func(*rtp.Packet, uint8, time.Time) {}
	payload := make([]byte, 1100)
	h := rtp.Header{PayloadType: 120, SSRC: 2}
	now := time.Unix(1000, 0)
	video := func() {
		h.SequenceNumber++
		h.Timestamp += 3000
		now = now.Add(33 * time.Millisecond)
		p.takeRTP(&h, payload, now)
	}
	for range 3000 {
		video()
	}
	if n := testing.AllocsPerRun(1000, video); n != 0 {
		t.Errorf("a video packet allocates %v times, want 0", n)
	}
	a := rtp.Header{PayloadType: 109, SSRC: 1}
	audio := func() {
		a.SequenceNumber++
		p.takeRTP(&a, payload[:80], now)
	}
	audio()
	if n := testing.AllocsPerRun(1000, audio); n != 0 {
		t.Errorf("an audio packet allocates %v times, want 0", n)
	}
}

func BenchmarkSend(b *testing.B) {
	p := newOpenPeer(b)
	payload := make([]byte, 1100)
	buf := make([]byte, 0, port.MaxPacket)
	now := time.Unix(1000, 0)
	var seq uint16
	for b.Loop() {
		seq++
		now = now.Add(10 * time.Millisecond)
		p.out.Send(sfu.Outgoing{Packet: sfu.NewPacket(payload), SSRC: 1, Seq: seq, Type: 96})
		d, _, _ := p.nextPacket(now)
		p.seal(buf, d, now)
	}
}
