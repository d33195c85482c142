package fmp4

import "encoding/binary"

// A Sample is one coded picture or audio frame. Its times are in ticks of the
// track's timescale.
type Sample struct {
	Duration uint32
	Offset   int32 // of presentation from decoding time
	Sync     bool  // decoding can begin here
	Data     []byte
}

// A Fragment is a moof and its mdat: samples that follow each other.
type Fragment struct {
	Sequence   uint32 // grows from fragment to fragment
	DecodeTime uint64 // of the first sample, in ticks
	Samples    []Sample
}

// Sample flags (ISO/IEC 14496-12, 8.8.3.1).
const (
	flagsSync    = 2 << 24       // depends on no other
	flagsNonSync = 1<<24 | 1<<16 // depends on others, is no sync sample
)

// Bits of tfhd and trun (8.8.7 and 8.8.8).
const (
	tfhdDuration   = 0x08
	tfhdFlags      = 0x20
	tfhdMoofIsBase = 0x020000

	trunDataOffset = 0x001
	trunDuration   = 0x100
	trunSize       = 0x200
	trunFlags      = 0x400
	trunOffset     = 0x800
)

// Size returns how many bytes Append appends at most.
func (f Fragment) Size() int {
	n := 8 + 16 + 8 + 28 + 20 + 20 + 8 // moof mfhd traf tfhd tfdt trun mdat
	for _, s := range f.Samples {
		n += 16 + len(s.Data)
	}
	return n
}

// Append appends the fragment:
//
//	moof
//	  mfhd  sequence
//	  traf
//	    tfhd  duration and flags, where all samples share them
//	    tfdt  decode time, 64 bits
//	    trun  offset of the data, and of each sample what is its own
//	mdat
//
// A value that all samples share is written once.
func (f Fragment) Append(b []byte) []byte {
	if len(f.Samples) == 0 {
		panic("fmp4: fragment without samples")
	}
	first := f.Samples[0]
	run := uint32(trunDataOffset | trunSize)
	head := uint32(tfhdMoofIsBase)
	for _, s := range f.Samples {
		if s.Duration != first.Duration {
			run |= trunDuration
		}
		if s.Sync != first.Sync {
			run |= trunFlags
		}
		if s.Offset != 0 {
			run |= trunOffset
		}
	}
	if run&trunDuration == 0 {
		head |= tfhdDuration
	}
	if run&trunFlags == 0 {
		head |= tfhdFlags
	}

	b, moof := begin(b, "moof")
	b, at := beginFull(b, "mfhd", 0, 0)
	b = end(u32(b, f.Sequence), at)
	b, traf := begin(b, "traf")
	b, at = beginFull(b, "tfhd", 0, head)
	b = u32(b, TrackID)
	if head&tfhdDuration != 0 {
		b = u32(b, first.Duration)
	}
	if head&tfhdFlags != 0 {
		b = u32(b, sampleFlags(first.Sync))
	}
	b = end(b, at)
	b, at = beginFull(b, "tfdt", 1, 0)
	b = end(u64(b, f.DecodeTime), at)

	b, trun := beginFull(b, "trun", 1, run)
	b = u32(b, uint32(len(f.Samples)))
	dataOffset := len(b)
	b = u32(b, 0)
	size := 0
	for _, s := range f.Samples {
		if run&trunDuration != 0 {
			b = u32(b, s.Duration)
		}
		b = u32(b, uint32(len(s.Data)))
		size += len(s.Data)
		if run&trunFlags != 0 {
			b = u32(b, sampleFlags(s.Sync))
		}
		if run&trunOffset != 0 {
			b = u32(b, uint32(s.Offset))
		}
	}
	b = end(b, trun)
	b = end(b, traf)
	b = end(b, moof)
	binary.BigEndian.PutUint32(b[dataOffset:], uint32(len(b)-moof+8))

	b = u32(b, uint32(8+size))
	b = append(b, "mdat"...)
	for _, s := range f.Samples {
		b = append(b, s.Data...)
	}
	return b
}

func sampleFlags(sync bool) uint32 {
	if sync {
		return flagsSync
	}
	return flagsNonSync
}
