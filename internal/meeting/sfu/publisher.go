// Package sfu forwards published video: RTP packets of one publisher come in,
// every subscriber gets them out as one unbroken stream of its own that starts
// at a key frame. What is lost on the way out is sent again from one cache per
// publisher. Sockets, encryption and SDP are left to package rtc.
package sfu

// A Codec names a video codec.
type Codec uint8

// The codecs that are forwarded.
const (
	NoCodec Codec = iota
	VP8
	H264
)

// A Publisher is one published video source, from the moment its camera was
// switched on until it is switched off.
type Publisher struct{}

// Codec returns the codec of the newest packet.
func (p *Publisher) Codec() Codec { return NoCodec }

// RequestKeyFrame asks the publisher for a key frame, soon: requests are
// throttled.
func (p *Publisher) RequestKeyFrame() {}

// Stats are measured over about the last second.
type Stats struct {
	Bitrate       int // bit/s of RTP payload
	Width, Height int // 0: not known yet
	FrameRate     float64
}

// Stats returns the current measurements.
func (p *Publisher) Stats() Stats { return Stats{} }
