package compose

import (
	"math"

	"belfry.live/belfry/internal/media/av"
)

// The slate is drawn from formulas: a bell above the word Belfry on a dark
// ground that is a little lighter behind the bell.

var (
	glow  = [3]float64{0x26, 0x30, 0x3a}
	dark  = [3]float64{0x10, 0x14, 0x18}
	brass = [3]float64{0xe0, 0xb0, 0x52}
	chalk = [3]float64{0xe8, 0xec, 0xef}
)

// drawSlate covers the whole picture. It takes a tenth of a second.
func drawSlate(p *av.Picture) {
	unit := 0.2 * float64(min(p.Width, p.Height)) // the bell's height
	middleX, top := float64(p.Width)/2, float64(p.Height)/2-1.02*unit
	word := wordmark()
	scale := 0.62 * unit // of the word's em
	wordX, wordY := middleX-word.width*scale/2, top+2.02*unit

	pixel := func(x, y float64) [3]float64 {
		d := math.Hypot(x-middleX, y-top-0.6*unit) / (2.6 * unit)
		c := mix(dark, glow, math.Exp(-d*d))
		c = mix(c, brass, bell((x-middleX)/unit, (y-top)/unit, 0.5/unit))
		if y > wordY-scale && y < wordY+scale/2 {
			c = mix(c, chalk, word.cover((x-wordX)/scale, (wordY-y)/scale, 0.5/scale))
		}
		return c
	}
	for y := 0; y < p.Height; y += 2 {
		for x := 0; x < p.Width; x += 2 {
			var sum [3]float64
			for i := range 4 {
				px, py := x+i%2, y+i/2
				c := pixel(float64(px)+0.5, float64(py)+0.5)
				// Half a step of noise, so that the glow shows no rings.
				n := noise(px, py)
				p.Y[py*p.StrideY+px] = rgb(c[0]+n, c[1]+n, c[2]+n)[0]
				for k := range sum {
					sum[k] += c[k] / 4
				}
			}
			// The same for the chroma, whose steps are coarser still.
			n := noise(x+p.Width, y)
			c := rgb(sum[0]-3*n, sum[1], sum[2]+3*n)
			p.U[y/2*p.StrideUV+x/2], p.V[y/2*p.StrideUV+x/2] = c[1], c[2]
		}
	}
}

func mix(a, b [3]float64, share float64) [3]float64 {
	for i := range a {
		a[i] += (b[i] - a[i]) * share
	}
	return a
}

// noise is the same for the same pixel, evenly spread from -0.6 to 0.6.
func noise(x, y int) float64 {
	h := uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca77
	h = (h ^ h>>15) * 0x2c1b3c6d
	h ^= h >> 13
	return (float64(h)/math.MaxUint32 - 0.5) * 1.2
}

// bell says how much of a pixel (half its width is given) the bell covers.
// It stands on y = 1.1 and reaches up to 0, its axis at x = 0.
func bell(x, y, half float64) float64 {
	if y < -0.1 || y > 1.3 || math.Abs(x) > 0.7 {
		return 0
	}
	const fine = 4
	inside := 0
	for i := range fine * fine {
		sx := x + (float64(i%fine)+0.5-fine/2)*2*half/fine
		sy := y + (float64(i/fine)+0.5-fine/2)*2*half/fine
		if inBell(math.Abs(sx), sy) {
			inside++
		}
	}
	return float64(inside) / (fine * fine)
}

func inBell(x, y float64) bool {
	const (
		shoulder = 0.40 // where the dome ends
		lip      = 0.90 // where the skirt meets the lip
		foot     = 1.00
		gap      = 0.03 // between lip and clapper
	)
	switch {
	case y < 0.14: // the loop it hangs from
		d := math.Hypot(x, y-0.08)
		if d > 0.045 && d < 0.095 {
			return true
		}
		fallthrough
	case y < shoulder:
		if y < 0.12 {
			return false
		}
		t := (shoulder - y) / (shoulder - 0.12)
		return x < 0.30*math.Sqrt(1-t*t)
	case y < lip:
		t := (y - shoulder) / (lip - shoulder)
		return x < 0.30+0.12*t*t
	case y < foot:
		t := (y - (lip+foot)/2) / ((foot - lip) / 2)
		return x < 0.46+0.05*math.Sqrt(1-t*t)
	default: // the clapper below
		return y > foot+gap && math.Hypot(x, y-foot-gap) < 0.11
	}
}

