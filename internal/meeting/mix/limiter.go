package mix

import "math"

const (
	// ceiling is the loudest peak of a mix once the gain has gone down. It
	// leaves room for what Opus adds.
	ceiling = 0.85
	// knee is where the curve bends for peaks that come before.
	knee = 0.8
	// release is how much the gain comes up per tick: 4 dB a second.
	release = 1.01
)

// A limiter turns a mix down while it is too loud, without steps.
type limiter struct {
	down float32 // 1 - gain, so that the zero limiter changes nothing
}

// apply limits the channels in place, all by the same gain, and says whether
// they are all zero.
func (l *limiter) apply(channels [][]float32) bool {
	var peak float32
	for _, pcm := range channels {
		for _, x := range pcm {
			peak = max(peak, x, -x)
		}
	}
	from := 1 - l.down
	to := min(from*release, 1)
	if peak*to > ceiling {
		to = ceiling / peak
	}
	l.down = 1 - to
	if peak == 0 || from == 1 && to == 1 && peak <= knee {
		return peak == 0
	}
	for _, pcm := range channels {
		step := (to - from) / float32(len(pcm))
		for i, x := range pcm {
			pcm[i] = bend(x * (from + step*float32(i)))
		}
	}
	return false
}

// bend is x below the knee and comes near top above, with no corner.
func bend(x float32) float32 {
	const top = 0.92
	const room = top - knee
	switch {
	case x > knee:
		return knee + room*float32(math.Tanh(float64(x-knee)/room))
	case x < -knee:
		return -knee - room*float32(math.Tanh(float64(-x-knee)/room))
	}
	return x
}
