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
	return tiles(n, columns, rows, image.Rect(0, 0, width, height), gap(width, height))
}

// Presentation places the first of n things (1 to MaxTiles), of which so many
// are screens to be read, large in the longer direction of the canvas, and the
// rest in a strip a quarter as wide beside or below them.
func Presentation(screens, n, width, height int) []image.Rectangle {
	gap := gap(width, height)
	stage := image.Rect(gap, gap, width-gap, height-gap)
	strip := image.Rect(0, 0, width, height)
	if people := n > screens; people && width >= height {
		strip.Min.X = even(width * 3 / 4)
		stage.Max.X = strip.Min.X
	} else if people {
		strip.Min.Y = even(height * 3 / 4)
		stage.Max.Y = strip.Min.Y
	}
	places := make([]image.Rectangle, 0, n)
	h := even((stage.Dy() - (screens-1)*gap) / screens)
	for i := range screens {
		y := stage.Min.Y + i*(h+gap)
		places = append(places, image.Rect(stage.Min.X, y, stage.Max.X, y+h))
	}
	if n == screens {
		return places
	}
	best := []image.Rectangle(nil)
	for columns := 1; columns <= n-screens; columns++ {
		rows := (n - screens + columns - 1) / columns
		if t := tiles(n-screens, columns, rows, strip, gap); best == nil || t[0].Dx() > best[0].Dx() {
			best = t
		}
	}
	return append(places, best...)
}

// tiles places n tiles in the middle of an area, as large as so many columns
// and rows allow.
func tiles(n, columns, rows int, area image.Rectangle, gap int) []image.Rectangle {
	w := (area.Dx() - gap*(columns+1)) / columns
	if high := (area.Dy() - gap*(rows+1)) / rows; w*aspectHigh > high*aspectWide {
		w = high * aspectWide / aspectHigh
	}
	w = even(w)
	h := even(w * aspectHigh / aspectWide)
	top := area.Min.Y + even((area.Dy()-rows*h-(rows-1)*gap)/2)

	places := make([]image.Rectangle, 0, n)
	for row := range rows {
		count := min(columns, n-len(places))
		left := area.Min.X + even((area.Dx()-count*w-(count-1)*gap)/2)
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
// be cut, or when all of it is to be read.
func place(width, height int, tile image.Rectangle, uncut bool) (from, to image.Rectangle) {
	maxCrop := maxCrop
	if uncut {
		maxCrop = width * height // nothing that is seen
	}
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
