package clip

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	sampleRate   = 48000
	toneInterval = 20 * time.Millisecond
	toneSamples  = 960
	maxPacket    = 1276 // RFC 6716 section 3.4
)

// A Tone is a sine for a microphone.
type Tone struct {
	Hz        float64 // 0: silence
	Amplitude float64 // 1 is full scale
	// Encode is an encoder of mono Opus at 48 kHz (opus.Encoder.Encode): it
	// writes a packet and gives its length.
	Encode func(pcm []float32, packet []byte) (int, error)
}

// Play sends 20 ms packets of the tone, the first one captured at start, until
// ctx ends (then it returns nil) or send fails. A packet is sent when its last
// sample has been captured, and is valid until send returns.
func (t *Tone) Play(ctx context.Context, start time.Time, send func(packet []byte, at time.Time) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pcm, packet := make([]float32, toneSamples), make([]byte, maxPacket)
	for i := 0; ; i++ {
		at := start.Add(time.Duration(i) * toneInterval)
		timer.Reset(time.Until(at.Add(toneInterval)))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		for j := range pcm {
			pcm[j] = float32(t.Amplitude * math.Sin(2*math.Pi*t.Hz*float64(i*toneSamples+j)/sampleRate))
		}
		n, err := t.Encode(pcm, packet)
		if err != nil {
			return fmt.Errorf("encode tone: %w", err)
		}
		if err := send(packet[:n], at); err != nil {
			return err
		}
	}
}
