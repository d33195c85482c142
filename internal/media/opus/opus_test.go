package opus_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"belfry.live/belfry/internal/media/opus"
)

const frame = 960 // 20 ms

func newEncoder(t testing.TB, cfg opus.EncoderConfig) *opus.Encoder {
	t.Helper()
	e, err := opus.NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func newDecoder(t testing.TB, channels int) *opus.Decoder {
	t.Helper()
	d, err := opus.NewDecoder(channels)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// tone fills pcm with a sine that goes on from sample number at.
func tone(pcm []float32, hz float64, at int, amplitude float64) {
	for i := range pcm {
		pcm[i] = float32(amplitude * math.Sin(2*math.Pi*hz*float64(at+i)/opus.SampleRate))
	}
}

// level is the amplitude of the sine of that frequency in pcm (Goertzel).
func level(pcm []float32, hz float64) float64 {
	c := 2 * math.Cos(2*math.Pi*hz/opus.SampleRate)
	var s1, s2 float64
	for _, x := range pcm {
		s1, s2 = float64(x)+c*s1-s2, s1
	}
	return 2 * math.Sqrt(s1*s1+s2*s2-c*s1*s2) / float64(len(pcm))
}

func decibels(ratio float64) float64 { return 20 * math.Log10(ratio) }

// code sends a tone through an encoder and returns the packets.
func code(t testing.TB, e *opus.Encoder, hz float64, frames int) [][]byte {
	t.Helper()
	pcm := make([]float32, frame)
	var packets [][]byte
	for i := range frames {
		tone(pcm, hz, i*frame, 0.5)
		packet := make([]byte, opus.MaxPacket)
		n, err := e.Encode(pcm, packet)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, packet[:n])
	}
	return packets
}

func TestTonePasses(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  opus.EncoderConfig
	}{
		{"audio 64 kbit/s", opus.EncoderConfig{Bitrate: 64000}},
		{"voice 32 kbit/s", opus.EncoderConfig{Application: opus.VoIP, Bitrate: 32000, FEC: true, PacketLoss: 10}},
		{"low delay 64 kbit/s", opus.EncoderConfig{Application: opus.LowDelay, Bitrate: 64000, Complexity: 10}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const hz = 1000 // a whole number of periods in a frame
			d := newDecoder(t, 1)
			pcm := make([]float32, opus.MaxSamples)
			for i, packet := range code(t, newEncoder(t, tc.cfg), hz, 50) {
				n, err := d.Decode(packet, pcm)
				if err != nil || n != frame {
					t.Fatalf("packet %d: got %d samples, %v, want %d", i, n, err, frame)
				}
				if i < 10 {
					continue
				}
				got := level(pcm[:n], hz)
				if math.Abs(decibels(got/0.5)) > 1 {
					t.Errorf("packet %d: got the tone at %.2f, want 0.5 within 1 dB", i, got)
				}
				var power float64
				for _, x := range pcm[:n] {
					power += float64(x) * float64(x)
				}
				rest := power/frame - got*got/2
				if snr := 10 * math.Log10(got*got/2/max(rest, 1e-12)); snr < 20 {
					t.Errorf("packet %d: got %.1f dB between tone and the rest, want 20", i, snr)
				}
			}
		})
	}
}

func TestStereoKeepsSidesApart(t *testing.T) {
	e := newEncoder(t, opus.EncoderConfig{Channels: 2, Bitrate: 128000})
	d := newDecoder(t, 2)
	in, out, packet := make([]float32, 2*frame), make([]float32, 2*opus.MaxSamples), make([]byte, opus.MaxPacket)
	left, right := make([]float32, frame), make([]float32, frame)
	for i := range 20 {
		tone(left, 500, i*frame, 0.4)
		tone(right, 2000, i*frame, 0.4)
		for j := range left {
			in[2*j], in[2*j+1] = left[j], right[j]
		}
		n, err := e.Encode(in, packet)
		if err != nil {
			t.Fatal(err)
		}
		if n, err = d.Decode(packet[:n], out); err != nil || n != frame {
			t.Fatalf("got %d samples, %v, want %d", n, err, frame)
		}
	}
	for j := range left {
		left[j], right[j] = out[2*j], out[2*j+1]
	}
	if own, other := level(left, 500), level(left, 2000); decibels(own/other) < 30 {
		t.Errorf("left: got %.3f of its tone and %.3f of the right one, want 30 dB between", own, other)
	}
	if own, other := level(right, 2000), level(right, 500); decibels(own/other) < 30 {
		t.Errorf("right: got %.3f of its tone and %.3f of the left one, want 30 dB between", own, other)
	}
}

