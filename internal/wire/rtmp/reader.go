package rtmp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Limits of what a Reader accepts.
const (
	MaxMessage      = 8 << 20   // bytes of a message, and of all unfinished ones together
	MaxChunkSize    = 1<<24 - 1 // larger sizes mean the same: no message is longer (5.4.1)
	MaxChunkStreams = 64        // chunk streams in use
)

const (
	defaultChunkSize = 128 // until a Set Chunk Size message (5.4.1)
	extended         = 0xffffff
	readBuffer       = 16 << 10
	// growStep bounds what is allocated ahead of the bytes that came.
	growStep = 64 << 10
	// keepBuffer is the most bytes a chunk stream keeps for its next message.
	keepBuffer = 256 << 10
)

// A Reader puts messages together from chunks (section 5.3). It obeys Set
// Chunk Size and Abort messages and returns all others. After an error every
// call returns that error.
type Reader struct {
	r         *bufio.Reader
	received  uint64
	chunkSize int
	limit     int
	streams   map[uint32]*chunkStream
	pending   int // bytes of unfinished messages
	scratch   [11]byte
	err       error
}

// A chunkStream is the state that its next chunk's header builds on.
type chunkStream struct {
	header  Message // but for its payload
	length  int
	delta   uint32
	ext     bool // the last timestamp field was 0xffffff
	field   uint32
	partial bool
	buf     []byte
}

// NewReader returns a Reader that accepts messages of up to MaxMessage bytes.
func NewReader(r io.Reader) *Reader {
	return &Reader{
		r:         bufio.NewReaderSize(r, readBuffer),
		chunkSize: defaultChunkSize,
		limit:     MaxMessage,
		streams:   map[uint32]*chunkStream{},
	}
}

// SetLimit changes how many bytes a message may have, at most MaxMessage. It
// holds for messages that begin later.
func (r *Reader) SetLimit(bytes int) { r.limit = min(bytes, MaxMessage) }

// Received returns how many bytes of chunks have been read.
func (r *Reader) Received() uint64 { return r.received }

// ReadMessage returns the next message that is whole.
func (r *Reader) ReadMessage() (Message, error) {
	for r.err == nil {
		c, err := r.readChunk()
		if err != nil {
			r.err = err
			break
		}
		if c.partial {
			continue
		}
		m := c.header
		m.Payload = c.buf
		switch m.Type {
		case TypeSetChunkSize:
			r.err = r.setChunkSize(m)
		case TypeAbort:
			r.err = r.abort(m)
		default:
			return m, nil
		}
	}
	return Message{}, r.err
}

// readChunk reads one chunk. The message of the chunk stream it returns is
// whole unless it says partial.
func (r *Reader) readChunk() (*chunkStream, error) {
	format, id, err := r.basicHeader()
	if err != nil {
		return nil, err
	}
	c := r.streams[id]
	if c == nil {
		// Type 1 comes first from some librtmp versions.
		if format > 1 {
			return nil, fmt.Errorf("chunk stream %d begins with a chunk of type %d", id, format)
		}
		if len(r.streams) >= MaxChunkStreams {
			return nil, fmt.Errorf("more than %d chunk streams", MaxChunkStreams)
		}
		c = &chunkStream{header: Message{Chunk: id}}
		r.streams[id] = c
	}
	if c.partial && format != 3 {
		return nil, fmt.Errorf("chunk of type %d in the middle of a message", format)
	}
	if err := r.messageHeader(c, format); err != nil {
		return nil, noEOF(err)
	}
	if !c.partial {
		if err := r.begin(c); err != nil {
			return nil, err
		}
	}
	n := min(c.length-len(c.buf), r.chunkSize)
	if r.pending += n; r.pending > MaxMessage {
		return nil, fmt.Errorf("unfinished messages have more than %d bytes", MaxMessage)
	}
	for n > 0 {
		step := min(n, growStep)
		have := len(c.buf)
		c.buf = slices.Grow(c.buf, step)[:have+step]
		if err := r.full(c.buf[have:]); err != nil {
			return nil, noEOF(err)
		}
		n -= step
	}
	if c.partial = len(c.buf) < c.length; !c.partial {
		r.pending -= c.length
	}
	return c, nil
}

