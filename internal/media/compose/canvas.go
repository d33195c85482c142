// Package compose puts the pictures of many cameras as tiles into one. It is
// told who is to be seen, in order, and handed their pictures as they come;
// asked for the canvas, it draws what has changed since. Without anybody to
// see it shows a slate. When to draw is the caller's business, and so are
// decoding and encoding.
package compose

import (
	"fmt"
	"image"

	"belfry.live/belfry/internal/media/av"
)

// A Canvas is the composed picture. It belongs to one goroutine.
type Canvas struct {
	picture *av.Picture
	slate   *av.Picture
	corner  corner
	tiles   []*tile // in the order of Arrange
	stale   bool    // the arrangement has changed since it was drawn
}

type tile struct {
	key   string
	uncut bool            // all of its picture is to be seen
	at    image.Rectangle // on the canvas
	drawn image.Rectangle // what of it the picture covers
	last  *av.Picture     // nil before the first
	dirty bool            // last has not been drawn yet
}

// New makes a canvas; width and height are even.
func New(width, height int) (*Canvas, error) {
	picture, err := av.NewPicture(width, height)
	if err != nil {
		return nil, fmt.Errorf("new canvas: %w", err)
	}
	slate, err := av.NewPicture(width, height)
	if err != nil {
		picture.Release()
		return nil, fmt.Errorf("new canvas: %w", err)
	}
	drawSlate(slate)
	return &Canvas{
		picture: picture,
		slate:   slate,
		corner:  newCorner(cornerRadius(width, height)),
		stale:   true,
	}, nil
}

// Arrange says whose tiles are to be seen and in which order; keys beyond
// MaxTiles are left out. The first so many are shared screens: they are large
// and never cut. Tiles that stay keep their picture.
func (c *Canvas) Arrange(keys []string, screens int) {
	keys = keys[:min(len(keys), MaxTiles)]
	screens = min(screens, len(keys))
	var places []image.Rectangle
	if screens > 0 {
		places = Presentation(screens, len(keys), c.picture.Width, c.picture.Height)
	} else {
		places = Layout(len(keys), c.picture.Width, c.picture.Height)
	}
	old := c.tiles
	c.tiles = make([]*tile, len(keys))
	for i, key := range keys {
		t := &tile{key: key}
		for j, o := range old {
			if o != nil && o.key == key {
				t, old[j] = o, nil
				break
			}
		}
		t.at, t.uncut = places[i], i < screens
		c.tiles[i] = t
	}
	for _, t := range old {
		if t != nil {
			t.release()
		}
	}
	c.stale = true
}

// Show makes p the picture of a tile. The canvas owns p from now on and
// releases it, at once when nobody wants to see it.
func (c *Canvas) Show(key string, p *av.Picture) {
	for _, t := range c.tiles {
		if t.key == key {
			t.release()
			t.last, t.dirty = p, true
			return
		}
	}
	p.Release()
}

// Draw brings the canvas up to date and returns it. The picture stays the
// canvas's own: read it before the next call of anything.
func (c *Canvas) Draw() (*av.Picture, error) {
	if len(c.tiles) == 0 {
		return c.slate, nil
	}
	if c.stale {
		c.stale = false
		fill(c.picture, c.picture.Bounds(), background)
		for _, t := range c.tiles {
			t.drawn, t.dirty = image.Rectangle{}, true
		}
	}
	for _, t := range c.tiles {
		if !t.dirty {
			continue
		}
		t.dirty = false
		if err := c.draw(t); err != nil {
			return nil, fmt.Errorf("draw tile %s: %w", t.key, err)
		}
	}
	return c.picture, nil
}

func (c *Canvas) draw(t *tile) error {
	if t.last == nil {
		fill(c.picture, t.at, vacant)
	} else {
		from, to := place(t.last.Width, t.last.Height, t.at, t.uncut)
		if to != t.drawn {
			fill(c.picture, t.at, vacant) // the bars beside it
			t.drawn = to
		}
		if err := c.picture.Scale(to, t.last, from); err != nil {
			return err
		}
	}
	if t.at != c.picture.Bounds() {
		c.corner.cut(c.picture, t.at, background)
	}
	return nil
}

// Close releases the canvas and all pictures it holds.
func (c *Canvas) Close() {
	for _, t := range c.tiles {
		t.release()
	}
	c.tiles = nil
	c.picture.Release()
	c.slate.Release()
}

func (t *tile) release() {
	if t.last != nil {
		t.last.Release()
		t.last = nil
	}
}
