// Package flv reads and writes FLV tags and their audio and video bodies
// (Adobe Flash Video File Format Specification 10.1, Annex E). RTMP's media
// messages carry the same bodies. Only H.264 and AAC are understood; other
// codecs are named in the error.
package flv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A TagType is also the type of the RTMP message with the same body.
type TagType uint8

// The types of tags (E.4.1).
const (
	TypeAudio  TagType = 8
	TypeVideo  TagType = 9
	TypeScript TagType = 18
)

// tagHeader is the bytes before a tag's body.
const tagHeader = 11

// MaxTag is the most bytes of a tag's body: its length has 24 bits.
const MaxTag = 1<<24 - 1

// ErrShort means that the bytes end before the tag does.
var ErrShort = errors.New("flv: tag ends too early")

// A Tag is one tag of a file, without the PreviousTagSize that follows it.
type Tag struct {
	Type TagType
	Time uint32 // milliseconds, wraps
	Data []byte
}

// ParseTag reads one tag and the PreviousTagSize after it from the front of
// b:
//
//	TagType 8, DataSize 24, Timestamp 24, TimestampExtended 8 (its upper bits)
//	StreamID 24 (0), Data, PreviousTagSize 32
//
// The tag's Data is a part of b: copy it to keep it. Aggregate RTMP messages
// are made of such tags; their last PreviousTagSize may be missing.
func ParseTag(b []byte) (t Tag, rest []byte, err error) {
	if len(b) < tagHeader {
		return Tag{}, nil, ErrShort
	}
	size := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	t.Type = TagType(b[0] & 0x1f)
	t.Time = uint32(b[7])<<24 | uint32(b[4])<<16 | uint32(b[5])<<8 | uint32(b[6])
	b = b[tagHeader:]
	if size > len(b) {
		return Tag{}, nil, ErrShort
	}
	t.Data, b = b[:size:size], b[size:]
	if len(b) < 4 {
		return t, nil, nil
	}
	return t, b[4:], nil
}

// Append appends the tag and its PreviousTagSize.
func (t Tag) Append(b []byte) []byte {
	n := len(t.Data)
	if n > MaxTag {
		panic("flv: tag is too long")
	}
	b = append(b, uint8(t.Type), uint8(n>>16), uint8(n>>8), uint8(n),
		uint8(t.Time>>16), uint8(t.Time>>8), uint8(t.Time), uint8(t.Time>>24), 0, 0, 0)
	b = append(b, t.Data...)
	return binary.BigEndian.AppendUint32(b, uint32(tagHeader+n))
}

// A PacketType says what a body carries.
type PacketType uint8

// The packet types of both AVC (E.4.3.1) and AAC (E.4.2.1) bodies.
const (
	SequenceHeader PacketType = 0 // avcC or AudioSpecificConfig
	Frame          PacketType = 1 // AVCC access unit or raw AAC frame
	EndOfSequence  PacketType = 2 // AVC only; no data
)

// A Video is the body of an H.264 video tag.
type Video struct {
	KeyFrame bool
	Packet   PacketType
	// Composition is PTS - DTS, in whole milliseconds of 24 signed bits.
	Composition time.Duration
	Data        []byte
}

const (
	codecAVC  = 7
	formatAAC = 10
)

// frameInfo is the FrameType of a video info or command frame.
const frameInfo = 5

// ErrIgnore marks a body that is well-formed and carries no media, like a
// video command frame: go on with the next.
var ErrIgnore = errors.New("flv: no media in this body")

// A CodecError names a codec that is not supported.
type CodecError struct {
	Kind  string // audio, video
	Codec string
}

func (e *CodecError) Error() string {
	return fmt.Sprintf("%s codec %s is not supported", e.Kind, e.Codec)
}

