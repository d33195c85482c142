package h264

import "errors"

var errShort = errors.New("bit string ends too early")

// A bitReader reads an RBSP (ISO/IEC 14496-10, 7.2). Its first error sticks;
// what is read after it is zero.
type bitReader struct {
	b   []byte
	pos int // in bits
	err error
}

func (r *bitReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *bitReader) bit() uint32 {
	if r.err != nil {
		return 0
	}
	if r.pos >= 8*len(r.b) {
		r.fail(errShort)
		return 0
	}
	v := uint32(r.b[r.pos/8]>>(7-r.pos%8)) & 1
	r.pos++
	return v
}

func (r *bitReader) flag() bool { return r.bit() == 1 }

// bits reads n <= 32 bits.
func (r *bitReader) bits(n int) uint32 {
	var v uint32
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

func (r *bitReader) skip(n int) {
	if r.err == nil && n > 8*len(r.b)-r.pos {
		r.fail(errShort)
		return
	}
	r.pos += n
}

// ue reads an unsigned Exp-Golomb code (9.1) of at most 32 leading zeros.
func (r *bitReader) ue() uint32 {
	zeros := 0
	for r.err == nil && !r.flag() {
		if zeros++; zeros > 31 {
			r.fail(errors.New("Exp-Golomb code is too long"))
		}
	}
	if r.err != nil {
		return 0
	}
	return 1<<zeros - 1 + r.bits(zeros)
}

// se reads a signed Exp-Golomb code (9.1.1).
func (r *bitReader) se() int32 {
	k := int64(r.ue())
	if k&1 == 1 {
		return int32((k + 1) / 2)
	}
	return int32(-k / 2)
}

// unescape takes the emulation prevention bytes (7.4.1) out of a NAL unit.
func unescape(nal []byte) []byte {
	out := make([]byte, 0, len(nal))
	zeros := 0
	for _, c := range nal {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}
