package bwe

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
)

// A link is a bottleneck between a controller and a client, in simulated time:
// a queue of limited length, a capacity, loss, jitter, others' traffic.
type link struct {
	capacity func(at time.Duration) float64 // bit/s
	others   func(at time.Duration) float64 // bit/s that others send through it
	loss     float64
	jitter   time.Duration // each packet is up to so much later
	ordered  bool          // jitter does not reorder
	rtt      time.Duration
	depth    time.Duration                        // of the queue, at the capacity of the moment
	detour   func(at time.Duration) time.Duration // what the way is longer by

	backlog  float64 // bytes
	drained  time.Duration
	lastAt   time.Duration
	random   *rand.Rand
	deepest  time.Duration // queueing delay
	overflow int
}

// push takes a packet and returns when it arrives.
func (l *link) push(at time.Duration, size int) (arrives time.Duration, ok bool) {
	l.drain(at)
	rate := l.capacity(at) / 8
	waits := time.Duration(l.backlog / rate * float64(time.Second))
	if waits > l.depth {
		l.overflow++
		return 0, false
	}
	l.deepest = max(l.deepest, waits)
	l.backlog += float64(size)
	if l.random.Float64() < l.loss {
		return 0, false
	}
	arrives = at + waits + time.Duration(float64(size)/rate*float64(time.Second)) + l.rtt/2
	if l.detour != nil {
		arrives += l.detour(at)
	}
	if l.jitter > 0 {
		arrives += time.Duration(l.random.Int64N(int64(l.jitter)))
	}
	if l.ordered {
		arrives = max(arrives, l.lastAt)
		l.lastAt = arrives
	}
	return arrives, true
}

func (l *link) drain(at time.Duration) {
	for l.drained < at {
		l.drained += time.Millisecond
		rate := l.capacity(l.drained) / 8
		if l.others != nil {
			rest := time.Duration(l.backlog / rate * float64(time.Second))
			if rest < l.depth {
				l.backlog += l.others(l.drained) / 8 / 1000
			}
		}
		l.backlog = max(l.backlog-rate/1000, 0)
	}
}

// A run is a controller that sends a picture in layers over a link to a client
// that gives feedback every 100 ms.
type run struct {
	t      testing.TB
	link   *link
	c      *Controller
	at     time.Duration
	layers []float64 // bit/s
	layer  int       // in use, -1: none
	wanted float64

	queue    []int // sizes
	queued   int
	oldest   []time.Duration
	waited   time.Duration // the longest wait in the queue
	arriving []arrival
	sentAt   map[uint16]time.Duration
	recorder *twcc.Recorder
	told     time.Duration
	replies  []reply
	frame    time.Duration
	frames   int

	received int // bytes of media and padding
	padding  int // bytes sent
	media    int
	late     time.Duration // the longest way of a packet
	deaf     bool          // no feedback arrives

	stall func(at time.Duration) time.Duration // how long the client stops now
	drain time.Duration                        // what the client takes to read a packet
	free  time.Duration                        // when it reads the next one
	drift float64                              // seconds per second that its clock is fast by
}

type arrival struct {
	at  time.Duration
	seq uint16
	n   int
}

type reply struct {
	at time.Duration
	b  []byte
}

var epoch = time.Unix(1_700_000_000, 0)

func newRun(t testing.TB, l *link) *run {
	if l.random == nil {
		l.random = rand.New(rand.NewPCG(7, 11))
	}
	if l.depth == 0 {
		l.depth = time.Second
	}
	return &run{
		t: t, link: l, c: New(Config{}, epoch), layer: -1,
		layers: []float64{150_000, 500_000, 1_500_000}, wanted: 1_700_000,
		recorder: twcc.NewRecorder(1), sentAt: map[uint16]time.Duration{},
	}
}

func steady(bps float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return bps }
}

func (r *run) now() time.Time { return epoch.Add(r.at) }

// to runs until a time, in steps of a millisecond.
func (r *run) to(end time.Duration, each func()) {
	for ; r.at < end; r.at += time.Millisecond {
		r.step()
		if each != nil {
			each()
		}
	}
}

