// Package red reads and writes redundant audio (RFC 2198), where every packet
// carries earlier frames once more, and finds among them those that were lost.
// What is in a frame, and which payload types were agreed on, is left to the
// caller.
package red

import (
	"errors"
	"fmt"
)

const (
	// MaxBlocks is the most frames read from one packet. Browsers send three
	// at most, and ten on request.
	MaxBlocks = 16
	// MaxOffset and MaxSize are the largest values that a header of a
	// redundant block can say.
	MaxOffset = 1<<14 - 1
	MaxSize   = 1<<10 - 1

	redundantHeader = 4 // bytes
	primaryHeader   = 1
)

// Errors of Parse and Append.
var (
	ErrShort  = errors.New("red: packet ends before its blocks do")
	ErrBlocks = errors.New("red: too many blocks")
	ErrRange  = errors.New("red: block does not fit its header")
)

// A Block is one frame of a packet.
type Block struct {
	Type    uint8  // payload type
	Offset  uint16 // how much earlier than the packet's its timestamp is; 0 for the primary block
	Payload []byte
}

// Parse appends the packet's blocks to dst, in their order: the primary block,
// which is the packet's own frame, comes last (RFC 2198 section 3):
//
//	 0                   1                    2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3  4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|1|   block PT  |  timestamp offset         |   block length    |  for each redundant block
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|0|   block PT  |                                                  for the primary block
//	+-+-+-+-+-+-+-+-+
//
// then the frames in the same order. The payloads are parts of packet. With an
// error dst comes back as it was.
func Parse(dst []Block, packet []byte) ([]Block, error) {
	blocks := dst
	sizes := [MaxBlocks]int{}
	rest := packet
	for n := 0; ; n++ {
		if len(rest) < primaryHeader {
			return dst, ErrShort
		}
		if n == MaxBlocks {
			return dst, ErrBlocks
		}
		b := Block{Type: rest[0] & 0x7f}
		if rest[0]&0x80 == 0 {
			blocks = append(blocks, b)
			rest = rest[primaryHeader:]
			break
		}
		if len(rest) < redundantHeader {
			return dst, ErrShort
		}
		b.Offset = uint16(rest[1])<<6 | uint16(rest[2])>>2
		sizes[n] = int(rest[2]&3)<<8 | int(rest[3])
		blocks = append(blocks, b)
		rest = rest[redundantHeader:]
	}
	parsed := blocks[len(dst):]
	last := len(parsed) - 1
	for i := range parsed[:last] {
		size := sizes[i]
		if size > len(rest) {
			return dst, ErrShort
		}
		parsed[i].Payload, rest = rest[:size:size], rest[size:]
	}
	parsed[last].Payload = rest
	return blocks, nil
}

// Append appends a packet of these blocks, the last of which is the primary
// one. An error leaves dst as it was.
func Append(dst []byte, blocks []Block) ([]byte, error) {
	if len(blocks) == 0 || len(blocks) > MaxBlocks {
		return dst, fmt.Errorf("%w: %d", ErrBlocks, len(blocks))
	}
	last := len(blocks) - 1
	out := dst
	for _, b := range blocks[:last] {
		if b.Offset > MaxOffset || len(b.Payload) > MaxSize || b.Type > 0x7f {
			return dst, fmt.Errorf("%w: type %d, %d earlier, %d bytes", ErrRange, b.Type, b.Offset, len(b.Payload))
		}
		out = append(out, 0x80|b.Type, byte(b.Offset>>6), byte(b.Offset<<2)|byte(len(b.Payload)>>8), byte(len(b.Payload)))
	}
	if p := blocks[last]; p.Offset != 0 || p.Type > 0x7f {
		return dst, fmt.Errorf("%w: primary of type %d, %d earlier", ErrRange, p.Type, p.Offset)
	}
	out = append(out, blocks[last].Type)
	for _, b := range blocks {
		out = append(out, b.Payload...)
	}
	return out, nil
}
