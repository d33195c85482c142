package mix

import (
	"bytes"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/pion/rtp"

	"belfry.live/belfry/internal/media/opus"
)

// FuzzPush mixes what strangers may send beside a tone of somebody else: all
// get their 50 packets a second all the same, all of which decode, and the one
// who sends it hears the tone as it is.
func FuzzPush(f *testing.F) {
	silence := append([]byte{1, 8, 20, 80, 3}, opus.Silence()...)
	f.Add(silence)
	f.Add(bytes.Repeat(silence, 20))
	f.Add([]byte{1, 8, 20, 0, 5, 15<<3 | 3, 0x82, 1, 2, 3, 1, 200, 0, 127, 2, 31<<3 | 3, 6, 3, 6, 40, 255, 1, 16 << 3})
	f.Add(bytes.Repeat([]byte{1, 8, 20, 10, 8, 31<<3 | 4, 1, 2, 3, 4, 5, 6, 7}, 30)) // stereo
	f.Add(bytes.Repeat([]byte{1, 8, 20, 10, 8, 9 << 3, 1, 2, 3, 4, 5, 6, 7}, 30))    // SILK
	tone := codedTone(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := New(Config{}, slog.New(slog.DiscardHandler))
		defer m.free()
		frames, ticks := 0, 0
		listener, bystander := newEar(t), newEar(t)
		talker := m.Add(ParticipantConfig{ID: "talker", Sink: bystander.hear})
		singer := m.Add(ParticipantConfig{ID: "singer", Sink: func(Frame) { frames++ }})
		m.Add(ParticipantConfig{ID: "listener", Sink: listener.hear, Stereo: true})
		now, next := start, start
		song := &rtp.Packet{Header: rtp.Header{SSRC: 2}}
		tick := func() {
			song.Payload = tone[ticks%len(tone)]
			song.SequenceNumber++
			song.Timestamp += frame
			singer.Push(song, 15, next)
			m.tick(next)
			ticks++
			next = next.Add(Tick)
		}
		p := &rtp.Packet{Header: rtp.Header{SSRC: 1}}
		// Steps of sequence number, timestamp (2.5 ms) and time (ms), the
		// level, the length of the payload, and the payload.
		for len(data) >= 5 && now.Sub(start) < time.Second {
			p.SequenceNumber += uint16(int8(data[0]))
			p.Timestamp += uint32(int32(int8(data[1])) * opus.MinSamples)
			now = now.Add(time.Duration(data[2]) * time.Millisecond)
			level := data[3]
			n := min(int(data[4]), len(data)-5)
			p.Payload, data = data[5:5+n], data[5+n:]
			talker.Push(p, level, now)
			for !next.After(now) {
				tick()
			}
			talker.SenderReport(now, p.Timestamp)
			talker.Offset()
		}
		for range 50 {
			tick()
		}
		if frames != ticks || len(listener.pcm) != ticks*frame || len(bystander.pcm) != ticks*frame {
			t.Errorf("got %d, %d and %d samples in %d ticks", frames*frame, len(listener.pcm), len(bystander.pcm), ticks)
		}
		// Half a second into it the bystander hears the tone and no more.
		heard := bystander.pcm[25*frame:]
		if got := jerk(heard); got > 0.004 {
			t.Errorf("got a jerk of %.4f in the tone, want at most 0.004", got)
		}
		for at := 0; at+4800 <= len(heard); at += 4800 {
			if got := goertzel(heard[at:at+4800], 440); math.Abs(got-0.25) > 0.02 {
				t.Errorf("got the tone at %.3f, want 0.25", got)
			}
		}
	})
}

// codedTone is 2 s of packets of a tone of 440 Hz, which repeats without a
// break.
func codedTone(t testing.TB) [][]byte {
	e, err := opus.NewEncoder(opus.EncoderConfig{Bitrate: 64000})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	packets := make([][]byte, 100)
	pcm, out := make([]float32, frame), make([]byte, opus.MaxPacket)
	for i := range 2 * len(packets) { // the second time round it goes on from its own end
		for k := range pcm {
			pcm[k] = float32(0.25 * math.Sin(2*math.Pi*440*float64(i*frame+k)/sampleRate))
		}
		n, err := e.Encode(pcm, out)
		if err != nil {
			t.Fatal(err)
		}
		packets[i%len(packets)] = bytes.Clone(out[:n])
	}
	return packets
}

// An ear decodes what a sink gets.
type ear struct {
	t       testing.TB
	decoder *opus.Decoder
	pcm     []float32
	room    [opus.MaxSamples]float32
}

func newEar(t testing.TB) *ear {
	d, err := opus.NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return &ear{t: t, decoder: d}
}

func (e *ear) hear(f Frame) {
	n, err := e.decoder.Decode(f.Payload, e.room[:])
	if err != nil || n != frame {
		e.t.Fatalf("got a packet of %d samples, %v, want %d", n, err, frame)
	}
	for i, x := range e.room[:n] {
		if !(x >= -2 && x <= 2) {
			e.t.Fatalf("got sample %d = %v", i, x)
		}
	}
	e.pcm = append(e.pcm, e.room[:n]...)
}
