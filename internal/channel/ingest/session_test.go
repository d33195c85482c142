package ingest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/amf0"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/rtmp"
)

func TestRefusals(t *testing.T) {
	ts := startServer(t, Config{})
	for _, c := range []struct {
		name        string
		set         func()
		key         string
		code        string
		description string
		logged      string
	}{
		{"unknown key", func() {}, "sk_other_VERYSECRET9", rtmp.CodePublishBadName, ErrUnknownKey.Error(), "unknown stream key"},
		{"key too long", func() {}, strings.Repeat("k", maxName+1), rtmp.CodePublishBadName, ErrUnknownKey.Error(), "limit 1024"},
		{"busy", func() { ts.desk.busy = true }, testKey, rtmp.CodePublishBadName, ErrBusy.Error(), ErrBusy.Error()},
		{"insecure", func() { ts.desk.insecure = false }, testKey, rtmp.CodePublishDenied, ErrInsecure.Error(), "encrypted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts.desk.mu.Lock()
			c.set()
			ts.desk.mu.Unlock()
			client := dialClient(t, ts.plain)
			client.connect()
			got := client.publish(c.key)
			if got.Level != rtmp.LevelError || got.Code != c.code || got.Description != c.description {
				t.Errorf("status: got %+v, want error %s %q", got, c.code, c.description)
			}
			client.closed()
			waitFor(t, "the log line", func() bool { return strings.Contains(ts.log.String(), c.logged) })
			if log := ts.log.String(); !strings.Contains(log, "remote="+client.conn.LocalAddr().String()) {
				t.Errorf("log does not name %v:\n%s", client.conn.LocalAddr(), log)
			}
		})
	}
	if s := ts.Stats(); s.RefusedKey != 2 || s.RefusedElse != 2 {
		t.Errorf("stats: got %+v, want 2 keys and 2 others refused", s)
	}
}

func TestPlayIsRefused(t *testing.T) {
	ts := startServer(t, Config{})
	c := dialClient(t, ts.plain)
	c.connect()
	c.send("createStream", 2, nil)
	c.read()
	c.send("play", 3, nil, testKey)
	if s := rtmp.ParseStatus(c.read()); s.Code != rtmp.CodePlayFailed {
		t.Errorf("play: got %+v, want %s", s, rtmp.CodePlayFailed)
	}
	c.closed()
}

func TestCommands(t *testing.T) {
	ts := startServer(t, Config{})
	c := dialClient(t, ts.plain)
	// A command of type 17 is AMF0 after its first byte.
	m := rtmp.Command{Name: "connect", Transaction: 1, Object: amf0.Object{{Key: "app", Value: "app"}}}.Message(0)
	m.Type, m.Payload = rtmp.TypeCommandAMF3, append([]byte{0}, m.Payload...)
	c.write(m)
	if a := c.read(); a.Name != "_result" {
		t.Fatalf("connect of type 17: got %+v, want a result", a)
	}
	c.send("releaseStream", 2, nil, testKey)
	if a := c.read(); a.Name != "_result" || a.Transaction != 2 {
		t.Errorf("releaseStream: got %+v, want a result", a)
	}
	c.send("somethingElse", 3, nil)
	if a := c.read(); a.Name != "_error" || a.Transaction != 3 {
		t.Errorf("unknown command: got %+v, want an error", a)
	}
	c.write(rtmp.UserControl(rtmp.EventPingRequest, 4711))
	for {
		m, err := c.r.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != rtmp.TypeUserControl {
			continue
		}
		if event, value, err := rtmp.ParseUserControl(m); event != rtmp.EventPingResponse || value != 4711 || err != nil {
			t.Errorf("ping: got event %d, value %d, %v, want %d, 4711", event, value, err, rtmp.EventPingResponse)
		}
		break
	}
	c.send("connect", 4, nil)
	c.closed()
}

