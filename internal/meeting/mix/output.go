package mix

import (
	"log/slog"

	"belfry.live/belfry/internal/media/opus"
)

const (
	// settle is how many frames of zeros are encoded before the silence packet
	// takes their place: the sound before has run out of the decoder then.
	settle = 3
	// primer is how many frames an encoder is fed before the first that
	// counts, so that its overlap and its pitch filter are where those of the
	// encoder were that the listeners heard until now. With one frame alone
	// the filters differ, and a tone is 4 dB too loud for 2 ms.
	primer = 3
)

// An output is a stream of packets that one or more listeners hear.
type output struct {
	channels int // fixed
	encoder  *opus.Encoder
	broken   bool // no encoder could be made
	limit    limiter
	last     [2][primer * frame]float32 // what was put out last
	zeros    int                        // frames in a row that were all zero
	woven    [2 * frame]float32         // a frame with its channels interleaved
	packet   [opus.MaxPacket]byte

	// stale: the encoder did not encode the last frame; its listeners heard
	// that from elsewhere, or as the silence packet.
	stale bool
	// alone: the next frame must not lean on those before, since a listener
	// comes in who did not hear them.
	alone bool
	// resting: it is not even told what it would put out.
	resting bool
}

// encode limits the mix in place and gives its packet, valid until the next,
// and whether it took the encoder.
func (o *output) encode(mix [][]float32, cfg Config, log *slog.Logger) (packet []byte, encoded bool) {
	if o.rest(mix) {
		o.stale = true
		return opus.Silence(), false
	}
	n, err := o.code(mix, cfg)
	o.remember(mix)
	if err != nil {
		if !o.broken {
			log.Error("a mix cannot be encoded", "err", err)
		}
		o.broken = true
		return opus.Silence(), false
	}
	return o.packet[:n], true
}

// skip does what encode does when nobody listens.
func (o *output) skip(mix [][]float32) {
	o.rest(mix)
	o.remember(mix)
	o.stale = true
}

func (o *output) remember(mix [][]float32) {
	for c, pcm := range mix {
		last := &o.last[c]
		copy(last[:], last[frame:])
		copy(last[(primer-1)*frame:], pcm)
	}
}

// rest limits the mix and says whether the silence packet stands for it.
func (o *output) rest(mix [][]float32) bool {
	if !o.limit.apply(mix) {
		o.zeros = 0
		return false
	}
	o.zeros++
	if o.zeros > settle {
		for c := range mix {
			clear(o.last[c][:])
		}
		return true
	}
	return false
}

func (o *output) code(mix [][]float32, cfg Config) (int, error) {
	if err := o.open(cfg); err != nil {
		return 0, err
	}
	alone := o.stale || o.alone
	if o.stale {
		if err := o.encoder.Reset(); err != nil {
			return 0, err
		}
		for i := range primer {
			from, to := i*frame, (i+1)*frame
			if _, err := o.encoder.Encode(o.weave(o.last[0][from:to], o.last[1][from:to]), o.packet[:]); err != nil {
				return 0, err
			}
		}
	}
	if alone {
		if err := o.encoder.SetPrediction(false); err != nil {
			return 0, err
		}
	}
	n, err := o.encoder.Encode(o.weave(mix[0], mix[len(mix)-1]), o.packet[:])
	if alone {
		err = firstOf(err, o.encoder.SetPrediction(true))
	}
	o.stale, o.alone = false, false
	return n, err
}

func (o *output) open(cfg Config) error {
	if o.encoder != nil {
		return nil
	}
	bitrate := cfg.Bitrate
	if o.channels == 2 {
		bitrate = cfg.StereoBitrate
	}
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: o.channels, Bitrate: bitrate, Complexity: cfg.Complexity})
	if err != nil {
		return err
	}
	o.encoder = e
	o.stale = true
	return nil
}

// weave gives the samples as the encoder takes them.
func (o *output) weave(left, right []float32) []float32 {
	if o.channels == 1 {
		return left
	}
	for i := range left {
		o.woven[2*i], o.woven[2*i+1] = left[i], right[i]
	}
	return o.woven[:]
}

// follow makes o go on where the other is: its listener heard that so far, or,
// with nil, silence.
func (o *output) follow(other *output) {
	o.stale, o.alone = true, false
	if other == nil {
		o.limit, o.last, o.zeros = limiter{}, [2][primer * frame]float32{}, settle
		return
	}
	o.limit, o.zeros = other.limit, other.zeros
	for c := range o.channels {
		o.last[c] = other.last[min(c, other.channels-1)]
	}
	if o.channels < other.channels {
		for i, x := range other.last[1] {
			o.last[0][i] = (o.last[0][i] + x) / 2
		}
	}
}

func (o *output) close() {
	if o.encoder != nil {
		o.encoder.Close()
		o.encoder = nil
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
