package sfu

import (
	"belfry.live/belfry/internal/wire/av1"
	"belfry.live/belfry/internal/wire/h264"
	"belfry.live/belfry/internal/wire/vp8"
	"belfry.live/belfry/internal/wire/vp9"
)

const (
	maxSpatial  = vp9.MaxSpatial
	maxTemporal = 8 // of the three bits in VP9 and AV1

	maxPictureID = 1<<15 - 1

	// pictureMemory is how far back VP9 can refer, in pictures.
	pictureMemory = 128
	// maxFollowed is how many references of a frame are followed: those of
	// VP9, and more than browsers name with AV1.
	maxFollowed = 3

	// frameMemory is how far back references of AV1 are followed, in frames.
	// Encoders keep eight; what is further back counts as not forwarded.
	frameMemory = 256
)

// A payloadInfo is what forwarding needs to know of one packet. It is made
// once; every subscriber only compares.
type payloadInfo struct {
	keyStart bool // a decoder can start here
	idrStart bool // H.264: an IDR slice starts here; whether a decoder can depends on what came before
	frameEnd bool // last packet of its layer's frame

	spatial, temporal       uint8 // layer
	topSpatial, topTemporal uint8 // the highest that were seen since the key frame

	// intra says that the picture refers to no earlier one: all its layers
	// can begin here. Who has not got a layer so far can also begin it with a
	// frame that refers only to what he has. highest is the highest temporal
	// layer referred to, as far as is known; more says that it refers to
	// others than references names.
	intra      bool
	more       bool
	highest    uint8
	referred   uint8
	references [maxFollowed]reference

	// Where in the payload these stand, 0: not there.
	pictureIDAt, tl0At uint8
	widePictureID      bool // of 15 bits
	pictureID          uint16
	tl0                uint8

	dependency
}

// A reference is a frame that another refers to.
type reference struct {
	back     uint16 // how many pictures (VP9) or frames (AV1) it is back
	temporal uint8  // its layer
	present  uint32 // AV1: the decode targets it is part of
}

// A dependency is what a dependency descriptor says. One bit for each decode
// target.
type dependency struct {
	structure *av1.Structure // nil: there is no descriptor, or none that is understood

	hasStructure bool // it is in this packet
	frameStart   bool
	frame        uint16
	present      uint32 // the frame is part of these
	switches     uint32 // who can decode it can decode all that follows of these
	complete     uint32 // all it refers to is part of these
	active       uint32 // these are still sent
	hasActive    bool   // see av1.Descriptor
	activeAt     uint16
}

// An inspector looks into the packets of one publisher, one after the other,
// and remembers what later ones refer to.
type inspector struct {
	width, height [maxSpatial]int // by spatial layer, 0: not known

	topSpatial, topTemporal uint8

	pattern   vp9.Structure // VP9: how pictures refer to each other
	patternAt uint16        // the picture id it begins with
	pictures  [pictureMemory]struct {
		seen     bool
		id       uint16
		temporal uint8
	}

	structure, before *av1.Structure // AV1: the newest one, and that before it
	structureAt       uint16         // the frame number it begins with
	active            uint32
	scratch           av1.Structure
	frames            [frameMemory]struct {
		seen    bool
		number  uint16
		present uint32
	}
}

// reset forgets what later packets do not refer to any more.
func (in *inspector) reset() { *in = inspector{} }

// inspect looks into the payload of one packet and its dependency descriptor,
// if it has one. What it cannot understand it describes as nothing in
// particular. newest says that no later packet was seen.
func (in *inspector) inspect(c Codec, payload, descriptor []byte, newest bool) (v payloadInfo) {
	switch c {
	case VP8:
		v = in.inspectVP8(payload)
	case H264:
		v = in.inspectH264(payload)
	case VP9:
		v = in.inspectVP9(payload)
	case AV1:
		v = in.inspectAV1(payload, descriptor)
	}
	if v.keyStart && newest {
		in.topSpatial, in.topTemporal = 0, 0
	}
	in.topSpatial, in.topTemporal = max(in.topSpatial, v.spatial), max(in.topTemporal, v.temporal)
	v.topSpatial, v.topTemporal = in.topSpatial, in.topTemporal
	return v
}

func (in *inspector) size(width, height int) {
	if width != 0 {
		in.width[0], in.height[0] = width, height
	}
}

func (in *inspector) inspectVP8(b []byte) (v payloadInfo) {
	d, frame, err := vp8.ParseDescriptor(b)
	if err != nil {
		return payloadInfo{}
	}
	v.pictureIDAt, v.widePictureID, v.pictureID = uint8(d.PictureIDAt), d.WidePictureID, d.PictureID
	v.tl0At, v.tl0 = uint8(d.TL0At), d.TL0
	v.temporal = d.Temporal
	if !d.Sync {
		v.highest = d.Temporal
	}
	if d.FrameStart {
		if h := vp8.ParseFrameHeader(frame); h.Key {
			v.keyStart, v.intra, v.highest = true, true, 0
			in.size(h.Width, h.Height)
		}
	}
	return v
}

// inspectH264 says nothing of layers: H.264 is forwarded whole.
func (in *inspector) inspectH264(b []byte) (v payloadInfo) {
	p := h264.ParsePayload(b)
	v.keyStart, v.idrStart = p.SPS, p.IDR
	in.size(p.Width, p.Height)
	return v
}

