package h264

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Types of NAL units (ISO/IEC 14496-10, table 7-1).
const (
	TypeSlice  = 1
	TypeIDR    = 5
	TypeSEI    = 6
	TypeSPS    = 7
	TypePPS    = 8
	TypeAUD    = 9
	TypeSPSExt = 13
)

// TypeOf returns the type of a NAL unit, or 0 of an empty one.
func TypeOf(nal []byte) uint8 {
	if len(nal) == 0 {
		return 0
	}
	return nal[0] & 0x1f
}

// NextNAL takes the first NAL unit from an access unit whose NAL units stand
// after lengths of lengthSize bytes, as in MP4 and FLV ("AVCC"). Both results
// are parts of au.
func NextNAL(au []byte, lengthSize int) (nal, rest []byte, err error) {
	if len(au) < lengthSize {
		return nil, nil, errors.New("access unit ends in a NAL unit's length")
	}
	var n uint64
	for _, c := range au[:lengthSize] {
		n = n<<8 | uint64(c)
	}
	au = au[lengthSize:]
	if n > uint64(len(au)) {
		return nil, nil, fmt.Errorf("NAL unit says %d bytes, %d are left", n, len(au))
	}
	return au[:n], au[n:], nil
}

// Contents says what was found in an access unit.
type Contents struct {
	Slice bool // a coded slice: there is a picture
	IDR   bool // a slice of an IDR picture: decoding can begin here
}

// Inspect walks over an AVCC access unit. It returns an error unless the
// lengths of its NAL units add up.
func Inspect(au []byte, lengthSize int) (Contents, error) {
	var c Contents
	for len(au) > 0 {
		nal, rest, err := NextNAL(au, lengthSize)
		if err != nil {
			return c, err
		}
		t := TypeOf(nal)
		c.Slice = c.Slice || t >= TypeSlice && t <= TypeIDR
		c.IDR = c.IDR || t == TypeIDR
		au = rest
	}
	return c, nil
}

// IsKeyFrame tells whether an AVCC access unit holds an IDR slice. Malformed
// ones do not.
func IsKeyFrame(au []byte, lengthSize int) bool {
	c, err := Inspect(au, lengthSize)
	return err == nil && c.IDR
}

// NextAnnexB takes the first NAL unit from a byte stream (Annex B), which
// begins with a start code or with zero bytes before one. It returns no NAL
// unit when none is left. Both results are parts of b.
func NextAnnexB(b []byte) (nal, rest []byte) {
	_, after := startCode(b)
	if after < 0 {
		return nil, nil
	}
	b = b[after:]
	end, _ := startCode(b)
	if end < 0 {
		end = len(b)
	}
	nal, rest = b[:end], b[end:]
	for len(nal) > 0 && nal[len(nal)-1] == 0 { // trailing_zero_8bits, or the next code's zero_byte
		nal = nal[:len(nal)-1]
	}
	return nal, rest
}

// startCode returns where the first 00 00 01 begins and ends, or -1, -1.
func startCode(b []byte) (begin, end int) {
	for i := 2; i < len(b); {
		switch {
		case b[i] > 1:
			i += 3
		case b[i] == 1 && b[i-1] == 0 && b[i-2] == 0:
			return i - 2, i + 1
		default:
			i++
		}
	}
	return -1, -1
}

// AppendAVCC appends a byte stream's NAL units to dst, each after a 4-byte
// length. Empty ones are left out.
func AppendAVCC(dst, annexB []byte) []byte {
	for len(annexB) > 0 {
		nal, rest := NextAnnexB(annexB)
		if len(nal) > 0 {
			dst = AppendNAL(dst, nal)
		}
		annexB = rest
	}
	return dst
}

// AppendNAL appends one NAL unit after its 4-byte length.
func AppendNAL(dst, nal []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(nal)))
	return append(dst, nal...)
}

// AppendAnnexB appends an AVCC access unit to dst as a byte stream, every NAL
// unit after a 4-byte start code.
func AppendAnnexB(dst, au []byte, lengthSize int) ([]byte, error) {
	for len(au) > 0 {
		nal, rest, err := NextNAL(au, lengthSize)
		if err != nil {
			return dst, err
		}
		dst = append(dst, 0, 0, 0, 1)
		dst = append(dst, nal...)
		au = rest
	}
	return dst, nil
}

// AppendLength4 appends an AVCC access unit to dst with lengths of 4 bytes
// instead of lengthSize.
func AppendLength4(dst, au []byte, lengthSize int) ([]byte, error) {
	for len(au) > 0 {
		nal, rest, err := NextNAL(au, lengthSize)
		if err != nil {
			return dst, err
		}
		dst = AppendNAL(dst, nal)
		au = rest
	}
	return dst, nil
}
