package liveconnector

import "math"

// A resampler turns 48 kHz into 44.1 kHz. Sample k of its output is the
// input's value at 160k/147: the filter is symmetric, so nothing is shifted,
// only the last few samples wait for those after them.
type resampler struct {
	channels int
	phases   [resampleUp][resampleTaps]float32
	in       []float32 // interleaved; the first is input sample number first
	first    int64
	out      int64 // number of the next output sample
}

const (
	resampleUp   = 147 // 44100 = 48000 * 147 / 160
	resampleDown = 160
	resampleTaps = 32
)

func newResampler(channels int) *resampler {
	r := &resampler{channels: channels, first: 1 - resampleTaps/2}
	r.in = make([]float32, (resampleTaps/2-1)*channels) // silence before the start
	// A windowed sinc; its edge lies a little below half the output rate.
	const cutoff = 0.46 * 44100.0 / 48000 * 2
	for p := range r.phases {
		sum := 0.0
		var taps [resampleTaps]float64
		for i := range taps {
			x := float64(i) - (resampleTaps/2 - 1) - float64(p)/resampleUp
			taps[i] = cutoff
			if x != 0 {
				taps[i] = math.Sin(math.Pi*cutoff*x) / (math.Pi * x)
			}
			w := x / (resampleTaps / 2) // Blackman
			taps[i] *= 0.42 + 0.5*math.Cos(math.Pi*w) + 0.08*math.Cos(2*math.Pi*w)
			sum += taps[i]
		}
		for i := range taps {
			r.phases[p][i] = float32(taps[i] / sum)
		}
	}
	return r
}

// push takes interleaved input and appends what can be made of it to out.
func (r *resampler) push(in, out []float32) []float32 {
	r.in = append(r.in, in...)
	for {
		at := r.out * resampleDown
		start := at/resampleUp - (resampleTaps/2 - 1) - r.first
		if (start+resampleTaps)*int64(r.channels) > int64(len(r.in)) {
			// Everything before start has had its use.
			r.in = r.in[:copy(r.in, r.in[start*int64(r.channels):])]
			r.first += start
			return out
		}
		taps := &r.phases[at%resampleUp]
		for c := range r.channels {
			var sum float32
			i := start*int64(r.channels) + int64(c)
			for _, t := range taps {
				sum += t * r.in[i]
				i += int64(r.channels)
			}
			out = append(out, sum)
		}
		r.out++
	}
}
