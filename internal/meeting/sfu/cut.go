package sfu

import "belfry.live/belfry/internal/wire/av1"

const (
	// everything is the decode target of one who gets all frames.
	everything = -1

	// settleTime is after how many pictures or frames a layer that was begun
	// counts as one that always was there. Encoders keep eight for reference.
	settleTime = 128
)

// A cut is which layers of a stream are forwarded. Where there are dependency
// descriptors, a decode target says it, else the layers.
type cut struct {
	limit
	target int8   // decode target, or everything
	within uint32 // the decode targets that are forwarded whole, one bit each

	// Layers that were begun in the middle of the stream are there from the
	// number begun on: until settled, a frame may refer to what was there
	// before, in layers up to settledTemporal and the decode targets
	// settledTargets, or to what came since. One that refers to something else
	// ends the layers again, back to settledTemporal or settledTarget: busy
	// encoders leave layers of a picture out and refer to older ones.
	begun           uint16
	settled         bool
	settledTemporal uint8
	settledTarget   int8
	settledTargets  uint32
}

// whole forwards all there is.
var whole = noLimit.cut(everything, ^uint32(0))

// cut returns what is forwarded from a key frame on.
func (l limit) cut(target int, within uint32) cut {
	return cut{limit: l, target: int8(target), within: within, settled: true}
}

// at returns the cut that a limit comes to when a decoder starts with v.
func (l limit) at(v *payloadInfo) cut {
	if v.structure == nil || l == noLimit {
		return l.cut(everything, ^uint32(0))
	}
	target := v.structure.Target(l.spatial, l.temporal, v.active)
	return l.cut(target, v.structure.Within(target))
}

// keeps says whether a packet is part of what is forwarded.
func (c *cut) keeps(v *payloadInfo) bool {
	if v.structure != nil {
		return c.target == everything || v.present>>c.target&1 != 0
	}
	return v.spatial <= c.spatial && v.temporal <= c.temporal
}

// ends says whether a packet is the last that is forwarded of its picture,
// though the picture has more.
func (c *cut) ends(v *payloadInfo) bool {
	if v.structure != nil {
		return c.target != everything && v.frameEnd && v.spatial == v.structure.TargetSpatial[c.target]
	}
	return v.frameEnd && v.spatial == c.spatial
}

// limits returns the layers that are forwarded.
func (c *cut) limits(s *av1.Structure) limit {
	if s == nil || c.target == everything {
		return c.limit
	}
	return limit{s.TargetSpatial[c.target], s.TargetTemporal[c.target]}
}

// includes says whether less can be had at once.
func (c *cut) includes(s *av1.Structure, less limit) bool {
	return s == nil || c.target == everything || c.within>>s.Target(less.spatial, less.temporal, ^uint32(0))&1 != 0
}

// towards returns the cut that is as near to the limit as it may be from v on,
// the first packet of a frame in a stream of which c was forwarded. newPicture
// says that no other packet of its picture was there before.
func (c cut) towards(l limit, v *payloadInfo, newPicture bool) cut {
	if newPicture && v.intra {
		return l.at(v)
	}
	if !c.settled && v.number()-c.begun >= settleTime {
		c.settled = true
	}
	if v.structure != nil {
		return c.towardsTarget(l, v, newPicture)
	}
	if newPicture {
		c.towardsLayers(l, v)
	}
	return c
}

func (c *cut) towardsLayers(l limit, v *payloadInfo) {
	// All that is left of the layers was forwarded. A higher spatial layer
	// begins at a key frame only: it has the mark of the picture's end.
	c.spatial, c.temporal = min(c.spatial, l.spatial), min(c.temporal, l.temporal)
	if !c.settled && v.temporal > c.settledTemporal && v.temporal <= c.temporal && !c.knows(v) {
		c.temporal = v.temporal - 1
	}
	if c.temporal < l.temporal && v.temporal == c.temporal+1 && v.highest <= c.temporal && (c.settled || c.knows(v)) {
		if c.settled {
			c.settledTemporal = c.temporal
		}
		c.temporal++
		c.begun, c.settled = v.number(), false
	}
}

// knows says whether all that a frame refers to was forwarded, while not all
// layers are settled.
func (c *cut) knows(v *payloadInfo) bool {
	for _, r := range v.references[:v.referred] {
		old := r.temporal <= c.settledTemporal
		if v.structure != nil {
			old = r.present&c.settledTargets != 0
		}
		since := (v.structure == nil || c.target == everything || r.present>>c.target&1 != 0) && r.back <= v.number()-c.begun
		if !old && !since {
			return false
		}
	}
	return !v.more
}

func (c cut) towardsTarget(l limit, v *payloadInfo, newPicture bool) cut {
	s := v.structure
	want := s.Target(l.spatial, l.temporal, v.active)
	if c.target == everything {
		if l != noLimit && newPicture {
			return l.cut(want, s.Within(want))
		}
		return c
	}
	if !c.settled && c.keeps(v) && !c.has(v) && c.settledTargets>>c.settledTarget&1 != 0 {
		c.turnTo(l, v, int(c.settledTarget))
		c.settled = true
	}
	if int(c.target) == want {
		c.limit = l
		return c
	}
	if !newPicture {
		return c
	}
	// What is part of the target at hand can be had at once.
	have := c.limits(s)
	temporal := min(have.temporal, l.temporal)
	for _, spatial := range [2]uint8{min(have.spatial, l.spatial), have.spatial} {
		if less := s.Target(spatial, temporal, v.active); c.within>>less&1 != 0 {
			c.turnTo(l, v, less)
			break
		}
	}
	// The encoder says that who can decode this frame can decode all that
	// follows of the target.
	if int(c.target) != want && v.switches>>want&1 != 0 && c.has(v) {
		if c.settled {
			c.settledTarget, c.settledTargets = c.target, c.within
		}
		c.turnTo(l, v, want)
		c.begun, c.settled = v.frame, false
	}
	return c
}

func (c *cut) turnTo(l limit, v *payloadInfo, target int) {
	c.limit, c.target, c.within = l, int8(target), v.structure.Within(target)
	c.settledTargets &= c.within
}

// has says whether all that a frame refers to was forwarded.
func (c *cut) has(v *payloadInfo) bool {
	if c.settled {
		return v.complete>>c.target&1 != 0
	}
	return c.knows(v)
}
