package av1

import (
	"errors"

	"belfry.live/belfry/internal/wire/bits"
)

const (
	// MaxDescriptor is the longest descriptor that is read. What is written
	// in its place fits a header extension of 255 bytes.
	MaxDescriptor = 250

	maxTemplates  = 64
	maxTargets    = 32
	maxSpatial    = 4  // of the two bits that count up to 3
	maxReferences = 16 // as many as a template can tell apart
)

var (
	errNoStructure = errors.New("dependency descriptor before its structure")
	errNoTemplate  = errors.New("dependency descriptor names no template of its structure")
	errTooLong     = errors.New("dependency descriptor is too long")
	errTemplates   = errors.New("dependency structure has more than 64 templates")
	errLayers      = errors.New("dependency structure has too many layers")
	errReferences  = errors.New("dependency descriptor names too many references")
)

// Decode target indications, two bits each (the specification, A.8.2.1).
const (
	notPresent = iota
	discardable
	switchPoint
	required
)

// A Place says where a frame belongs: its layers, and the decode targets, one
// bit each, the first lowest.
type Place struct {
	Spatial, Temporal uint8
	Present           uint32 // it is part of these
	Switch            uint32 // who can decode it can decode all that follows of these
}

// A template is what frames of one kind have in common.
type template struct {
	Place
	references     [maxReferences]uint16
	referenceCount int
}

// A Structure is a template dependency structure: what the descriptors that
// come after it refer to.
type Structure struct {
	Targets        int // decode targets
	TargetSpatial  [maxTargets]uint8
	TargetTemporal [maxTargets]uint8

	Spatial       int             // layers
	Width, Height [maxSpatial]int // 0: not said

	offset        uint8 // the id of the first template
	templates     [maxTemplates]template
	templateCount int
}

// Target returns the best of the active decode targets, one bit each, within
// the limits. If there is none it returns the least.
func (s *Structure) Target(spatial, temporal uint8, active uint32) int {
	best, least := -1, 0
	for i := range s.Targets {
		if s.less(i, least) {
			least = i
		}
		if s.TargetSpatial[i] > spatial || s.TargetTemporal[i] > temporal || active>>i&1 == 0 {
			continue
		}
		if best < 0 || s.less(best, i) {
			best = i
		}
	}
	if best < 0 {
		return least
	}
	return best
}

// less orders decode targets: by size, then by frame rate.
func (s *Structure) less(a, b int) bool {
	if s.TargetSpatial[a] != s.TargetSpatial[b] {
		return s.TargetSpatial[a] < s.TargetSpatial[b]
	}
	return s.TargetTemporal[a] < s.TargetTemporal[b]
}

// Within says of which decode targets all frames are part of a target as well,
// one bit each.
func (s *Structure) Within(target int) uint32 {
	within := uint32(1)<<s.Targets - 1
	for i := range s.templateCount {
		if present := s.templates[i].Present; present>>target&1 == 0 {
			within &^= present
		}
	}
	return within
}

// A Descriptor is what the header extension says of one packet.
type Descriptor struct {
	FrameStart, FrameEnd bool // first and last packet of the frame
	Frame                uint16
	Place

	// References says how many frames back each frame referred to is.
	References     [maxReferences]uint16
	ReferenceCount int

	HasStructure bool // see the Structure that was handed in

	Active uint32 // decode targets that are still sent, if HasActive
	// HasActive says that the descriptor says so.
	HasActive bool
	// ActiveAt is where in the descriptor, in bits, Active stands or could;
	// 0: right after the mandatory fields, which are all there is.
	ActiveAt int
	Targets  int // decode targets of the structure
}

// HasStructure says whether a descriptor carries a structure.
func HasStructure(b []byte) bool { return len(b) > 3 && b[3]&0x80 != 0 }

// FrameNumber returns the frame number of a descriptor, 0 if it is cut off.
func FrameNumber(b []byte) uint16 {
	if len(b) < 3 {
		return 0
	}
	return uint16(b[1])<<8 | uint16(b[2])
}

// ParseDescriptor reads a descriptor (the specification, A.8.3). A structure
// goes to s, if nothing is broken; without one s is what the descriptor refers
// to.
//
//	mandatory  |S|E| template 6 | frame number 16 |
//	extended   |structure|active|dtis|fdiffs|chains|, then of each what there is
func ParseDescriptor(b []byte, s *Structure) (d Descriptor, err error) {
	switch {
	case len(b) > MaxDescriptor:
		return Descriptor{}, errTooLong
	case !HasStructure(b):
		return parseDescriptor(b, s)
	}
	var parsed Structure
	if d, err = parseDescriptor(b, &parsed); err != nil {
		return Descriptor{}, err
	}
	*s = parsed
	return d, nil
}

// parseDescriptor reads a descriptor; a structure goes to an empty s.
func parseDescriptor(b []byte, s *Structure) (d Descriptor, err error) {
	r := bits.NewReader(b)
	d.FrameStart, d.FrameEnd = r.Flag(), r.Flag()
	id := uint8(r.Bits(6))
	d.Frame = uint16(r.Bits(16))
	var dtis, fdiffs bool
	if len(b) > 3 {
		d.HasStructure, d.HasActive = r.Flag(), r.Flag()
		dtis, fdiffs = r.Flag(), r.Flag()
		r.Skip(1) // frame chains come last and nobody here looks at them
		if d.HasStructure {
			if err := s.parse(&r); err != nil {
				return Descriptor{}, err
			}
		}
		d.ActiveAt = r.Pos()
		if d.HasActive {
			d.Active = r.Bits(s.Targets)
		}
	}
	if r.Err() != nil {
		return Descriptor{}, r.Err()
	}
	if s.templateCount == 0 {
		return Descriptor{}, errNoStructure
	}
	d.Targets = s.Targets
	index := int((id - s.offset) % maxTemplates)
	if index >= s.templateCount {
		return Descriptor{}, errNoTemplate
	}
	t := &s.templates[index]
	d.Place, d.References, d.ReferenceCount = t.Place, t.references, t.referenceCount
	if dtis {
		d.readIndications(&r, s.Targets)
	}
	if fdiffs {
		d.ReferenceCount = 0
		for size := r.Bits(2); size != 0; size = r.Bits(2) {
			if d.ReferenceCount == maxReferences {
				return Descriptor{}, errReferences
			}
			d.References[d.ReferenceCount] = uint16(r.Bits(4*int(size))) + 1
			d.ReferenceCount++
		}
	}
	if r.Err() != nil {
		return Descriptor{}, r.Err()
	}
	return d, nil
}

