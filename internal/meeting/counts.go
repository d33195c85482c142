package meeting

import "sync/atomic"

// counts are what the service counts from its beginning.
type counts struct {
	joins, rejoins, replaced, drops, promotions atomic.Int64
	relayed, unreached                          atomic.Int64

	messages, messagesDelivered, messagesReplayed       atomic.Int64
	messagesThrottled, messagesFlooded, messagesRefused atomic.Int64

	events, eventsRefused atomic.Int64

	refusals [refusals]atomic.Int64
}

// A refusal is a reason for which somebody was not let in.
type refusal int

const (
	refusedToken refusal = iota
	refusedEnded
	refusedForbidden
	refusedFull
	refusedBusy
	refusedConnections
	refusedOther
	refusals
)

var refusalNames = [refusals]string{
	refusedToken:       "token",
	refusedEnded:       "ended",
	refusedForbidden:   "forbidden",
	refusedFull:        "full",
	refusedBusy:        "busy",
	refusedConnections: "connections",
	refusedOther:       "other",
}

// refuse counts one that could not join.
func (c *counts) refuse(status uint32) {
	why := refusedOther
	switch status {
	case statusForbidden:
		why = refusedForbidden
	case statusFull:
		why = refusedFull
	case statusUnavailable:
		why = refusedBusy
	}
	c.refusals[why].Add(1)
}
