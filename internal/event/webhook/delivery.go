package webhook

import (
	"container/heap"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/store"
)

const (
	concurrency = 8
	// maxLanes is how many resources of one webhook may have events to deliver.
	// At this many the journal is not read on until one of them has none.
	maxLanes  = 10_000
	saveEvery = time.Second
	readAgain = time.Second // after the journal could not be read
	lastPosts = 2 * time.Second
	lastSave  = 5 * time.Second
)

// A delivery brings the events to one webhook. Its loop reads the journal and
// keeps a lane for each resource that has events to deliver; a lane is tried by
// one goroutine at a time, rests after a failure, and goes when it is empty.
type delivery struct {
	// Fixed by New.
	hook    Webhook
	name    string
	most    int    // lanes at once
	id      string // begins the keys of its state
	key     []byte // signs
	cfg     Config
	journal Journal
	table   store.Table
	client  *http.Client
	log     *slog.Logger

	// Touched by run alone.
	lanes    map[string]*lane // by subject
	ready    []*lane          // to be tried, in turn
	resting  lanes
	sending  int
	read     uint64            // the journal was looked at up to here
	cursor   uint64            // as in the table
	entries  map[string]uint64 // where lanes begin, by subject, as in the table
	troubled int               // lanes whose first event was not taken so far
	told     bool              // that there are such
	toldAt   time.Time
	unsaved  bool // the state could not be written
	progress bool // something changed since it was written

	mu    sync.Mutex // guards stats
	stats Stats
}

// An outcome is what became of a try of a lane.
type outcome struct {
	lane *lane
	seq  uint64 // of the event that was tried; 0: none was
	upTo uint64 // there is no event up to here, if none was tried and nothing failed
	lost bool   // the event at the lane's beginning is no longer in the journal
	dead bool
	fail *failure  // nil: delivered, or dead
	till time.Time // when the event becomes a dead letter
	cut  bool      // by the end of the process
}

func (d *delivery) run(ctx context.Context) {
	for !d.load(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(readAgain):
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer d.client.CloseIdleConnections()
	records := make(chan event.Record)
	from := d.read + 1
	wg.Go(func() { d.readOn(ctx, from, records) })

	posts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	outcomes := make(chan outcome)
	save, wake := time.NewTicker(saveEvery), time.NewTimer(0)
	defer save.Stop()
	defer wake.Stop()
	for {
		for d.sending < concurrency && len(d.ready) > 0 {
			l := *d.ready[0]
			taken := d.ready[0]
			d.ready = d.ready[1:]
			d.sending++
			wg.Go(func() {
				o := d.try(posts, l)
				o.lane = taken
				outcomes <- o
			})
		}
		d.count()
		if len(d.resting) > 0 {
			wake.Reset(time.Until(d.resting[0].due))
		}
		in := records
		if len(d.lanes) >= d.most {
			in = nil
		}
		select {
		case r := <-in:
			d.take(r)
		case o := <-outcomes:
			d.settle(o)
		case <-wake.C:
			d.wake(time.Now())
		case <-save.C:
			d.save(ctx)
		case <-ctx.Done():
			d.finish(ctx, outcomes, cut)
			return
		}
	}
}

// finish gives the posts under way some time, and saves what they came to.
func (d *delivery) finish(ctx context.Context, outcomes chan outcome, cut func()) {
	late := time.AfterFunc(lastPosts, cut)
	defer late.Stop()
	for d.sending > 0 {
		d.settle(<-outcomes)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
	defer cancel()
	d.save(ctx)
}

// readOn hands on the journal from the sequence.
func (d *delivery) readOn(ctx context.Context, from uint64, records chan<- event.Record) {
	subjects := event.Subjects(d.hook.Account, "")
	for ctx.Err() == nil {
		r, err := d.journal.Next(ctx, subjects, from)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Error("events cannot be read", "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(readAgain):
			}
			continue
		}
		select {
		case records <- r:
			from = r.Sequence + 1
		case <-ctx.Done():
		}
	}
}

// take puts a new event into its lane.
func (d *delivery) take(r event.Record) {
	d.read, d.progress = r.Sequence, true
	if !d.hook.wants(r) {
		return
	}
	if l := d.lanes[r.Subject]; l != nil {
		l.last = r.Sequence
		return
	}
	l := &lane{subject: r.Subject, next: r.Sequence, exact: true, last: r.Sequence}
	d.lanes[r.Subject] = l
	d.ready = append(d.ready, l)
}

// try delivers the first event of the lane, or buries it if its time is over.
func (d *delivery) try(ctx context.Context, l lane) outcome {
	o := outcome{upTo: l.last}
	from := l.next
	var r event.Record
	for {
		found, ok, err := d.journal.At(ctx, l.subject, from)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Error("an event to deliver cannot be read", "err", err)
			}
			return outcome{fail: &failure{reason: "journal", text: "the event cannot be read"}, cut: ctx.Err() != nil}
		}
		if l.exact && from == l.next && (!ok || found.Sequence != l.next) {
			o.lost = true
		}
		if !ok || found.Sequence > l.last {
			return o
		}
		if r = found; d.hook.wants(r) {
			break
		}
		from = found.Sequence + 1
	}
	o.seq, o.till = r.Sequence, r.Appended.Add(d.cfg.RetryFor)
	o.fail = d.post(ctx, r)
	if o.cut = ctx.Err() != nil && o.fail != nil; o.cut {
		return o
	}
	if o.fail == nil || time.Now().Before(o.till) {
		return o
	}
	err := d.journal.Bury(ctx, r, event.DeadLetter{
		Webhook: d.name, Reason: o.fail.text, Attempts: l.tries + 1, Died: time.Now().UTC(),
	})
	if err != nil {
		d.log.Error("a dead letter cannot be kept", "err", err)
		return o
	}
	d.log.Warn("an event was not taken in time and is a dead letter", "event", r.ID, "err", o.fail.text)
	o.dead = true
	return o
}

