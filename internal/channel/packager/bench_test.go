package packager_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

// BenchmarkSecond packages one second of 4.6 Mbit/s an iteration, 30 pictures
// and 47 audio frames; with viewers also makes and compresses every playlist.
func BenchmarkSecond(b *testing.B) {
	for name, viewers := range map[string]bool{"alone": false, "playlists": true} {
		b.Run(name, func(b *testing.B) {
			p := packager.New(packager.Config{}, slog.New(slog.DiscardHandler))
			p.Begin()
			config, err := h264.NewConfigAnnexB(annexB)
			if err != nil {
				b.Fatal(err)
			}
			p.SetVideo(config)
			p.SetAudio(aac.Config{ObjectType: aac.TypeLC, SampleRate: 48000, Channels: 2})
			picture, sound := make([]byte, 4_470_000/8/30), make([]byte, 128_000/8/47)
			var at time.Duration
			n, frames := 0, 0
			load := func() {
				for _, name := range []string{"video", "audio"} {
					if r, ok := p.Rendition(name); ok {
						text, err := r.Playlist(context.Background(), packager.Request{})
						if err != nil {
							b.Fatal(err)
						}
						text.Gzip()
					}
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				for end := at + time.Second; at < end; n++ {
					for ; frames*1024/48 <= int(at/time.Millisecond); frames++ {
						t := time.Duration(frames*1024/48) * time.Millisecond
						if err := p.WriteAudio(start.Add(t), packager.Sample{DTS: t, PTS: t, Data: sound}); err != nil {
							b.Fatal(err)
						}
					}
					if err := p.WriteVideo(start.Add(at), packager.Sample{DTS: at, PTS: at, KeyFrame: n%60 == 0, Data: picture}); err != nil {
						b.Fatal(err)
					}
					if viewers {
						load()
					}
					at = time.Duration(n+1) * 100 / 3 * time.Millisecond
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/s")
		})
	}
}
