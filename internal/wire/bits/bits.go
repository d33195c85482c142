// Package bits reads values that are not aligned to bytes, most significant
// bit first. What the values mean is left to the formats.
package bits

import "errors"

// ErrShort says that more was read than there is.
var ErrShort = errors.New("bit string ends too early")

// A Reader reads from the front of a byte string. What is read after its end
// is zero, and Err says so from then on. It does not allocate.
type Reader struct {
	b   []byte
	pos int // in bits
	err error
}

// NewReader returns a reader of b, which it keeps.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns what went wrong first.
func (r *Reader) Err() error { return r.err }

// Pos returns how many bits have been read.
func (r *Reader) Pos() int { return r.pos }

// Left returns how many bits have not been read.
func (r *Reader) Left() int { return 8*len(r.b) - r.pos }

// Bits reads n <= 32 bits.
func (r *Reader) Bits(n int) uint32 {
	if !r.has(n) {
		return 0
	}
	var v uint64
	first, last := r.pos/8, (r.pos+n+7)/8
	for _, c := range r.b[first:last] {
		v = v<<8 | uint64(c)
	}
	v >>= 8*last - (r.pos + n)
	r.pos += n
	return uint32(v & (1<<n - 1))
}

// Flag reads one bit.
func (r *Reader) Flag() bool { return r.Bits(1) == 1 }

// Skip passes over n bits.
func (r *Reader) Skip(n int) {
	if r.has(n) {
		r.pos += n
	}
}

func (r *Reader) has(n int) bool {
	if r.err == nil && n > r.Left() {
		r.err = ErrShort
	}
	return r.err == nil
}
