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
	encoder *opus.Encoder
	broken  bool // no encoder could be made
	limit   limiter
	last    [primer * frame]float32 // what was put out last
	zeros   int                     // frames in a row that were all zero
	packet  [opus.MaxPacket]byte

	// stale: the encoder did not encode the last frame; its listeners heard
	// that from elsewhere, or as the silence packet.
	stale bool
	// alone: the next frame must not lean on those before, since a listener
	// comes in who did not hear them.
	alone bool
}

// encode limits the mix in place and gives its packet, valid until the next.
func (o *output) encode(mix []float32, cfg Config, log *slog.Logger) []byte {
	if o.rest(mix) {
		o.stale = true
		return opus.Silence()
	}
	n, err := o.code(mix, cfg)
	o.remember(mix)
	if err != nil {
		if !o.broken {
			log.Error("a mix cannot be encoded", "err", err)
		}
		o.broken = true
		return opus.Silence()
	}
	return o.packet[:n]
}

// skip does what encode does when nobody listens.
func (o *output) skip(mix []float32) {
	o.rest(mix)
	o.remember(mix)
	o.stale = true
}

func (o *output) remember(mix []float32) {
	copy(o.last[:], o.last[frame:])
	copy(o.last[(primer-1)*frame:], mix)
}

// rest limits the mix and says whether the silence packet stands for it.
func (o *output) rest(mix []float32) bool {
	if !o.limit.apply(mix) {
		o.zeros = 0
		return false
	}
	o.zeros++
	if o.zeros > settle {
		clear(o.last[:])
		return true
	}
	return false
}

func (o *output) code(mix []float32, cfg Config) (int, error) {
	if o.encoder == nil {
		e, err := opus.NewEncoder(opus.EncoderConfig{Bitrate: cfg.Bitrate, Complexity: cfg.Complexity})
		if err != nil {
			return 0, err
		}
		o.encoder = e
		o.stale = true
	}
	alone := o.stale || o.alone
	if o.stale {
		if err := o.encoder.Reset(); err != nil {
			return 0, err
		}
		for i := range primer {
			if _, err := o.encoder.Encode(o.last[i*frame:(i+1)*frame], o.packet[:]); err != nil {
				return 0, err
			}
		}
	}
	if alone {
		if err := o.encoder.SetPrediction(false); err != nil {
			return 0, err
		}
	}
	n, err := o.encoder.Encode(mix, o.packet[:])
	if alone {
		err = firstOf(err, o.encoder.SetPrediction(true))
	}
	o.stale, o.alone = false, false
	return n, err
}

// follow makes o go on where the other is: its listener heard that so far.
func (o *output) follow(other *output) {
	o.limit, o.last, o.zeros = other.limit, other.last, other.zeros
	o.stale = true
}

// rejoin lets a listener of another output into this one.
func (o *output) rejoin() { o.alone = true }

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
