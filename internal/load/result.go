package load

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// A Result is what the attendees went through. Times are in milliseconds,
// counts are of all attendees together, from when everybody was in.
type Result struct {
	Meeting   string  `json:"meeting"`
	Attendees int     `json:"attendees"`
	Joined    int     `json:"joined"` // of those, have heard something
	Failed    int     `json:"failed"` // the others, and those who were put out; but not who was on the way when all was stopped
	Seconds   float64 `json:"seconds"`

	JoinMs       Quantiles `json:"joinMs"`       // from opening the WebSocket to the first audio packet
	FirstVideoMs Quantiles `json:"firstVideoMs"` // to the first whole picture
	Reconnects   int       `json:"reconnects"`

	AudioPackets int       `json:"audioPackets"`
	AudioMbps    float64   `json:"audioMbps"`
	AudioGaps    int       `json:"audioGaps"` // more than 100 ms without a packet, and runs of lost ones
	AudioLost    int       `json:"audioLost"`
	AudioDelayMs Quantiles `json:"audioDelayMs"` // later than the fastest packet of the same attendee

	Videos         int     `json:"videos"`         // received at the end
	VideosExpected int     `json:"videosExpected"` // should be
	VideoPackets   int     `json:"videoPackets"`
	VideoMbps      float64 `json:"videoMbps"`
	VideoFrames    int     `json:"videoFrames"` // whole, and with all they refer to
	VideoKeyFrames int     `json:"videoKeyFrames"`
	VideoFreezes   int     `json:"videoFreezes"`
	VideoFrozenMs  float64 `json:"videoFrozenMs"`
	VideoLost      int     `json:"videoLost"`

	Lost int `json:"lost"` // packets of audio and video that never came

	// LagMs is how late this program's own timers were: delays and gaps of
	// that size are its own.
	LagMs Quantiles `json:"lagMs"`

	Errors map[string]int `json:"errors,omitempty"` // why attendees failed
}

// Quantiles are of a number of durations.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantiles(d []time.Duration) (q Quantiles) {
	if len(d) == 0 {
		return q
	}
	slices.Sort(d)
	at := func(share float64) float64 { return ms(d[min(int(share*float64(len(d))), len(d)-1)]) }
	return Quantiles{P50: at(0.5), P99: at(0.99), Max: ms(d[len(d)-1])}
}

func ms(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// spread gives the quantiles of a count by milliseconds.
func spread(buckets []uint32) (q Quantiles) {
	var total uint64
	for _, n := range buckets {
		total += uint64(n)
	}
	var seen uint64
	for i, n := range buckets {
		if n == 0 {
			continue
		}
		before := seen
		seen += uint64(n)
		if before*2 <= total {
			q.P50 = float64(i)
		}
		if before*100 <= total*99 {
			q.P99 = float64(i)
		}
		q.Max = float64(i)
	}
	return q
}

// result adds up what was measured in so much time; stopped: before it was
// over.
func (r *run) result(measured time.Duration, stopped bool) *Result {
	now := time.Now()
	out := &Result{Meeting: r.meeting.id, Attendees: len(r.people), Seconds: measured.Seconds()}
	var joins, pictures []time.Duration
	var audio audioCounts
	var video videoCounts
	for _, p := range r.people {
		p.mu.Lock()
		out.Reconnects += p.losses
		out.VideosExpected += r.expected(p.index)
		switch {
		case p.began.IsZero(), stopped && p.joined.IsZero() && !p.left: // was still to come
		case p.joined.IsZero() || p.left:
			out.Failed++
			if out.Errors == nil {
				out.Errors = make(map[string]int)
			}
			out.Errors[p.reason()]++
		default:
			out.Joined++
		}
		if !p.joined.IsZero() {
			joins = append(joins, p.joined.Sub(p.began))
			heard := p.ear.finish(now)
			audio.add(&heard)
		}
		if !p.seen.IsZero() {
			pictures = append(pictures, p.seen.Sub(p.began))
		}
		video.add(&p.past)
		for _, e := range p.eyes {
			seen := e.finish(now)
			video.add(&seen)
			if seen.Frames > 0 {
				out.Videos++
			}
		}
		p.mu.Unlock()
	}
	megabits := func(bytes int) float64 { return float64(bytes) * 8 / 1e6 / max(measured.Seconds(), 1e-3) }
	out.JoinMs, out.FirstVideoMs = quantiles(joins), quantiles(pictures)
	out.AudioPackets, out.AudioMbps, out.AudioGaps, out.AudioLost = audio.Packets, megabits(audio.Bytes), audio.Gaps, audio.Lost
	out.AudioDelayMs = spread(audio.Delays[:])
	out.VideoPackets, out.VideoMbps, out.VideoFrames = video.Packets, megabits(video.Bytes), video.Frames
	out.VideoKeyFrames, out.VideoFreezes, out.VideoLost = video.KeyFrames, video.Freezes, video.Lost
	out.VideoFrozenMs = ms(video.Frozen)
	out.Lost = audio.Lost + video.Lost
	out.LagMs = r.lag.quantiles()
	return out
}

// reason says why an attendee is not in; p.mu is held.
func (p *participant) reason() string {
	switch {
	case p.err != nil:
		return p.err.Error()
	case p.left:
		return "left"
	}
	return errNoSound.Error()
}

// Table writes the result for people.
func (r *Result) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	times := func(q Quantiles) string {
		return fmt.Sprintf("%.0f ms median, %.0f ms p99, %.0f ms most", q.P50, q.P99, q.Max)
	}
	perSecond := func(n int) float64 { return float64(n) / max(r.Seconds, 1e-3) }
	row("meeting", "%s", r.Meeting)
	row("joined", "%d of %d, %d failed", r.Joined, r.Attendees, r.Failed)
	reasons := make([]string, 0, len(r.Errors))
	for e := range r.Errors {
		reasons = append(reasons, e)
	}
	slices.Sort(reasons)
	for _, e := range reasons {
		row("", "%d × %s", r.Errors[e], e)
	}
	row("join to first audio", "%s", times(r.JoinMs))
	if r.VideosExpected > 0 {
		row("join to first picture", "%s", times(r.FirstVideoMs))
	}
	if r.Reconnects > 0 {
		row("connections lost", "%d", r.Reconnects)
	}
	row("measured", "%.1f s with everybody in", r.Seconds)
	row("audio received", "%.2f Mbit/s, %.0f packets/s", r.AudioMbps, perSecond(r.AudioPackets))
	row("audio gaps", "%d, %d packets lost", r.AudioGaps, r.AudioLost)
	row("audio delay", "%s after the fastest packet", times(r.AudioDelayMs))
	if r.VideosExpected > 0 {
		row("videos received", "%d of %d, %.2f Mbit/s, %.0f packets/s", r.Videos, r.VideosExpected, r.VideoMbps, perSecond(r.VideoPackets))
		row("pictures", "%.1f a second and video, %d key frames", perSecond(r.VideoFrames)/float64(max(r.Videos, 1)), r.VideoKeyFrames)
		row("video freezes", "%d, %.1f s in all", r.VideoFreezes, r.VideoFrozenMs/1000)
		row("video packets lost", "%d", r.VideoLost)
	}
	row("this program's lag", "%s", times(r.LagMs))
	return t.Flush()
}