// ParseVideo reads a video body:
//
//	FrameType 4 (1 key frame, 2 other, 5 info), CodecID 4 (7)
//	AVCPacketType 8, CompositionTime 24 signed ms, Data
//
// The top bit of FrameType marks Enhanced RTMP, which names codecs by four
// letters. Data is a part of b.
func ParseVideo(b []byte) (Video, error) {
	if len(b) == 0 {
		return Video{}, ErrIgnore
	}
	if b[0]&0x80 != 0 {
		codec := "of Enhanced RTMP"
		if len(b) >= 5 {
			codec = fmt.Sprintf("%q of Enhanced RTMP", printable(b[1:5]))
		}
		return Video{}, &CodecError{"video", codec}
	}
	frame, codec := b[0]>>4, b[0]&0x0f
	if frame == frameInfo {
		return Video{}, ErrIgnore
	}
	if codec != codecAVC {
		return Video{}, &CodecError{"video", videoCodec(codec)}
	}
	if len(b) < 5 {
		return Video{}, ErrShort
	}
	v := Video{KeyFrame: frame == 1 || frame == 4, Packet: PacketType(b[1]), Data: b[5:]}
	if v.Packet > EndOfSequence {
		return Video{}, fmt.Errorf("flv: AVC packet type %d, want 0 to 2", b[1])
	}
	ms := int32(uint32(b[2])<<24|uint32(b[3])<<16|uint32(b[4])<<8) >> 8
	v.Composition = time.Duration(ms) * time.Millisecond
	return v, nil
}

// AppendVideo appends a video body.
func AppendVideo(b []byte, v Video) []byte {
	frame := uint8(2)
	if v.KeyFrame {
		frame = 1
	}
	ms := uint32(v.Composition / time.Millisecond)
	b = append(b, frame<<4|codecAVC, uint8(v.Packet), uint8(ms>>16), uint8(ms>>8), uint8(ms))
	return append(b, v.Data...)
}

// An Audio is the body of an AAC audio tag.
type Audio struct {
	Packet PacketType
	Data   []byte
}

// ParseAudio reads an audio body:
//
//	SoundFormat 4 (10), SoundRate 2, SoundSize 1, SoundType 1 (no meaning with AAC)
//	AACPacketType 8, Data
//
// Data is a part of b.
func ParseAudio(b []byte) (Audio, error) {
	if len(b) == 0 {
		return Audio{}, ErrIgnore
	}
	if format := b[0] >> 4; format != formatAAC {
		return Audio{}, &CodecError{"audio", audioFormat(format)}
	}
	if len(b) < 2 {
		return Audio{}, ErrShort
	}
	if b[1] > uint8(Frame) {
		return Audio{}, fmt.Errorf("flv: AAC packet type %d, want 0 or 1", b[1])
	}
	return Audio{Packet: PacketType(b[1]), Data: b[2:]}, nil
}

// AppendAudio appends an audio body.
func AppendAudio(b []byte, a Audio) []byte {
	// 44 kHz, 16 bit, stereo: what E.4.2.1 asks for whatever the AAC is.
	b = append(b, formatAAC<<4|0x0f, uint8(a.Packet))
	return append(b, a.Data...)
}

func videoCodec(id uint8) string {
	names := map[uint8]string{
		2: "Sorenson H.263", 3: "Screen video", 4: "VP6", 5: "VP6 with alpha",
		6: "Screen video 2", 8: "H.263", 9: "MPEG-4 part 2", 12: "HEVC", 13: "AV1",
	}
	if name, ok := names[id]; ok {
		return name
	}
	return fmt.Sprintf("number %d", id)
}

func audioFormat(id uint8) string {
	names := map[uint8]string{
		0: "PCM", 1: "ADPCM", 2: "MP3", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser",
		7: "G.711 A-law", 8: "G.711 mu-law", 9: "of Enhanced RTMP", 11: "Speex", 14: "MP3",
	}
	if name, ok := names[id]; ok {
		return name
	}
	return fmt.Sprintf("number %d", id)
}

func printable(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if out[i] = c; c < 0x20 || c > 0x7e {
			out[i] = '?'
		}
	}
	return string(out)
}
