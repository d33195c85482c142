package compose

import "image"

// MaxTiles is how many tiles a grid has at most.
const MaxTiles = 25

// A tile has the shape of a camera's picture.
const (
	aspectWide = 16
	aspectHigh = 9
)

// Layout places n tiles (0 to MaxTiles) on a canvas, row by row. One tile
// fills it; more form a grid of 16:9 tiles with equal gaps, as large as fits,
// its last row centred. All coordinates are even.
func Layout(n, width, height int) []image.Rectangle {
	if n == 0 {
		return nil
	}
	if n == 1 {
		return []image.Rectangle{image.Rect(0, 0, width, height)}
	}
	columns, rows := grid(n)
	if height > width {
		columns, rows = rows, columns
	}
	gap := gap(width, height)
	w := (width - gap*(columns+1)) / columns
	if high := (height - gap*(rows+1)) / rows; w*aspectHigh > high*aspectWide {
		w = high * aspectWide / aspectHigh
	}
	w = even(w)
	h := even(w * aspectHigh / aspectWide)
	top := even((height - rows*h - (rows-1)*gap) / 2)

	places := make([]image.Rectangle, 0, n)
	for row := range rows {
		count := min(columns, n-len(places))
		left := even((width - count*w - (count-1)*gap) / 2)
		for column := range count {
			x, y := left+column*(w+gap), top+row*(h+gap)
			places = append(places, image.Rect(x, y, x+w, y+h))
		}
	}
	return places
}

// grid is the smallest grid of n tiles on a landscape canvas: square or one
// column wider than high.
func grid(n int) (columns, rows int) {
	columns, rows = 1, 1
	for columns*rows < n {
		if columns == rows {
			columns++
		} else {
			rows++
		}
	}
	return columns, rows
}

// gap is the space between tiles, 8 pixels at 720p.
func gap(width, height int) int { return even(min(width, height) / 90) }

// cornerRadius is how far a tile's corners are rounded, 10 pixels at 720p.
func cornerRadius(width, height int) int { return even(min(width, height) / 72) }

// maxCrop is how much of a picture's width or height may be cut off so that
// it fills its tile: 1/8 lets 16:10 fill 16:9, but 4:3 keeps heads and feet.
const maxCrop = 8

// place says which part of a picture goes where in its tile: the middle of it
// fills the tile, or the whole of it is centred there when too much would
// be cut.
func place(width, height int, tile image.Rectangle) (from, to image.Rectangle) {
	whole := image.Rect(0, 0, width, height)
	tw, th := tile.Dx(), tile.Dy()
	if wide, high := width*th, height*tw; wide >= high { // wider than the tile
		if (wide-high)*maxCrop <= wide {
			return middle(whole, tw*height/th, height), tile
		}
		return whole, middle(tile, tw, height*tw/width)
	} else if (high-wide)*maxCrop <= high {
		return middle(whole, width, th*width/tw), tile
	}
	return whole, middle(tile, width*th/height, th)
}

// middle is the rectangle of about w by h in the middle of r, on even
// coordinates.
func middle(r image.Rectangle, w, h int) image.Rectangle {
	w, h = max(w, 2), max(h, 2)
	x, y := r.Min.X+even((r.Dx()-w)/2), r.Min.Y+even((r.Dy()-h)/2)
	if w < r.Dx() {
		w = even(w)
	}
	if h < r.Dy() {
		h = even(h)
	}
	return image.Rect(x, y, x+w, y+h)
}

func even(n int) int { return n &^ 1 }
