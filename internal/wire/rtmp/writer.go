package rtmp

import (
	"encoding/binary"
	"fmt"
	"io"
)

// WriteChunkSize is the chunk size Writers are set to in practice: it costs
// one byte in 4096, and every server is known to take it.
const WriteChunkSize = 4096

// A Writer cuts messages into chunks (section 5.3). Each message goes out with
// one Write. After an error every call returns that error.
type Writer struct {
	w         io.Writer
	chunkSize int
	streams   [64]sentHeader // by chunk stream
	buf       []byte
	err       error
}

// A sentHeader is the header that the next one on its chunk stream builds on.
type sentHeader struct {
	used   bool
	length int
	typ    uint8
	stream uint32
	time   uint32
}

// NewWriter returns a Writer with the initial chunk size of 128 bytes.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, chunkSize: defaultChunkSize} }

// SetChunkSize tells the peer of chunks of n bytes from here on.
func (w *Writer) SetChunkSize(n int) error {
	if n < 1 || n > MaxChunkSize {
		panic(fmt.Sprintf("rtmp: chunk size %d", n))
	}
	err := w.WriteMessage(control(TypeSetChunkSize, uint32(n)))
	w.chunkSize = n
	return err
}

// WriteMessage writes a message on chunk stream 2 to 63. It reads the payload
// only until it returns.
func (w *Writer) WriteMessage(m Message) error {
	if w.err != nil {
		return w.err
	}
	if m.Chunk < 2 || m.Chunk > 63 {
		panic(fmt.Sprintf("rtmp: write on chunk stream %d", m.Chunk))
	}
	if len(m.Payload) > MaxChunkSize {
		return fmt.Errorf("message has %d bytes, limit %d", len(m.Payload), MaxChunkSize)
	}
	if cap(w.buf) > keepBuffer {
		w.buf = nil
	}
	w.buf = w.appendMessage(w.buf[:0], m)
	_, w.err = w.w.Write(w.buf)
	return w.err
}

// appendMessage appends a message's chunks. The first has a header of type 0
// when the chunk stream is new, the message stream changes or time goes back,
// else of the shortest of types 1 and 2 that tells what changed. A type 3
// header begins no message: receivers disagree what its timestamp is.
func (w *Writer) appendMessage(b []byte, m Message) []byte {
	last := &w.streams[m.Chunk]
	delta := m.Time - last.time
	format := uint8(0)
	field := m.Time
	if last.used && last.stream == m.Stream && int32(delta) >= 0 {
		format, field = 1, delta
		if last.typ == m.Type && last.length == len(m.Payload) {
			format = 2
		}
	}
	*last = sentHeader{used: true, length: len(m.Payload), typ: m.Type, stream: m.Stream, time: m.Time}

	b = append(b, format<<6|uint8(m.Chunk))
	b = appendUint24(b, min(field, extended))
	if format <= 1 {
		b = appendUint24(b, uint32(len(m.Payload)))
		b = append(b, m.Type)
	}
	if format == 0 {
		b = binary.LittleEndian.AppendUint32(b, m.Stream)
	}
	if field >= extended {
		b = binary.BigEndian.AppendUint32(b, field)
	}
	payload := m.Payload
	for {
		n := min(len(payload), w.chunkSize)
		b = append(b, payload[:n]...)
		if payload = payload[n:]; len(payload) == 0 {
			return b
		}
		b = append(b, 3<<6|uint8(m.Chunk))
		if field >= extended {
			b = binary.BigEndian.AppendUint32(b, field)
		}
	}
}

func appendUint24(b []byte, v uint32) []byte {
	return append(b, uint8(v>>16), uint8(v>>8), uint8(v))
}
