package api_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
	"belfry.live/belfry/test/apiserver"
)

// parameterSets are those of 320x180 that x264 made.
var parameterSets = []byte{
	0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0x9f, 0x9e, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x42, 0xa4, 0x80,
	0, 0, 0, 1, 0x68, 0xcb, 0x8c, 0xb2,
}

// A publisher sends a stream to the server's channels as its ingest does.
type publisher struct {
	ingest.Publication
	once sync.Once
	end  chan struct{}
	done chan struct{}
}

// publish begins to publish with the key, until the test ends or stop is
// called.
func publish(t *testing.T, s *apiserver.Server, key *types.StreamKey) *publisher {
	t.Helper()
	pub, err := s.Channels.Publish(t.Context(), aws.ToString(key.Value), ingest.Publisher{Remote: "192.0.2.1:1", Encrypted: true, Encoder: "tests"})
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{Publication: pub, end: make(chan struct{}), done: make(chan struct{})}
	video, err := h264.NewConfigAnnexB(parameterSets)
	if err != nil {
		t.Fatal(err)
	}
	pub.Metadata(ingest.Metadata{VideoBitrate: 800_000, AudioBitrate: 96_000, FrameRate: 25, Encoder: "obs 30"})
	if err := errors.Join(pub.SetVideo(video), pub.SetAudio(aac.Config{ObjectType: aac.TypeLC, SampleRate: 48000, Channels: 2})); err != nil {
		t.Fatal(err)
	}
	go p.run()
	t.Cleanup(p.stop)
	return p
}

func (p *publisher) run() {
	defer close(p.done)
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for at := time.Duration(0); ; at += 40 * time.Millisecond {
		err := p.WriteVideo(packager.Sample{DTS: at, PTS: at, KeyFrame: at%(2*time.Second) == 0, Data: []byte("picture")})
		for half := range 2 {
			t := at + time.Duration(half)*20*time.Millisecond
			err = errors.Join(err, p.WriteAudio(packager.Sample{DTS: t, PTS: t, Data: []byte("sound")}))
		}
		if err != nil {
			p.Close(false)
			return
		}
		select {
		case <-tick.C:
		case <-p.Stopped():
			p.Close(false)
			return
		case <-p.end:
			p.Close(true)
			return
		}
	}
}

// stop ends the stream in order.
func (p *publisher) stop() {
	p.once.Do(func() { close(p.end) })
	<-p.done
}

// newChannel makes a channel.
func (c clients) newChannel(t *testing.T, in *ivs.CreateChannelInput) (*types.Channel, *types.StreamKey) {
	t.Helper()
	out, err := c.channels.CreateChannel(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out.Channel, out.StreamKey
}

// live publishes on a new channel and waits until it is live.
func (c clients) live(t *testing.T, s *apiserver.Server, in *ivs.CreateChannelInput) (*types.Channel, *types.StreamKey, *publisher) {
	t.Helper()
	ch, key := c.newChannel(t, in)
	p := publish(t, s, key)
	c.waitLive(t, ch)
	return ch, key, p
}

func (c clients) waitLive(t *testing.T, ch *types.Channel) {
	t.Helper()
	until(t, "the stream is live", func() bool {
		_, err := c.channels.GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: ch.Arn})
		return err == nil
	})
}