// A stroke is a line from a to b, or with a radius the arc around a from
// angle from to angle to, counted anticlockwise in radians.
type stroke struct {
	ax, ay, bx, by   float64
	radius, from, to float64
}

// A word is a row of letters made of strokes, in units of its em, y upwards
// from the base line.
type word struct {
	strokes []stroke
	width   float64
}

const penWidth = 0.105

// cover says how much of a pixel (half its width is given) the word covers.
func (w word) cover(x, y, half float64) float64 {
	if x < -penWidth || x > w.width+penWidth {
		return 0
	}
	nearest := math.Inf(1)
	for _, s := range w.strokes {
		nearest = min(nearest, s.distance(x, y))
	}
	return min(max((penWidth/2-nearest)/(2*half)+0.5, 0), 1)
}

func (s stroke) distance(x, y float64) float64 {
	if s.radius == 0 {
		dx, dy := s.bx-s.ax, s.by-s.ay
		t := ((x-s.ax)*dx + (y-s.ay)*dy) / (dx*dx + dy*dy)
		t = min(max(t, 0), 1)
		return math.Hypot(x-s.ax-t*dx, y-s.ay-t*dy)
	}
	angle := math.Atan2(y-s.ay, x-s.ax)
	for angle < s.from {
		angle += 2 * math.Pi
	}
	if angle <= s.to {
		return math.Abs(math.Hypot(x-s.ax, y-s.ay) - s.radius)
	}
	end := func(a float64) float64 {
		return math.Hypot(x-s.ax-s.radius*math.Cos(a), y-s.ay-s.radius*math.Sin(a))
	}
	return min(end(s.from), end(s.to))
}

// wordmark writes Belfry.
func wordmark() word {
	line := func(ax, ay, bx, by float64) stroke { return stroke{ax: ax, ay: ay, bx: bx, by: by} }
	arc := func(x, y, radius, from, to float64) stroke {
		return stroke{ax: x, ay: y, radius: radius, from: from * math.Pi / 180, to: to * math.Pi / 180}
	}
	letters := []struct {
		width   float64
		strokes []stroke
	}{
		{0.44, []stroke{ // B
			line(0, 0, 0, 0.72),
			line(0, 0.72, 0.22, 0.72), arc(0.22, 0.545, 0.175, -90, 90), line(0, 0.37, 0.25, 0.37),
			arc(0.25, 0.185, 0.185, -90, 90), line(0, 0, 0.25, 0),
		}},
		{0.48, []stroke{line(0, 0.24, 0.48, 0.24), arc(0.24, 0.24, 0.24, 0, 312)}},                        // e
		{0, []stroke{line(0, 0, 0, 0.76)}},                                                                // l
		{0.3, []stroke{line(0.1, 0, 0.1, 0.6), arc(0.26, 0.6, 0.16, 75, 180), line(0, 0.46, 0.27, 0.46)}}, // f
		{0.26, []stroke{line(0, 0, 0, 0.48), arc(0.21, 0.27, 0.21, 70, 180)}},                             // r
		{0.42, []stroke{line(0, 0.48, 0.21, 0), line(0.42, 0.48, 0.13, -0.2)}},                            // y
	}
	const space = 0.2
	var w word
	for _, l := range letters {
		for _, s := range l.strokes {
			s.ax += w.width
			s.bx += w.width
			w.strokes = append(w.strokes, s)
		}
		w.width += l.width + space
	}
	w.width -= space
	return w
}
