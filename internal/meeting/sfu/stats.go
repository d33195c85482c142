package sfu

import "time"

// activeFor is how long a publisher counts as active after a packet.
const activeFor = time.Second

// Stats are measured over about the last second.
type Stats struct {
	Bitrate       int     // bit/s of RTP payload
	FrameRate     float64 // frames/s
	Width, Height int     // of the largest layer, 0: not known yet
	KeyFrames     uint64  // since the beginning
	Packets       uint64  // since the beginning, each counted once
	Duplicates    uint64  // packets that came twice
	Late          uint64  // packets too old for the cache
	TooLong       uint64  // packets longer than MaxPayload

	Active bool         // packets came within the last second
	Layers []LayerStats // what can be chosen by Target, from least to most; not to be changed
}

// LayerStats say what choosing a layer gives.
type LayerStats struct {
	Spatial, Temporal int
	Bitrate           int // bit/s, with the layers it needs
	Width, Height     int // 0: not known yet
	FrameRate         float64
}

// A meter counts over windows of about a second.
type meter struct {
	since  time.Time
	last   time.Time // of the packets
	counts [maxSpatial][maxTemporal]count
}

type count struct{ bytes, frames int }

// add counts a packet. frame says that a picture begins with it.
func (m *meter) add(v *payloadInfo, bytes int, frame bool, at time.Time) {
	m.last = at
	c := &m.counts[v.spatial][v.temporal]
	c.bytes += bytes
	if frame {
		c.frames++
	}
}

// roll ends the window when it is long enough and writes what it saw to s.
func (m *meter) roll(now time.Time, in *inspector, s *Stats) {
	if now.Sub(m.last) >= activeFor {
		s.Active = false
	}
	if m.since.IsZero() {
		m.since = now
		return
	}
	took := now.Sub(m.since)
	if took < time.Second {
		return
	}
	s.Bitrate, s.FrameRate = 0, 0
	s.Layers = m.layers(took, in)
	if n := len(s.Layers); n > 0 {
		s.Bitrate, s.FrameRate = s.Layers[n-1].Bitrate, s.Layers[n-1].FrameRate
	}
	*m = meter{since: now, last: m.last}
}

// layers lists the layers that sent something. One that is chosen brings the
// lower ones with it. Pictures begin in the lowest spatial layer.
func (m *meter) layers(took time.Duration, in *inspector) []LayerStats {
	var list []LayerStats
	var below [maxTemporal]count // of all lower spatial layers
	for s := range maxSpatial {
		used := false
		for t := range maxTemporal {
			used = used || m.counts[s][t].bytes > 0
			below[t].bytes += m.counts[s][t].bytes
			below[t].frames += m.counts[s][t].frames
		}
		if !used {
			continue
		}
		var sum count
		for t := range maxTemporal {
			sum.bytes += below[t].bytes
			sum.frames += below[t].frames
			if m.counts[s][t].bytes == 0 {
				continue
			}
			list = append(list, LayerStats{
				Spatial:   s,
				Temporal:  t,
				Bitrate:   int(float64(sum.bytes*8) / took.Seconds()),
				Width:     in.width[s],
				Height:    in.height[s],
				FrameRate: float64(sum.frames) / took.Seconds(),
			})
		}
	}
	return list
}