// In CELT mode the encoder itself writes the silence packet once its filters
// have run out, and the decoder gives zeros for it: what libopus adds against
// denormal numbers is 600 dB down.
func TestSilenceIsZeros(t *testing.T) {
	e := newEncoder(t, opus.EncoderConfig{Bitrate: 64000})
	d := newDecoder(t, 1)
	pcm, packet := make([]float32, opus.MaxSamples), make([]byte, opus.MaxPacket)
	for _, p := range code(t, e, 440, 10) {
		if _, err := d.Decode(p, pcm); err != nil {
			t.Fatal(err)
		}
	}
	zeros := make([]float32, frame)
	var n int
	for range 60 {
		var err error
		if n, err = e.Encode(zeros, packet); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(packet[:n], pcm); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packet[:n], opus.Silence()) {
		t.Errorf("encoder: got % x for zeros, want % x", packet[:n], opus.Silence())
	}
	for i := range 20 {
		n, err := d.Decode(opus.Silence(), pcm)
		if err != nil || n != frame {
			t.Fatalf("got %d samples, %v, want %d", n, err, frame)
		}
		for j, x := range pcm[:n] {
			if math.Abs(float64(x)) > 1e-30 {
				t.Fatalf("packet %d: got sample %d = %g, want 0", i, j, x)
			}
		}
	}
}

func TestConcealGoesOnAndFades(t *testing.T) {
	d := newDecoder(t, 1)
	pcm := make([]float32, opus.MaxSamples)
	for _, p := range code(t, newEncoder(t, opus.EncoderConfig{Bitrate: 64000}), 1000, 20) {
		if _, err := d.Decode(p, pcm); err != nil {
			t.Fatal(err)
		}
	}
	n, err := d.Conceal(pcm[:frame])
	if err != nil || n != frame {
		t.Fatalf("got %d samples, %v, want %d", n, err, frame)
	}
	if got := level(pcm[:frame], 1000); got < 0.2 {
		t.Errorf("first lost frame: got the tone at %.2f, want at least 0.2", got)
	}
	for range 50 {
		if _, err := d.Conceal(pcm[:frame]); err != nil {
			t.Fatal(err)
		}
	}
	if got := level(pcm[:frame], 1000); got > 0.01 {
		t.Errorf("after a second: got the tone at %.3f, want silence", got)
	}
	if _, err := d.Conceal(pcm[:100]); err == nil {
		t.Error("got no error for a gap that is no multiple of 2.5 ms")
	}
}

