package sfu

import (
	"sync"
	"time"
)

// A Source stands for one picture that is published, in one encoding or in
// several: publishers that share a Source are layers of each other.
type Source struct {
	keys sync.Mutex // guards what follows; nothing is taken inside
	// asked is when one of them was last asked for a key frame.
	asked time.Time
}

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
