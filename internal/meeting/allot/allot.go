// Package allot divides what a client can receive among the tiles it watches:
// which qualities each can be shown in, who matters more, and a budget come in;
// one quality per tile, or none, comes out, without flapping. What the qualities
// are made of, and sending them, is left to others.
package allot

import (
	"cmp"
	"slices"
	"time"
)

// A Class orders tiles of the same priority: what must give gives in reverse.
// Sound comes before all of them and is not divided here.
type Class uint8

// The classes.
const (
	Content Class = iota
	Speaker       // the active one
	Other
)

// A Preference says what to give up first.
type Preference uint8

// The preferences.
const (
	Balanced  Preference = iota
	FrameRate            // keep it, give up resolution
	Resolution
)

// An Option is one quality of a tile.
type Option struct {
	Bitrate       int // bit/s, of all that has to be sent for it
	Width, Height int // 0: not known
	FrameRate     float64
}

// A Tile is what a client watches.
type Tile struct {
	ID         uint32 // unique among the tiles of one client, the same every time
	Class      Class
	Priority   uint32 // larger is more important, before the class
	Limit      int    // bit/s that are enough, 0: no limit
	Preference Preference
	Options    []Option // in any order
}

// Paused is the choice of a tile that is not shown.
const Paused = -1

const (
	// raiseMargin is what must fit for more to be sent than before.
	raiseMargin = 1.15
	// keepMargin lets what is sent already go on when it fits but for a little.
	keepMargin = 0.95

	// limitSlack lets a quality be chosen that is a little above the limit:
	// encoders do not hit their targets.
	limitSlack = 1.2

	raiseAfter   = time.Second      // more must have fitted for so long
	flapAfter    = 10 * time.Second // a fall so soon after a raise makes the next raise wait
	firstPenalty = 2 * time.Second
	mostPenalty  = 30 * time.Second

	// ceiling is how much is sent on trust.
	ceiling = 15_000_000 // bit/s

	sameRate = 0.9 // of the frame rate, or the height: counts as the same
)

// A Plan divides one client's budget, time after time.
type Plan struct {
	// Trusting shows every tile at its lowest whatever the budget says, for as
	// long as it may only be low because nothing else was tried.
	Trusting bool

	states map[uint32]*state
	work   []job
}

// A state is what is remembered of a tile.
type state struct {
	rung      int // on the ladder of the last time, Paused: none
	bitrate   int // of the rung
	roomSince time.Time
	raisedAt  time.Time
	notBefore time.Time // raising
	penalty   time.Duration
	seen      bool
}

// A job is a tile being given its share.
type job struct {
	tile   int
	ladder []int // options, from least to most
	before int   // rung that is sent now, Paused: none
	rung   int
	state  *state
	fresh  bool
}

// Divide returns for each tile the index of the option to show it in, or
// Paused. Wanted is what would be enough for all to be shown as well as they
// can, in bit/s.
func (p *Plan) Divide(budget int, tiles []Tile, now time.Time) (choices []int, wanted int) {
	if p.states == nil {
		p.states = make(map[uint32]*state)
	}
	jobs := p.jobs(tiles)
	for i := range jobs {
		j := &jobs[i]
		if n := len(j.ladder); n > 0 {
			wanted += int(float64(tiles[j.tile].Options[j.ladder[n-1]].Bitrate) * raiseMargin)
		}
	}
	share(jobs, tiles, float64(budget))
	if p.Trusting {
		trust(jobs, tiles)
	}
	choices = make([]int, len(tiles))
	for i := range jobs {
		j := &jobs[i]
		rung := j.state.settle(j, now)
		choices[j.tile] = Paused
		if rung != Paused {
			choices[j.tile] = j.ladder[rung]
			j.state.bitrate = tiles[j.tile].Options[j.ladder[rung]].Bitrate
		}
	}
	for id, s := range p.states {
		if !s.seen {
			delete(p.states, id)
		}
		s.seen = false
	}
	return choices, wanted
}