// With the copy in the next packet a lost frame comes out near what it was;
// concealment alone cannot know that the tone has changed.
func TestFECBringsBackTheLostFrame(t *testing.T) {
	e := newEncoder(t, opus.EncoderConfig{Application: opus.VoIP, Bitrate: 40000, FEC: true, PacketLoss: 30})
	withFEC, without := newDecoder(t, 1), newDecoder(t, 1)
	pcm := make([]float32, opus.MaxSamples)
	// An old tone, then a new one whose first frame gets lost.
	var packets [][]byte
	in := make([]float32, frame)
	for i := range 30 {
		hz := 300.0
		if i >= 20 {
			hz = 700
		}
		tone(in, hz, i*frame, 0.5)
		packet := make([]byte, opus.MaxPacket)
		n, err := e.Encode(in, packet)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, packet[:n])
	}
	const lost = 21
	for _, p := range packets[:lost] {
		for _, d := range []*opus.Decoder{withFEC, without} {
			if _, err := d.Decode(p, pcm); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := withFEC.DecodeFEC(packets[lost+1], pcm[:frame]); err != nil {
		t.Fatal(err)
	}
	if got := level(pcm[:frame], 700); got < 0.25 {
		t.Errorf("with FEC: got the lost tone at %.2f, want at least 0.25", got)
	}
	if _, err := withFEC.Decode(packets[lost+1], pcm); err != nil {
		t.Error(err)
	}
}

// Whether a packet has a copy of the one before shows in what libopus makes of
// it: without, it conceals.
func TestHasFEC(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  opus.EncoderConfig
		some bool
	}{
		{"SILK", opus.EncoderConfig{Application: opus.VoIP, Bitrate: 24000, FEC: true, PacketLoss: 20}, true},
		{"hybrid", opus.EncoderConfig{Application: opus.VoIP, Bitrate: 40000, FEC: true, PacketLoss: 20}, true},
		{"stereo", opus.EncoderConfig{Application: opus.VoIP, Bitrate: 48000, FEC: true, PacketLoss: 20, Channels: 2}, true},
		{"none", opus.EncoderConfig{Application: opus.VoIP, Bitrate: 40000}, false},
		{"music, which leaves CELT for it", opus.EncoderConfig{Bitrate: 64000, FEC: true, PacketLoss: 20}, true},
		{"CELT", opus.EncoderConfig{Bitrate: 64000}, false},
	} {
		e := newEncoder(t, c.cfg)
		channels := max(c.cfg.Channels, 1)
		in, tones := make([]float32, frame*channels), make([]float32, frame)
		var packets [][]byte
		for i := range 40 {
			tone(tones, 300+20*float64(i%7), i*frame, 0.4*float64(i%10)/10)
			for k, x := range tones {
				for ch := range channels {
					in[k*channels+ch] = x * float32(1+ch) / 2
				}
			}
			packet := make([]byte, opus.MaxPacket)
			n, err := e.Encode(in, packet)
			if err != nil {
				t.Fatal(err)
			}
			packets = append(packets, packet[:n])
		}
		some := 0
		for i := 2; i < len(packets); i++ {
			var heard [2][]float32
			for k := range heard {
				d := newDecoder(t, channels)
				pcm := make([]float32, opus.MaxSamples*channels)
				for _, p := range packets[:i-1] {
					if _, err := d.Decode(p, pcm); err != nil {
						t.Fatal(err)
					}
				}
				heard[k] = make([]float32, frame*channels)
				var err error
				if k == 0 {
					_, err = d.DecodeFEC(packets[i], heard[k])
				} else {
					_, err = d.Conceal(heard[k])
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			want := !slices.Equal(heard[0], heard[1])
			if got := opus.HasFEC(packets[i]); got != want {
				t.Errorf("%s: packet %d: got %v, want %v", c.name, i, got, want)
			}
			if want {
				some++
			}
		}
		if c.some != (some > 10) {
			t.Errorf("%s: got %d packets with FEC", c.name, some)
		}
	}
	for _, p := range [][]byte{nil, {0}, {8 << 3}, {8<<3 | 2}, {8<<3 | 2, 255}, {8<<3 | 2, 255, 1}, {8<<3 | 3, 1}} {
		if opus.HasFEC(p) {
			t.Errorf("% x: got FEC", p)
		}
	}
}

// After a switch to an encoder that the decoder never heard, a frame coded
// without prediction is right at once.
func TestFirstFrameWithoutPrediction(t *testing.T) {
	old, fresh := newEncoder(t, opus.EncoderConfig{Bitrate: 64000}), newEncoder(t, opus.EncoderConfig{Bitrate: 64000})
	d := newDecoder(t, 1)
	pcm, packet := make([]float32, opus.MaxSamples), make([]byte, opus.MaxPacket)
	for _, p := range code(t, old, 1000, 20) {
		if _, err := d.Decode(p, pcm); err != nil {
			t.Fatal(err)
		}
	}
	in := make([]float32, frame)
	tone(in, 1000, 19*frame, 0.5)
	if _, err := fresh.Encode(in, packet); err != nil { // the frame before, for its tail
		t.Fatal(err)
	}
	if err := fresh.SetPrediction(false); err != nil {
		t.Fatal(err)
	}
	tone(in, 1000, 20*frame, 0.5)
	n, err := fresh.Encode(in, packet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(packet[:n], pcm); err != nil {
		t.Fatal(err)
	}
	if got := level(pcm[:frame], 1000); math.Abs(decibels(got/0.5)) > 1 {
		t.Errorf("got the tone at %.2f, want 0.5 within 1 dB", got)
	}
}

func TestSamples(t *testing.T) {
	for _, tc := range []struct {
		name   string
		packet []byte
		want   int // 0: an error
	}{
		{"silence", opus.Silence(), 960},
		{"SILK 10 ms", []byte{0 << 3}, 480},
		{"SILK 60 ms", []byte{11 << 3}, 2880},
		{"hybrid 20 ms", []byte{15 << 3}, 960},
		{"CELT 2.5 ms", []byte{16 << 3}, 120},
		{"two frames", []byte{31<<3 | 1}, 1920},
		{"six frames of 20 ms", []byte{31<<3 | 3, 6}, 5760},
		{"seven frames of 20 ms", []byte{31<<3 | 3, 7}, 0},
		{"no frames", []byte{31<<3 | 3, 0}, 0},
		{"count missing", []byte{31<<3 | 3}, 0},
		{"empty", nil, 0},
	} {
		got, err := opus.Samples(tc.packet)
		if got != tc.want || (err == nil) != (tc.want > 0) {
			t.Errorf("%s: got %d, %v, want %d", tc.name, got, err, tc.want)
		}
	}
}

func TestStereoIsInTheFirstByte(t *testing.T) {
	for _, channels := range []int{1, 2} {
		e, err := opus.NewEncoder(opus.EncoderConfig{Channels: channels, Bitrate: 64000 * channels})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		pcm, packet := make([]float32, 960*channels), make([]byte, opus.MaxPacket)
		for i := range pcm {
			pcm[i] = float32(0.3 * math.Sin(float64(i*i%977)))
		}
		n, err := e.Encode(pcm, packet)
		if err != nil {
			t.Fatal(err)
		}
		if got := opus.Stereo(packet[:n]); got != (channels == 2) {
			t.Errorf("%d channels: got %v", channels, got)
		}
	}
	if opus.Stereo(nil) || opus.Stereo(opus.Silence()) {
		t.Error("got nothing, or silence, in stereo")
	}
}

func TestDTXWritesShortPackets(t *testing.T) {
	for _, dtx := range []bool{true, false} {
		e, err := opus.NewEncoder(opus.EncoderConfig{Application: opus.VoIP, Bitrate: 32000, DTX: dtx})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		pcm, packet, short := make([]float32, 960), make([]byte, opus.MaxPacket), 0
		for i := range 150 {
			for k := range pcm {
				pcm[k] = float32(1e-4 * math.Sin(float64((i*960+k)*k%7919)))
			}
			n, err := e.Encode(pcm, packet)
			if err != nil {
				t.Fatal(err)
			}
			if n <= 2 {
				short++
			}
		}
		if dtx != (short > 50) {
			t.Errorf("DTX %v: got %d packets of 150 short", dtx, short)
		}
	}
}

func TestClosed(t *testing.T) {
	e, d := newEncoder(t, opus.EncoderConfig{}), newDecoder(t, 1)
	e.Close()
	e.Close()
	d.Close()
	d.Close()
	pcm, packet := make([]float32, frame), make([]byte, opus.MaxPacket)
	if _, err := e.Encode(pcm, packet); !errors.Is(err, opus.ErrClosed) {
		t.Errorf("Encode: got %v, want %v", err, opus.ErrClosed)
	}
	if _, err := d.Decode(opus.Silence(), pcm); !errors.Is(err, opus.ErrClosed) {
		t.Errorf("Decode: got %v, want %v", err, opus.ErrClosed)
	}
	if err := e.SetPrediction(true); !errors.Is(err, opus.ErrClosed) {
		t.Errorf("SetPrediction: got %v, want %v", err, opus.ErrClosed)
	}
}

func TestNoAllocations(t *testing.T) {
	e, d := newEncoder(t, opus.EncoderConfig{}), newDecoder(t, 1)
	pcm, packet := make([]float32, opus.MaxSamples), make([]byte, opus.MaxPacket)
	if n := testing.AllocsPerRun(100, func() {
		n, err := e.Encode(pcm[:frame], packet)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(packet[:n], pcm); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations per frame, want 0", n)
	}
}

// FuzzDecode feeds strangers' packets to libopus and holds Samples to what it
// makes of them.
func FuzzDecode(f *testing.F) {
	f.Add(opus.Silence())
	f.Add([]byte{})
	f.Add([]byte{31<<3 | 3, 6})
	f.Add([]byte{15<<3 | 3, 0x82, 1, 2, 3, 4})
	e := newEncoder(f, opus.EncoderConfig{Application: opus.VoIP, FEC: true, PacketLoss: 20})
	for _, p := range code(f, e, 440, 3) {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		d := newDecoder(t, 1)
		pcm := make([]float32, opus.MaxSamples)
		want, samplesErr := opus.Samples(packet)
		got, err := d.Decode(packet, pcm)
		if err == nil && (samplesErr != nil || got != want) {
			t.Errorf("got %d samples, want %d, %v", got, want, samplesErr)
		}
		if _, err := d.DecodeFEC(packet, pcm[:frame]); err == nil && len(packet) == 0 {
			t.Error("got no error for an empty packet")
		}
		if n, err := d.Conceal(pcm[:frame]); err != nil || n != frame {
			t.Errorf("conceal: got %d samples, %v, want %d", n, err, frame)
		}
		for i, x := range pcm[:frame] {
			if x != x {
				t.Fatalf("got no number at sample %d", i)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := newEncoder(b, opus.EncoderConfig{Bitrate: 64000})
	pcm, packet := make([]float32, frame), make([]byte, opus.MaxPacket)
	tone(pcm, 440, 0, 0.5)
	for b.Loop() {
		if _, err := e.Encode(pcm, packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	packets := code(b, newEncoder(b, opus.EncoderConfig{Bitrate: 64000}), 440, 50)
	d := newDecoder(b, 1)
	pcm := make([]float32, opus.MaxSamples)
	i := 0
	for b.Loop() {
		if _, err := d.Decode(packets[i%len(packets)], pcm); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
