package liveconnector

import (
	"sync"
	"sync/atomic"
	"time"

	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/media/jitter"
)

const (
	videoRate = 90000 // Hz, RTP clock of all video here

	// videoWait is how long a missing video packet may be on its way: a
	// retransmission must still leave time to decode.
	videoWait = 120 * time.Millisecond
	// decodeLead is how long before its turn a frame goes to the decoder.
	decodeLead = 2 * frameTime
	// keyEvery is how often a key frame is asked for while one is missing.
	keyEvery = 400 * time.Millisecond

	// Frames that wait are dropped up to a key frame when the decoder is this
	// far behind, and all of them beyond these limits.
	maxBacklog      = time.Second
	maxPending      = 256
	maxPendingBytes = 8 << 20
	maxReady        = 8 // decoded pictures

	// insane is how far a sender report may put a frame from where its
	// arrival does before it counts as wrong.
	insane = 3 * time.Second
)

// A SourceConfig says what a video is.
type SourceConfig struct {
	Codec      av.Codec
	Screen     bool   // shared content, to be read: it is shown large
	RequestKey func() // asks its publisher for a key frame; it must not wait
}

// A Source is one video of the meeting on its way to its tile: packets are put
// in order and into frames, frames wait until shortly before their turn and are
// decoded in a goroutine of their own, pictures wait for their turn. Its methods
// may be called from any goroutine.
type Source struct {
	// Fixed by newSource.
	key        string // of its tile
	screen     bool
	codec      av.Codec
	requestKey func()
	sound      *sound // knows where server time is on the output
	clock      *outputClock
	counts     *counts

	work     chan frame    // to the decoding goroutine; closed by Close
	finished chan struct{} // closed when that has ended
	damaged  atomic.Bool   // it could not decode a frame

	mu      sync.Mutex // guards what follows
	closed  bool
	buffer  *jitter.Buffer
	frames  *assembler
	waiting bool      // for a key frame
	asked   time.Time // for one, last
	pending []frame   // whole, not yet decoded
	bytes   int       // of pending
	ready   []picture // decoded, in order
	way     window    // least of a frame's arrival minus its media time
	report  senderReport
}

// A picture is a decoded frame that waits for its turn.
type picture struct {
	*av.Picture
	stamp int64
}

// A senderReport ties an RTP timestamp to the server's clock.
type senderReport struct {
	known     bool
	ntp       time.Time
	timestamp uint32
	stamp     int64 // the timestamp unwrapped, once there was a packet
}

func newSource(key string, cfg SourceConfig, e *Engine) *Source {
	return &Source{
		key: key, screen: cfg.Screen, codec: cfg.Codec, requestKey: cfg.RequestKey,
		sound: e.sound, clock: e.clock, counts: &e.counts,
		work:     make(chan frame, 4),
		finished: make(chan struct{}),
		buffer:   jitter.New(jitter.Config{ClockRate: videoRate, Capacity: 1024, Prompt: true, MaxDelay: videoWait}),
		frames:   newAssembler(cfg.Codec),
		waiting:  true,
		way:      window{span: 5 * time.Second},
	}
}

// Push takes an RTP packet in, in whatever order they come. The payload is
// copied.
func (s *Source) Push(p jitter.Packet) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.buffer.Push(p)
	ask := s.drain(p.Arrival)
	s.mu.Unlock()
	if ask {
		s.requestKey()
	}
}

// SenderReport takes from an RTCP sender report which server time belongs to
// which RTP timestamp.
func (s *Source) SenderReport(ntp time.Time, timestamp uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report = senderReport{known: true, ntp: ntp, timestamp: timestamp}
	if s.frames.begun {
		s.report.stamp = unwrap(s.frames.stamp, timestamp)
	}
}

// Close takes the video out of the picture.
func (s *Source) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.work)
	for _, p := range s.ready {
		p.Release()
	}
	s.ready, s.pending = nil, nil
	s.mu.Unlock()
}

// isOpen says whether Close has not been called.
func (s *Source) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed
}

// over says whether nothing of the source runs any more.
func (s *Source) over() bool {
	select {
	case <-s.finished:
		return true
	default:
		return false
	}
}

