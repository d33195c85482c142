package compose

import (
	"image"

	"belfry.live/belfry/internal/media/av"
)

// A colour is Y, U and V as BT.601 in limited range has them.
type colour [3]byte

// rgb converts from full-range components (ITU-R BT.601-7 section 2.5.3).
func rgb(r, g, b float64) colour {
	clip := func(v float64) byte { return byte(min(max(v+0.5, 16), 240)) }
	return colour{
		clip(16 + (65.481*r+128.553*g+24.966*b)/255),
		clip(128 + (-37.797*r-74.203*g+112*b)/255),
		clip(128 + (112*r-93.786*g-18.214*b)/255),
	}
}

var (
	background = rgb(0x10, 0x14, 0x18)
	vacant     = rgb(0x1c, 0x22, 0x28) // a tile where no picture covers it
)

// fill paints a rectangle on even coordinates.
func fill(p *av.Picture, r image.Rectangle, c colour) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		set(p.Y[y*p.StrideY+r.Min.X:y*p.StrideY+r.Max.X], c[0])
	}
	for y := r.Min.Y / 2; y < r.Max.Y/2; y++ {
		set(p.U[y*p.StrideUV+r.Min.X/2:y*p.StrideUV+r.Max.X/2], c[1])
		set(p.V[y*p.StrideUV+r.Min.X/2:y*p.StrideUV+r.Max.X/2], c[2])
	}
}

func set(row []byte, v byte) {
	for i := range row {
		row[i] = v
	}
}

// A corner rounds the corners of tiles. Its masks hold, for the top left
// corner, how much of each pixel lies outside, 0 to 256.
type corner struct {
	radius int // even; the chroma mask has half of it
	luma   []int
	chroma []int
}

func newCorner(radius int) corner {
	return corner{radius: radius, luma: cornerMask(radius, 1), chroma: cornerMask(radius/2, 2)}
}

// cornerMask is n x n pixels that are step luma pixels wide.
func cornerMask(n, step int) []int {
	const fine = 8 // samples per luma pixel and axis
	r := n * step * fine
	side := step * fine
	mask := make([]int, n*n)
	for i := range mask {
		x0, y0 := i%n*side, i/n*side
		outside := 0
		for y := y0; y < y0+side; y++ {
			for x := x0; x < x0+side; x++ {
				// Twice the distance of the sample's middle from the centre.
				dx, dy := 2*(r-x)-1, 2*(r-y)-1
				if dx*dx+dy*dy > 4*r*r {
					outside++
				}
			}
		}
		mask[i] = 256 * outside / (side * side)
	}
	return mask
}

// cut blends the four corners of a rectangle into the colour.
func (c corner) cut(p *av.Picture, r image.Rectangle, to colour) {
	blend(p.Y, p.StrideY, r, c.luma, c.radius, to[0])
	half := image.Rect(r.Min.X/2, r.Min.Y/2, r.Max.X/2, r.Max.Y/2)
	blend(p.U, p.StrideUV, half, c.chroma, c.radius/2, to[1])
	blend(p.V, p.StrideUV, half, c.chroma, c.radius/2, to[2])
}

func blend(plane []byte, stride int, r image.Rectangle, mask []int, n int, to byte) {
	for y := range n {
		above, below := (r.Min.Y+y)*stride, (r.Max.Y-1-y)*stride
		for x := range n {
			m := mask[y*n+x]
			if m == 0 {
				continue
			}
			for _, i := range [4]int{above + r.Min.X + x, above + r.Max.X - 1 - x, below + r.Min.X + x, below + r.Max.X - 1 - x} {
				plane[i] += byte((int(to) - int(plane[i])) * m / 256)
			}
		}
	}
}