func TestSamples(t *testing.T) {
	ts := startServer(t, Config{})
	c, r := publishing(t, ts)
	c.write(videoMessage(0, flv.Video{KeyFrame: true, Packet: flv.Frame, Data: []byte{0, 0, 0, 1, 0x65}})) // before its config: left out
	c.configs(2)
	c.configs(2) // the same again: not told
	c.write(rtmp.Message{Type: rtmp.TypeDataAMF0, Chunk: rtmp.ChunkData, Stream: 1, Payload: amf0.Append(nil, "@setDataFrame", "onMetaData",
		amf0.ECMAArray{{Key: "width", Value: 320.0}, {Key: "videodatarate", Value: 1500.0}, {Key: "encoder", Value: "obs\n1"}})})
	// Just before the 32-bit wrap, and over it.
	const start = 1<<32 - 60
	c.write(videoMessage(start, flv.Video{KeyFrame: true, Packet: flv.Frame, Composition: 80 * time.Millisecond, Data: []byte{0, 2, 9, 0xf0, 0, 2, 0x65, 1}}))
	c.write(audioMessage(start+21, flv.Audio{Packet: flv.Frame, Data: []byte{0x21, 7}}))
	c.write(videoMessage(start+40, flv.Video{Packet: flv.Frame, Data: []byte{0, 2, 9, 0xf0}})) // no slice in it: left out
	c.write(videoMessage(20, flv.Video{Packet: flv.Frame, Composition: -40 * time.Millisecond, Data: []byte{0, 2, 0x41, 2}}))
	// An aggregate of both kinds.
	b := flv.Tag{Type: flv.TypeVideo, Time: 1000, Data: flv.AppendVideo(nil, flv.Video{Packet: flv.Frame, Data: []byte{0, 2, 0x41, 3}})}.Append(nil)
	b = flv.Tag{Type: flv.TypeAudio, Time: 1003, Data: flv.AppendAudio(nil, flv.Audio{Packet: flv.Frame, Data: []byte{0x21, 8}})}.Append(b)
	c.write(rtmp.Message{Type: rtmp.TypeAggregate, Chunk: rtmp.ChunkVideo, Stream: 1, Time: 60, Payload: b})
	c.send("FCUnpublish", 0, nil, testKey)
	r.wait(t)

	const at = start * time.Millisecond
	want := []packager.Sample{
		{DTS: at, PTS: at + 80*time.Millisecond, KeyFrame: true, Data: []byte{0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 2, 0x65, 1}},
		{DTS: at + 80*time.Millisecond, PTS: at + 40*time.Millisecond, Data: []byte{0, 0, 0, 2, 0x41, 2}},
		{DTS: at + 120*time.Millisecond, PTS: at + 120*time.Millisecond, Data: []byte{0, 0, 0, 2, 0x41, 3}},
	}
	compareSamples(t, "video", r.video, want)
	compareSamples(t, "audio", r.audio, []packager.Sample{
		{DTS: at + 21*time.Millisecond, PTS: at + 21*time.Millisecond, Data: []byte{0x21, 7}},
		{DTS: at + 123*time.Millisecond, PTS: at + 123*time.Millisecond, Data: []byte{0x21, 8}},
	})
	if len(r.videos) != 1 || r.videos[0].LengthSize != 4 || r.videos[0].Width == 0 {
		t.Errorf("video configs: got %+v, want one, with lengths of 4 bytes and a size", r.videos)
	}
	if len(r.audios) != 1 {
		t.Errorf("audio configs: got %+v, want one", r.audios)
	}
	if len(r.metadata) != 1 || r.metadata[0] != (Metadata{Width: 320, VideoBitrate: 1_500_000, Encoder: "obs1"}) {
		t.Errorf("metadata: got %+v", r.metadata)
	}
	if !r.orderly {
		t.Error("Close: got lost, want orderly")
	}
	if got := ts.Stats().Ignored; got != 2 {
		t.Errorf("stats: got %d messages ignored, want 2", got)
	}

	// The same session may publish again.
	if s := c.publish(testKey); s.Code != rtmp.CodePublishStart {
		t.Fatalf("publish again: got %+v", s)
	}
	r = ts.publication(t)
	c.conn.Close()
	r.wait(t)
	if r.orderly {
		t.Error("Close after a lost connection: got orderly, want lost")
	}
}

func compareSamples(t *testing.T, kind string, got, want []packager.Sample) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d samples %+v, want %d", kind, len(got), got, len(want))
	}
	for i := range want {
		g, w := got[i], want[i]
		if g.DTS != w.DTS || g.PTS != w.PTS || g.KeyFrame != w.KeyFrame || !bytes.Equal(g.Data, w.Data) {
			t.Errorf("%s %d: got %+v, want %+v", kind, i, g, w)
		}
	}
}

