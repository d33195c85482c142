package ingest

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/amf0"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/h264"
	"belfry.live/belfry/internal/wire/rtmp"
)

// A testClient is a publisher, message by message.
type testClient struct {
	t    *testing.T
	conn net.Conn
	r    *rtmp.Reader
	w    *rtmp.Writer
}

// dialClient connects and shakes hands.
func dialClient(t *testing.T, addr string) *testClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return newClient(t, conn)
}

// newClient shakes hands. It reads S2 before it writes C2, so that a pipe
// without a buffer will do.
func newClient(t *testing.T, conn net.Conn) *testClient {
	t.Helper()
	hello := make([]byte, 1+1536)
	hello[0] = 3
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1+2*1536)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(answer[1 : 1+1536]); err != nil {
		t.Fatal(err)
	}
	return &testClient{t: t, conn: conn, r: rtmp.NewReader(conn), w: rtmp.NewWriter(conn)}
}

func (c *testClient) write(m rtmp.Message) {
	c.t.Helper()
	if err := c.w.WriteMessage(m); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *testClient) send(name string, transaction float64, object amf0.Value, args ...amf0.Value) {
	c.t.Helper()
	c.write(rtmp.Command{Name: name, Transaction: transaction, Object: object, Args: args}.Message(0))
}

// read returns the next command.
func (c *testClient) read() rtmp.Command {
	c.t.Helper()
	for {
		m, err := c.r.ReadMessage()
		if err != nil {
			c.t.Fatalf("read: %v", err)
		}
		if m.Type != rtmp.TypeCommandAMF0 {
			continue
		}
		command, err := rtmp.ParseCommand(m)
		if err != nil {
			c.t.Fatal(err)
		}
		return command
	}
}

// closed reads up to the end of the connection.
func (c *testClient) closed() {
	c.t.Helper()
	for {
		if _, err := c.r.ReadMessage(); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				c.t.Fatal("the server does not close the connection")
			}
			return
		}
	}
}

func (c *testClient) connect() {
	c.t.Helper()
	c.send("connect", 1, amf0.Object{{Key: "app", Value: "app/?x=1"}, {Key: "flashVer", Value: "test"}})
	if a := c.read(); a.Name != "_result" || rtmp.ParseStatus(a).Code != rtmp.CodeConnectSuccess {
		c.t.Fatalf("connect: got %+v, want success", a)
	}
}

// publish asks to publish and returns the answer.
func (c *testClient) publish(key string) rtmp.Status {
	c.t.Helper()
	c.send("createStream", 4, nil)
	if a := c.read(); a.Name != "_result" || len(a.Args) != 1 || a.Args[0] != amf0.Value(1.0) {
		c.t.Fatalf("createStream: got %+v, want stream 1", a)
	}
	c.send("publish", 5, nil, key, "live")
	return rtmp.ParseStatus(c.read())
}

// publishing is a client that publishes with the test key.
func publishing(t *testing.T, ts *testServer) (*testClient, *recording) {
	t.Helper()
	c := dialClient(t, ts.plain)
	c.connect()
	if s := c.publish(testKey); s.Code != rtmp.CodePublishStart {
		t.Fatalf("publish: got %+v, want %s", s, rtmp.CodePublishStart)
	}
	return c, ts.publication(t)
}

var (
	testSPS = []byte{0x67, 0x42, 0xc0, 0x0a, 0xda, 0x0b, 0x13, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x22, 0x6a}
	testPPS = []byte{0x68, 0xce, 0x0f, 0xc8}
)

func videoMessage(at uint32, v flv.Video) rtmp.Message {
	return rtmp.Message{Type: rtmp.TypeVideo, Chunk: rtmp.ChunkVideo, Stream: 1, Time: at, Payload: flv.AppendVideo(nil, v)}
}

func audioMessage(at uint32, a flv.Audio) rtmp.Message {
	return rtmp.Message{Type: rtmp.TypeAudio, Chunk: rtmp.ChunkAudio, Stream: 1, Time: at, Payload: flv.AppendAudio(nil, a)}
}

// configs are the sequence headers of both kinds.
func (c *testClient) configs(lengthSize int) {
	c.t.Helper()
	config, err := h264.NewConfig(testSPS, testPPS)
	if err != nil {
		c.t.Fatal(err)
	}
	config.LengthSize = lengthSize
	c.write(videoMessage(0, flv.Video{KeyFrame: true, Packet: flv.SequenceHeader, Data: config.Append(nil)}))
	lc := aac.Config{ObjectType: aac.TypeLC, SampleRate: 48000, Channels: 2}
	c.write(audioMessage(0, flv.Audio{Packet: flv.SequenceHeader, Data: lc.Append(nil)}))
}
