package rtc

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/wire/red"
	"github.com/pion/rtcp"
)

func TestASharedFrameIsNotCopied(t *testing.T) {
	shared := sfu.NewPacket([]byte{0xf8, 0xff, 0xfe})
	defer shared.Release()
	for i := range 2 {
		p := newOpenPeer(t)
		p.out.audioType.Store(111)
		if err := p.WriteAudio(AudioFrame{Payload: []byte{0xf8, 0xff, 0xfe}, Packet: shared}); err != nil {
			t.Fatal(err)
		}
		x, ok := p.out.audio.pop()
		if !ok || x.Packet != shared {
			t.Errorf("peer %d: got %p, %v, want the packet itself", i, x.Packet, ok)
			continue
		}
		x.Packet.Release()
	}
}

// listener is a peer whose client takes RED and reports losses.
func listener(t testing.TB) *Peer {
	p := newOpenPeer(t)
	p.out.audioType.Store(111)
	p.out.redundancy.payloadType.Store(63)
	return p
}

func (p *Peer) loses(share float64, now time.Time) {
	p.measureRTT([]rtcp.ReceptionReport{
		{SSRC: p.out.audioSSRC + 1, FractionLost: 255},
		{SSRC: p.out.audioSSRC, FractionLost: uint8(share * 256)},
	}, now)
}

// frameOf is the i-th frame of a mix, which says its number.
func frameOf(i int) AudioFrame {
	b := make([]byte, 160)
	binary.BigEndian.PutUint32(b, uint32(i))
	return AudioFrame{Payload: b, Timestamp: uint32(i * 960), Time: time.Unix(0, 0).Add(time.Duration(i) * 20 * time.Millisecond)}
}

// sent is what goes out for a frame: its type, and its payload.
func sent(t *testing.T, p *Peer, f AudioFrame) (typ uint8, payload []byte) {
	t.Helper()
	if err := p.WriteAudio(f); err != nil {
		t.Fatal(err)
	}
	x, ok := p.out.audio.pop()
	if !ok {
		t.Fatal("nothing was queued")
	}
	defer x.Packet.Release()
	return x.Type, x.Append(nil)[12:]
}

func TestCopiesFollowTheReports(t *testing.T) {
	p := listener(t)
	now := time.Unix(1000, 0)
	n := 0
	for _, step := range []struct {
		name string
		loss float64
		wait time.Duration
		want int
	}{
		{"no loss", 0, 0, 0},
		{"little", 0.02, 5 * time.Second, 0},
		{"some", 0.05, 5 * time.Second, 1},
		{"much", 0.2, 5 * time.Second, 2},
		{"less again", 0.05, 5 * time.Second, 2},
		{"none", 0, 5 * time.Second, 2},
		{"none for long", 0, 20 * time.Second, 0},
	} {
		now = now.Add(step.wait)
		p.loses(step.loss, now)
		for range 4 {
			n++
			f := frameOf(n)
			typ, payload := sent(t, p, f)
			if step.want == 0 {
				if typ != 111 || !bytes.Equal(payload, f.Payload) {
					t.Fatalf("%s: got type %d, %d bytes, want the frame alone", step.name, typ, len(payload))
				}
				continue
			}
			if typ == 111 {
				continue // the first, before which there is none
			}
			blocks, err := red.Parse(nil, payload)
			if err != nil || typ != 63 || len(blocks) > 1+step.want {
				t.Fatalf("%s: got type %d, %d blocks, %v, want %d copies", step.name, typ, len(blocks), err, step.want)
			}
			for back, b := range blocks {
				back = len(blocks) - 1 - back
				if want := frameOf(n - back); b.Type != 111 || int(b.Offset) != back*960 || !bytes.Equal(b.Payload, want.Payload) {
					t.Errorf("%s: got a block of type %d, %d earlier, of frame %x, want frame %d", step.name, b.Type, b.Offset, b.Payload[:4], n-back)
				}
			}
		}
	}
}

func TestCopiesBringLostFramesBack(t *testing.T) {
	for loss, want := range map[float64]float64{0.05: 0.99, 0.2: 0.98} {
		p := listener(t)
		p.loses(loss, time.Unix(1000, 0))
		rng := rand.New(rand.NewPCG(1, 1))
		var recovery red.Recovery
		heard := 0
		const frames = 5000
		for i := range frames {
			typ, payload := sent(t, p, frameOf(i))
			if rng.Float64() < loss {
				continue
			}
			heard++
			blocks := []red.Block{{Type: 111, Payload: payload}}
			if typ == 63 {
				var err error
				if blocks, err = red.Parse(nil, payload); err != nil {
					t.Fatal(err)
				}
			}
			recovery.Packet(uint16(i), uint32(i*960), blocks, func(seq uint16, timestamp uint32, payload []byte) {
				heard++
				if got := binary.BigEndian.Uint32(payload); got != uint32(seq) || timestamp != got*960 {
					t.Errorf("got frame %d as packet %d at %d", got, seq, timestamp)
				}
			})
		}
		if got := float64(heard) / frames; got < want {
			t.Errorf("loss %v: got %.3f of the frames, want %v", loss, got, want)
		}
	}
}

func TestNoCopiesUnlessAgreedAndAffordable(t *testing.T) {
	p := listener(t)
	p.out.redundancy.payloadType.Store(noType)
	p.loses(0.2, time.Unix(1000, 0))
	for i := range 3 {
		if typ, _ := sent(t, p, frameOf(i)); typ != 111 {
			t.Errorf("not agreed: got type %d, want 111", typ)
		}
	}
	var r redundancy
	r.report(rtcp.ReceptionReport{FractionLost: 100}, redundancyBudget-1, time.Unix(1000, 0))
	if got := r.copies.Load(); got != 0 {
		t.Errorf("hardly any bandwidth: got %d copies, want 0", got)
	}
}

func TestFramesTooLongHaveNoCopies(t *testing.T) {
	p := listener(t)
	p.loses(0.2, time.Unix(1000, 0))
	long := func(i int) AudioFrame {
		f := frameOf(i)
		f.Payload = make([]byte, 1200)
		return f
	}
	for i, f := range []AudioFrame{long(0), frameOf(1), frameOf(2), long(3), frameOf(4)} {
		typ, payload := sent(t, p, f)
		if want := i == 2; (typ == 63) != want || len(payload) > maxRedundant && len(payload) != len(f.Payload) {
			t.Errorf("frame %d: got type %d of %d bytes, want with a copy: %v", i, typ, len(payload), want)
		}
	}
}

func TestCopiesAllocateNothing(t *testing.T) {
	p := listener(t)
	p.loses(0.2, time.Unix(1000, 0))
	i, f := 0, frameOf(0)
	write := func() {
		i++
		f.Timestamp = uint32(i * 960)
		if err := p.WriteAudio(f); err != nil {
			t.Fatal(err)
		}
		x, _ := p.out.audio.pop()
		x.Packet.Release()
	}
	write()
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("got %v allocations a frame, want 0", n)
	}
}
