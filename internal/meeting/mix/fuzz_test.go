package mix

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/media/opus"
)

// FuzzPush mixes what strangers may send: the listener gets its 50 packets a
// second all the same, all of which decode.
func FuzzPush(f *testing.F) {
	f.Add(append([]byte{1, 1, 20, 3}, opus.Silence()...))
	f.Add(bytes.Repeat(append([]byte{1, 1, 20, 3}, opus.Silence()...), 20))
	f.Add([]byte{1, 1, 20, 5, 15<<3 | 3, 0x82, 1, 2, 3, 1, 200, 0, 2, 31<<3 | 3, 6, 3, 6, 40, 1, 16 << 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := New(Config{}, slog.New(slog.DiscardHandler))
		defer m.free()
		d, err := opus.NewDecoder(1)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		frames := 0
		pcm := make([]float32, opus.MaxSamples)
		hear := func(f Frame) {
			frames++
			if n, err := d.Decode(f.Payload, pcm); err != nil || n != frame {
				t.Fatalf("got a packet of %d samples, %v, want %d", n, err, frame)
			}
			for i, x := range pcm[:frame] {
				if !(x >= -2 && x <= 2) {
					t.Fatalf("got sample %d = %v", i, x)
				}
			}
		}
		talker := m.Add(ParticipantConfig{ID: "talker", Sink: func(Frame) {}})
		defer talker.Close()
		listener := m.Add(ParticipantConfig{ID: "listener", Sink: hear})
		defer listener.Close()
		now, next, ticks := start, start, 0
		p := &rtp.Packet{Header: rtp.Header{SSRC: 1}}
		// Steps of sequence number, timestamp (2.5 ms) and time (ms), the
		// length of the payload, and the payload.
		for len(data) >= 4 && now.Sub(start) < 5*time.Second {
			p.SequenceNumber += uint16(int8(data[0]))
			p.Timestamp += uint32(int32(int8(data[1])) * opus.MinSamples)
			now = now.Add(time.Duration(data[2]) * time.Millisecond)
			n := min(int(data[3]), len(data)-4)
			p.Payload, data = data[4:4+n], data[4+n:]
			talker.Push(p, unknown, now)
			for ; !next.After(now); next = next.Add(Tick) {
				m.tick(next)
				ticks++
			}
			talker.SenderReport(now, p.Timestamp)
			talker.Offset()
		}
		for range 20 {
			m.tick(next)
			next = next.Add(Tick)
			ticks++
		}
		if frames != ticks {
			t.Errorf("got %d packets in %d ticks", frames, ticks)
		}
	})
}
