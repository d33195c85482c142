package allot

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var start = time.Unix(1_700_000_000, 0)

// simulcast are three encodings; svc is one stream with three sizes at three
// frame rates.
var (
	simulcast = []Option{
		{Bitrate: 150_000, Width: 320, Height: 180, FrameRate: 15},
		{Bitrate: 500_000, Width: 640, Height: 360, FrameRate: 30},
		{Bitrate: 1_200_000, Width: 1280, Height: 720, FrameRate: 30},
	}
	svc = []Option{
		{60_000, 320, 180, 7.5},
		{90_000, 320, 180, 15},
		{120_000, 320, 180, 30},
		{200_000, 640, 360, 7.5},
		{300_000, 640, 360, 15},
		{400_000, 640, 360, 30},
		{500_000, 1280, 720, 7.5},
		{800_000, 1280, 720, 15},
		{1_100_000, 1280, 720, 30},
	}
	single = []Option{{Bitrate: 900_000, Width: 1280, Height: 720, FrameRate: 30}}
)

func tile(id uint32, class Class, options []Option) Tile {
	return Tile{ID: id, Class: class, Options: options}
}

// first is how a budget is divided among tiles that are all new.
func first(budget int, tiles ...Tile) []int {
	var p Plan
	choices, _ := p.Divide(budget, tiles, start)
	return choices
}

