package sfu

import (
	"slices"
	"testing"

	"belfry.live/belfry/internal/wire/av1"
	"belfry.live/belfry/internal/wire/vp8"
	"belfry.live/belfry/internal/wire/vp9"
)

// A modelFrame is a frame of a recording: one spatial layer of one picture,
// and what a decoder needs for it, as its packets say.
type modelFrame struct {
	first, last       int // index of its packets
	timestamp         uint32
	spatial, temporal uint8
	key               bool // a decoder can start here
	references        []int
}

// A model is a recording with its frames.
type model struct {
	name    string
	format  Format
	packets []captured
	frames  []modelFrame
	frameOf []int // by packet
}

var models = []struct {
	name   string
	format Format
}{
	{"vp8-l1t3", Format{Codec: VP8}},
	{"vp9-l1t3", Format{Codec: VP9}},
	{"vp9-l3t3", Format{Codec: VP9}},
	{"vp9-l3t3-key", Format{Codec: VP9}},
	{"av1-l1t3", Format{Codec: AV1}},
	{"av1-l3t3", Format{Codec: AV1}},
	{"av1-l3t3-key", Format{Codec: AV1}},
	{"av1-l1t1", Format{Codec: AV1}},
}

func newModel(t testing.TB, name string, format Format) *model {
	m := &model{name: name, format: format, packets: recorded(t, name)}
	m.frameOf = make([]int, len(m.packets))
	switch format.Codec {
	case VP8:
		m.readVP8(t)
	case VP9:
		m.readVP9(t)
	case AV1:
		m.readAV1(t)
	}
	// Encoders that leave out layers for want of time name references from
	// before the key frame. Nobody who starts there has them.
	key := -1
	for i := range m.frames {
		if m.frames[i].key {
			key = i
		}
		m.frames[i].references = slices.DeleteFunc(m.frames[i].references, func(ref int) bool { return ref < key })
	}
	return m
}

// frame returns the frame of a packet, a new one if it is none of the last.
func (m *model) frame(packet int, spatial, temporal uint8) (f *modelFrame, isNew bool) {
	ts := m.packets[packet].header.Timestamp
	if n := len(m.frames); n > 0 && m.frames[n-1].timestamp == ts && m.frames[n-1].spatial == spatial {
		m.frameOf[packet] = n - 1
		m.frames[n-1].last = packet
		return &m.frames[n-1], false
	}
	m.frameOf[packet] = len(m.frames)
	m.frames = append(m.frames, modelFrame{first: packet, last: packet, timestamp: ts, spatial: spatial, temporal: temporal})
	return &m.frames[len(m.frames)-1], true
}

// readVP8 takes a frame to refer to the newest of each layer up to its own; one
// that is in sync to the lowest alone.
func (m *model) readVP8(t testing.TB) {
	newest := [4]int{-1, -1, -1, -1}
	for i, p := range m.packets {
		d, frame, err := vp8.ParseDescriptor(p.payload)
		if err != nil {
			t.Fatal(err)
		}
		f, isNew := m.frame(i, 0, d.Temporal)
		if !isNew {
			continue
		}
		f.key = d.FrameStart && vp8.ParseFrameHeader(frame).Key
		top := d.Temporal
		if d.Sync {
			top = 0
		}
		for layer := uint8(0); layer <= top && !f.key; layer++ {
			if newest[layer] >= 0 {
				f.references = append(f.references, newest[layer])
			}
		}
		if f.key {
			newest = [4]int{-1, -1, -1, -1}
		}
		newest[d.Temporal] = len(m.frames) - 1
	}
}

func (m *model) readVP9(t testing.TB) {
	type name struct {
		picture uint16
		spatial uint8
	}
	byName := make(map[name]int)
	var s vp9.Structure
	for i, p := range m.packets {
		d, frame, err := vp9.ParseDescriptor(p.payload, &s)
		if err != nil {
			t.Fatal(err)
		}
		if !d.Flexible {
			t.Fatal("the recording is not in flexible mode")
		}
		f, isNew := m.frame(i, d.Spatial, d.Temporal)
		if !isNew {
			continue
		}
		byName[name{d.PictureID, d.Spatial}] = len(m.frames) - 1
		f.key = !d.Inter && d.Spatial == 0 && vp9.ParseFrameHeader(frame).Key
		if d.OnLower {
			if ref, ok := byName[name{d.PictureID, d.Spatial - 1}]; ok {
				f.references = append(f.references, ref)
			}
		}
		for _, back := range d.References[:d.ReferenceCount] {
			if ref, ok := byName[name{(d.PictureID - uint16(back)) & maxPictureID, d.Spatial}]; ok {
				f.references = append(f.references, ref)
			}
		}
	}
}

func (m *model) readAV1(t testing.TB) {
	byNumber := make(map[uint16]int)
	var s av1.Structure
	for i, p := range m.packets {
		d, err := av1.ParseDescriptor(p.descriptor, &s)
		if err != nil && len(p.descriptor) > 0 && s.Targets > 0 {
			t.Fatal(err)
		}
		f, isNew := m.frame(i, d.Spatial, d.Temporal)
		if !isNew {
			continue
		}
		byNumber[d.Frame] = len(m.frames) - 1
		f.key = av1.ParsePayload(p.payload).Start
		switch {
		case err == nil:
			for _, back := range d.References[:d.ReferenceCount] {
				if ref, ok := byNumber[d.Frame-back]; ok {
					f.references = append(f.references, ref)
				}
			}
		case !f.key && len(m.frames) > 1: // nothing said: all of it
			f.references = []int{len(m.frames) - 2}
		}
	}
}

// The recordings are what their names say.
func TestRecordings(t *testing.T) {
	for _, c := range models {
		m := newModel(t, c.name, c.format)
		var spatial, temporal uint8
		keys := 0
		for _, f := range m.frames {
			spatial, temporal = max(spatial, f.spatial), max(temporal, f.temporal)
			if f.key {
				keys++
			}
		}
		name := c.name[4:8]
		if got := "l" + string('1'+spatial) + "t" + string('1'+temporal); got != name || keys < 3 {
			t.Errorf("%s: got %s with %d key frames, want %s and three or more", c.name, got, keys, name)
		}
	}
}
