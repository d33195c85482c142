package turn

import (
	"sync/atomic"

	"github.com/pion/stun/v4"
)

// Stats says what a Server does now and has done since New.
type Stats struct {
	Allocations int // now
	Attendees   int // with an allocation, now
	Waiting     int // connections without allocation, now

	Made    int64 // allocations
	Expired int64 // allocations that nobody refreshed

	UpPackets, UpBytes     int64 // relayed from clients
	DownPackets, DownBytes int64 // relayed to clients

	// Refused requests, by what they were told.
	Unauthorized int64 // 401, most of them a client's first request
	Forbidden    int64 // 403: a peer that is not ours
	Quota        int64 // 486 and 508: too many allocations
	RefusedElse  int64

	WrongKey   int64            // among the unauthorized: did not know the password
	Unanswered int64            // strangers' requests in too quick succession
	Dropped    map[string]int64 // messages and data, by reason
}

type counters struct {
	made, expired                            atomic.Int64
	upPackets, upBytes                       atomic.Int64
	downPackets, downBytes                   atomic.Int64
	unauthorized, forbidden, quota, elsewise atomic.Int64
	wrongKey, unanswered                     atomic.Int64

	malformed, noAllocation, noChannel, noPermission atomic.Int64
	tooLong, upLimit, downLimit, slowClient          atomic.Int64
	refusedConnections                               atomic.Int64
}

func (c *counters) refused(code stun.ErrorCode) {
	switch code {
	case stun.CodeUnauthorized:
		c.unauthorized.Add(1)
	case stun.CodeForbidden:
		c.forbidden.Add(1)
	case stun.CodeAllocQuotaReached, stun.CodeInsufficientCapacity:
		c.quota.Add(1)
	default:
		c.elsewise.Add(1)
	}
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	allocations, attendees, waiting := len(s.allocations), len(s.attendees), s.waitingAll
	s.mu.Unlock()
	c := &s.counters
	return Stats{
		Allocations: allocations, Attendees: attendees, Waiting: waiting,
		Made: c.made.Load(), Expired: c.expired.Load(),
		UpPackets: c.upPackets.Load(), UpBytes: c.upBytes.Load(),
		DownPackets: c.downPackets.Load(), DownBytes: c.downBytes.Load(),
		Unauthorized: c.unauthorized.Load(), Forbidden: c.forbidden.Load(),
		Quota: c.quota.Load(), RefusedElse: c.elsewise.Load(),
		WrongKey: c.wrongKey.Load(), Unanswered: c.unanswered.Load(),
		Dropped: map[string]int64{
			"malformed":     c.malformed.Load(),
			"no allocation": c.noAllocation.Load(),
			"no channel":    c.noChannel.Load(),
			"no permission": c.noPermission.Load(),
			"too long":      c.tooLong.Load(),
			"uplink":        c.upLimit.Load(),
			"downlink":      c.downLimit.Load(),
			"slow client":   c.slowClient.Load(),
			"connection":    c.refusedConnections.Load(),
		},
	}
}
