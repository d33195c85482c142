package sfu

// AllLayers as Spatial or Temporal of a Target sets no limit.
const AllLayers = 7

// A Target is what a subscriber is to forward: a publisher, and the highest
// of the scalability layers inside its stream. The zero Target is nothing.
type Target struct {
	Publisher         *Publisher
	Spatial, Temporal int
}

// Whole is a target of all that p sends.
func Whole(p *Publisher) Target {
	if p == nil {
		return Target{}
	}
	return Target{Publisher: p, Spatial: AllLayers, Temporal: AllLayers}
}

// limit returns the layers of the target.
func (t Target) limit() limit {
	return limit{
		spatial:  uint8(min(max(t.Spatial, 0), AllLayers)),
		temporal: uint8(min(max(t.Temporal, 0), AllLayers)),
	}
}

// A limit is the highest layers that are wanted.
type limit struct{ spatial, temporal uint8 }

var noLimit = limit{AllLayers, AllLayers}
