package bits

import (
	"errors"
	"testing"
)

func TestReader(t *testing.T) {
	r := NewReader([]byte{0b1010_0101, 0xff, 0x00, 0x12, 0x34, 0x56})
	for i, c := range []struct {
		n    int
		want uint32
	}{{1, 1}, {3, 0b010}, {0, 0}, {4, 0b0101}, {12, 0xff0}, {4, 0}, {20, 0x12345}} {
		if got := r.Bits(c.n); got != c.want {
			t.Errorf("read %d, %d bits: got %#x, want %#x", i, c.n, got, c.want)
		}
	}
	if r.Pos() != 44 || r.Left() != 4 || r.Err() != nil {
		t.Fatalf("got position %d, %d left, %v, want 44, 4, no error", r.Pos(), r.Left(), r.Err())
	}
	r.Skip(3)
	if r.Flag() {
		t.Error("last bit: got 1, want 0")
	}
	if r.Flag() || !errors.Is(r.Err(), ErrShort) {
		t.Errorf("after the end: got %v, want %v", r.Err(), ErrShort)
	}
}

func TestReaderOfAllLengths(t *testing.T) {
	b := []byte{0xde, 0xad, 0xbe, 0xef, 0x01, 0x23}
	for at := range 8 {
		for n := range 33 {
			r := NewReader(b)
			r.Skip(at)
			var want uint32
			for i := range n {
				want = want<<1 | uint32(b[(at+i)/8]>>(7-(at+i)%8))&1
			}
			if got := r.Bits(n); got != want {
				t.Errorf("%d bits at %d: got %#x, want %#x", n, at, got, want)
			}
		}
	}
}

func TestErrorStays(t *testing.T) {
	r := NewReader([]byte{0xff})
	r.Skip(9)
	if got := r.Bits(1); got != 0 || r.Err() == nil {
		t.Errorf("after an error: got %d, %v, want 0 and the error", got, r.Err())
	}
}
