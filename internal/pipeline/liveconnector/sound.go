package liveconnector

import (
	"fmt"
	"sync"
	"time"

	"belfry.live/belfry/internal/media/jitter"
	"belfry.live/belfry/internal/media/opus"
)

const (
	// minDelay is how long after its fastest possible arrival sound and
	// picture are put out; maxDelay is how far a bad network stretches that.
	minDelay = 200 * time.Millisecond
	maxDelay = 800 * time.Millisecond
	// spareDelay is kept on top of the spread of arrivals.
	spareDelay = 80 * time.Millisecond

	// steerGain is by which rate the clock is steered per second that the
	// delay is off, steerLimit how much at most.
	steerGain  = 0.1
	steerLimit = 0.01

	// quietAfter is how long after the last packet the clock is left alone.
	quietAfter = 500 * time.Millisecond

	// concealFor is how long lost sound is made up for, in samples.
	concealFor = 60 * opus.SampleRate / 1000
	// fadeFor is the length of the ramps beside silence, in samples.
	fadeFor = 5 * opus.SampleRate / 1000
	// lateLimit is how many packets in a row may come too late before the
	// sound is put in its place anew: 200 ms of them.
	lateLimit = 10
	// leap is how far a packet may be from its place before the same.
	leap = 2 * time.Second
)

// A sound is the meeting's mix on its way to the output. Packets of Opus come
// in; out come samples, without a gap, at positions of the output's time.
//
// The sound leads: once the first packet has its place, each other's follows
// from its timestamp, and the clock is steered so that the sender's pace and
// the delay are kept. Pictures find their place through the sender reports.
type sound struct {
	// Fixed by newSound.
	clock    *outputClock
	counts   *counts
	channels int
	decoder  *opus.Decoder

	mu     sync.Mutex
	buffer *jitter.Buffer
	// The packet with timestamp stamp belongs at sample number place.
	placed bool
	stamp  uint32
	place  int64
	late   int // packets in a row

	report     senderTime
	early      window // least of the negative slack: the fastest packets
	tardy      window // least of the slack: the slowest
	delay      time.Duration
	lastPacket time.Time

	// Touched by fill alone, under mu all the same.
	decoded   []float32 // interleaved; what fill has not given out yet
	filled    int64     // sample number after what it has
	end       int64     // sample number after decoded
	concealed int       // samples made up in a row
	silent    bool      // the last sample was silence put in
	pcm       []float32 // scratch of the decoder
}

// A senderTime ties a timestamp of the mix to the server's clock.
type senderTime struct {
	ntp   time.Time
	stamp uint32
	known bool
}

func newSound(channels int, clock *outputClock, counts *counts) (*sound, error) {
	decoder, err := opus.NewDecoder(channels)
	if err != nil {
		return nil, fmt.Errorf("new sound: %w", err)
	}
	return &sound{
		clock: clock, counts: counts, channels: channels, decoder: decoder,
		buffer: jitter.New(jitter.Config{}),
		early:  window{span: 2 * time.Second},
		tardy:  window{span: 10 * time.Second},
		delay:  minDelay,
		silent: true,
		pcm:    make([]float32, opus.MaxSamples*channels),
	}, nil
}

func (s *sound) close() { s.decoder.Close() }

// push takes a packet of the mix in.
func (s *sound) push(p jitter.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffer.Push(p)
	now := s.clock.now(p.Arrival)
	if s.placed {
		slack := sampleTime(s.placeOf(p.Timestamp)) - now
		switch {
		case slack > leap || slack < -leap:
			s.placed = false
		case slack < 0:
			if s.late++; s.late > lateLimit {
				s.placed = false
			}
		default:
			s.late = 0
		}
	}
	if !s.placed {
		if s.lastPacket != (time.Time{}) {
			s.counts.soundMoved.Add(1)
		}
		s.placed, s.late = true, 0
		s.stamp, s.place = p.Timestamp, samplesIn(now+s.delay)
		s.early.reset()
		s.tardy.reset()
	}
	// The pair moves along, so that the timestamps' wrap does not matter.
	if int32(p.Timestamp-s.stamp) > 0 {
		s.place, s.stamp = s.placeOf(p.Timestamp), p.Timestamp
	}
	s.lastPacket = p.Arrival
	slack := sampleTime(s.placeOf(p.Timestamp)) - now
	s.early.add(p.Arrival, -slack)
	s.tardy.add(p.Arrival, slack)
	s.steer(p.Arrival)
}

// steer brings the delay to what the network needs by the clock's rate.
func (s *sound) steer(now time.Time) {
	fastest := -s.early.min()
	s.delay = min(max(fastest-s.tardy.min()+spareDelay, minDelay), maxDelay)
	off := (fastest - s.delay).Seconds()
	s.clock.steer(now, 1+min(max(off*steerGain, -steerLimit), steerLimit))
}

