package ingest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/amf0"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/h264"
	"belfry.live/belfry/internal/wire/rtmp"
)

// FuzzSession plays the publisher with any bytes, from the first byte on, from
// the end of the handshake, or from the moment it publishes.
func FuzzSession(f *testing.F) {
	const fromStart, fromHandshake, fromPublish = 0, 1, 2
	opening := fuzzBytes(func(w *rtmp.Writer) {
		w.WriteMessage(rtmp.Command{Name: "connect", Transaction: 1, Object: amf0.Object{{Key: "app", Value: "app"}}}.Message(0))
		w.WriteMessage(rtmp.Command{Name: "createStream", Transaction: 2}.Message(0))
		w.WriteMessage(rtmp.Command{Name: "publish", Transaction: 3, Args: []amf0.Value{testKey, "live"}}.Message(1))
	})
	media := fuzzBytes(func(w *rtmp.Writer) {
		config, err := h264.NewConfig(testSPS, testPPS)
		if err != nil {
			f.Fatal(err)
		}
		lc := aac.Config{ObjectType: aac.TypeLC, SampleRate: 48000, Channels: 2}
		w.WriteMessage(rtmp.Message{Type: rtmp.TypeDataAMF0, Chunk: 5, Payload: amf0.Append(nil, "@setDataFrame", "onMetaData", amf0.ECMAArray{{Key: "width", Value: 320.0}})})
		w.WriteMessage(videoMessage(0, flv.Video{KeyFrame: true, Data: config.Append(nil)}))
		w.WriteMessage(audioMessage(0, flv.Audio{Data: lc.Append(nil)}))
		w.WriteMessage(videoMessage(0, flv.Video{KeyFrame: true, Packet: flv.Frame, Data: []byte{0, 0, 0, 1, 0x65}}))
		w.WriteMessage(audioMessage(21, flv.Audio{Packet: flv.Frame, Data: []byte{1}}))
		b := flv.Tag{Type: flv.TypeAudio, Data: flv.AppendAudio(nil, flv.Audio{Packet: flv.Frame, Data: []byte{2}})}.Append(nil)
		w.WriteMessage(rtmp.Message{Type: rtmp.TypeAggregate, Chunk: 7, Time: 42, Payload: b})
		w.WriteMessage(rtmp.Command{Name: "FCUnpublish", Args: []amf0.Value{testKey}}.Message(0))
	})
	hello := append([]byte{3}, make([]byte, 2*1536)...)
	f.Add(uint8(fromStart), append(bytes.Clone(hello), opening...))
	f.Add(uint8(fromHandshake), append(bytes.Clone(opening), media...))
	f.Add(uint8(fromPublish), media)
	f.Add(uint8(fromPublish), append(bytes.Clone(media), opening...))

	f.Fuzz(func(t *testing.T, from uint8, b []byte) {
		switch from % 3 {
		case fromHandshake:
			b = append(bytes.Clone(hello), b...)
		case fromPublish:
			b = append(append(bytes.Clone(hello), opening...), b...)
		}
		desk := &strictDesk{t: t}
		server := New(Config{}, desk, slog.New(slog.DiscardHandler))
		here, there := net.Pipe()
		here.SetDeadline(time.Now().Add(10 * time.Second))
		seat, err := server.enter(there.RemoteAddr())
		if err != nil {
			t.Fatal(err)
		}
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			io.Copy(io.Discard, here)
		}()
		go func() {
			here.Write(b)
			here.Close()
		}()
		newSession(server, there, false, seat).run(context.Background())
		there.Close()
		seat.leave()
		<-drained
		if desk.open != 0 {
			t.Errorf("%d publications were not closed", desk.open)
		}
	})
}

func fuzzBytes(write func(*rtmp.Writer)) []byte {
	var b bytes.Buffer
	write(rtmp.NewWriter(&b))
	return b.Bytes()
}

// A strictDesk fails the test when a publication's promises are broken.
type strictDesk struct {
	t    *testing.T
	open int
}

func (d *strictDesk) Publish(_ context.Context, key string, _ Publisher) (Publication, error) {
	if key != testKey {
		return nil, ErrUnknownKey
	}
	d.open++
	return &strictPublication{desk: d}, nil
}

type strictPublication struct {
	desk         *strictDesk
	video, audio bool
	closed       bool
}

func (p *strictPublication) must(ok bool, what string) {
	if !ok || p.closed {
		p.desk.t.Errorf("%s; closed %v", what, p.closed)
	}
}

func (p *strictPublication) Metadata(Metadata) { p.must(true, "metadata") }

func (p *strictPublication) SetVideo(c h264.Config) error {
	p.must(c.LengthSize == 4 && c.Width > 0 && c.Height > 0, "SetVideo of an incomplete config")
	p.video = true
	return nil
}

func (p *strictPublication) SetAudio(c aac.Config) error {
	p.must(c.ObjectType == aac.TypeLC && c.SampleRate > 0 && c.Channels >= 1 && c.Channels <= 2, "SetAudio of another codec")
	p.audio = true
	return nil
}

func (p *strictPublication) WriteVideo(s packager.Sample) error {
	c, err := h264.Inspect(s.Data, 4)
	p.must(p.video && s.DTS >= 0 && err == nil && c.Slice, "WriteVideo of something else")
	return nil
}

func (p *strictPublication) WriteAudio(s packager.Sample) error {
	p.must(p.audio && s.DTS >= 0 && len(s.Data) > 0, "WriteAudio of something else")
	return nil
}

func (p *strictPublication) Stopped() <-chan struct{} { return nil }

func (p *strictPublication) Close(bool) {
	p.must(true, "Close")
	p.closed = true
	p.desk.open--
}
