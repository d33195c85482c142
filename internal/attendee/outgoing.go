package attendee

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"belfry.live/belfry/internal/attendee/link"
	"belfry.live/belfry/internal/wire/red"
)

const (
	// maxPayload is the most bytes of media in a packet: what fits 1200 bytes
	// of datagram with its headers.
	maxPayload = 1140

	// historyLength is how many packets of video are kept to be sent again:
	// more than a second of 6 Mbit/s.
	historyLength = 1024

	// resendGap is how long the same packet is not sent again.
	resendGap = 10 * time.Millisecond

	noLevel = 255 // the loudness of a packet is not known
)

// An outgoing is one stream of RTP to the meeting: the audio, or a layer of the
// camera. Timestamps follow from the times of capture alone, so those of all
// streams are on one clock, which the sender reports say exactly.
type outgoing struct {
	// Fixed by newOutgoing.
	rate      int64
	epoch     time.Time
	base      uint32 // timestamp at epoch
	ssrc, rtx uint32

	mu        sync.Mutex // guards what follows
	to        *sending   // nil: nobody to send to
	payloader rtp.Payloader
	sequence  uint16
	repairs   uint16 // sequence of retransmissions
	packets   uint32 // since attach, for the sender reports
	octets    uint32
	packet    []byte      // scratch
	before    redundancy  // the last packet, for RED
	blocks    []red.Block // scratch, as is
	redundant []byte
	history   []sent // nil: nothing is sent again
}

// sending is what was agreed for a stream.
type sending struct {
	peer   *peer
	codec  Codec
	number byte // payload type
	repair byte // that of retransmissions, 0: none
	red    byte // that of redundant audio, 0: none
	exts   map[string]byte
	mid    string
	rid    string // of a simulcast layer, "" none
}

// A sent packet may be asked for again.
type sent struct {
	sequence  uint16
	timestamp uint32
	marker    bool
	again     time.Time // when it was sent again last
	payload   []byte
}

// A redundancy is an earlier packet that goes along with the next.
type redundancy struct {
	timestamp uint32
	payload   []byte
}

func newOutgoing(rate int64, epoch time.Time) *outgoing {
	return &outgoing{
		rate: rate, epoch: epoch, base: rand.Uint32(), sequence: uint16(rand.Uint32()), repairs: uint16(rand.Uint32()),
		ssrc: rand.Uint32() | 1, rtx: rand.Uint32() | 1, packet: make([]byte, 0, 1500),
	}
}

// attach lets frames flow.
func (o *outgoing) attach(to *sending) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.to
	o.to = to
	if before != nil && before.peer == to.peer && before.codec == to.codec {
		return // agreed anew
	}
	o.packets, o.octets = 0, 0
	o.before = redundancy{}
	o.history = nil
	switch to.codec {
	case VP8:
		o.payloader = &codecs.VP8Payloader{EnablePictureID: true}
	case H264:
		o.payloader = &codecs.H264Payloader{}
	case VP9:
		o.payloader = &codecs.VP9Payloader{}
	case AV1:
		o.payloader = &codecs.AV1Payloader{}
	default:
		o.payloader = nil
	}
	if o.payloader != nil {
		o.history = make([]sent, historyLength)
	}
}

func (o *outgoing) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to, o.history = nil, nil
}

// timestamp is that of a time, rounded to the nearest tick.
func (o *outgoing) timestamp(at time.Time) uint32 {
	d := at.Sub(o.epoch)
	ticks := int64(d/time.Second)*o.rate + (int64(d%time.Second)*o.rate+int64(time.Second)/2)/int64(time.Second)
	return o.base + uint32(ticks)
}

// send sends a frame that was captured at that time; level is its loudness in
// decibels below full scale, or noLevel.
func (o *outgoing) send(frame []byte, at time.Time, level uint8) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		return ErrNotConnected
	}
	ts := o.timestamp(at)
	if o.payloader == nil {
		return o.sendAudio(frame, ts, level)
	}
	parts := o.payloader.Payload(maxPayload, frame)
	for i, part := range parts {
		o.sequence++
		marker := i == len(parts)-1
		if o.history != nil {
			s := &o.history[o.sequence%historyLength]
			s.sequence, s.timestamp, s.marker, s.again = o.sequence, ts, marker, time.Time{}
			s.payload = append(s.payload[:0], part...)
		}
		o.header(o.to.number, o.sequence, ts, o.ssrc, marker, uriRID, noLevel)
		if err := o.write(part); err != nil {
			return err
		}
	}
	return nil
}