func (in *inspector) inspectVP9(b []byte) (v payloadInfo) {
	d, frame, err := vp9.ParseDescriptor(b, &in.pattern)
	if err != nil {
		return payloadInfo{}
	}
	v.pictureIDAt, v.widePictureID, v.pictureID = uint8(d.PictureIDAt), d.WidePictureID, d.PictureID
	v.tl0At, v.tl0 = uint8(d.TL0At), d.TL0
	v.spatial, v.temporal = d.Spatial, d.Temporal
	v.intra, v.frameEnd = !d.Inter && d.Spatial == 0, d.FrameEnd
	if d.HasStructure {
		in.patternAt = d.PictureID
		for i := range in.pattern.Spatial {
			if in.pattern.Width[i] != 0 {
				in.width[i], in.height[i] = in.pattern.Width[i], in.pattern.Height[i]
			}
		}
	}
	if d.Inter {
		in.follow(&v, &d)
	}
	if d.HasPictureID {
		p := &in.pictures[d.PictureID%pictureMemory]
		p.seen, p.id, p.temporal = true, d.PictureID, d.Temporal
	}
	if d.FrameStart && d.Spatial == 0 && !d.Inter {
		if h := vp9.ParseFrameHeader(frame); h.Key {
			v.keyStart = true
			if in.width[0] == 0 || !d.HasStructure {
				in.size(h.Width, h.Height)
			}
		}
	}
	return v
}

// follow finds out to what a frame of VP9 refers.
func (in *inspector) follow(v *payloadInfo, d *vp9.Descriptor) {
	back := d.References[:d.ReferenceCount]
	mask := uint16(0x7f)
	if d.WidePictureID {
		mask = maxPictureID
	}
	if !d.Flexible {
		if in.pattern.Pictures == 0 {
			v.highest = d.Temporal
			if d.SwitchUp && d.Temporal > 0 {
				v.highest--
			}
			return
		}
		p := &in.pattern.Pattern[int((d.PictureID-in.patternAt)&mask)%in.pattern.Pictures]
		back = p.References[:p.ReferenceCount]
	}
	for _, n := range back {
		id := (d.PictureID - uint16(n)) & mask
		p := &in.pictures[id%pictureMemory]
		if !p.seen || p.id != id {
			v.highest, v.more = d.Temporal, true
			return
		}
		v.refer(reference{back: uint16(n), temporal: p.temporal})
	}
}

func (v *payloadInfo) refer(r reference) {
	v.highest = max(v.highest, r.temporal)
	if v.referred == maxFollowed {
		v.more = true
		return
	}
	v.references[v.referred] = r
	v.referred++
}

func (in *inspector) inspectAV1(b, descriptor []byte) (v payloadInfo) {
	p := av1.ParsePayload(b)
	v.keyStart = p.Start
	if len(descriptor) == 0 {
		in.size(p.Width, p.Height)
		return v
	}
	known := in.structure
	if known != nil && in.before != nil && int16(av1.FrameNumber(descriptor)-in.structureAt) < 0 {
		known = in.before
	}
	refers := known
	if known == nil || av1.HasStructure(descriptor) {
		in.scratch = av1.Structure{}
		refers = &in.scratch
	}
	d, err := av1.ParseDescriptor(descriptor, refers)
	if err != nil {
		return v
	}
	if d.HasStructure {
		known = in.learn(d.Frame)
	}
	if d.HasActive {
		in.active = d.Active
	}
	v.spatial, v.temporal, v.frameEnd = d.Spatial, d.Temporal, d.FrameEnd
	v.intra = d.ReferenceCount == 0 && d.Spatial == 0
	v.dependency = dependency{
		structure:    known,
		hasStructure: d.HasStructure,
		frameStart:   d.FrameStart,
		frame:        d.Frame,
		present:      d.Present,
		switches:     d.Switch,
		complete:     ^uint32(0),
		active:       in.active,
		hasActive:    d.HasActive,
		activeAt:     uint16(d.ActiveAt),
	}
	for _, back := range d.References[:d.ReferenceCount] {
		f := &in.frames[(d.Frame-back)%frameMemory]
		if !f.seen || f.number != d.Frame-back {
			v.complete, v.more = 0, true
			break
		}
		v.complete &= f.present
		v.refer(reference{back: back, present: f.present})
	}
	f := &in.frames[d.Frame%frameMemory]
	f.seen, f.number, f.present = true, d.Frame, d.Present
	return v
}

// learn takes over the structure that begins with a frame. An encoder repeats
// the same one with every key frame.
func (in *inspector) learn(frame uint16) *av1.Structure {
	if in.structure == nil || *in.structure != in.scratch {
		s := in.scratch
		in.before, in.structure = in.structure, &s
		for i := range s.Spatial {
			if s.Width[i] != 0 {
				in.width[i], in.height[i] = s.Width[i], s.Height[i]
			}
		}
	}
	in.structureAt = frame
	in.active = 1<<in.structure.Targets - 1
	return in.structure
}

// number returns the picture id or the frame number.
func (v *payloadInfo) number() uint16 {
	if v.structure != nil {
		return v.frame
	}
	return v.pictureID
}

// numbered says whether there is such a number.
func (v *payloadInfo) numbered() bool { return v.structure != nil || v.pictureIDAt != 0 }

// rewrite writes another picture id and TL0PICIDX into a copy b of the payload
// v describes. VP8 and VP9 have them in the same form.
func (v *payloadInfo) rewrite(b []byte, pictureID uint16, tl0 uint8) {
	if at := v.pictureIDAt; at != 0 {
		if v.widePictureID {
			b[at], b[at+1] = 0x80|byte(pictureID>>8), byte(pictureID)
		} else {
			b[at] = byte(pictureID) & 0x7f
		}
	}
	if v.tl0At != 0 {
		b[v.tl0At] = tl0
	}
}
