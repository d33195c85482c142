package rtc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

const (
	audioQueue = 50   // packets: one second
	videoQueue = 2048 // packets: a burst of key frames from all publishers one can watch

	// maxDatagram holds a packet of sfu.MaxPayload with header and tag.
	maxDatagram = 1600

	// maxRTCP keeps a compound packet below any path's MTU.
	maxRTCP = 1100
)

// ErrQueueFull says that the client does not take packets as fast as they
// come.
var ErrQueueFull = errors.New("send queue is full")

// An outgoing is what goes to the client. Two queues feed one write loop;
// audio goes first. When one is full its packets are dropped, the sender never
// waits.
type outgoing struct {
	audio, video chan sfu.Outgoing // never closed

	audioSSRC uint32 // fixed by init
	audioType atomic.Uint32
	opened    atomic.Bool // the connection is up
	closed    atomic.Bool

	audioDropped, writeFailed atomic.Uint64

	mix struct {
		sync.Mutex      // guards what follows
		seq             uint16
		packets, octets uint32
		timestamp       uint32
		at              time.Time // of timestamp, on the server's clock
	}

	rtcp struct {
		sync.Mutex // guards what follows
		conn       net.Conn
		cipher     cipherPair
		buf        []byte
	}
	cipher cipherPair // touched by open, then by the write loop
}

func (o *outgoing) init() {
	o.audio = make(chan sfu.Outgoing, audioQueue)
	o.video = make(chan sfu.Outgoing, videoQueue)
	o.audioSSRC = randomUint32()
	o.audioType.Store(noType)
	o.mix.seq = uint16(randomUint32())
}

// noType says that the client takes no audio.
const noType = 0xff

func (o *outgoing) open(conn net.Conn, c cipherPair) {
	o.cipher = c
	o.rtcp.Lock()
	defer o.rtcp.Unlock()
	o.rtcp.conn, o.rtcp.cipher = conn, c
	o.opened.Store(true)
}

// shut drops what is queued and all that comes later.
func (o *outgoing) shut() {
	o.closed.Store(true)
	o.rtcp.Lock()
	o.rtcp.conn = nil
	o.rtcp.Unlock()
	for {
		select {
		case x := <-o.audio:
			x.Packet.Release()
		case x := <-o.video:
			x.Packet.Release()
		default:
			return
		}
	}
}

// Send queues a packet of a subscriber. It is the peer's side of sfu.Sink.
func (o *outgoing) Send(x sfu.Outgoing) bool {
	if o.closed.Load() {
		return false
	}
	select {
	case o.video <- x:
		return true
	default:
		return false
	}
}

// WriteAudio sends a frame of the mix. It never blocks and keeps nothing of f.
func (p *Peer) WriteAudio(f AudioFrame) error {
	o := &p.out
	if o.closed.Load() {
		return ErrClosed
	}
	typ := o.audioType.Load()
	if typ == noType || !o.opened.Load() {
		return nil // the client has not asked for audio, or not arrived yet
	}
	pkt := sfu.NewPacket(f.Payload)
	if pkt == nil {
		return errors.New("audio frame is too long")
	}
	o.mix.Lock()
	defer o.mix.Unlock()
	x := sfu.Outgoing{
		Packet:    pkt,
		SSRC:      o.audioSSRC,
		Timestamp: f.Timestamp,
		Seq:       o.mix.seq,
		Type:      uint8(typ),
		Marker:    f.Marker,
	}
	select {
	case o.audio <- x:
	default:
		pkt.Release()
		o.audioDropped.Add(1)
		return ErrQueueFull
	}
	o.mix.seq++
	o.mix.packets++
	o.mix.octets += uint32(len(f.Payload))
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

// writeLoop encrypts and sends what is queued.
func (p *Peer) writeLoop(ctx context.Context, conn net.Conn) error {
	w := packetWriter{conn: conn, cipher: p.out.cipher}
	for {
		var x sfu.Outgoing
		select {
		case x = <-p.out.audio:
		default:
			select {
			case x = <-p.out.audio:
			case x = <-p.out.video:
			case <-ctx.Done():
				return nil
			}
		}
		if !w.write(x) {
			p.out.writeFailed.Add(1)
		}
	}
}

// A packetWriter writes packets without allocating.
type packetWriter struct {
	conn   net.Conn
	cipher cipherPair
	header rtp.Header
	plain  [maxDatagram]byte
	sealed [maxDatagram]byte
}

// write sends x and releases its packet.
func (w *packetWriter) write(x sfu.Outgoing) bool {
	plain := x.Append(w.plain[:0])
	x.Packet.Release()
	sealed, err := w.cipher.rtp.EncryptRTP(w.sealed[:0], plain, &w.header)
	if err != nil {
		return false
	}
	// The ICE library reports a full buffer or an unreachable network as a
	// short write without error.
	n, err := w.conn.Write(sealed)
	return err == nil && n == len(sealed)
}

// sendRTCP sends packets, in as many compounds as it takes. Before the
// connection is up and after its end it does nothing.
func (p *Peer) sendRTCP(packets ...rtcp.Packet) {
	for len(packets) > 0 {
		size, n := 0, 0
		for n < len(packets) && (n == 0 || size+packets[n].MarshalSize() <= maxRTCP) {
			size += packets[n].MarshalSize()
			n++
		}
		p.sendCompound(packets[:n])
		packets = packets[n:]
	}
}

func (p *Peer) sendCompound(packets []rtcp.Packet) {
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		return
	}
	o := &p.out.rtcp
	o.Lock()
	defer o.Unlock()
	if o.conn == nil {
		return
	}
	sealed, err := o.cipher.rtcp.EncryptRTCP(o.buf[:0], plain, nil)
	if err != nil {
		return
	}
	o.buf = sealed
	_, _ = o.conn.Write(sealed) // RTCP is repeated
}