// jobs makes the tiles' jobs, the most important first.
func (p *Plan) jobs(tiles []Tile) []job {
	p.work = p.work[:0]
	for i := range tiles {
		t := &tiles[i]
		s, known := p.states[t.ID]
		if !known {
			s = &state{rung: Paused}
			p.states[t.ID] = s
		}
		s.seen = true
		j := job{tile: i, ladder: ladder(t), before: Paused, rung: Paused, state: s, fresh: !known}
		if s.rung != Paused {
			j.before = nearest(t, j.ladder, s.bitrate)
		}
		p.work = append(p.work, j)
	}
	slices.SortStableFunc(p.work, func(a, b job) int {
		x, y := &tiles[a.tile], &tiles[b.tile]
		return cmp.Or(cmp.Compare(y.Priority, x.Priority), cmp.Compare(x.Class, y.Class), cmp.Compare(x.ID, y.ID))
	})
	return p.work
}

// nearest returns the rung whose bitrate is closest to one, since layers come
// and go and with them the numbers of rungs. It is Paused if there are none.
func nearest(t *Tile, ladder []int, bitrate int) int {
	best, off := Paused, 0
	for rung, o := range ladder {
		d := t.Options[o].Bitrate - bitrate
		if d = max(d, -d); best == Paused || d < off {
			best, off = rung, d
		}
	}
	return best
}

// share gives out the budget. Those of a priority get something before any of
// them gets more, and all they want before the next priority gets anything.
func share(jobs []job, tiles []Tile, budget float64) {
	for len(jobs) > 0 {
		n := 1
		for n < len(jobs) && tiles[jobs[n].tile].Priority == tiles[jobs[0].tile].Priority {
			n++
		}
		budget = raise(jobs[:n], tiles, budget, 1)
		for first := 0; first < n; {
			class := tiles[jobs[first].tile].Class
			last := first + 1
			for last < n && tiles[jobs[last].tile].Class == class {
				last++
			}
			for before := -1.0; before != budget; {
				before = budget
				budget = raise(jobs[first:last], tiles, budget, 1<<30)
			}
			first = last
		}
		jobs = jobs[n:]
	}
}

// trust shows the tiles that got nothing at their lowest.
func trust(jobs []job, tiles []Tile) {
	total := 0
	for i := range jobs {
		j := &jobs[i]
		if len(j.ladder) == 0 {
			continue
		}
		if j.rung == Paused {
			j.rung = 0
			j.fresh = j.before == Paused // no reason to wait
		}
		total += tiles[j.tile].Options[j.ladder[j.rung]].Bitrate
		if total > ceiling {
			j.rung = Paused
			return
		}
	}
}

// raise gives each job one more rung, if it is below the limit of rungs and
// the budget has room, and returns what is left.
func raise(jobs []job, tiles []Tile, budget float64, most int) float64 {
	for i := range jobs {
		j := &jobs[i]
		next := j.rung + 1
		if next >= len(j.ladder) || next >= most {
			continue
		}
		t := &tiles[j.tile]
		step := j.cost(t, next) - j.cost(t, j.rung)
		if step <= budget {
			budget -= step
			j.rung = next
		}
	}
	return budget
}

// cost returns what a rung takes from the budget: more than it is sent for if
// that is more than before.
func (j *job) cost(t *Tile, rung int) float64 {
	if rung == Paused {
		return 0
	}
	bitrate := float64(t.Options[j.ladder[rung]].Bitrate)
	if rung > j.before && !j.fresh {
		return bitrate * raiseMargin
	}
	if rung <= j.before {
		return bitrate * keepMargin
	}
	return bitrate
}

// settle returns the rung that is really taken: a fall at once, a raise when
// there has been room for a while.
func (s *state) settle(j *job, now time.Time) int {
	from, to := j.before, j.rung
	switch {
	case len(j.ladder) == 0:
		to = Paused
		s.roomSince = time.Time{}
	case j.fresh: // nothing to wait for
		s.raisedAt = now
	case to < from:
		if now.Sub(s.raisedAt) < flapAfter {
			s.penalty = min(max(2*s.penalty, firstPenalty), mostPenalty)
		} else {
			s.penalty = firstPenalty
		}
		s.notBefore = now.Add(s.penalty)
		s.roomSince = time.Time{}
	case to == from:
		s.roomSince = time.Time{}
	case s.roomSince.IsZero():
		s.roomSince = now
		to = from
	case now.Sub(s.roomSince) < raiseAfter || now.Before(s.notBefore):
		to = from
	default:
		s.roomSince, s.raisedAt = time.Time{}, now
	}
	s.rung = to
	return to
}