func TestMediaErrors(t *testing.T) {
	he := aac.Config{ObjectType: aac.TypeSBR, SampleRate: 24000, Channels: 2, ExtensionRate: 48000}
	surround := aac.Config{ObjectType: aac.TypeLC, SampleRate: 48000, Channels: 6}
	for _, c := range []struct {
		name string
		m    rtmp.Message
		want string
	}{
		{"HEVC", rtmp.Message{Type: rtmp.TypeVideo, Payload: []byte{0x1c, 0, 0, 0, 0}}, "video codec HEVC is not supported: send H.264"},
		{"enhanced", rtmp.Message{Type: rtmp.TypeVideo, Payload: []byte("\x90hvc1")}, `video codec "hvc1" of Enhanced RTMP`},
		{"MP3", rtmp.Message{Type: rtmp.TypeAudio, Payload: []byte{0x2f, 0}}, "audio codec MP3 is not supported"},
		{"HE-AAC", audioMessage(0, flv.Audio{Data: he.Append(nil)}), "only AAC-LC"},
		{"surround", audioMessage(0, flv.Audio{Data: surround.Append(nil)}), "audio has 6 channels, limit 2"},
		{"avcC", videoMessage(0, flv.Video{Data: []byte{1, 2, 3}}), "avcC has 3 bytes"},
		{"lengths", videoMessage(0, flv.Video{Packet: flv.Frame, Data: []byte{0, 0, 0, 9, 0x65}}), "NAL unit says 9 bytes, 1 are left"},
		{"desk", videoMessage(0, flv.Video{Packet: flv.Frame, Data: []byte{0, 0, 0, 1, 0x65}}), "too large a picture"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := startServer(t, Config{})
			ts.desk.fail = func(packager.Sample) error { return errors.New("too large a picture") }
			client, r := publishing(t, ts)
			client.configs(4)
			if c.m.Chunk == 0 {
				c.m.Chunk = 7
			}
			client.write(c.m)
			r.wait(t)
			s := rtmp.ParseStatus(client.read())
			if s.Level != rtmp.LevelError || s.Code != rtmp.CodePublishRejected || !strings.Contains(s.Description, c.want) {
				t.Errorf("status: got %+v, want %s with %q", s, rtmp.CodePublishRejected, c.want)
			}
			client.closed()
			if r.orderly {
				t.Error("Close: got orderly, want lost")
			}
		})
	}
}

// TestRefusalIsRead has a publisher that goes on sending before it reads why it
// was refused: the answer must not be lost with the connection.
func TestRefusalIsRead(t *testing.T) {
	ts := startServer(t, Config{})
	c, r := publishing(t, ts)
	c.write(rtmp.Message{Type: rtmp.TypeVideo, Chunk: 7, Stream: 1, Payload: []byte{0x1c, 0, 0, 0, 0}})
	r.wait(t)
	for i := range 4 {
		if err := c.w.WriteMessage(audioMessage(uint32(i), flv.Audio{Packet: flv.Frame, Data: make([]byte, 50_000)})); err != nil {
			t.Fatalf("message %d after the refusal: %v, want it taken", i, err)
		}
	}
	if s := rtmp.ParseStatus(c.read()); s.Code != rtmp.CodePublishRejected {
		t.Errorf("got %+v, want %s", s, rtmp.CodePublishRejected)
	}
}

func TestStoppedCutsThePublisher(t *testing.T) {
	ts := startServer(t, Config{})
	c, r := publishing(t, ts)
	began := time.Now()
	close(r.stop)
	r.wait(t)
	c.closed()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("cut took %v, want less than 2s", d)
	}
	waitFor(t, "the log line", func() bool { return strings.Contains(ts.log.String(), "publishing cut") })
}

