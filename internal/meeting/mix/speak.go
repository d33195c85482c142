package mix

import (
	"math"
	"time"
)

const (
	// gatePower is the mean square below which sound counts as none (-70
	// dBFS), and gateTicks how long it stays in the mix all the same.
	gatePower = 1e-7
	gateTicks = 25
	// speakingLevel is the level, in dB below full scale, from which somebody
	// speaks; silentLevel is how none at all is written.
	speakingLevel = 50
	silentLevel   = 127
	// levelDecay is how fast a level falls per tick: 15 dB in 200 ms.
	levelDecay = 0.7
	// ramp is how many samples it takes to fade in or out: 5 ms.
	ramp = 240
)

// speak puts this tick's sound of its participant into v.out, v.mean and
// v.sounds. wanted: it shall be in the mix. The gain gets where it should be
// within a tick, so that v may be let go after one that was not wanted.
func (v *voice) speak(now time.Time, wanted bool) {
	v.sounds = false
	fresh := !v.playing
	if !v.pull(now, &v.out) {
		v.gain, v.power = 0, v.power*levelDecay
		v.still++
		return
	}
	if v.channels == 2 {
		for i := range v.mean {
			v.mean[i] = (v.out[0][i] + v.out[1][i]) / 2
		}
	}
	power := 0.0
	for c := range v.channels {
		sum := 0.0
		for _, x := range v.out[c] {
			sum += float64(x) * float64(x)
		}
		power = max(power, sum/frame)
	}
	if power >= gatePower {
		v.still = 0
	} else {
		v.still++
	}
	to := float32(0)
	if wanted && v.still < gateTicks {
		to = 1
	}
	from := v.gain
	if fresh {
		from = to // the voice fades in by itself
	}
	if from != 0 || to != 0 {
		for c := range v.channels {
			fade(v.out[c][:], from, to)
		}
		if v.channels == 2 {
			fade(v.mean[:], from, to)
		}
		v.sounds = true
	}
	v.gain = to
	if to == 0 {
		power = 0
	}
	v.power = max(power, v.power*levelDecay)
}

// mono is what v adds to a mix of one channel.
func (v *voice) mono() *[frame]float32 {
	if v.channels == 2 {
		return &v.mean
	}
	return &v.out[0]
}

// channel is what v adds to a channel of a mix of two.
func (v *voice) channel(c int) *[frame]float32 { return &v.out[min(c, v.channels-1)] }

// decibels writes a mean square as dB below full scale, 0 to 127.
func decibels(power float64) int {
	if power <= 0 {
		return silentLevel
	}
	return int(min(max(-10*math.Log10(power)+0.5, 0), silentLevel))
}