// settle does with a lane what its try came to.
func (d *delivery) settle(o outcome) {
	d.sending--
	d.progress = true
	l := o.lane
	d.note(o)
	switch {
	case o.cut:
		return
	case o.fail != nil && !o.dead:
		d.rest(o)
		return
	case o.seq == 0:
		l.next, l.exact = o.upTo+1, false
	default:
		l.next, l.exact = o.seq+1, false
	}
	if l.tries > 0 {
		l.tries = 0
		d.troubled--
		d.tell("")
	}
	if l.next > l.last {
		delete(d.lanes, l.subject)
		return
	}
	d.ready = append(d.ready, l)
}

// rest has the lane tried again later.
func (d *delivery) rest(o outcome) {
	l, now := o.lane, time.Now()
	if o.seq != 0 {
		l.next, l.exact = o.seq, true
	}
	if l.tries++; l.tries == 1 {
		d.troubled++
		d.tell(o.fail.text)
	}
	l.due = now.Add(max(backoff(l.tries), o.fail.after))
	if now.Before(o.till) && l.due.After(o.till) {
		l.due = o.till // the last try
	}
	heap.Push(&d.resting, l)
}

// wake makes the lanes ready that have rested enough.
func (d *delivery) wake(now time.Time) {
	for len(d.resting) > 0 && !d.resting[0].due.After(now) {
		d.ready = append(d.ready, heap.Pop(&d.resting).(*lane))
	}
}

// tellEvery is how often at most it is logged that a webhook fails.
const tellEvery = time.Minute

// tell logs when the webhook begins not to take events, and when it has taken
// them all.
func (d *delivery) tell(why string) {
	switch {
	case d.troubled == 0 && d.told:
		d.told = false
		d.log.Info("the webhook has taken everything again")
	case d.troubled > 0 && !d.told && time.Since(d.toldAt) > tellEvery:
		d.told, d.toldAt = true, time.Now()
		d.log.Warn("the webhook does not take an event; it is tried again", "err", why)
	}
}

// note counts the outcome.
func (d *delivery) note(o outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o.lost {
		d.stats.Lost++
	}
	if o.cut || o.seq == 0 && o.fail == nil {
		return
	}
	d.stats.Tries++
	if o.lane.tries > 0 {
		d.stats.Retries++
	}
	if o.fail == nil {
		d.stats.Delivered++
	} else {
		d.stats.Failed[o.fail.reason]++
	}
	if o.dead {
		d.stats.Dead++
	}
}

func (d *delivery) count() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Waiting, d.stats.Resting, d.stats.Read = len(d.lanes), len(d.resting), d.read
}

func (d *delivery) counted() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Failed = maps.Clone(s.Failed)
	return s
}