func TestAcknowledgements(t *testing.T) {
	ts := startServer(t, Config{})
	c, r := publishing(t, ts)
	c.write(rtmp.WindowAckSize(100_000))
	c.configs(4)
	au := append([]byte{0, 0, 0xc3, 0x50, 0x65}, make([]byte, 50_000-1)...)
	for i := range 5 {
		c.write(videoMessage(uint32(40*i), flv.Video{KeyFrame: true, Packet: flv.Frame, Data: au}))
	}
	var acks []uint32
	for len(acks) < 2 {
		m, err := c.r.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if m.Type == rtmp.TypeAcknowledgement {
			n, err := rtmp.ParseUint32(m)
			if err != nil {
				t.Fatal(err)
			}
			acks = append(acks, n)
		}
	}
	if acks[0] < 100_000 || acks[1] < acks[0]+100_000 || acks[1] > 260_000 {
		t.Errorf("acknowledged: got %d, want two, 100000 bytes apart", acks)
	}
	c.send("deleteStream", 0, nil, 1.0)
	r.wait(t)
}

// TestLimits fills the places of one address and of the server. The listener
// is a pipe, where all addresses are one.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPipe(t, Config{MaxSessions: 3, MaxWaitingPerAddress: 2})
		first := newClient(t, p.dial())
		first.connect()
		if s := first.publish(testKey); s.Code != rtmp.CodePublishStart {
			t.Fatalf("publish: got %+v", s)
		}
		second, third := p.dial(), p.dial() // two who wait, beside the publisher
		fourth := p.dial()
		if n, err := fourth.Read(make([]byte, 1)); err == nil {
			t.Errorf("session beyond the limit: read %d bytes, want it closed", n)
		}
		second.Close()
		third.Close()
		synctest.Wait()
		if s := p.server.Stats(); s.Sessions != 1 || s.Publishing != 1 || s.RefusedFull != 1 {
			t.Errorf("stats: got %+v, want one session that publishes, and one refused", s)
		}
		first.conn.Close()
		p.stop()
	})
}

func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(p *pipeServer, t *testing.T) net.Conn
		want time.Duration
	}{
		{"silent", func(p *pipeServer, _ *testing.T) net.Conn { return p.dial() }, 10 * time.Second},
		{"half a handshake", func(p *pipeServer, t *testing.T) net.Conn {
			conn := p.dial()
			if _, err := conn.Write([]byte{3, 0, 0}); err != nil {
				t.Fatal(err)
			}
			return conn
		}, 10 * time.Second},
		{"another protocol", func(p *pipeServer, t *testing.T) net.Conn {
			conn := p.dial()
			if _, err := conn.Write([]byte("G")); err != nil {
				t.Fatal(err)
			}
			return conn
		}, 0},
		{"no connect", func(p *pipeServer, t *testing.T) net.Conn { return newClient(t, p.dial()).conn }, 20 * time.Second},
		{"no publish", func(p *pipeServer, t *testing.T) net.Conn {
			client := newClient(t, p.dial())
			client.connect()
			time.Sleep(19 * time.Second)
			client.send("createStream", 2, nil) // does not put the deadline off
			client.read()
			return client.conn
		}, 20 * time.Second},
		{"no media", func(p *pipeServer, t *testing.T) net.Conn {
			client := newClient(t, p.dial())
			client.connect()
			client.publish(testKey)
			client.configs(4)
			for i := range 4 { // gaps shorter than the limit are no end
				time.Sleep(25 * time.Second)
				client.write(audioMessage(uint32(25000*i), flv.Audio{Packet: flv.Frame, Data: []byte{1}}))
			}
			return client.conn
		}, 130 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := startPipe(t, Config{PublishTimeout: 20 * time.Second})
				began := time.Now()
				conn := c.do(p, t)
				io.Copy(io.Discard, conn)
				if d := time.Since(began).Round(time.Second); d != c.want {
					t.Errorf("session ended after %v, want %v", d, c.want)
				}
				conn.Close()
				p.stop()
			})
		})
	}
}

// A pipeServer is a server whose connections are pipes, for simulated time.
type pipeServer struct {
	server *Server
	ln     pipeListener
	stop   func()
}

func startPipe(t *testing.T, cfg Config) *pipeServer {
	t.Helper()
	p := &pipeServer{
		server: New(cfg, newTestDesk(), slog.New(slog.DiscardHandler)),
		ln:     pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.server.Serve(ctx, p.ln, false); err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	}()
	p.stop = func() { cancel(); <-done }
	return p
}

func (p *pipeServer) dial() net.Conn {
	here, there := net.Pipe()
	p.ln.conns <- there
	return here
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { close(l.closed); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
