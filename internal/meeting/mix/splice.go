package mix

import "math"

const (
	// Sound that is off its schedule by startSplice samples is spliced, at
	// most every spliceEvery ticks.
	startSplice = 480
	spliceEvery = 10
	// A splice moves the sound by minSplice to maxSplice samples, 20 ms: a
	// period of the lowest tones. It fades over overlap samples.
	minSplice = 120
	maxSplice = 960
	overlap   = 240
	// alikeEnough is how alike the pieces must be when the sound is hardly
	// off; the farther off it is, the less it takes.
	alikeEnough = 0.9
)

// splice brings the sound nearer to its schedule. Late sound loses a piece and
// early sound has one twice, as long as the sound takes to come to a place like
// the one where it is: a period or some. So its pitch stays what it is. It
// leaves need samples at the least.
func (v *voice) splice(late, need int) {
	off := max(late, -late)
	if v.whole++; !v.playing || off < startSplice || v.whole < spliceEvery {
		return
	}
	reserve := need // what must be left behind the piece
	if late < 0 {
		reserve = overlap
	}
	most := min(off, maxSplice)
	v.fetch(reserve + most)
	most = min(most, v.held()-reserve)
	if most < minSplice {
		return
	}
	n, likeness := period(v.middle(most + overlap))
	if likeness < alikeEnough*float64(maxLate-off)/maxLate {
		return
	}
	for c := range v.channels {
		if late > 0 {
			v.pcm[c] = shorten(v.pcm[c], n)
		} else {
			v.pcm[c] = lengthen(v.pcm[c], n)
		}
	}
	v.whole = 0
	v.stats.Spliced += uint64(n)
}

// fetch decodes what follows without a hole, until there are so many samples.
func (v *voice) fetch(samples int) {
	for v.held() < samples {
		if !v.feed.peek(&v.next) || v.next.timestamp != v.end || v.next.samples == 0 {
			return
		}
		v.decode(false)
	}
}

// middle is the mean of the channels, of so many samples. Both channels are
// spliced alike, or the picture of the sound would turn.
func (v *voice) middle(samples int) []float32 {
	if v.channels == 1 {
		return v.pcm[0][:samples]
	}
	mid := v.mid[:samples]
	for i := range mid {
		mid[i] = (v.pcm[0][i] + v.pcm[1][i]) / 2
	}
	return mid
}

// shorten takes n samples out near the front of pcm, in place.
func shorten(pcm []float32, n int) []float32 {
	for i := range overlap {
		pcm[i] += (pcm[i+n] - pcm[i]) * float32(i) / overlap
	}
	return pcm[:overlap+copy(pcm[overlap:], pcm[overlap+n:])]
}

// lengthen plays the first n samples of pcm twice, in place if it has room.
func lengthen(pcm []float32, n int) []float32 {
	length := len(pcm)
	for range n {
		pcm = append(pcm, 0)
	}
	copy(pcm[n+overlap:], pcm[overlap:length])
	for i := overlap - 1; i >= 0; i-- { // what is read was not written yet
		pcm[n+i] += (pcm[i] - pcm[n+i]) * float32(i) / overlap
	}
	return pcm
}

// period finds after how many samples pcm is most like its beginning, and how
// much: 1 is the same, 0 nothing in common. It looks as far as overlap samples
// before the end.
func period(pcm []float32) (n int, likeness float64) {
	// First on a quarter of the samples, then exactly around what was found.
	const step = 4
	var coarse [(maxSplice + overlap) / step]float32
	for i := range len(pcm) / step {
		coarse[i] = (pcm[i*step] + pcm[i*step+1] + pcm[i*step+2] + pcm[i*step+3]) / step
	}
	most := len(pcm) - overlap
	best := math.Inf(-1)
	for at := most / step; at >= minSplice/step; at-- {
		// Of those that are as good the longest, for there are fewer then.
		if l := alike(coarse[:overlap/step], coarse[at:]); l > best+0.01 {
			best, n = l, at*step
		}
	}
	around := n
	likeness = math.Inf(-1)
	for at := max(around-step, minSplice); at <= min(around+step, most); at++ {
		if l := alike(pcm[:overlap], pcm[at:]); l >= likeness {
			likeness, n = l, at
		}
	}
	return n, likeness
}

// alike is the correlation of a with the beginning of b, both taken for the
// same where they are quiet.
func alike(a, b []float32) float64 {
	var ab, aa, bb float32
	for i, x := range a {
		y := b[i]
		ab += x * y
		aa += x * x
		bb += y * y
	}
	quiet := 1e-6 * float64(len(a)) // -60 dBFS
	return (float64(ab) + quiet) / (math.Sqrt(float64(aa)*float64(bb)) + quiet)
}
