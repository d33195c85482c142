// Package fmp4 writes fragmented MP4 for streaming: an initialization segment
// for one track, H.264 or AAC, and fragments (a moof and its mdat) of that
// track's samples, as CMAF (ISO/IEC 23000-19) wants them. It reads back what
// it writes. Bytes come in and go out; where fragments begin, and what serves
// them, is left to the caller.
package fmp4

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Type is a box's four characters.
type Type [4]byte

func (t Type) String() string { return string(t[:]) }

// A Box is one box of ISO/IEC 14496-12, 4.2:
//
//	size 32, with itself; 1: a 64-bit size follows the type
//	type 32
//	payload
type Box struct {
	Type    Type
	Payload []byte // a part of what was parsed
}

var errShort = errors.New("ends too early")

// ParseBox reads the box at the front of b.
func ParseBox(b []byte) (box Box, rest []byte, err error) {
	if len(b) < 8 {
		return Box{}, b, fmt.Errorf("box header: %w", errShort)
	}
	box.Type = Type(b[4:8])
	size, header := uint64(binary.BigEndian.Uint32(b)), uint64(8)
	if size == 1 {
		if len(b) < 16 {
			return Box{}, b, fmt.Errorf("box %v: header: %w", box.Type, errShort)
		}
		size, header = binary.BigEndian.Uint64(b[8:]), 16
	}
	if size < header || size > uint64(len(b)) {
		return Box{}, b, fmt.Errorf("box %v says %d bytes, %d are there", box.Type, size, len(b))
	}
	box.Payload = b[header:size]
	return box, b[size:], nil
}

// child returns the payload of the first box of that type among the boxes of b.
func child(b []byte, name string) ([]byte, error) {
	for len(b) > 0 {
		box, rest, err := ParseBox(b)
		if err != nil {
			return nil, err
		}
		if box.Type.String() == name {
			return box.Payload, nil
		}
		b = rest
	}
	return nil, fmt.Errorf("no box %s", name)
}

// begin appends the header of a box whose size end fills in.
func begin(b []byte, name string) (out []byte, at int) {
	at = len(b)
	b = append(b, 0, 0, 0, 0)
	return append(b, name...), at
}

// beginFull is begin for a box with a version and 24 bits of flags.
func beginFull(b []byte, name string, version uint8, flags uint32) (out []byte, at int) {
	b, at = begin(b, name)
	return u32(b, uint32(version)<<24|flags), at
}

// end fills in the size of the box that began at at.
func end(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

func u16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func u32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func u64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// zeros appends n zero bytes; n is at most 64.
func zeros(b []byte, n int) []byte {
	var z [64]byte
	return append(b, z[:n]...)
}