// senderReport takes from an RTCP sender report which server time belongs to
// which timestamp.
func (s *sound) senderReport(ntp time.Time, timestamp uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report = senderTime{ntp, timestamp, true}
}

// restart forgets the stream: the next packet is another one's.
func (s *sound) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffer.Reset()
	s.placed = false
	s.report = senderTime{}
	_ = s.decoder.Reset() // fails for a closed decoder alone
}

// outputTime is when what the server mixed or forwarded at time t is put out.
// False: nothing is known of the server's clock yet.
func (s *sound) outputTime(t time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.placed || !s.report.known {
		return 0, false
	}
	return sampleTime(s.placeOf(s.report.stamp)) + t.Sub(s.report.ntp), true
}

// Delay is how long after the fastest arrival things are put out.
func (s *sound) Delay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delay
}

// placeOf is the number of the sample at which a packet begins.
func (s *sound) placeOf(timestamp uint32) int64 {
	return s.place + int64(int32(timestamp-s.stamp))
}

// fill gives the next samples, one after another over all calls; len(out) says
// how many. What is not there is concealed, or silence.
func (s *sound) fill(now time.Time, out []float32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.lastPacket) > quietAfter {
		s.clock.steer(now, 1)
	}
	until := s.filled + int64(len(out)/s.channels)
	for s.end < until {
		s.decode(until)
	}
	s.filled = until
	copy(out, s.decoded)
	s.decoded = s.decoded[:copy(s.decoded, s.decoded[len(out):])]
}

// decode appends to decoded, at most silence up to sample number until.
func (s *sound) decode(until int64) {
	p, ok := s.buffer.Peek()
	if !ok || !s.placed {
		s.bridge(int(until - s.end))
		return
	}
	gap := s.placeOf(p.Timestamp) - s.end
	if gap > 0 {
		if p.Lost > 0 && gap <= opus.SampleRate/50 && gap%opus.MinSamples == 0 {
			// The packet after a loss may hold a copy of what was lost.
			n, err := s.decoder.DecodeFEC(p.Payload, s.pcm[:int(gap)*s.channels])
			if err == nil {
				s.counts.soundConcealed.Add(uint64(n))
				s.append(s.pcm[:n*s.channels])
				return
			}
		}
		s.bridge(int(min(gap, until-s.end)))
		return
	}
	s.buffer.Take()
	if n, err := opus.Samples(p.Payload); err == nil && gap <= -int64(n) {
		s.counts.soundLate.Add(uint64(n)) // it has been made up for
		return
	}
	n, err := s.decoder.Decode(p.Payload, s.pcm)
	if err != nil {
		s.counts.soundErrors.Add(1)
		return
	}
	s.concealed = 0
	s.append(s.pcm[-int(gap)*s.channels : n*s.channels])
}

// bridge appends n samples or a few more in place of sound: concealed at
// first, then silence.
func (s *sound) bridge(n int) {
	if !s.silent && s.concealed < concealFor {
		frame := s.pcm[:opus.SampleRate/100*s.channels]
		got, err := s.decoder.Conceal(frame)
		if err == nil && got > 0 {
			frame = frame[:got*s.channels]
			s.concealed += got
			s.counts.soundConcealed.Add(uint64(got))
			last := s.concealed >= concealFor
			if last {
				ramp(frame, s.channels, got, true)
			}
			s.append(frame)
			s.silent = last
			return
		}
	}
	silence := s.pcm[:min(n, opus.MaxSamples)*s.channels]
	clear(silence)
	s.append(silence)
	s.silent = true
}

// append adds samples, after silence with a ramp.
func (s *sound) append(pcm []float32) {
	if s.silent {
		ramp(pcm, s.channels, min(fadeFor, len(pcm)/s.channels), false)
		s.silent = false
	}
	s.decoded = append(s.decoded, pcm...)
	s.end += int64(len(pcm) / s.channels)
}

// ramp fades the first n samples in, or out.
func ramp(pcm []float32, channels, n int, out bool) {
	for i := range n {
		g := float32(i) / float32(n)
		if out {
			g = 1 - g
		}
		for c := range channels {
			pcm[i*channels+c] *= g
		}
	}
}

// sampleTime is the output time of a sample number at 48 kHz.
func sampleTime(n int64) time.Duration { return timeAt(n, opus.SampleRate) }

// samplesIn is how many samples at 48 kHz an output time is after zero.
func samplesIn(t time.Duration) int64 {
	return int64(t/time.Second)*opus.SampleRate + int64(t%time.Second)*opus.SampleRate/int64(time.Second)
}