func (p *Place) readIndications(r *bits.Reader, targets int) {
	p.Present, p.Switch = 0, 0
	for i := range targets {
		switch r.Bits(2) {
		case notPresent:
		case switchPoint:
			p.Switch |= 1 << i
			fallthrough
		default:
			p.Present |= 1 << i
		}
	}
}

// parse reads a structure into an empty one (A.8.3.4).
func (s *Structure) parse(r *bits.Reader) error {
	s.offset = uint8(r.Bits(6))
	s.Targets = int(r.Bits(5)) + 1
	if err := s.readLayers(r); err != nil {
		return err
	}
	for i := range s.templateCount {
		s.templates[i].readIndications(r, s.Targets)
	}
	for i := range s.templateCount {
		t := &s.templates[i]
		for r.Flag() {
			if t.referenceCount == maxReferences {
				return errReferences
			}
			t.references[t.referenceCount] = uint16(r.Bits(4)) + 1
			t.referenceCount++
		}
	}
	if chains := int(readNonSymmetric(r, s.Targets+1)); chains > 0 {
		for range s.Targets {
			readNonSymmetric(r, chains) // the chain that protects it
		}
		r.Skip(4 * chains * s.templateCount)
	}
	for i := range s.templateCount {
		t := &s.templates[i]
		for j := range s.Targets {
			if t.Present>>j&1 != 0 {
				s.TargetSpatial[j] = max(s.TargetSpatial[j], t.Spatial)
				s.TargetTemporal[j] = max(s.TargetTemporal[j], t.Temporal)
			}
		}
	}
	if r.Flag() {
		for i := range s.Spatial {
			s.Width[i], s.Height[i] = int(r.Bits(16))+1, int(r.Bits(16))+1
		}
	}
	return r.Err()
}

// readLayers reads which template is of which layers.
func (s *Structure) readLayers(r *bits.Reader) error {
	const (
		same = iota
		nextTemporal
		nextSpatial
		end
	)
	var spatial, temporal uint8
	for {
		if s.templateCount == maxTemplates {
			return errTemplates
		}
		s.templates[s.templateCount].Place = Place{Spatial: spatial, Temporal: temporal}
		s.templateCount++
		switch r.Bits(2) {
		case same:
			if r.Err() != nil {
				return r.Err()
			}
		case nextTemporal:
			temporal++
		case nextSpatial:
			spatial++
			temporal = 0
		case end:
			s.Spatial = int(spatial) + 1
			return nil
		}
		if spatial >= maxSpatial || temporal > 7 {
			return errLayers
		}
	}
}

// readNonSymmetric reads a number below n (the specification's ns(n)).
func readNonSymmetric(r *bits.Reader, n int) uint32 {
	w := 0
	for x := n; x > 0; x >>= 1 {
		w++
	}
	m := uint32(1)<<w - uint32(n)
	v := r.Bits(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + r.Bits(1)
}

// A Change is what is different in the descriptor that one receiver gets.
type Change struct {
	Frame     uint16
	SetActive bool // write Active, of Targets decode targets
	Active    uint32
	HasActive bool // it stands there already; this and the rest as it was read
	ActiveAt  int
	Targets   int
}

// Size returns how long a descriptor of n bytes gets.
func (c *Change) Size(n int) int {
	switch {
	case !c.SetActive:
		return n
	case c.ActiveAt == 0:
		return 3 + (5+c.Targets+7)/8
	case c.HasActive:
		return n
	}
	return n + (c.Targets+7)/8
}

// AppendDescriptor appends the descriptor raw with a change, Size(len(raw))
// bytes. raw must have been read without error, and by that c made.
func AppendDescriptor(b, raw []byte, c *Change) []byte {
	at := len(b)
	b = append(b, raw...)
	b[at+1], b[at+2] = byte(c.Frame>>8), byte(c.Frame)
	if !c.SetActive {
		return b
	}
	b = append(b, make([]byte, c.Size(len(raw))-len(raw))...)
	out := b[at:]
	place := c.ActiveAt
	if place == 0 { // no extended fields yet
		place = 29
	} else if !c.HasActive {
		// What follows moves back, last bit first.
		for i := 8*len(raw) - 1; i >= place; i-- {
			setBit(out, i+c.Targets, bitAt(raw, i))
		}
	}
	setBit(out, 25, 1)
	for i := range c.Targets {
		setBit(out, place+i, byte(c.Active>>(c.Targets-1-i))&1)
	}
	return b
}

func bitAt(b []byte, i int) byte { return b[i/8] >> (7 - i%8) & 1 }

func setBit(b []byte, i int, v byte) {
	mask := byte(0x80) >> (i % 8)
	b[i/8] &^= mask
	if v != 0 {
		b[i/8] |= mask
	}
}
