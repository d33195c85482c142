package liveconnector

import (
	"math"
	"testing"
)

// TestResamplerKeepsTimeAndLevel compares with the same tones sampled at
// 44.1 kHz, whatever the sizes of the pieces.
func TestResamplerKeepsTimeAndLevel(t *testing.T) {
	const n = 48000
	for _, hz := range []float64{50, 440, 5000, 15000} {
		r := newResampler(2)
		in := make([]float32, 2*n)
		for i := range n {
			in[2*i] = float32(math.Sin(2 * math.Pi * hz * float64(i) / 48000))
			in[2*i+1] = -in[2*i] / 2
		}
		var out []float32
		for at, size := 0, 1; at < len(in); size = size%997 + 131 {
			end := min(at+2*size, len(in))
			out = r.push(in[at:end], out)
			at = end
		}
		if got := len(out) / 2; got < 44100-20 || got > 44100 {
			t.Errorf("%v Hz: got %d samples, want 44100 but for the last few", hz, got)
		}
		worst := 0.0
		for i := 100; i < len(out)/2; i++ { // before, the tone's sudden start rings
			want := math.Sin(2 * math.Pi * hz * float64(i) / 44100)
			worst = max(worst, math.Abs(float64(out[2*i])-want), math.Abs(float64(out[2*i+1])+want/2))
		}
		if worst > 0.01 {
			t.Errorf("%v Hz: got an error of %.4f, want 0.01 at most", hz, worst)
		}
	}
	// What 44.1 kHz cannot carry must not come back as another tone.
	r := newResampler(1)
	in := make([]float32, n)
	for i := range in {
		in[i] = float32(math.Sin(2 * math.Pi * 23500 * float64(i) / 48000))
	}
	out := r.push(in, nil)
	sum := 0.0
	for _, v := range out[100:] {
		sum += float64(v * v)
	}
	if rms := math.Sqrt(sum / float64(len(out)-100)); rms > 0.01 {
		t.Errorf("23.5 kHz: got level %.4f, want 0.01 at most", rms)
	}
}

func BenchmarkResamplerSecond(b *testing.B) {
	r := newResampler(2)
	in := make([]float32, 2*480)
	var out []float32
	for b.Loop() {
		for range 100 {
			out = r.push(in, out[:0])
		}
	}
}
