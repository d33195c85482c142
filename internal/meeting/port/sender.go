package port

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gather is how long the first packet waits for others to leave with it.
	// The kernel's timers are no finer.
	gather = time.Millisecond

	// tickEvery is how often a flow's Tick is called, in turns.
	tickEvery = 50 * time.Millisecond
	tickTurns = 2

	// wheelSlots are milliseconds: how far ahead Fill is called again.
	wheelSlots = 64
)

// A sender sends for its share of the flows.
type sender struct {
	p    *Port
	wake chan struct{} // one waits at most

	packets, messages, batches, bytes atomic.Uint64

	mu    sync.Mutex // guards what follows
	ready []*Flow    // have something to send
	since time.Time  // when the first of them said so
	turns [tickTurns][]*Flow
	count int // of flows in turns

	// Touched by run alone.
	batch    batch
	kernel   kernelWriter
	serving  []*Flow
	ticking  []*Flow
	wheel    [wheelSlots][]*Flow
	waiting  int   // entries of the wheel
	served   int64 // the last millisecond of the wheel that is done
	turn     int
	nextTurn time.Time
}

// place is where a flow stands in turns.
type place struct {
	joined      bool
	turn, index int
}

func newSender(p *Port) *sender {
	s := &sender{p: p, wake: make(chan struct{}, 1)}
	s.batch.init()
	s.kernel.init()
	return s
}

// add puts a flow on the list.
func (s *sender) add(f *Flow) {
	s.mu.Lock()
	first := len(s.ready) == 0
	if first {
		s.since = time.Now()
	}
	s.ready = append(s.ready, f)
	s.mu.Unlock()
	if first {
		s.rouse()
	}
}

func (s *sender) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// join has a flow's tick called from now on.
func (s *sender) join(f *Flow) {
	s.mu.Lock()
	if f.closed.Load() || f.place.joined {
		s.mu.Unlock()
		return
	}
	turn := 0
	for i := range s.turns {
		if len(s.turns[i]) < len(s.turns[turn]) {
			turn = i
		}
	}
	f.place = place{true, turn, len(s.turns[turn])}
	s.turns[turn] = append(s.turns[turn], f)
	s.count++
	first := s.count == 1
	s.mu.Unlock()
	if first {
		s.rouse()
	}
}

func (s *sender) leave(f *Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.place.joined {
		return
	}
	list := s.turns[f.place.turn]
	last := len(list) - 1
	list[f.place.index] = list[last]
	list[f.place.index].place.index = f.place.index
	list[last] = nil
	s.turns[f.place.turn] = list[:last]
	f.place.joined = false
	s.count--
}

// run sends until stop is closed.
func (s *sender) run(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := time.Hour // nothing to do
		if next := s.step(time.Now()); !next.IsZero() {
			wait = time.Until(next)
		}
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-s.wake:
			case <-stop:
				return
			}
			continue
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// step does what is due and returns when it wants to be called again; zero is
// not before somebody wakes it.
func (s *sender) step(now time.Time) (next time.Time) {
	s.turnWheel(now)
	s.mu.Lock()
	if len(s.ready) > 0 && now.Sub(s.since) >= gather {
		s.ready, s.serving = s.serving[:0], s.ready
	}
	s.mu.Unlock()
	for i, f := range s.serving {
		s.serving[i] = nil
		f.queued.Store(false) // what comes from here on is for the next time
		s.serve(f, now)
	}
	s.serving = s.serving[:0]
	s.flush()
	s.tick(now)

	s.mu.Lock()
	if len(s.ready) > 0 {
		next = s.since.Add(gather)
	}
	if s.count > 0 && (next.IsZero() || s.nextTurn.Before(next)) {
		next = s.nextTurn
	}
	s.mu.Unlock()
	if at := s.nextSlot(); !at.IsZero() && (next.IsZero() || at.Before(next)) {
		next = at
	}
	return next
}

