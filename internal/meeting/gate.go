package meeting

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// Limits are what a node takes of all its meetings together; 0 is no limit.
// Beyond them newcomers are told to try again later. Who is in stays, and may
// come back after its connection was lost.
type Limits struct {
	Attendees      int     // joined at once
	Connections    int     // signaling sockets
	Videos         int     // cameras that are on, and content that is shared
	JoinsPerSecond int     // more have to wait, for some seconds
	CPU            float64 // share of the processor's cores that this process may use
	Bitrate        int     // bit/s sent
}

const (
	// joinWait is how long a JOIN may wait for its turn. The client gives up
	// after 15 s.
	joinWait = 5 * time.Second
	// loadWindow is what load is measured over, and loadStep how often.
	loadWindow = 5
	loadStep   = time.Second
	// calm is how far below a limit the load must be again.
	calm = 0.9
	// Refusals that are explained by a close code take an upgrade and a while;
	// so many a second do, others get a plain answer.
	refusalRate  = 50
	refusalBurst = 200
)

// A gate counts who is in a node and says whether there is room for more.
type gate struct {
	// Fixed by newGate.
	limits   Limits
	log      *slog.Logger
	joins    *rate.Limiter
	refusals *rate.Limiter
	sent     func() uint64 // bytes since some time

	attendees, connections, videos atomic.Int64
	cpu                            atomic.Uint64 // share of all cores, as bits of a float64
	bitrate                        atomic.Int64
	busy                           atomic.Pointer[string] // why nobody joins; nil: all may
}

func newGate(l Limits, sent func() uint64, log *slog.Logger) *gate {
	joins := rate.NewLimiter(rate.Inf, 0)
	if l.JoinsPerSecond > 0 {
		joins = rate.NewLimiter(rate.Limit(l.JoinsPerSecond), 2*l.JoinsPerSecond)
	}
	return &gate{limits: l, log: log, joins: joins, refusals: rate.NewLimiter(refusalRate, refusalBurst), sent: sent}
}

// sentBytes returns how much media has been sent so far.
func (s *Service) sentBytes() uint64 {
	if s.cfg.Transport == nil {
		return 0
	}
	return s.cfg.Transport.Port().Stats().Bytes
}

// connect counts a socket; false: there are too many.
func (g *gate) connect() bool {
	n := g.connections.Add(1)
	if g.limits.Connections > 0 && n > int64(g.limits.Connections) {
		g.connections.Add(-1)
		return false
	}
	return true
}

func (g *gate) disconnect() { g.connections.Add(-1) }

// pace has a JOIN wait for its turn. It is late if that would take too long.
func (g *gate) pace(ctx context.Context) (late bool) {
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	return g.joins.Wait(ctx) != nil
}

// joined counts an attendee that joins (1) or leaves (-1). Our own and shares
// do not count.
func (g *gate) joined(s *seat, n int64) {
	if !s.ours && !s.share {
		g.attendees.Add(n)
	}
}

// closed says why s may not join now; "" if it may.
func (g *gate) closed(s *seat) string {
	if why := g.busy.Load(); why != nil {
		return *why
	}
	if n := g.limits.Attendees; n > 0 && !s.share && g.attendees.Load() >= int64(n) {
		return fmt.Sprintf("the server has %d attendees already", n)
	}
	return ""
}

// videoFits says whether one more video may be published.
func (g *gate) videoFits() bool {
	return g.limits.Videos <= 0 || g.videos.Load() < int64(g.limits.Videos)
}

// countVideos tells the gate how many there are in this room.
func (r *room) countVideos(n int) {
	r.service.gate.videos.Add(int64(n - r.videos))
	r.videos = n
}

// A sample is what the process has used.
type sample struct {
	at   time.Time
	cpu  time.Duration
	sent uint64
}

// watch measures the load until ctx ends.
func (g *gate) watch(ctx context.Context) {
	step := time.NewTicker(loadStep)
	defer step.Stop()
	samples := []sample{g.sample(time.Now())}
	for {
		select {
		case now := <-step.C:
			samples = append(samples, g.sample(now))
			if len(samples) > loadWindow+1 {
				samples = samples[1:]
			}
			g.judge(samples[0], samples[len(samples)-1])
		case <-ctx.Done():
			return
		}
	}
}

func (g *gate) sample(now time.Time) sample {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for no one that exists
	return sample{now, time.Duration(u.Utime.Nano() + u.Stime.Nano()), g.sent()}
}

// judge closes the gate when the load between two samples was too much, and
// opens it when it is well below.
func (g *gate) judge(from, to sample) {
	elapsed := to.at.Sub(from.at)
	if elapsed <= 0 {
		return
	}
	cpu := float64(to.cpu-from.cpu) / float64(elapsed) / float64(runtime.GOMAXPROCS(0))
	bitrate := float64(to.sent-from.sent) * 8 / elapsed.Seconds()
	g.cpu.Store(math.Float64bits(cpu))
	g.bitrate.Store(int64(bitrate))

	ease := 1.0
	if g.busy.Load() != nil {
		ease = calm
	}
	var why string
	switch {
	case g.limits.CPU > 0 && cpu > g.limits.CPU*ease:
		why = "the server's processor is busy"
	case g.limits.Bitrate > 0 && bitrate > float64(g.limits.Bitrate)*ease:
		why = "the server sends as much as it may"
	}
	was := g.busy.Load()
	switch {
	case why != "" && was == nil:
		g.busy.Store(&why)
		g.log.Warn("nobody can join: "+why, "cpu", cpu, "bitrate", int64(bitrate))
	case why == "" && was != nil:
		g.busy.Store(nil)
		g.log.Info("attendees can join again", "cpu", cpu, "bitrate", int64(bitrate))
	}
}

// usedCPU is the share of the cores that the process used of late.
func (g *gate) usedCPU() float64 { return math.Float64frombits(g.cpu.Load()) }