func (r *run) step() {
	now := r.now()
	r.deliver()
	if r.at%(50*time.Millisecond) == 0 {
		r.c.SetRTT(r.link.rtt)
		r.c.SetWanted(int(r.wanted / (1 - r.c.Loss()*0.5)))
		r.c.Tick(now)
		r.choose()
	}
	if r.at >= r.frame {
		r.frame += time.Second / 30
		r.film()
	}
	if r.at%(20*time.Millisecond) == 0 {
		r.send(100)
	}
	for len(r.queue) > 0 && r.c.Allowed(Video, now) {
		r.waited = max(r.waited, r.at-r.oldest[0])
		n := r.queue[0]
		r.queue, r.oldest, r.queued = r.queue[1:], r.oldest[1:], r.queued-n
		r.media += n
		r.send(n)
	}
	if len(r.queue) == 0 {
		for {
			n, _ := r.c.Padding(now)
			if n == 0 {
				break
			}
			r.padding += 1200
			r.send(1200)
		}
	}
}

// choose takes the best layer that fits, as package allot does with more care.
func (r *run) choose() {
	budget := float64(r.c.Estimate(r.now())) * (1 - r.c.Loss()*0.5)
	r.layer = -1
	for i, bps := range r.layers {
		if bps <= budget {
			r.layer = i
		}
	}
}

// film queues a picture; every hundredth is a key frame.
func (r *run) film() {
	if room, _ := r.c.Room(); r.layer < 0 || r.queued > room {
		return
	}
	size := r.layers[r.layer] / 8 / 30
	if r.frames%100 == 0 {
		size *= 8
	}
	r.frames++
	for ; size > 0; size -= 1200 {
		n := int(max(min(size, 1200), 50))
		r.queue, r.oldest = append(r.queue, n), append(r.oldest, r.at)
		r.queued += n
	}
}

func (r *run) send(size int) {
	seq := r.c.Sent(Video, size, r.now())
	r.sentAt[seq] = r.at
	if at, ok := r.link.push(r.at, size+40); ok {
		r.arriving = append(r.arriving, arrival{at, seq, size})
	}
}

func (r *run) deliver() {
	if r.stall != nil {
		if d := r.stall(r.at); d > 0 {
			r.free = max(r.free, r.at+d)
		}
	}
	kept := r.arriving[:0]
	for _, a := range r.arriving {
		if r.stall != nil {
			a.at = max(a.at, r.free)
		}
		if a.at > r.at {
			kept = append(kept, a)
			continue
		}
		r.free = a.at + r.drain
		r.received += a.n
		r.late = max(r.late, a.at-r.sentAt[a.seq])
		r.recorder.Record(2, a.seq, int64(r.clock(a.at)/time.Microsecond))
		if r.stall != nil {
			r.tell() // of what it has read of all that came in meanwhile
		}
	}
	r.arriving = kept
	if r.stall == nil {
		r.tell()
	}
	for len(r.replies) > 0 && r.replies[0].at <= r.at {
		if !r.deaf {
			f, err := ParseFeedback(r.replies[0].b)
			if err != nil {
				r.t.Fatalf("%v: %x", err, r.replies[0].b)
			}
			r.c.Feedback(f, r.now())
		}
		r.replies = r.replies[1:]
	}
}

// tell sends feedback if it is time.
func (r *run) tell() {
	if r.at-r.told < 100*time.Millisecond {
		return
	}
	r.told = r.at
	for _, p := range r.recorder.BuildFeedbackPacket() {
		b, err := p.Marshal()
		if err != nil {
			r.t.Fatal(err)
		}
		r.replies = append(r.replies, reply{r.at + r.link.rtt/2, b})
	}
}

// clock returns what the client's clock says.
func (r *run) clock(at time.Duration) time.Duration {
	return 5*time.Second + at + time.Duration(r.drift*float64(at))
}

func (r *run) estimate() float64 { return float64(r.c.Estimate(r.now())) }
