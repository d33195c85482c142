package compose

import (
	"fmt"
	"image"
	"os"
	"slices"
	"strings"
	"testing"

	"belfry.live/belfry/internal/media/av"
)

// TestLayout compares every grid with testdata/layout.txt. To change the
// layout on purpose, put what the test got into the file.
func TestLayout(t *testing.T) {
	var got strings.Builder
	for _, size := range []image.Point{{1280, 720}, {1920, 1080}, {720, 1280}} {
		for n := 0; n <= MaxTiles; n++ {
			places := Layout(n, size.X, size.Y)
			if len(places) != n {
				t.Fatalf("%v: got %d places, want %d", size, len(places), n)
			}
			canvas := image.Rectangle{Max: size}
			for i, p := range places {
				if !p.In(canvas) || p.Min.X%2 != 0 || p.Min.Y%2 != 0 || p.Max.X%2 != 0 || p.Max.Y%2 != 0 {
					t.Errorf("%v, tile %d of %d: got %v, want even and inside", size, i, n, p)
				}
				for _, q := range places[:i] {
					if p.Overlaps(q) {
						t.Errorf("%v, %d tiles: %v overlaps %v", size, n, p, q)
					}
				}
			}
			fmt.Fprintf(&got, "%dx%d %d:", size.X, size.Y, n)
			for _, p := range places {
				fmt.Fprintf(&got, " %d,%d,%dx%d", p.Min.X, p.Min.Y, p.Dx(), p.Dy())
			}
			got.WriteByte('\n')
		}
	}
	want, err := os.ReadFile("testdata/layout.txt")
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := "", ""
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Errorf("line %d:\ngot  %s\nwant %s", i+1, g, w)
		}
	}
}

// TestPresentation looks at every presentation: tiles are inside, even, apart,
// and screens have most of the canvas.
func TestPresentation(t *testing.T) {
	for _, size := range []image.Point{{1280, 720}, {1920, 1080}, {720, 1280}} {
		canvas := image.Rectangle{Max: size}
		for screens := 1; screens <= 2; screens++ {
			for n := screens; n <= MaxTiles; n++ {
				places := Presentation(screens, n, size.X, size.Y)
				if len(places) != n {
					t.Fatalf("%v: got %d places, want %d", size, len(places), n)
				}
				for i, p := range places {
					if !p.In(canvas) || p.Empty() || p.Min.X%2 != 0 || p.Min.Y%2 != 0 || p.Max.X%2 != 0 || p.Max.Y%2 != 0 {
						t.Errorf("%v, %d of %d with %d screens: got %v, want even, inside, not empty", size, i, n, screens, p)
					}
					for _, q := range places[:i] {
						if p.Overlaps(q) {
							t.Errorf("%v, %d with %d screens: %v overlaps %v", size, n, screens, p, q)
						}
					}
				}
				area := 0
				for _, p := range places[:screens] {
					area += p.Dx() * p.Dy()
				}
				if least := size.X * size.Y * 7 / 10; area < least {
					t.Errorf("%v, %d with %d screens: the screens have %d pixels, want %d at least", size, n, screens, area, least)
				}
			}
		}
	}
	got := Presentation(1, 3, 1280, 720)
	want := []image.Rectangle{image.Rect(8, 8, 960, 712), image.Rect(968, 186, 1272, 356), image.Rect(968, 364, 1272, 534)}
	if !slices.Equal(got, want) {
		t.Errorf("a screen and two people: got %v, want %v", got, want)
	}
}

func TestScreensAreNotCut(t *testing.T) {
	tile := image.Rect(0, 0, 960, 704)
	from, to := place(1600, 1000, tile, true)
	if from != image.Rect(0, 0, 1600, 1000) || to.Dx() != 960 || to.Dy() != 600 {
		t.Errorf("got %v to %v, want all of it on 960 by 600", from, to)
	}
}