// basicHeader reads the chunk type and chunk stream (5.3.1.1):
//
//	fmt 2, id 6          ids 2 to 63
//	fmt 2, 0, id-64 8    ids 64 to 319
//	fmt 2, 1, id-64 16   ids 64 to 65599, little-endian
//
// io.EOF means that the peer ended between two chunks.
func (r *Reader) basicHeader() (format uint8, id uint32, err error) {
	b := r.scratch[:]
	if err := r.full(b[:1]); err != nil {
		return 0, 0, err
	}
	format, id = b[0]>>6, uint32(b[0]&0x3f)
	switch id {
	case 0:
		err = r.full(b[:1])
		id = 64 + uint32(b[0])
	case 1:
		err = r.full(b[:2])
		id = 64 + uint32(binary.LittleEndian.Uint16(b))
	}
	return format, id, noEOF(err)
}

// messageHeader reads what a chunk of that type carries of the header
// (5.3.1.2), each with less than the one before:
//
//	type 0: timestamp 24, length 24, type 8, message stream 32 (little-endian)
//	type 1: timestamp delta 24, length 24, type 8
//	type 2: timestamp delta 24
//	type 3: nothing
//
// A timestamp of 0xffffff means that 32 bits of it follow.
func (r *Reader) messageHeader(c *chunkStream, format uint8) error {
	if format == 3 {
		return r.repeatedTimestamp(c)
	}
	b := r.scratch[:]
	size := [...]int{11, 7, 3}[format]
	if err := r.full(b[:size]); err != nil {
		return err
	}
	c.field = uint24(b[0:])
	if format <= 1 {
		c.length = int(uint24(b[3:]))
		c.header.Type = b[6]
	}
	if format == 0 {
		c.header.Stream = binary.LittleEndian.Uint32(b[7:])
		c.header.Time = 0 // what follows is absolute
	}
	if c.ext = c.field == extended; c.ext {
		if err := r.full(b[:4]); err != nil {
			return err
		}
		c.field = binary.BigEndian.Uint32(b)
	}
	c.delta = c.field
	return nil
}

// repeatedTimestamp takes the extended timestamp that type 3 chunks repeat
// (5.3.1.3). Old encoders leave it out, so it is taken only if it is the same.
func (r *Reader) repeatedTimestamp(c *chunkStream) error {
	if !c.ext {
		return nil
	}
	b, err := r.r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(b) == 4 && binary.BigEndian.Uint32(b) == c.field {
		n, err := r.r.Discard(4)
		r.received += uint64(n)
		return err
	}
	return nil
}

// begin starts the message whose header is complete. A message that begins
// with a type 3 chunk has the last delta; after type 0 that is its timestamp
// (5.3.1.2.4).
func (r *Reader) begin(c *chunkStream) error {
	limit := r.limit
	if c.header.Type == TypeSetChunkSize || c.header.Type == TypeAbort {
		limit = 4
	}
	if c.length > limit {
		return fmt.Errorf("message of type %d says %d bytes, limit %d", c.header.Type, c.length, limit)
	}
	c.header.Time += c.delta
	if cap(c.buf) > keepBuffer {
		c.buf = nil
	}
	c.buf = c.buf[:0]
	return nil
}

func (r *Reader) setChunkSize(m Message) error {
	n, err := ParseUint32(m)
	if err != nil {
		return err
	}
	if n == 0 || n >= 1<<31 {
		return fmt.Errorf("chunk size %d is not of 1 to %d", n, uint32(1)<<31-1)
	}
	r.chunkSize = int(min(n, MaxChunkSize))
	return nil
}

func (r *Reader) abort(m Message) error {
	id, err := ParseUint32(m)
	if err != nil {
		return err
	}
	if c := r.streams[id]; c != nil && c.partial {
		r.pending -= len(c.buf)
		c.partial, c.buf = false, c.buf[:0]
	}
	return nil
}

func (r *Reader) full(b []byte) error {
	n, err := io.ReadFull(r.r, b)
	r.received += uint64(n)
	return err
}

// noEOF makes an end that comes in the middle of a chunk an error.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