// drain takes what the buffer gives and says whether to ask for a key frame.
func (s *Source) drain(now time.Time) bool {
	for {
		p, ok := s.buffer.Pop(now)
		if !ok {
			break
		}
		s.counts.videoLost.Add(uint64(p.Lost))
		first := !s.frames.begun
		f, ok := s.frames.push(p)
		if first && s.frames.begun && s.report.known {
			s.report.stamp = unwrap(s.frames.stamp, s.report.timestamp)
		}
		if s.frames.broken {
			s.waiting = true
		}
		if !ok {
			continue
		}
		s.way.add(f.arrival, s.clock.now(f.arrival)-videoTime(f.stamp))
		if s.waiting && !f.key {
			continue
		}
		s.waiting = false
		if len(s.pending) >= maxPending || s.bytes+len(f.data) > maxPendingBytes {
			s.counts.videoDropped.Add(uint64(len(s.pending) + 1))
			s.pending, s.bytes = s.pending[:0], 0
			s.waiting = true
			continue
		}
		s.pending = append(s.pending, f)
		s.bytes += len(f.data)
	}
	if s.damaged.Swap(false) {
		// What follows refers to what could not be decoded.
		s.dropToKey(0)
	}
	if !s.waiting || now.Sub(s.asked) < keyEvery {
		return false
	}
	s.asked = now
	return true
}

// dropToKey drops pending frames: the first n, and then those before the next
// key frame.
func (s *Source) dropToKey(n int) {
	to := n
	for to < len(s.pending) && !s.pending[to].key {
		to++
	}
	for _, f := range s.pending[:to] {
		s.bytes -= len(f.data)
	}
	s.counts.videoDropped.Add(uint64(to))
	s.pending = append(s.pending[:0], s.pending[to:]...)
	if len(s.pending) == 0 {
		s.waiting = true
	}
}

// next gives the picture to be shown at output time t, or nil when it is still
// the one before, and sends the frames that come soon after to the decoder.
func (s *Source) next(now time.Time, t time.Duration) *av.Picture {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	ask := s.drain(now)
	if s.overdue(now, t) {
		s.dropToKey(1)
	}
	sent := 0
	for sent < len(s.pending) && s.showAt(s.pending[sent].stamp) <= t+decodeLead && s.send(s.pending[sent]) {
		s.bytes -= len(s.pending[sent].data)
		sent++
	}
	s.pending = append(s.pending[:0], s.pending[sent:]...)
	var show *av.Picture
	shown := 0
	for shown < len(s.ready) && s.showAt(s.ready[shown].stamp) <= t+frameTime/2 {
		if show != nil {
			show.Release()
		}
		show = s.ready[shown].Picture
		shown++
	}
	s.ready = append(s.ready[:0], s.ready[shown:]...)
	s.mu.Unlock()
	if ask {
		s.requestKey()
	}
	return show
}

// overdue says whether frames have waited so long that the decoder cannot be
// keeping up. That a frame came late is no reason to drop it: better late than
// never, and others of its video come as late.
func (s *Source) overdue(now time.Time, t time.Duration) bool {
	if len(s.pending) == 0 || s.showAt(s.pending[0].stamp) > t {
		return false
	}
	return now.Sub(s.pending[0].arrival) > s.sound.Delay()+maxBacklog
}

// send hands a frame to the decoder unless it has enough to do.
func (s *Source) send(f frame) bool {
	select {
	case s.work <- f:
		return true
	default:
		return false
	}
}

// showAt is the output time of an RTP timestamp: by sender reports where sound
// and video have them and they make sense, else by the time of arrival.
func (s *Source) showAt(stamp int64) time.Duration {
	media := videoTime(stamp)
	arrived := s.way.min() + media + s.sound.Delay()
	if !s.report.known {
		return arrived
	}
	reported, ok := s.sound.outputTime(s.report.ntp.Add(media - videoTime(s.report.stamp)))
	if d := reported - arrived; !ok || d > insane || d < -insane {
		return arrived
	}
	return reported
}

// decode turns frames into pictures until Close.
func (s *Source) decode() {
	defer close(s.finished)
	decoder, err := av.NewDecoder(s.codec)
	if err != nil {
		s.counts.decodeErrors.Add(1)
		for range s.work { // let the tile stay empty
		}
		return
	}
	defer decoder.Close()
	for f := range s.work {
		p, err := decoder.Decode(f.data, f.stamp)
		if err != nil {
			s.counts.decodeErrors.Add(1)
			s.damaged.Store(true)
		}
		if p != nil {
			s.keep(picture{p, p.PTS})
		}
	}
}

func (s *Source) keep(p picture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		p.Release()
		return
	}
	if len(s.ready) == maxReady {
		s.counts.videoDropped.Add(1)
		s.ready[0].Release()
		s.ready = append(s.ready[:0], s.ready[1:]...)
	}
	s.ready = append(s.ready, p)
}

// videoTime is an unwrapped timestamp as a duration.
func videoTime(stamp int64) time.Duration { return timeAt(stamp, videoRate) }