func TestPlace(t *testing.T) {
	tile := image.Rect(100, 40, 740, 400) // 640x360
	for _, c := range []struct {
		name     string
		w, h     int
		from, to image.Rectangle
	}{
		{"same", 640, 360, image.Rect(0, 0, 640, 360), tile},
		{"double", 1280, 720, image.Rect(0, 0, 1280, 720), tile},
		{"16:10 is cropped", 640, 400, image.Rect(0, 20, 640, 380), tile},
		{"4:3 is fitted", 640, 480, image.Rect(0, 0, 640, 480), image.Rect(180, 40, 660, 400)},
		{"portrait is fitted", 360, 640, image.Rect(0, 0, 360, 640), image.Rect(318, 40, 520, 400)},
		{"2:1 is cropped", 720, 360, image.Rect(40, 0, 680, 360), tile},
		{"very wide is fitted", 1200, 300, image.Rect(0, 0, 1200, 300), image.Rect(100, 140, 740, 300)},
		{"a line", 4096, 2, image.Rect(0, 0, 4096, 2), image.Rect(100, 218, 740, 220)},
		{"odd", 641, 361, image.Rect(0, 0, 641, 361), tile},
	} {
		from, to := place(c.w, c.h, tile, false)
		if c.name == "odd" { // a pixel may go to either side
			if from.Dx() < 638 || from.Dy() < 358 || !from.In(c.from) || to != tile {
				t.Errorf("%s: got %v to %v, want about %v to %v", c.name, from, to, c.from, c.to)
			}
			continue
		}
		if from != c.from || to != c.to {
			t.Errorf("%s: got %v to %v, want %v to %v", c.name, from, to, c.from, c.to)
		}
	}
	// Whatever strangers send, what place says must suit Scale.
	for w := 2; w <= av.MaxSide; w = w*5/4 + 1 {
		for h := 2; h <= av.MaxSide; h = h*5/4 + 1 {
			from, to := place(w, h, tile, false)
			if from.Empty() || to.Empty() || !from.In(image.Rect(0, 0, w, h)) || !to.In(tile) ||
				from.Min.X%2 != 0 || from.Min.Y%2 != 0 || to.Min.X%2 != 0 || to.Min.Y%2 != 0 {
				t.Fatalf("%dx%d: got %v to %v", w, h, from, to)
			}
		}
	}
}

var (
	red   = rgb(200, 30, 30)
	blue  = rgb(30, 60, 200)
	green = rgb(20, 160, 60)
)

func solid(t *testing.T, w, h int, c colour) *av.Picture {
	t.Helper()
	p, err := av.NewPicture(w, h)
	if err != nil {
		t.Fatal(err)
	}
	fill(p, p.Bounds(), c)
	return p
}

