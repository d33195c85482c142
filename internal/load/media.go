package load

import (
	"context"
	"embed"
	"fmt"
	"math"
	"time"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/clip"
	"belfry.live/belfry/internal/media/opus"
)

//go:generate clips/make.sh
//go:embed clips/*.ivf clips/*.h264 clips/*.opus
var clips embed.FS

const (
	frameRate = 30 // of the clips

	// microphoneTick is how often the microphones are looked after. Each has
	// its turn every packetTime, and they are spread over it.
	packetTime     = 20 * time.Millisecond
	microphoneTick = packetTime / 4
)

// silence is a packet of Opus in which nothing is said: 20 ms of CELT, mono.
var silence = []byte{0xf8, 0xff, 0xfe}

const silent = 127 // its level

// media is what the attendees send.
type media struct {
	layers []attendee.Layer
	videos []*clip.Clip // by layer
	voice  []spoken
}

// spoken is a packet of speech and how loud it is.
type spoken struct {
	packet []byte
	level  uint8
}

var layers = []struct {
	name string
	kbps int
}{{"low", 150}, {"mid", 500}, {"hi", 1500}}

func loadMedia(cfg Config) (*media, error) {
	m := new(media)
	for i, l := range layers {
		// One layer alone is the middle one.
		if cfg.AudioOnly || !cfg.Simulcast && i != 1 {
			continue
		}
		c, err := video(l.name, cfg.Codec)
		if err != nil {
			return nil, err
		}
		m.videos = append(m.videos, c)
		layer := attendee.Layer{MaxKbps: l.kbps}
		if cfg.Simulcast {
			layer.RID = l.name
		}
		m.layers = append(m.layers, layer)
	}
	if err := m.readVoice(); err != nil {
		return nil, fmt.Errorf("recorded voice: %w", err)
	}
	return m, nil
}

func video(name string, codec attendee.Codec) (c *clip.Clip, err error) {
	if codec == attendee.H264 {
		name += ".h264"
	} else {
		name += ".ivf"
	}
	b, err := clips.ReadFile("clips/" + name)
	if err == nil && codec == attendee.H264 {
		c, err = clip.ParseAnnexB(b, time.Second/frameRate)
	} else if err == nil {
		c, err = clip.ParseIVF(b)
	}
	if err != nil {
		return nil, fmt.Errorf("recorded video %s: %w", name, err)
	}
	return c, nil
}

// readVoice measures the recording as well, for the levels that are sent along.
func (m *media) readVoice() error {
	b, err := clips.ReadFile("clips/voice.opus")
	if err != nil {
		return err
	}
	c, err := clip.ParseOgg(b)
	if err != nil {
		return err
	}
	d, err := opus.NewDecoder(1)
	if err != nil {
		return err
	}
	defer d.Close()
	pcm := make([]float32, opus.MaxSamples)
	for _, f := range c.Frames {
		n, err := d.Decode(f.Data, pcm)
		if err != nil {
			return err
		}
		m.voice = append(m.voice, spoken{f.Data, level(pcm[:n])})
	}
	return nil
}

// level is the loudness of samples in decibels below full scale (RFC 6464).
func level(pcm []float32) uint8 {
	sum := 0.0
	for _, x := range pcm {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return silent
	}
	return uint8(min(max(-10*math.Log10(sum/float64(len(pcm))), 0), silent))
}

// playMicrophones sends the sound of all attendees who have a microphone on,
// until ctx ends. One goroutine for all wakes up less often than one for each.
func (r *run) playMicrophones(ctx context.Context) {
	var phases [packetTime / microphoneTick][]*participant
	for i, p := range r.people {
		if i < r.cfg.Publish || r.cfg.QuietMicrophones {
			phases[i%len(phases)] = append(phases[i%len(phases)], p)
		}
	}
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for tick := 0; ; tick++ {
		due := began.Add(time.Duration(tick) * microphoneTick)
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		n := tick / len(phases)
		for _, p := range phases[tick%len(phases)] {
			packet, level := silence, uint8(silent)
			if p.index < r.cfg.Speaking {
				// Not all in the same words.
				s := r.media.voice[(n+37*p.index)%len(r.media.voice)]
				packet, level = s.packet, s.level
			}
			// Who is not connected is not heard.
			_ = p.client.SendSpeech(packet, due.Add(-packetTime), level)
		}
	}
}

// film sends the camera until ctx ends.
func (p *participant) film(ctx context.Context, layer int) {
	c := p.load.media.videos[layer]
	err := c.Play(ctx, time.Now(), p.restart[layer], func(frame []byte, at time.Time) error {
		_ = p.client.SendLayer(layer, frame, at) // not connected: not seen
		return nil
	})
	if err != nil {
		p.log.Warn("camera stopped", "err", err)
	}
}
