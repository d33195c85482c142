package rtmpsink

import (
	"sync"
	"time"

	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/rtmp"
)

// Bounds of a queue besides its delay.
const (
	maxItems = 4096
	maxBytes = 32 << 20
	// maxSpare is how many buffers wait for the next samples.
	maxSpare = 32
)

// An item is one sample, ready to be sent.
type item struct {
	video   bool
	key     bool
	dts     time.Duration
	payload []byte  // FLV body; the queue's or the popper's
	config  *config // that it was coded with
}

// A config is a decoder configuration as an FLV body. Two are the same if
// their pointers are.
type config struct{ payload []byte }

// A queue holds what the connection has not taken yet. When the oldest sample
// in it is older than the newest by more than maxDelay, everything up to the
// next key frame goes, sound included, so that the stream is late by no more
// and stays in step; without such a key frame everything goes, and video waits
// for one.
type queue struct {
	maxDelay time.Duration
	wake     chan struct{} // holds one token when there is something to pop
	askKey   func()        // never nil; called without the lock

	mu       sync.Mutex // guards what follows
	items    []item     // from head on
	head     int
	bytes    int
	spare    [][]byte
	open     bool // a connection takes what is pushed
	awaitKey bool // video is dropped until a key frame comes
	begun    bool // something was queued since the connection opened
	video    *config
	audio    *config
	stats    Stats
}

func newQueue(maxDelay time.Duration, askKey func()) *queue {
	if askKey == nil {
		askKey = func() {}
	}
	return &queue{maxDelay: maxDelay, wake: make(chan struct{}, 1), askKey: askKey}
}

// setVideo tells how the pictures that follow are coded.
func (q *queue) setVideo(c *config) {
	q.mu.Lock()
	first := q.open && q.video == nil
	q.awaitKey = q.awaitKey || first
	q.video = c
	q.mu.Unlock()
	if first {
		q.askKey()
	}
}

// setAudio tells how the sound that follows is coded.
func (q *queue) setAudio(c *config) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.audio = c
}

// start begins taking samples for a new connection and returns the configs
// that it begins with. With video, media begins at its next key frame.
func (q *queue) start() (video, audio *config) {
	q.mu.Lock()
	q.clear()
	q.open, q.begun, q.awaitKey = true, false, q.video != nil
	q.stats.Connections++
	video, audio = q.video, q.audio
	q.mu.Unlock()
	if video != nil {
		q.askKey()
	}
	return video, audio
}

// stop takes no more samples; what is queued can still be popped.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = false
}

func (q *queue) pushVideo(s Sample) {
	q.mu.Lock()
	ask := false
	switch {
	case !q.open || q.video == nil:
		q.stats.DroppedOffline++
	case q.awaitKey && !s.KeyFrame:
		q.stats.DroppedWaiting++
	default:
		q.awaitKey = false
		b := flv.AppendVideo(q.buffer(), flv.Video{
			KeyFrame: s.KeyFrame,
			Packet:   flv.Frame,
			// Both ends of the difference are rounded, so that the receiver's
			// sum is the PTS in milliseconds.
			Composition: s.PTS.Truncate(time.Millisecond) - s.DTS.Truncate(time.Millisecond),
			Data:        s.Data,
		})
		ask = q.push(item{video: true, key: s.KeyFrame, dts: s.DTS, payload: b, config: q.video})
	}
	q.mu.Unlock()
	if ask {
		q.askKey()
	}
}

func (q *queue) pushAudio(s Sample) {
	q.mu.Lock()
	ask := false
	switch {
	case !q.open || q.audio == nil:
		q.stats.DroppedOffline++
	case q.awaitKey && !q.begun:
		q.stats.DroppedWaiting++
	default:
		b := flv.AppendAudio(q.buffer(), flv.Audio{Packet: flv.Frame, Data: s.Data})
		ask = q.push(item{dts: s.DTS, payload: b, config: q.audio})
	}
	q.mu.Unlock()
	if ask {
		q.askKey()
	}
}

// push appends the item and makes room if it is one too many. It tells whether
// a key frame is needed.
func (q *queue) push(it item) (needKey bool) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		q.items = q.items[:copy(q.items, q.items[q.head:])]
		q.head = 0
	}
	q.items = append(q.items, it)
	q.bytes += len(it.payload)
	q.begun = true
	if q.delay() > q.maxDelay || len(q.items)-q.head > maxItems || q.bytes > maxBytes {
		needKey = q.overflow()
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return needKey
}

// overflow drops the oldest samples up to a key frame, or all of them.
func (q *queue) overflow() (needKey bool) {
	for i := q.head; i < len(q.items); i++ {
		if i > q.head && q.items[i].key {
			q.stats.DroppedOverflow += int64(i - q.head)
			for q.head < i {
				q.drop()
			}
			return false
		}
	}
	q.stats.DroppedOverflow += int64(len(q.items) - q.head)
	q.clear()
	q.awaitKey = q.video != nil
	return q.awaitKey
}

// pop takes the oldest item. Its payload is the caller's until the next pop,
// which is given it back in it.
func (q *queue) pop(it *item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.recycle(it.payload)
	it.payload = nil
	if q.head == len(q.items) {
		return false
	}
	*it = q.items[q.head]
	q.remove()
	return true
}

func (q *queue) drop() {
	q.recycle(q.items[q.head].payload)
	q.remove()
}

func (q *queue) remove() {
	q.bytes -= len(q.items[q.head].payload)
	q.items[q.head] = item{}
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

func (q *queue) clear() {
	for q.head < len(q.items) {
		q.drop()
	}
}

func (q *queue) buffer() []byte {
	n := len(q.spare)
	if n == 0 {
		return nil
	}
	b := q.spare[n-1]
	q.spare = q.spare[:n-1]
	return b
}

func (q *queue) recycle(b []byte) {
	if b != nil && len(q.spare) < maxSpare {
		q.spare = append(q.spare, b[:0])
	}
}

func (q *queue) delay() time.Duration {
	if q.head == len(q.items) {
		return 0
	}
	return q.items[len(q.items)-1].dts - q.items[q.head].dts
}

// sent counts an item that the connection took.
func (q *queue) sent(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.BytesSent += int64(len(it.payload))
	if it.video {
		q.stats.VideoSent++
	} else {
		q.stats.AudioSent++
	}
}

func (q *queue) snapshot() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.QueueDelay = q.delay()
	return s
}

// message makes the item's RTMP message.
func (it *item) message(stream uint32) rtmp.Message {
	return mediaMessage(it.video, stream, rtmp.Timestamp(it.dts), it.payload)
}

func mediaMessage(video bool, stream, at uint32, payload []byte) rtmp.Message {
	m := rtmp.Message{Type: rtmp.TypeAudio, Chunk: rtmp.ChunkAudio, Stream: stream, Time: at, Payload: payload}
	if video {
		m.Type, m.Chunk = rtmp.TypeVideo, rtmp.ChunkVideo
	}
	return m
}
