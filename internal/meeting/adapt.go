package meeting

import (
	"time"

	"belfry.live/belfry/internal/meeting/allot"
	"belfry.live/belfry/internal/meeting/sfu"
	"belfry.live/belfry/internal/wire/chime"
)

const (
	// divideEvery is how often a client's bandwidth is divided anew when
	// nothing has happened; when it has changed, that is done at once.
	divideEvery = time.Second

	// budgetChange is by what part the bandwidth must have changed for that.
	budgetChange = 0.05

	// starvedFor is how long nothing of a source must fit for the client to be
	// told: it shows the tile as paused then.
	starvedFor = time.Second

	// speakerFor is how long somebody stays the active speaker for tiles while
	// others are louder.
	speakerFor = 1500 * time.Millisecond
)

// adapt sends everybody what its connection can take. It is called five times
// a second.
func (r *room) adapt(now time.Time) {
	for _, s := range r.seats {
		if s.camera != nil {
			for _, st := range s.camera.streams {
				st.measure(now)
			}
		}
	}
	r.followSpeaker(now)
	r.limitUplinks(now)
	for _, s := range r.seats {
		w := &s.watching
		if len(w.views) == 0 {
			continue
		}
		budget := s.budget(now)
		change := float64(budget-w.budget) / float64(max(w.budget, 1))
		if !now.Before(w.dueAt) || change > budgetChange || change < -budgetChange || w.raising {
			r.divide(s, now)
		}
	}
}

// followSpeaker finds whose tile matters most: the loudest, but nobody is
// replaced at once.
func (r *room) followSpeaker(now time.Time) {
	loudest, level := AttendeeID(""), silence+1
	for _, l := range r.levels {
		if l.DBFS < level {
			loudest, level = AttendeeID(l.ID), l.DBFS
		}
		if AttendeeID(l.ID) == r.speaker {
			r.speakerAt = now
		}
	}
	if loudest != "" && loudest != r.speaker && now.Sub(r.speakerAt) > speakerFor {
		r.speaker, r.speakerAt = loudest, now
	}
}

// budget returns how many bit/s of video s can take.
func (s *seat) budget(now time.Time) int {
	peer := s.peer.Load()
	if peer == nil {
		return 0
	}
	return peer.Bandwidth(now)
}

// divide divides what s can receive among what it watches.
func (r *room) divide(s *seat, now time.Time) {
	w, peer := &s.watching, s.peer.Load()
	if peer == nil || s.out {
		return
	}
	w.budget = peer.Bandwidth(now)
	w.dueAt = now.Add(divideEvery)
	var tiles []allot.Tile
	var targets [][]sfu.Target
	var asked []*view
	for _, v := range w.views {
		t, of, ok := r.tile(s, v, now)
		if !ok {
			r.show(s, v, sfu.Target{})
			v.starved = time.Time{}
			continue
		}
		tiles, targets, asked = append(tiles, t), append(targets, of), append(asked, v)
	}
	w.plan.Trusting = !peer.Congested()
	choices, wanted := w.plan.Divide(w.budget, tiles, now)
	for _, v := range w.views {
		if v.camera.limit.bps > 0 {
			wanted = max(wanted, noLimit) // it sends little because it was asked to
		}
	}
	peer.SetWanted(wanted)
	w.raising = false
	for i, v := range asked {
		var t sfu.Target
		best := 0
		for j := range tiles[i].Options {
			if tiles[i].Options[j].Bitrate > tiles[i].Options[best].Bitrate {
				best = j
			}
		}
		switch c := choices[i]; {
		case c != allot.Paused:
			t, v.starved = targets[i][c], time.Time{}
			w.raising = w.raising || c != best
		case v.starved.IsZero():
			v.starved = now
			w.raising = true
		default:
			w.raising = true
		}
		r.show(s, v, t)
	}
	r.tellPaused(s, now)
}

// tile returns what a view could be shown in; false if nothing is to be shown.
func (r *room) tile(s *seat, v *view, now time.Time) (allot.Tile, []sfu.Target, bool) {
	x, configured := s.watching.wishes[v.mid]
	if !v.begins.IsZero() || v.stopped || x.nothing || v.owner.out || v.owner.camera != v.camera || !s.maySee(v.owner) {
		return allot.Tile{}, nil, false
	}
	t := allot.Tile{ID: v.serial, Class: allot.Other, Priority: x.priority, Limit: x.limit, Preference: x.preference}
	switch {
	case v.owner.share:
		t.Class = allot.Content
	case v.owner.attendee.ID == r.speaker:
		t.Class = allot.Speaker
	}
	var targets []sfu.Target
	for _, st := range v.camera.live(now) {
		chosen := !configured || x.stream != 0 // by the client, which wants no better one
		if chosen && len(t.Options) > 0 && v.camera.index(st.id) > v.most {
			continue
		}
		t.Options = append(t.Options, st.options...)
		targets = append(targets, st.targets...)
	}
	v.camera.limit.expect(t.Options, now)
	return t, targets, len(t.Options) > 0
}

// show changes what is sent on a view's section.
func (r *room) show(s *seat, v *view, t sfu.Target) {
	if v.target != t {
		v.target = t
		s.peer.Load().SetTarget(v.mid, t)
	}
}

// tellPaused tells s which sources it gets nothing of any more for want of
// bandwidth, and which it gets again.
func (r *room) tellPaused(s *seat, now time.Time) {
	var paused, resumed []uint32
	for _, v := range s.watching.views {
		starved := !v.starved.IsZero()
		switch {
		case starved && !v.told && !s.watching.plan.Trusting && now.Sub(v.starved) >= starvedFor:
			paused = append(paused, v.camera.group)
		case !starved && v.told:
			resumed = append(resumed, v.camera.group)
		default:
			continue
		}
		v.told = starved
	}
	if len(paused) > 0 {
		s.send(pauseFrame(chime.Frame_PAUSE, paused))
	}
	if len(resumed) > 0 {
		s.send(pauseFrame(chime.Frame_RESUME, resumed))
	}
}

func pauseFrame(kind chime.Frame_Type, groups []uint32) *chime.Frame {
	f := chime.New(kind, time.Now())
	f.Pause = &chime.PauseResumeFrame{GroupIds: groups}
	return f
}
