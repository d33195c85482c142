package rtc

import (
	"sync"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
)

// A camera is the video a client publishes.
type camera struct {
	peer *Peer

	mu        sync.Mutex // guards what follows
	on        bool
	publisher *sfu.Publisher // nil until the first packet
	offset    time.Duration
	offsetSet bool
}

// switchTo starts or ends a time of publishing.
func (c *camera) switchTo(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
	if on || c.publisher == nil {
		return
	}
	stopped := c.publisher
	c.publisher = nil
	stopped.Close()
	if c.peer.ev.VideoStopped != nil {
		c.peer.notes.post(func() { c.peer.ev.VideoStopped(stopped) })
	}
}

// current returns the publisher, or nil when there is none.
func (c *camera) current() *sfu.Publisher {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.publisher
}

// source returns the publisher for a packet that has come, a new one for the
// first packet, and nil while the camera is off.
func (c *camera) source() *sfu.Publisher {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on || c.publisher != nil {
		return c.publisher
	}
	started := sfu.NewPublisher(sfu.PublisherConfig{AskForKeyFrame: c.peer.askForKeyFrame})
	c.publisher = started
	if c.offsetSet {
		started.SetClockOffset(c.offset)
	}
	if c.peer.ev.VideoStarted != nil {
		c.peer.notes.post(func() { c.peer.ev.VideoStarted(started) })
	}
	return started
}

// SetClockOffset tells what to add to this client's NTP time to get the
// server's, so that its video is in step with its audio in the mix.
func (p *Peer) SetClockOffset(o time.Duration) {
	c := &p.video
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset, c.offsetSet = o, true
	if c.publisher != nil {
		c.publisher.SetClockOffset(o)
	}
}
