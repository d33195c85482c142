// Package chime is the wire format of the Chime signaling protocol: the frames
// a client and its meeting exchange as binary WebSocket messages, one frame in
// each. In come bytes, out goes a Frame, and the other way round. What the
// frames mean and in which order they flow is left to packages
// meeting/signal (the server) and attendee (the client).
package chime

//go:generate ./generate.sh

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
)

// MaxFrame is the largest message Parse accepts, in bytes. The largest honest
// one, an offer that receives 25 videos, has about 130 KB.
const MaxFrame = 1 << 20

// A message is one type byte and one serialized Frame; no length, no batches.
//
//	+------+------------------+
//	| 0x05 | Frame (protobuf) |
//	+------+------------------+
const (
	kindFrame    = 0x05 // what clients send, and we
	kindFrameOld = 0x02 // some servers send it; it means the same
)

// Errors of Parse. A body that is no Frame gives the protobuf library's error.
var (
	ErrTooLarge = fmt.Errorf("frame is longer than %d bytes", MaxFrame)
	ErrKind     = errors.New("message does not begin with a known type byte")
)

// Parse reads one message. Fields nobody knows are dropped; a type nobody
// knows is kept as its number: ignore such a frame. The Frame shares nothing
// with b. A Frame without its payload is no error here: the getters of a nil
// payload return zero values.
func Parse(b []byte) (*Frame, error) {
	if len(b) > MaxFrame {
		return nil, ErrTooLarge
	}
	if len(b) == 0 || (b[0] != kindFrame && b[0] != kindFrameOld) {
		return nil, ErrKind
	}
	f := new(Frame)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b[1:], f); err != nil {
		return nil, fmt.Errorf("parse frame: %w", err)
	}
	return f, nil
}

// Append adds f's message to b. It panics if a required field is missing,
// above all timestamp_ms (New sets it): clients drop such frames unseen.
func Append(b []byte, f *Frame) []byte {
	b, err := proto.MarshalOptions{}.MarshalAppend(append(b, kindFrame), f)
	if err != nil {
		panic("chime: " + err.Error())
	}
	return b
}

// New returns a frame of the given type, made now. The caller sets the
// payload that the type calls for.
func New(t Frame_Type, now time.Time) *Frame {
	return &Frame{TimestampMs: proto.Uint64(uint64(now.UnixMilli())), Type: t.Enum()}
}
