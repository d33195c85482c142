package rtc

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtp"
)

const (
	audioQueue = 50   // packets: one second
	againQueue = 512  // packets: what a client may have lost in a burst
	videoQueue = 2048 // packets: a burst of key frames from all publishers one can watch

	// maxTag is what the longest cipher adds.
	maxTag = 16

	// maxRTCP keeps a compound packet below any path's MTU.
	maxRTCP = 1100
)

// ErrQueueFull says that the client does not take packets as fast as they
// come.
var ErrQueueFull = errors.New("send queue is full")

// A link is what an outgoing needs of the port.
type link interface {
	Wake()                // there is something to send
	Write(b []byte) error // at once
}

// An outgoing is what goes to the client. When a queue is full its packets are
// dropped, who sends never waits.
type outgoing struct {
	audioSSRC uint32 // fixed by init
	audioType atomic.Uint32
	opened    atomic.Bool // the connection is up
	closed    atomic.Bool

	audioDropped, writeFailed atomic.Uint64

	mu                  sync.Mutex // guards what follows
	link                link       // nil before the connection is up
	audio, again, video queue

	mix struct {
		sync.Mutex      // guards what follows; taken before mu
		seq             uint16
		packets, octets uint32
		timestamp       uint32
		at              time.Time // of timestamp, on the server's clock
	}
	redundancy redundancy // its memory is guarded by mix

	rtcp struct {
		sync.Mutex // guards what follows
		link       link
		cipher     cipherPair
		buf        []byte
	}

	// Touched by open, then by fill.
	cipher cipherPair
	header rtp.Header
}

func (o *outgoing) init() {
	o.audio.limit, o.again.limit, o.video.limit = audioQueue, againQueue, videoQueue
	o.audioSSRC = randomUint32()
	o.audioType.Store(noType)
	o.redundancy.payloadType.Store(noType)
	o.mix.seq = uint16(randomUint32())
}

// noType says that the client takes no audio.
const noType = 0xff

func (o *outgoing) open(l link, c cipherPair) {
	o.rtcp.Lock()
	o.rtcp.link, o.rtcp.cipher = l, c
	o.rtcp.Unlock()
	o.mu.Lock()
	o.cipher, o.link = c, l
	o.mu.Unlock()
	o.opened.Store(true)
}

// shut drops what is queued and all that comes later.
func (o *outgoing) shut() {
	o.closed.Store(true)
	o.rtcp.Lock()
	o.rtcp.link = nil
	o.rtcp.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, q := range []*queue{&o.audio, &o.again, &o.video} {
		q.limit = 0
		q.empty()
	}
}

// bound sets how many packets may wait: a longer queue than the client's
// connection empties in time would only make everything late.
func (o *outgoing) bound(video, again int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.video.limit = min(video, videoQueue)
	o.again.limit = min(again, againQueue)
}

// Send queues a packet of a subscriber. It is the peer's side of sfu.Sink.
func (o *outgoing) Send(x sfu.Outgoing) bool {
	if x.Again {
		return o.put(&o.again, x)
	}
	return o.put(&o.video, x)
}

func (o *outgoing) put(q *queue, x sfu.Outgoing) bool {
	o.mu.Lock()
	ok := q.push(x)
	l := o.link
	o.mu.Unlock()
	if ok && l != nil {
		l.Wake()
	}
	return ok
}

// WriteAudio sends a frame of the mix. It never blocks and keeps nothing of f
// but its packet, which it retains.
func (p *Peer) WriteAudio(f AudioFrame) error {
	o := &p.out
	if o.closed.Load() {
		return ErrClosed
	}
	typ := o.audioType.Load()
	if typ == noType || !o.opened.Load() {
		return nil // the client has not asked for audio, or not arrived yet
	}
	o.mix.Lock()
	defer o.mix.Unlock()
	payload, payloadType := o.redundancy.add(f.Payload, f.Timestamp, uint8(typ))
	pkt := f.Packet
	if pkt != nil && payloadType == uint8(typ) {
		pkt.Retain()
	} else if pkt = sfu.NewPacket(payload); pkt == nil {
		return errors.New("audio frame is too long")
	}
	x := sfu.Outgoing{
		Packet:    pkt,
		SSRC:      o.audioSSRC,
		Timestamp: f.Timestamp,
		Seq:       o.mix.seq,
		Type:      payloadType,
		Marker:    f.Marker,
	}
	if !o.put(&o.audio, x) {
		pkt.Release()
		o.audioDropped.Add(1)
		return ErrQueueFull
	}
	o.mix.seq++
	o.mix.packets++
	o.mix.octets += uint32(len(payload))
	o.mix.timestamp, o.mix.at = f.Timestamp, f.Time
	return nil
}

// mixReport returns what a sender report of the mix says at a time.
func (o *outgoing) mixReport(now time.Time) (sfu.Report, bool) {
	o.mix.Lock()
	defer o.mix.Unlock()
	if o.mix.packets == 0 {
		return sfu.Report{}, false
	}
	since := now.Sub(o.mix.at)
	return sfu.Report{
		SSRC:      o.audioSSRC,
		ClockRate: 48000,
		Timestamp: o.mix.timestamp + uint32(int64(since)*48/int64(time.Millisecond)),
		Packets:   o.mix.packets,
		Octets:    o.mix.octets,
	}, true
}
