package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/media/opus"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	stampSize  = 8 // bytes at the end of each video packet: when it was sent
	frameRate  = 30
	packetSize = 1100 // bytes of VP8 payload
	keyWeight  = 5    // a key frame is as long as so many others
)

// A layer is one encoding of the camera.
type layer struct {
	rid           string
	width, height int
	bitrate       int // bit/s
	track         *webrtc.TrackLocalStaticRTP
	wantKey       atomic.Bool

	// Touched by run alone.
	extensions []extension
	seq        uint16
	timestamp  uint32
	picture    uint16
	tl0        uint8
	buf        [1500]byte
}

// An extension tells which encoding a packet is of (RFC 8852).
type extension struct {
	id    uint8
	value []byte
}

// A camera sends made-up VP8, from low to high, and a tone.
type camera struct {
	layers []*layer
	audio  *webrtc.TrackLocalStaticRTP
}

var (
	vp8Format  = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
	opusFormat = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
)

// newCamera makes a camera; rids are the server's names of three layers.
func newCamera(simulcast bool, rids [3]string) *camera {
	c := &camera{layers: []*layer{{width: 1280, height: 720, bitrate: 1_500_000}}}
	if simulcast {
		c.layers = []*layer{
			{rid: rids[0], width: 320, height: 180, bitrate: 150_000},
			{rid: rids[1], width: 640, height: 360, bitrate: 500_000},
			{rid: rids[2], width: 1280, height: 720, bitrate: 1_500_000},
		}
	}
	return c
}

// add gives the connection its tracks. The answer must not be there yet.
func (c *camera) add(pc *webrtc.PeerConnection) (video *webrtc.RTPTransceiver, err error) {
	if c.audio, err = webrtc.NewTrackLocalStaticRTP(opusFormat, "microphone", "guest"); err != nil {
		return nil, err
	}
	if _, err = pc.AddTransceiverFromTrack(c.audio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv}); err != nil {
		return nil, err
	}
	for i, l := range c.layers {
		var options []func(*webrtc.TrackLocalStaticRTP)
		if len(c.layers) > 1 {
			options = append(options, webrtc.WithRTPStreamID(l.rid))
		}
		if l.track, err = webrtc.NewTrackLocalStaticRTP(vp8Format, "camera", "guest", options...); err != nil {
			return nil, err
		}
		if i == 0 {
			video, err = pc.AddTransceiverFromTrack(l.track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		} else {
			err = video.Sender().AddEncoding(l.track)
		}
		if err != nil {
			return nil, err
		}
	}
	return video, nil
}

// run sends until ctx ends.
func (c *camera) run(ctx context.Context, g *Guest, video *webrtc.RTPTransceiver) {
	sender := video.Sender()
	for _, l := range c.layers {
		l.wantKey.Store(true)
		if l.rid != "" {
			for _, e := range sender.GetParameters().HeaderExtensions {
				switch e.URI {
				case sdp.SDESMidURI:
					l.extensions = append(l.extensions, extension{uint8(e.ID), []byte(video.Mid())})
				case sdp.SDESRTPStreamIDURI:
					l.extensions = append(l.extensions, extension{uint8(e.ID), []byte(l.rid)})
				}
			}
		}
		g.tasks.Go(func() { l.listen(sender) })
	}
	g.tasks.Go(func() { c.speak(ctx) })
	tick := time.NewTicker(time.Second / frameRate)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, l := range c.layers {
				l.frame()
			}
		}
	}
}

// listen has key frames sent when the server asks.
func (l *layer) listen(sender *webrtc.RTPSender) {
	for {
		var list []rtcp.Packet
		var err error
		if l.rid == "" {
			list, _, err = sender.ReadRTCP()
		} else {
			list, _, err = sender.ReadSimulcastRTCP(l.rid)
		}
		if err != nil {
			return
		}
		for _, p := range list {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				l.wantKey.Store(true)
			}
		}
	}
}

// frame sends one picture. Only its headers are VP8 (RFC 7741, RFC 6386
// section 9.1): servers that forward look no further.
func (l *layer) frame() {
	size := l.bitrate / 8 / frameRate
	key := l.wantKey.Swap(false)
	if key {
		size *= keyWeight
	}
	l.timestamp += 90000 / frameRate
	l.picture = (l.picture + 1) & 0x7fff
	l.tl0++
	for sent := 0; sent < size; {
		n := min(packetSize, size-sent)
		h := rtp.Header{Version: 2, SequenceNumber: l.seq, Timestamp: l.timestamp, Marker: sent+n == size}
		l.seq++
		for _, e := range l.extensions {
			_ = h.SetExtension(e.id, e.value) // short enough
		}
		b := l.buf[:0]
		first := byte(0x80) // X
		if sent == 0 {
			first |= 0x10 // S, partition 0
		}
		b = append(b, first, 0xe0, byte(l.picture>>8)|0x80, byte(l.picture), l.tl0, 0x20) // I, L and T
		body := max(n, 10+stampSize)
		start := len(b)
		b = b[:start+body]
		if sent == 0 {
			b[start] = 0x10 | 1 // show_frame, and no key frame
			if key {
				b[start] &^= 1
				copy(b[start+3:], []byte{0x9d, 0x01, 0x2a, byte(l.width), byte(l.width >> 8), byte(l.height), byte(l.height >> 8)})
			}
		}
		binary.BigEndian.PutUint64(b[len(b)-stampSize:], uint64(time.Now().UnixNano()))
		// An error means that the connection is over, or not up yet.
		_ = l.track.WriteRTP(&rtp.Packet{Header: h, Payload: b})
		sent += n
	}
}

// speak sends a tone in Opus.
func (c *camera) speak(ctx context.Context) {
	const samples = 960
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 32000})
	if err != nil {
		return
	}
	defer e.Close()
	pcm, packet := make([]float32, samples), make([]byte, 1276)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for j := range pcm {
			pcm[j] = float32(0.2 * math.Sin(2*math.Pi*440*float64(i*samples+j)/48000))
		}
		n, err := e.Encode(pcm, packet)
		if err != nil {
			return
		}
		err = c.audio.WriteRTP(&rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * samples},
			Payload: packet[:n],
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			return
		}
	}
}
