package rtc

import (
	"net"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// A nullConn takes everything.
type nullConn struct{ net.Conn }

func (nullConn) Write(b []byte) (int, error) { return len(b), nil }

func newTestWriter(t testing.TB) *packetWriter {
	t.Helper()
	c, err := newCiphers(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfile(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		t.Fatal(err)
	}
	return &packetWriter{conn: nullConn{}, cipher: c}
}

func TestWriteAllocatesNothing(t *testing.T) {
	w := newTestWriter(t)
	payload := make([]byte, 1100)
	var seq uint16
	write := func() {
		seq++
		if !w.write(sfu.Outgoing{Packet: sfu.NewPacket(payload), SSRC: 1, Seq: seq, Type: 96}) {
			t.Fatal("write failed")
		}
	}
	write()
	if n := testing.AllocsPerRun(1000, write); n > 0 {
		t.Errorf("write allocates %v times per packet, want 0", n)
	}
}

// newOpenPeer returns a peer without a network that believes to be connected.
func newOpenPeer(t testing.TB) *Peer {
	t.Helper()
	p := newPublishingPeer(t)
	w := newTestWriter(t)
	p.out.open(w.conn, w.cipher)
	return p
}

func TestWriteAudio(t *testing.T) {
	p := newPublishingPeer(t)
	frame := AudioFrame{Payload: []byte{0xf8, 0xff, 0xfe}, Timestamp: 960, Time: time.Now()}
	if err := p.WriteAudio(frame); err != nil || len(p.out.audio) != 0 {
		t.Errorf("before the connection: got %v and %d packets, want nil and 0", err, len(p.out.audio))
	}
	w := newTestWriter(t)
	p.out.open(w.conn, w.cipher)
	for i := range audioQueue {
		if err := p.WriteAudio(frame); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	if err := p.WriteAudio(frame); err != ErrQueueFull {
		t.Errorf("full: got %v, want %v", err, ErrQueueFull)
	}
	x := <-p.out.audio
	if x.Type != 109 || x.SSRC != p.out.audioSSRC || x.Timestamp != 960 {
		t.Errorf("got %+v, want type 109, SSRC %d, timestamp 960", x, p.out.audioSSRC)
	}
	x.Packet.Release()
	drain := func() {
		if err := p.WriteAudio(frame); err != nil {
			t.Fatal(err)
		}
		(<-p.out.audio).Packet.Release()
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

func BenchmarkWrite(b *testing.B) {
	w := newTestWriter(b)
	payload := make([]byte, 1100)
	var seq uint16
	for b.Loop() {
		seq++
		w.write(sfu.Outgoing{Packet: sfu.NewPacket(payload), SSRC: 1, Seq: seq, Type: 96})
	}
}