func TestDivide(t *testing.T) {
	target := func(t Tile, kbps int) Tile { t.Limit = kbps * 1000; return t }
	priority := func(t Tile, p uint32) Tile { t.Priority = p; return t }
	prefer := func(t Tile, p Preference) Tile { t.Preference = p; return t }
	for _, c := range []struct {
		name   string
		budget int
		tiles  []Tile
		want   []int
	}{
		{"nobody", 1e6, nil, []int{}},
		{"all there is", 5e6, []Tile{tile(1, Other, simulcast), tile(2, Other, single)}, []int{2, 0}},
		{"everybody something first", 1_000_000, []Tile{tile(1, Content, simulcast), tile(2, Other, simulcast), tile(3, Other, simulcast)}, []int{1, 0, 0}},
		{"content before speaker before others", 2_000_000, []Tile{tile(1, Other, simulcast), tile(2, Speaker, simulcast), tile(3, Content, simulcast)}, []int{0, 1, 2}},
		{"others are paused first", 320_000, []Tile{tile(1, Other, simulcast), tile(2, Speaker, simulcast), tile(3, Content, simulcast)}, []int{Paused, 0, 0}},
		{"no room at all", 100_000, []Tile{tile(1, Content, simulcast)}, []int{Paused}},
		{"a stream without layers", 800_000, []Tile{tile(1, Other, single)}, []int{Paused}},
		{"what is enough", 5e6, []Tile{target(tile(1, Other, simulcast), 600)}, []int{1}},
		{"a little more than enough", 5e6, []Tile{target(tile(1, Other, simulcast), 450)}, []int{1}},
		{"less than the lowest is enough", 5e6, []Tile{target(tile(1, Other, single), 300)}, []int{0}},
		{"priority before class", 1_300_000, []Tile{tile(1, Content, simulcast), priority(tile(2, Other, simulcast), 9)}, []int{Paused, 2}},
		{"priority, and the rest to the next", 1_400_000, []Tile{tile(1, Content, simulcast), priority(tile(2, Other, simulcast), 9)}, []int{0, 2}},
		{"balanced layers", 350_000, []Tile{tile(1, Other, svc)}, []int{4}},
		{"frame rate kept", 350_000, []Tile{prefer(tile(1, Other, svc), FrameRate)}, []int{2}},
		{"frame rate given up at last", 100_000, []Tile{prefer(tile(1, Other, svc), FrameRate)}, []int{1}},
		{"resolution kept", 700_000, []Tile{prefer(tile(1, Other, svc), Resolution)}, []int{6}},
		{"resolution given up at last", 450_000, []Tile{prefer(tile(1, Other, svc), Resolution)}, []int{5}},
		{"nothing measured yet", 1e6, []Tile{tile(1, Other, nil), tile(2, Other, []Option{{}})}, []int{Paused, Paused}},
		{"dearer but no better", 5e6, []Tile{tile(1, Other, []Option{{300_000, 640, 360, 30}, {500_000, 640, 360, 30}})}, []int{0}},
	} {
		if got := first(c.budget, c.tiles...); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// As long as nothing is known every tile is shown at its lowest.
func TestTrust(t *testing.T) {
	p := Plan{Trusting: true}
	tiles := []Tile{tile(1, Other, single), tile(2, Other, simulcast), tile(3, Other, nil)}
	if got, _ := p.Divide(200_000, tiles, start); !slices.Equal(got, []int{0, 0, Paused}) {
		t.Errorf("trusting: got %v, want all at their lowest", got)
	}
	p.Trusting = false
	if got, _ := p.Divide(200_000, tiles, start.Add(time.Second)); !slices.Equal(got, []int{Paused, 0, Paused}) {
		t.Errorf("not any more: got %v, want what fits", got)
	}
	p.Trusting = true
	var many []Tile
	for i := range 25 {
		many = append(many, tile(uint32(i+10), Other, single))
	}
	choices, _ := p.Divide(200_000, many, start)
	sum := 0
	for _, c := range choices {
		if c != Paused {
			sum += single[0].Bitrate
		}
	}
	if sum > ceiling || sum < ceiling-1_000_000 {
		t.Errorf("many: got %d bit/s, want nearly %d", sum, ceiling)
	}
}

// A raise waits for room that stays, a fall does not wait.
func TestHysteresis(t *testing.T) {
	var p Plan
	now := start
	tiles := []Tile{tile(1, Other, simulcast)}
	at := func(budget int) int {
		now = now.Add(200 * time.Millisecond)
		choices, _ := p.Divide(budget, tiles, now)
		return choices[0]
	}
	runs := func(what string, budget, want int, least, most time.Duration) {
		t.Helper()
		begun := now
		for at(budget) != want {
			if now.Sub(begun) > most {
				t.Fatalf("%s: got no option %d within %v", what, want, most)
			}
		}
		if took := now.Sub(begun); took < least {
			t.Errorf("%s: got option %d after %v, want it after %v", what, want, took, least)
		}
	}
	runs("begin", 600_000, 1, 0, 200*time.Millisecond)
	runs("raise", 1_500_000, 2, time.Second, 1500*time.Millisecond)
	for range 30 {
		if got := at(1_180_000); got != 2 {
			t.Fatalf("nearly enough: got option %d, want still 2", got)
		}
	}
	for range 30 {
		at(1_200_000)
	}
	runs("fall", 1_000_000, 1, 0, 200*time.Millisecond)
	for range 30 {
		if got := at(1_250_000); got != 1 {
			t.Fatalf("just enough: got option %d, want still 1", got)
		}
	}
	runs("raise again", 1_500_000, 2, time.Second, 1500*time.Millisecond)
	// Flapping makes it wait longer every time.
	var waits []time.Duration
	for range 5 {
		runs("fall", 1_000_000, 1, 0, 200*time.Millisecond)
		begun := now
		runs("raise", 1_500_000, 2, time.Second, 40*time.Second)
		waits = append(waits, now.Sub(begun))
	}
	if !slices.IsSorted(waits) || waits[4] < 15*time.Second {
		t.Errorf("waits when flapping: got %v, want them to grow", waits)
	}
	runs("pause", 100_000, Paused, 0, 200*time.Millisecond)
	runs("resume", 200_000, 0, time.Second, 40*time.Second)
}

// With noise on budget and bitrates a tile changes seldom.
func TestNoiseDoesNotFlap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var p Plan
	now := start
	changes, last := 0, Paused
	for range 5 * 60 * 5 { // five minutes
		options := slices.Clone(simulcast)
		for i := range options {
			options[i].Bitrate = int(float64(options[i].Bitrate) * (0.9 + 0.2*random.Float64()))
		}
		budget := int(550_000 * (0.8 + 0.4*random.Float64()))
		choices, _ := p.Divide(budget, []Tile{tile(1, Other, options)}, now)
		if choices[0] != last {
			changes++
			last = choices[0]
		}
		now = now.Add(200 * time.Millisecond)
	}
	if changes > 40 {
		t.Errorf("got %d changes in five minutes, want at most 40", changes)
	}
}

// Whatever comes, the budget is kept and more important tiles are not worse
// off than less important ones with the same layers.
func TestDivideKeepsTheBudget(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var tiles []Tile
		for i := range 1 + random.IntN(25) {
			x := tile(uint32(i), Class(random.IntN(3)), simulcast)
			x.Priority = uint32(random.IntN(2))
			tiles = append(tiles, x)
		}
		budget := random.IntN(6_000_000)
		sum := 0
		choices := first(budget, tiles...)
		for i, c := range choices {
			if c != Paused {
				sum += simulcast[c].Bitrate
			}
			for j, d := range choices {
				x, y := &tiles[i], &tiles[j]
				if x.Priority == y.Priority && x.Class < y.Class && c < d {
					t.Errorf("class %d: got option %d, while class %d has %d", x.Class, c, y.Class, d)
				}
			}
		}
		if sum > budget {
			t.Errorf("got %d bit/s, want at most %d", sum, budget)
		}
	}
}

// What is wanted is enough for everything to be shown at its best.
func TestWanted(t *testing.T) {
	var p Plan
	tiles := []Tile{tile(1, Other, simulcast), tile(2, Content, svc), tile(3, Other, single)}
	_, wanted := p.Divide(0, tiles, start)
	now := start
	for range 30 {
		now = now.Add(200 * time.Millisecond)
		choices, _ := p.Divide(wanted, tiles, now)
		if slices.Equal(choices, []int{2, 8, 0}) {
			return
		}
	}
	t.Errorf("with %d bit/s: got less than all", wanted)
}