func (o *outgoing) sendAudio(payload []byte, ts uint32, level uint8) error {
	o.sequence++
	number := o.to.red
	if number == 0 {
		o.header(o.to.number, o.sequence, ts, o.ssrc, false, "", level)
		return o.write(payload)
	}
	// The packet before goes along, if it fits.
	o.header(number, o.sequence, ts, o.ssrc, false, "", level)
	blocks := o.blocks[:0]
	if ago := ts - o.before.timestamp; len(o.before.payload) > 0 && len(o.before.payload) <= red.MaxSize && ago <= red.MaxOffset {
		blocks = append(blocks, red.Block{Type: o.to.number, Offset: uint16(ago), Payload: o.before.payload})
	}
	o.blocks = append(blocks, red.Block{Type: o.to.number, Payload: payload})
	var err error
	if o.redundant, err = red.Append(o.redundant[:0], o.blocks); err != nil {
		return fmt.Errorf("send audio: %w", err)
	}
	o.before.timestamp, o.before.payload = ts, append(o.before.payload[:0], payload...)
	return o.write(o.redundant)
}

// write sends the packet whose header is in o.packet. One that is lost on the
// way out is as one that is lost later.
func (o *outgoing) write(payload []byte) error {
	o.packet = append(o.packet, payload...)
	if err := o.to.peer.link.WriteRTP(o.packet); errors.Is(err, link.ErrClosed) {
		return ErrNotConnected
	}
	o.packets++
	o.octets += uint32(len(payload))
	return nil
}

// header begins a packet in o.packet (RFC 3550 section 5.1, RFC 8285 section
// 4.2). rid is the URI under which the layer is named.
func (o *outgoing) header(number byte, sequence uint16, ts, ssrc uint32, marker bool, rid string, level uint8) {
	b := append(o.packet[:0], 0x90, number)
	if marker {
		b[1] |= 0x80
	}
	b = binary.BigEndian.AppendUint16(b, sequence)
	b = binary.BigEndian.AppendUint32(b, ts)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, 0xbe, 0xde, 0, 0)
	begin := len(b)
	exts := o.to.exts
	if id := exts[uriLevel]; id != 0 && level != noLevel {
		b = append(b, id<<4, min(level, 127)|0x80)
	}
	if id := exts[uriMID]; id != 0 {
		b = append(b, id<<4|byte(len(o.to.mid)-1))
		b = append(b, o.to.mid...)
	}
	if id := exts[rid]; id != 0 && o.to.rid != "" {
		b = append(b, id<<4|byte(len(o.to.rid)-1))
		b = append(b, o.to.rid...)
	}
	if id := exts[uriTransport]; id != 0 {
		b = append(b, id<<4|1)
		b = binary.BigEndian.AppendUint16(b, uint16(o.to.peer.transportSequence.Add(1)))
	}
	for (len(b)-begin)%4 != 0 {
		b = append(b, 0)
	}
	if words := (len(b) - begin) / 4; words == 0 {
		b = b[:begin-4]
		b[0] &^= 0x10
	} else {
		binary.BigEndian.PutUint16(b[begin-2:], uint16(words))
	}
	o.packet = b
}

// resend sends packets again that the other side misses, in their own stream if
// that was agreed (RFC 4588).
func (o *outgoing) resend(missing []uint16, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil || o.history == nil {
		return
	}
	for _, sequence := range missing {
		s := &o.history[sequence%historyLength]
		if s.sequence != sequence || s.payload == nil || now.Sub(s.again) < resendGap {
			continue
		}
		s.again = now
		if o.to.repair == 0 {
			o.header(o.to.number, s.sequence, s.timestamp, o.ssrc, s.marker, uriRID, noLevel)
		} else {
			o.repairs++
			o.header(o.to.repair, o.repairs, s.timestamp, o.rtx, s.marker, uriRepaired, noLevel)
			o.packet = binary.BigEndian.AppendUint16(o.packet, s.sequence)
		}
		// A connection that is lost shows elsewhere.
		_ = o.to.peer.link.WriteRTP(append(o.packet, s.payload...))
	}
}

// report is the sender report for that time; nil if nothing was sent.
func (o *outgoing) report(now time.Time) *rtcp.SenderReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil || o.packets == 0 {
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
