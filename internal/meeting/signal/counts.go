package signal

import "sync/atomic"

// Counts are what many sessions count together.
type Counts struct {
	framesIn, framesOut, bytesIn, bytesOut atomic.Int64
	garbage, floods, slow, silent          atomic.Int64
}

// Stats are the counts since the beginning.
type Stats struct {
	FramesIn, FramesOut int64
	BytesIn, BytesOut   int64 // of messages, without WebSocket's own bytes
	Garbage             int64 // messages that are no frame
	CutFlood            int64 // sessions that sent too much
	CutSlow             int64 // sessions that read too little
	CutSilent           int64 // sessions that were not heard any more
}

// Stats returns the counts.
func (c *Counts) Stats() Stats {
	return Stats{
		FramesIn: c.framesIn.Load(), FramesOut: c.framesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Garbage:  c.garbage.Load(),
		CutFlood: c.floods.Load(), CutSlow: c.slow.Load(), CutSilent: c.silent.Load(),
	}
}
