package attendee

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// maxPayload is the most bytes of media in a packet: what fits 1200 bytes of
// datagram with its headers.
const maxPayload = 1160

// An outgoing is one stream of RTP to the meeting. Timestamps follow from the
// times of capture alone, so those of audio and video are on one clock, which
// the sender reports say exactly.
type outgoing struct {
	// Fixed by newOutgoing.
	rate  int64
	epoch time.Time
	base  uint32 // timestamp at epoch

	mu        sync.Mutex                  // guards what follows
	track     *webrtc.TrackLocalStaticRTP // nil: nobody to send to
	ssrc      uint32
	payloader rtp.Payloader // nil: a frame is a payload
	sequence  uint16
	packets   uint32 // since attach, for the sender reports
	octets    uint32
}

func newOutgoing(rate int64, epoch time.Time) *outgoing {
	return &outgoing{rate: rate, epoch: epoch, base: rand.Uint32(), sequence: uint16(rand.Uint32())}
}

// attach lets frames flow to a track.
func (o *outgoing) attach(track *webrtc.TrackLocalStaticRTP, ssrc uint32, codec Codec) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.track, o.ssrc = track, ssrc
	o.packets, o.octets = 0, 0
	switch codec {
	case VP8:
		o.payloader = &codecs.VP8Payloader{EnablePictureID: true}
	case H264:
		o.payloader = &codecs.H264Payloader{}
	default:
		o.payloader = nil
	}
}

func (o *outgoing) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.track = nil
}

// timestamp is that of a time, rounded to the nearest tick.
func (o *outgoing) timestamp(at time.Time) uint32 {
	d := at.Sub(o.epoch)
	ticks := int64(d/time.Second)*o.rate + (int64(d%time.Second)*o.rate+int64(time.Second)/2)/int64(time.Second)
	return o.base + uint32(ticks)
}

func (o *outgoing) send(frame []byte, at time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.track == nil {
		return ErrNotConnected
	}
	parts := [][]byte{frame}
	if o.payloader != nil {
		parts = o.payloader.Payload(maxPayload, frame)
	}
	ts := o.timestamp(at)
	for i, part := range parts {
		o.sequence++
		p := &rtp.Packet{
			Header: rtp.Header{
				Version: 2, SequenceNumber: o.sequence, Timestamp: ts,
				Marker: o.payloader != nil && i == len(parts)-1,
			},
			Payload: part,
		}
		if err := o.track.WriteRTP(p); err != nil {
			return err
		}
		o.packets++
		o.octets += uint32(len(part))
	}
	return nil
}

// report is the sender report for that time; nil if nothing was sent.
func (o *outgoing) report(now time.Time) *rtcp.SenderReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.track == nil || o.packets == 0 {
		return nil
	}
	return &rtcp.SenderReport{
		SSRC: o.ssrc, NTPTime: toNTP(now), RTPTime: o.timestamp(now),
		PacketCount: o.packets, OctetCount: o.octets,
	}
}

// ntpEpoch is 1900 in seconds before 1970 (RFC 5905 section 6).
const ntpEpoch = 2208988800

// toNTP gives seconds since 1900, with 32 bits of fraction.
func toNTP(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// fromNTP takes seconds that would be before 1970 for those after 2036, when
// their 32 bits begin anew.
func fromNTP(n uint64) time.Time {
	seconds := int64(n >> 32)
	if seconds < ntpEpoch {
		seconds += 1 << 32
	}
	return time.Unix(seconds-ntpEpoch, int64(n&0xffffffff*uint64(time.Second)>>32))
}