// serve collects what a flow has to send.
func (s *sender) serve(f *Flow, now time.Time) {
	pt := f.selected.Load()
	if pt == nil {
		return // learn wakes the flow
	}
	if c, ok := pt.link.(*tcpConn); ok && !c.takes(f) {
		return // the connection wakes the flow when it has sent something
	}
	if !s.batch.hasRoom() {
		s.flush()
	}
	f.sending.Lock()
	if f.mute {
		f.sending.Unlock()
		return
	}
	next := f.handler.Fill(s.batch.begin(), now)
	f.sending.Unlock()
	if s.batch.commit(pt) {
		f.Wake()
	}
	if !next.IsZero() {
		s.later(f, next, now)
	}
}

// flush sends what is collected.
func (s *sender) flush() {
	list := s.batch.messages
	if len(list) == 0 {
		return
	}
	s.packets.Add(uint64(s.batch.packets))
	s.bytes.Add(uint64(s.batch.used))
	s.messages.Add(uint64(len(list)))
	s.batches.Add(1)
	for len(list) > 0 {
		l := list[0].path.link
		n := 1
		for n < len(list) && list[n].path.link == l {
			n++
		}
		if k, ok := l.(batchLink); ok {
			k.sendAll(list[:n], &s.kernel)
		} else {
			for i := range n {
				s.p.sendEach(&list[i])
			}
		}
		list = list[n:]
	}
	s.batch.reset()
}

// A batchLink sends many messages in one system call.
type batchLink interface {
	link
	sendAll(list []message, w *kernelWriter)
}

// sendEach sends the packets of a message one by one.
func (p *Port) sendEach(m *message) {
	local := m.path.localAddr()
	for data := m.data; len(data) > 0; {
		n := min(m.size, len(data))
		if m.path.link.send(data[:n], m.path.remote, local) != nil {
			m.path.flow.refused.Add(1)
		}
		data = data[n:]
	}
}

// tick calls the ticks whose turn it is.
func (s *sender) tick(now time.Time) {
	s.mu.Lock()
	if s.count == 0 || now.Before(s.nextTurn) {
		s.mu.Unlock()
		return
	}
	s.turn = (s.turn + 1) % tickTurns
	s.ticking = append(s.ticking[:0], s.turns[s.turn]...)
	s.nextTurn = s.nextTurn.Add(tickEvery / tickTurns)
	if s.nextTurn.Before(now) {
		s.nextTurn = now.Add(tickEvery / tickTurns)
	}
	s.mu.Unlock()
	for i, f := range s.ticking {
		f.tick(now)
		s.ticking[i] = nil
	}
}

// The wheel has a slot for each of the next milliseconds.

func (s *sender) later(f *Flow, at, now time.Time) {
	ms := s.p.since(at.Add(time.Millisecond-1)) / int64(time.Millisecond)
	here := s.p.since(now) / int64(time.Millisecond)
	ms = min(max(ms, here+1), s.served+wheelSlots-1)
	if f.due != 0 && f.due <= ms {
		return
	}
	f.due = ms // an entry further on is void now
	s.wheel[ms%wheelSlots] = append(s.wheel[ms%wheelSlots], f)
	s.waiting++
}

// turnWheel serves the flows whose time has come.
func (s *sender) turnWheel(now time.Time) {
	here := s.p.since(now) / int64(time.Millisecond)
	if s.waiting == 0 {
		s.served = here
	}
	for s.waiting > 0 && s.served < here {
		s.served++
		slot := &s.wheel[s.served%wheelSlots]
		// What serve puts into the wheel goes to other slots.
		for i, f := range *slot {
			(*slot)[i] = nil
			s.waiting--
			if f.due == s.served {
				f.due = 0
				s.serve(f, now)
			}
		}
		*slot = (*slot)[:0]
	}
}

// nextSlot returns when the next flow is due, zero if none is.
func (s *sender) nextSlot() time.Time {
	if s.waiting == 0 {
		return time.Time{}
	}
	for ms := s.served + 1; ; ms++ {
		if len(s.wheel[ms%wheelSlots]) > 0 {
			return s.p.began.Add(time.Duration(ms) * time.Millisecond)
		}
	}
}
