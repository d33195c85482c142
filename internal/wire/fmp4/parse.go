package fmp4

import (
	"encoding/binary"
	"fmt"
	"math"
)

// maxSamples is the most samples of a fragment that ParseFragment reads.
const maxSamples = 1 << 16

// ParseFragment reads the fragment at the front of b, if it is of the form
// that Append writes: one track, one run, the data right behind the moof.
// Boxes that it does not know it passes over. The samples' Data are parts of
// b.
func ParseFragment(b []byte) (f Fragment, rest []byte, err error) {
	moof, rest, err := ParseBox(b)
	if err != nil {
		return Fragment{}, b, err
	}
	if moof.Type.String() != "moof" {
		return Fragment{}, b, fmt.Errorf("got box %v, want moof", moof.Type)
	}
	f, run, err := parseMoof(moof.Payload)
	if err != nil {
		return Fragment{}, b, fmt.Errorf("moof: %w", err)
	}
	mdat, after, err := ParseBox(rest)
	if err != nil {
		return Fragment{}, b, err
	}
	if mdat.Type.String() != "mdat" {
		return Fragment{}, b, fmt.Errorf("got box %v, want mdat", mdat.Type)
	}
	if at := len(b) - len(after) - len(mdat.Payload); int64(run.dataOffset) != int64(at) {
		return Fragment{}, b, fmt.Errorf("the data begin at %d, want %d", run.dataOffset, at)
	}
	data := mdat.Payload
	for i, n := range run.sizes {
		if uint64(n) > uint64(len(data)) {
			return Fragment{}, b, fmt.Errorf("sample %d has %d bytes, %d are left", i, n, len(data))
		}
		f.Samples[i].Data, data = data[:n:n], data[n:]
	}
	if len(data) != 0 {
		return Fragment{}, b, fmt.Errorf("%d bytes of data belong to no sample", len(data))
	}
	return f, after, nil
}

// A run is what a trun tells of where its samples' data are.
type run struct {
	dataOffset int32 // from the moof's first byte
	sizes      []uint32
}

func parseMoof(b []byte) (f Fragment, r run, err error) {
	mfhd, err := child(b, "mfhd")
	if err != nil {
		return f, r, err
	}
	traf, err := child(b, "traf")
	if err != nil {
		return f, r, err
	}
	tfhd, err := child(traf, "tfhd")
	if err != nil {
		return f, r, err
	}
	tfdt, err := child(traf, "tfdt")
	if err != nil {
		return f, r, err
	}
	trun, err := child(traf, "trun")
	if err != nil {
		return f, r, err
	}
	c := cursor{b: mfhd}
	c.u32()
	f.Sequence = c.u32()
	if c.short {
		return f, r, fmt.Errorf("mfhd: %w", errShort)
	}
	c = cursor{b: tfdt}
	if version := c.u32() >> 24; version == 1 {
		f.DecodeTime = c.u64()
	} else {
		f.DecodeTime = uint64(c.u32())
	}
	if c.short {
		return f, r, fmt.Errorf("tfdt: %w", errShort)
	}
	duration, flags, err := parseTfhd(tfhd)
	if err != nil {
		return f, r, fmt.Errorf("tfhd: %w", err)
	}
	f.Samples, r, err = parseTrun(trun, duration, flags)
	if err != nil {
		return f, r, fmt.Errorf("trun: %w", err)
	}
	return f, r, nil
}

// parseTfhd returns the defaults of the run's samples.
func parseTfhd(b []byte) (duration, flags uint32, err error) {
	c := cursor{b: b}
	bits := c.u32() & 0xffffff
	if others := bits &^ (tfhdDuration | tfhdFlags | tfhdMoofIsBase); others != 0 {
		return 0, 0, fmt.Errorf("flags %#x are not supported", others)
	}
	if id := c.u32(); id != TrackID && !c.short {
		return 0, 0, fmt.Errorf("track is %d, want %d", id, TrackID)
	}
	if bits&tfhdDuration != 0 {
		duration = c.u32()
	}
	if bits&tfhdFlags != 0 {
		flags = c.u32()
	}
	if c.short {
		return 0, 0, errShort
	}
	return duration, flags, nil
}

func parseTrun(b []byte, duration, flags uint32) ([]Sample, run, error) {
	const known = trunDataOffset | trunDuration | trunSize | trunFlags | trunOffset
	var r run
	c := cursor{b: b}
	bits := c.u32() & 0xffffff
	if others := bits &^ known; others != 0 {
		return nil, r, fmt.Errorf("flags %#x are not supported", others)
	}
	if need := uint32(trunDataOffset | trunSize); bits&need != need {
		return nil, r, fmt.Errorf("flags %#x, want data offset and sizes", bits)
	}
	n := c.u32()
	if n == 0 || n > maxSamples {
		return nil, r, fmt.Errorf("has %d samples, want 1 to %d", n, maxSamples)
	}
	if uint64(4*n) > uint64(len(c.b)) { // a size each
		return nil, r, errShort
	}
	offset := c.u32()
	if offset > math.MaxInt32 {
		return nil, r, fmt.Errorf("data offset is %d", int32(offset))
	}
	r.dataOffset = int32(offset)
	samples := make([]Sample, n)
	r.sizes = make([]uint32, n)
	for i := range samples {
		s := &samples[i]
		s.Duration = duration
		if bits&trunDuration != 0 {
			s.Duration = c.u32()
		}
		r.sizes[i] = c.u32()
		own := flags
		if bits&trunFlags != 0 {
			own = c.u32()
		}
		s.Sync = own&(1<<16) == 0
		if bits&trunOffset != 0 {
			s.Offset = int32(c.u32())
		}
	}
	if c.short {
		return nil, r, errShort
	}
	return samples, r, nil
}

// A cursor takes numbers from the front of b. Once b is short, it gives zeros.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) u32() uint32 {
	if len(c.b) < 4 {
		c.b, c.short = nil, true
		return 0
	}
	v := binary.BigEndian.Uint32(c.b)
	c.b = c.b[4:]
	return v
}

func (c *cursor) u64() uint64 {
	high := c.u32()
	return uint64(high)<<32 | uint64(c.u32())
}