func newCanvas(t *testing.T, w, h int) *Canvas {
	t.Helper()
	c, err := New(w, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func draw(t *testing.T, c *Canvas) *av.Picture {
	t.Helper()
	p, err := c.Draw()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at(p *av.Picture, x, y int) colour {
	i := y/2*p.StrideUV + x/2
	return colour{p.Y[y*p.StrideY+x], p.U[i], p.V[i]}
}

func centre(r image.Rectangle) (x, y int) { return (r.Min.X + r.Max.X) / 2, (r.Min.Y + r.Max.Y) / 2 }

func wantAt(t *testing.T, p *av.Picture, what string, x, y int, want colour) {
	t.Helper()
	got := at(p, x, y)
	for i := range got {
		if d := int(got[i]) - int(want[i]); d < -2 || d > 2 {
			t.Errorf("%s at %d,%d: got %v, want %v", what, x, y, got, want)
			return
		}
	}
}

func TestTilesComeAndGo(t *testing.T) {
	c := newCanvas(t, 1280, 720)
	c.Arrange([]string{"anna"}, 0)
	c.Show("anna", solid(t, 640, 360, red))
	p := draw(t, c)
	wantAt(t, p, "alone", 0, 0, red)
	wantAt(t, p, "alone", 1279, 719, red)

	c.Arrange([]string{"anna", "bert"}, 0)
	c.Show("bert", solid(t, 320, 240, blue)) // 4:3: bars at its sides
	p = draw(t, c)
	two := Layout(2, 1280, 720)
	x, y := centre(two[0])
	wantAt(t, p, "first", x, y, red)
	x, y = centre(two[1])
	wantAt(t, p, "second", x, y, blue)
	wantAt(t, p, "bar of the second", two[1].Max.X-20, y, vacant)
	wantAt(t, p, "gap", two[0].Max.X+2, y, background)
	wantAt(t, p, "above", 640, 10, background)
	wantAt(t, p, "rounded corner", two[0].Min.X, two[0].Min.Y, background)
	wantAt(t, p, "rounded corner", two[1].Max.X-1, two[1].Max.Y-1, background)

	// The first leaves, the second moves up and a third is not there yet.
	c.Arrange([]string{"bert", "carl"}, 0)
	p = draw(t, c)
	x, y = centre(two[0])
	wantAt(t, p, "moved", x, y, blue)
	x, y = centre(two[1])
	wantAt(t, p, "without a picture", x, y, vacant)
	c.Show("anna", solid(t, 640, 360, red)) // late: nobody wants to see it
	c.Show("carl", solid(t, 640, 360, green))
	p = draw(t, c)
	wantAt(t, p, "third", x, y, green)

	// A picture of another shape leaves nothing of the one before.
	c.Show("carl", solid(t, 360, 640, red))
	p = draw(t, c)
	wantAt(t, p, "portrait", x, y, red)
	wantAt(t, p, "beside the portrait", two[1].Min.X+30, y, vacant)

	c.Arrange(nil, 0)
	p = draw(t, c)
	if got := at(p, x, y); got == red {
		t.Errorf("empty: got %v where the last tile was, want the slate", got)
	}
	c.Arrange([]string{"dora"}, 0)
	c.Show("dora", solid(t, 640, 360, green))
	wantAt(t, draw(t, c), "after the slate", 640, 360, green)
}

func TestTooManyTiles(t *testing.T) {
	c := newCanvas(t, 1280, 720)
	var keys []string
	for i := range MaxTiles + 5 {
		keys = append(keys, fmt.Sprint(i))
	}
	c.Arrange(keys, 0)
	for i, key := range keys {
		p := solid(t, 64, 36, colour{byte(60 + 4*i), 128, 128})
		c.Show(key, p)
		if shown := p.Y != nil; shown != (i < MaxTiles) {
			t.Errorf("picture %d: got kept %v, want %v", i, shown, i < MaxTiles)
		}
	}
	p := draw(t, c)
	for i, r := range Layout(MaxTiles, 1280, 720) {
		x, y := centre(r)
		wantAt(t, p, keys[i], x, y, colour{byte(60 + 4*i), 128, 128})
	}
}

// TestOnlyDirtyTilesAreDrawn spoils the canvas where nothing has changed and
// finds it spoilt afterwards.
func TestOnlyDirtyTilesAreDrawn(t *testing.T) {
	c := newCanvas(t, 1280, 720)
	c.Arrange([]string{"anna", "bert"}, 0)
	c.Show("anna", solid(t, 640, 360, red))
	c.Show("bert", solid(t, 640, 360, blue))
	p := draw(t, c)
	two := Layout(2, 1280, 720)
	fill(p, two[0], green)
	fill(p, two[1], green)
	c.Show("bert", solid(t, 640, 360, blue))
	p = draw(t, c)
	x, y := centre(two[0])
	wantAt(t, p, "still tile", x, y, green)
	x, y = centre(two[1])
	wantAt(t, p, "new picture", x, y, blue)
}

func TestPicturesAreReleased(t *testing.T) {
	c, err := New(320, 180)
	if err != nil {
		t.Fatal(err)
	}
	var all []*av.Picture
	show := func(key string) {
		p := solid(t, 64, 36, red)
		all = append(all, p)
		c.Show(key, p)
	}
	held := func() (held []int) {
		for i, p := range all {
			if p.Y != nil {
				held = append(held, i)
			}
		}
		return held
	}
	c.Arrange([]string{"anna", "bert"}, 0)
	show("anna")
	show("anna")
	show("bert")
	if got, want := held(), []int{1, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v held, want %v", got, want)
	}
	c.Arrange([]string{"bert"}, 0)
	if got, want := held(), []int{2}; !slices.Equal(got, want) {
		t.Errorf("after anna left: got %v held, want %v", got, want)
	}
	c.Close()
	if got := held(); len(got) != 0 {
		t.Errorf("after Close: got %v held, want none", got)
	}
}

func TestSlate(t *testing.T) {
	for _, size := range []image.Point{{1280, 720}, {1920, 1080}, {720, 1280}} {
		p := draw(t, newCanvas(t, size.X, size.Y))
		unit := min(size.X, size.Y) / 5
		x, y := size.X/2, size.Y/2-unit/2
		wantAt(t, p, "bell", x, y, rgb(brass[0], brass[1], brass[2]))
		if got := at(p, 2, 2); got[0] > 40 {
			t.Errorf("%v, corner: got luma %d, want dark", size, got[0])
		}
		// The word: bright pixels, all of them in the band below the bell and
		// as many to the left as to the right, give or take the letters.
		var bright [2]int
		for y := range p.Height {
			for x := range p.Width {
				v := p.Y[y*p.StrideY+x]
				if v < 16 || v > 235 {
					t.Fatalf("%v at %d,%d: got luma %d, want 16 to 235", size, x, y, v)
				}
				if v < 210 {
					continue
				}
				if y < size.Y/2 || y > size.Y/2+2*unit {
					t.Fatalf("%v at %d,%d: got luma %d, want the word below the middle", size, x, y, v)
				}
				bright[2*x/p.Width]++
			}
		}
		if area := unit * unit; bright[0] < area/10 || bright[1] < area/20 {
			t.Errorf("%v: got %v bright pixels left and right of the middle, want a word", size, bright)
		}
	}
}

func BenchmarkSlate(b *testing.B) {
	p, err := av.NewPicture(1280, 720)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Release()
	for b.Loop() {
		drawSlate(p)
	}
}

// BenchmarkDraw draws a second of video: every tile new in each of 30 frames.
func BenchmarkDraw(b *testing.B) {
	for _, n := range []int{1, 2, 4, 9, 25} {
		b.Run(fmt.Sprintf("tiles=%d", n), func(b *testing.B) {
			c, err := New(1280, 720)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			var keys []string
			for i := range n {
				keys = append(keys, fmt.Sprint(i))
			}
			c.Arrange(keys, 0)
			for _, key := range keys {
				p, err := av.NewPicture(640, 360)
				if err != nil {
					b.Fatal(err)
				}
				fill(p, p.Bounds(), red)
				c.Show(key, p)
			}
			if _, err := c.Draw(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for range 30 {
					for _, t := range c.tiles {
						t.dirty = true
					}
					if _, err := c.Draw(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
