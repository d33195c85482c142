package sfu

import "belfry.live/belfry/internal/wire/av1"

// everything is the decode target of one who gets all frames.
const everything = -1

// A cut is which layers of a stream are forwarded. Where there are dependency
// descriptors, a decode target says it, else the layers.
type cut struct {
	limit
	target int8   // decode target, or everything
	within uint32 // the decode targets that are forwarded whole, one bit each
}

// whole forwards all there is.
var whole = cut{noLimit, everything, ^uint32(0)}

// keeps says whether a packet is part of what is forwarded.
func (c cut) keeps(v *payloadInfo) bool {
	if v.structure != nil {
		return c.target == everything || v.present>>c.target&1 != 0
	}
	return v.spatial <= c.spatial && v.temporal <= c.temporal
}

// ends says whether a packet is the last that is forwarded of its picture,
// though the picture has more.
func (c cut) ends(v *payloadInfo) bool {
	if v.structure != nil {
		return c.target != everything && v.frameEnd && v.spatial == v.structure.TargetSpatial[c.target]
	}
	return v.frameEnd && v.spatial == c.spatial
}

// limits returns the layers that are forwarded.
func (c cut) limits(s *av1.Structure) limit {
	if s == nil || c.target == everything {
		return c.limit
	}
	return limit{s.TargetSpatial[c.target], s.TargetTemporal[c.target]}
}

// at returns the cut that a limit comes to when a decoder starts with v.
func (l limit) at(v *payloadInfo) cut {
	if v.structure != nil && l != noLimit {
		return l.to(v, v.structure.Target(l.spatial, l.temporal, v.active))
	}
	return cut{l, everything, ^uint32(0)}
}

// to returns the cut that forwards a decode target.
func (l limit) to(v *payloadInfo, target int) cut {
	return cut{l, int8(target), v.structure.Within(target)}
}

// towards returns the cut that is as near to the limit as it may be from v on,
// the first packet of a frame in a stream of which c was forwarded. newPicture
// says that no other packet of its picture was there before.
func (c cut) towards(l limit, v *payloadInfo, newPicture bool) cut {
	if newPicture && v.keyStart {
		return l.at(v)
	}
	if v.structure != nil {
		return c.towardsTarget(l, v, newPicture)
	}
	if newPicture {
		// All that is left of the layers was forwarded.
		c.spatial, c.temporal = min(c.spatial, l.spatial), min(c.temporal, l.temporal)
		// No frame of a higher layer was there to be missed.
		if c.spatial >= v.topSpatial {
			c.spatial = l.spatial
		}
		if c.temporal >= v.topTemporal {
			c.temporal = l.temporal
		}
		if c.temporal < l.temporal && v.temporal == c.temporal+1 && v.references <= c.temporal {
			c.temporal++
		}
	}
	if c.spatial < l.spatial && v.spatial == c.spatial+1 && !v.inter && v.temporal <= c.temporal {
		c.spatial++
	}
	return c
}

func (c cut) towardsTarget(l limit, v *payloadInfo, newPicture bool) cut {
	want := v.structure.Target(l.spatial, l.temporal, v.active)
	bit := uint32(1) << want
	switch {
	case c.target == everything:
		if l != noLimit && newPicture {
			return l.to(v, want)
		}
	case int(c.target) == want:
		c.limit = l
	case newPicture && c.within&bit != 0,
		v.switches&bit != 0 && v.complete>>c.target&1 != 0:
		return l.to(v, want)
	}
	return c
}
