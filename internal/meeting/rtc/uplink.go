package rtc

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

const (
	// uplinkRepeat is how often a limit is said again: what says it may be
	// lost.
	uplinkRepeat = time.Second

	// uplinkFreed is how often it is said that there is none any more.
	uplinkFreed = 3

	// uplinkUnlimited is said in place of no limit, for which REMB has no
	// word. No client sends that much.
	uplinkUnlimited = 1_000_000_000 // bit/s
)

// An uplinkLimit is how much the client may send of its camera.
type uplinkLimit struct {
	limit atomic.Int64 // bit/s, 0: none

	// Touched by feedback.
	said   int64
	saidAt time.Time
	freed  int // how often it is still to be said that there is no limit
}

// LimitUplink asks the client to send no more than so many bit/s, all streams
// together; 0 lifts the limit. In a meeting of two this is what the other can
// receive.
func (p *Peer) LimitUplink(bps int) { p.uplink.limit.Store(int64(max(bps, 0))) }

// due returns what is to be said now, or 0.
func (u *uplinkLimit) due(now time.Time) (bps int64) {
	limit := u.limit.Load()
	switch {
	case limit != u.said:
		u.freed = 0
		if limit == 0 {
			u.freed = uplinkFreed
		}
	case limit == 0 && u.freed == 0, now.Sub(u.saidAt) < uplinkRepeat:
		return 0
	}
	u.said, u.saidAt = limit, now
	if limit != 0 {
		return limit
	}
	u.freed--
	return uplinkUnlimited
}

// sendUplinkLimit sends what is due (draft-alvestrand-rmcat-remb, section 2.2).
func (p *Peer) sendUplinkLimit(now time.Time) {
	bps := p.uplink.due(now)
	if bps == 0 {
		return
	}
	p.sendRTCP(&rtcp.ReceiverEstimatedMaximumBitrate{
		SenderSSRC: p.out.audioSSRC,
		Bitrate:    float32(bps),
		SSRCs:      p.video.ssrcs(nil),
	})
}
