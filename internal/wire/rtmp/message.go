// Package rtmp reads and writes the Real Time Messaging Protocol (Adobe's RTMP
// Specification 1.0, December 2012): handshake, chunk stream, messages and
// AMF0 commands. It is handed an io.Reader and an io.Writer and holds nothing
// else: connections, deadlines and what a session may do are left to packages
// ingest (server) and rtmpsink (client).
package rtmp

import (
	"encoding/binary"
	"fmt"
)

// Types of messages (sections 5.4, 6.2 and 7.1).
const (
	TypeSetChunkSize     = 1
	TypeAbort            = 2
	TypeAcknowledgement  = 3
	TypeUserControl      = 4
	TypeWindowAckSize    = 5
	TypeSetPeerBandwidth = 6
	TypeAudio            = 8
	TypeVideo            = 9
	TypeDataAMF3         = 15
	TypeCommandAMF3      = 17
	TypeDataAMF0         = 18
	TypeCommandAMF0      = 20
	TypeAggregate        = 22
)

// Chunk streams we send on. Peers may use any.
const (
	chunkControl = 2 // section 5.4 asks for this one
	chunkCommand = 3
	ChunkAudio   = 4
	ChunkData    = 5
	ChunkVideo   = 6
)

// Events of user control messages (section 7.1.7).
const (
	EventStreamBegin  = 0
	EventStreamEOF    = 1
	EventPingRequest  = 6
	EventPingResponse = 7
)

// A Message is one message, put together from its chunks.
type Message struct {
	Type   uint8
	Chunk  uint32 // chunk stream it came or goes on
	Stream uint32 // message stream: 0 is the connection itself
	Time   uint32 // milliseconds, wraps
	// Payload of a message read belongs to the Reader: it is overwritten by
	// its next ReadMessage.
	Payload []byte
}

// Acknowledgement tells the peer how many bytes came so far (5.4.3).
func Acknowledgement(bytes uint32) Message { return control(TypeAcknowledgement, bytes) }

// WindowAckSize tells the peer to acknowledge after so many bytes (5.4.4).
func WindowAckSize(bytes uint32) Message { return control(TypeWindowAckSize, bytes) }

// SetPeerBandwidth asks the peer to have no more than so many bytes
// unacknowledged; the limit is of type dynamic (5.4.5).
func SetPeerBandwidth(bytes uint32) Message {
	const dynamic = 2
	m := control(TypeSetPeerBandwidth, bytes)
	m.Payload = append(m.Payload, dynamic)
	return m
}

// UserControl makes a user control message of one of the events above, whose
// value is a message stream or a time.
func UserControl(event uint16, value uint32) Message {
	b := binary.BigEndian.AppendUint16(nil, event)
	return Message{Type: TypeUserControl, Chunk: chunkControl, Payload: binary.BigEndian.AppendUint32(b, value)}
}

// ParseUserControl reads a user control message. Only the first four bytes of
// its data are looked at; events with less have value zero.
func ParseUserControl(m Message) (event uint16, value uint32, err error) {
	if len(m.Payload) < 2 {
		return 0, 0, fmt.Errorf("user control message has %d bytes, want 2 or more", len(m.Payload))
	}
	event = binary.BigEndian.Uint16(m.Payload)
	if len(m.Payload) >= 6 {
		value = binary.BigEndian.Uint32(m.Payload[2:])
	}
	return event, value, nil
}

// ParseUint32 reads the number of an acknowledgement, a window size or a
// bandwidth.
func ParseUint32(m Message) (uint32, error) {
	if len(m.Payload) < 4 {
		return 0, fmt.Errorf("message of type %d has %d bytes, want 4 or more", m.Type, len(m.Payload))
	}
	return binary.BigEndian.Uint32(m.Payload), nil
}

func control(typ uint8, value uint32) Message {
	return Message{Type: typ, Chunk: chunkControl, Payload: binary.BigEndian.AppendUint32(nil, value)}
}
