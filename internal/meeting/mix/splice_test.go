package mix

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// chord is so many samples of tones, each a fifth of full scale.
func chord(samples int, tones ...float64) []float32 {
	pcm := make([]float32, samples, samples+maxSplice)
	for i := range pcm {
		for _, hz := range tones {
			pcm[i] += float32(0.2 * math.Sin(2*math.Pi*hz*float64(i)/sampleRate))
		}
	}
	return pcm
}

func TestSplicesAreNotHeard(t *testing.T) {
	for _, tones := range [][]float64{{50}, {82.4}, {1100}, {220, 277.2, 329.6}, {9000}} {
		pcm := chord(2*frame, tones...)
		n, likeness := period(pcm[:maxSplice+overlap])
		if n < minSplice || n > maxSplice || likeness < 0.95 {
			t.Errorf("%v Hz: got period %d, %.3f alike, want one more than 0.95 alike", tones, n, likeness)
		}
		slope := 0.0
		for _, hz := range tones {
			slope += 0.2 * 2 * math.Pi * hz / sampleRate
		}
		for _, spliced := range [][]float32{shorten(slices.Clone(pcm), n), lengthen(slices.Clone(pcm), n)} {
			if off := len(spliced) - len(pcm); off != n && off != -n {
				t.Errorf("%v Hz: got %d samples more, want %d more or less", tones, off, n)
			}
			if spliced[0] != pcm[0] || spliced[len(spliced)-1] != pcm[len(pcm)-1] {
				t.Errorf("%v Hz: the ends are not what they were", tones)
			}
			if got := steps(spliced); got > 1.1*slope {
				t.Errorf("%v Hz: got a step of %.4f between samples, want at most %.4f", tones, got, 1.1*slope)
			}
		}
	}
}

func TestShortenAndLengthenAreEachOthersReverse(t *testing.T) {
	// Of a sound whose period is exact nothing changes but the length.
	pcm := chord(2*frame, 480)
	for name, got := range map[string][]float32{"shorter": shorten(slices.Clone(pcm), 300), "longer": lengthen(slices.Clone(pcm), 300)} {
		want := chord(len(got), 480)
		for i := range got {
			if math.Abs(float64(got[i]-want[i])) > 1e-4 {
				t.Fatalf("%s: got sample %d = %.4f, want %.4f", name, i, got[i], want[i])
			}
		}
	}
}

func TestUnlikeSoundIsSplicedWhenItMust(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]float32, maxSplice+overlap)
	for i := range noise {
		noise[i] = rng.Float32() - 0.5
	}
	if _, likeness := period(noise); likeness > 0.5 {
		t.Errorf("noise: got %.2f alike, want less than 0.5", likeness)
	}
	if n, likeness := period(make([]float32, maxSplice+overlap)); n != maxSplice || likeness != 1 {
		t.Errorf("silence: got %d, %.2f alike, want all of it, 1", n, likeness)
	}
}

func TestSplicesDoNotAllocate(t *testing.T) {
	pcm := chord(2*frame, 440)
	if n := testing.AllocsPerRun(100, func() {
		n, _ := period(pcm[:maxSplice+overlap])
		pcm = shorten(lengthen(pcm, n), n)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkPeriod(b *testing.B) {
	pcm := chord(maxSplice+overlap, 220, 277.2, 329.6)
	for b.Loop() {
		period(pcm)
	}
}
