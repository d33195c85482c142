package rtmpsink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"belfry.live/belfry/internal/wire/amf0"
	"belfry.live/belfry/internal/wire/flv"
	"belfry.live/belfry/internal/wire/rtmp"
)

const (
	// flashVersion is how encoders introduce themselves; some servers look for
	// its beginning.
	flashVersion = "FMLE/3.0 (compatible; Belfry)"
	// maxAnswer bounds the server's messages, in bytes: it has nothing to say
	// but commands.
	maxAnswer = 64 << 10
	// sendBuffer bounds what the kernel holds back from us, in bytes: more
	// would hide a server that reads no more, less would slow a distant one.
	sendBuffer = 256 << 10
	minWindow  = 64 << 10
)

// A refusedError is a no that waiting seldom heals.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

// A connection is one RTMP session that publishes. The reader's goroutine
// touches r, the other w.
type connection struct {
	url    URL
	conn   net.Conn
	r      *rtmp.Reader
	w      *rtmp.Writer
	stall  time.Duration
	stream uint32

	video, audio *config // the last ones sent; the writer's

	window  uint64 // the server wants to hear after so many bytes
	acked   uint64
	replies chan rtmp.Message // from the reader, for the writer to send

	mu  sync.Mutex // guards end, and that no later write deadline is set
	end time.Time  // nothing is written after this; zero until the end is near
}

// dial connects, shakes hands and publishes. Every step has its time.
func dial(ctx context.Context, cfg Config) (*connection, error) {
	address := cfg.DialAddr
	if address == "" {
		address = cfg.URL.Address()
	}
	d := net.Dialer{
		Timeout:   cfg.ConnectTimeout,
		KeepAlive: 15 * time.Second,
		Control:   dialControl(cfg.StallTimeout),
	}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(sendBuffer)
	}
	raw := conn
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	if cfg.URL.TLS {
		if conn, err = secure(ctx, conn, cfg); err != nil {
			conn.Close()
			return nil, err
		}
	}
	c := &connection{
		url:     cfg.URL,
		conn:    conn,
		r:       rtmp.NewReader(conn),
		stall:   cfg.StallTimeout,
		window:  2_500_000,
		replies: make(chan rtmp.Message, 8),
	}
	c.r.SetLimit(maxAnswer)
	c.w = rtmp.NewWriter(conn)
	conn.SetDeadline(time.Now().Add(cfg.ConnectTimeout))
	if err := c.publish(); err != nil {
		conn.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			err = fmt.Errorf("%w (no answer for %v)", err, cfg.ConnectTimeout)
		}
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return c, nil
}

// secure does the TLS handshake. The connection it returns is to be closed
// even if there is an error.
func secure(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, error) {
	name := cfg.ServerName
	if name == "" {
		name = cfg.URL.Host
	}
	t := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12})
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	err := t.HandshakeContext(ctx)
	if err == nil {
		return t, nil
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return t, refusedError{fmt.Errorf("TLS with %s: %w", name, err)}
	}
	return t, fmt.Errorf("TLS with %s: %w", name, err)
}

// publish goes from the handshake to the server's word that media may flow.
func (c *connection) publish() error {
	if err := rtmp.ClientHandshake(c.conn); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if err := c.w.SetChunkSize(rtmp.WriteChunkSize); err != nil {
		return err
	}
	_, err := c.call(rtmp.Command{Name: "connect", Transaction: 1, Object: amf0.Object{
		{Key: "app", Value: c.url.App},
		{Key: "type", Value: "nonprivate"},
		{Key: "flashVer", Value: flashVersion},
		{Key: "tcUrl", Value: c.url.tcURL()},
	}})
	if err != nil {
		return err
	}
	// The first two are customs of Flash encoders that some servers insist on;
	// others answer them with an error or not at all.
	for i, name := range []string{"releaseStream", "FCPublish"} {
		if err := c.send(0, rtmp.Command{Name: name, Transaction: float64(2 + i), Args: []amf0.Value{c.url.key}}); err != nil {
			return err
		}
	}
	created, err := c.call(rtmp.Command{Name: "createStream", Transaction: 4})
	if err != nil {
		return err
	}
	if len(created.Args) == 0 {
		return errors.New("createStream: answer without a stream")
	}
	id, ok := created.Args[0].(float64)
	if !ok || id < 1 || id > 1<<31 {
		return errors.New("createStream: answer without a stream")
	}
	c.stream = uint32(id)
	err = c.send(c.stream, rtmp.Command{Name: "publish", Transaction: 5, Args: []amf0.Value{c.url.key, "live"}})
	if err != nil {
		return err
	}
	for {
		answer, err := c.command()
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		status := rtmp.ParseStatus(answer)
		switch {
		case answer.Name == "_error" && answer.Transaction == 5, status.Level == rtmp.LevelError:
			return c.refusal("publish", status)
		case answer.Name == "onStatus" && status.Code == rtmp.CodePublishStart:
			return nil
		}
	}
}

// call sends a command and waits for its result.
func (c *connection) call(call rtmp.Command) (rtmp.Command, error) {
	if err := c.send(0, call); err != nil {
		return rtmp.Command{}, err
	}
	for {
		answer, err := c.command()
		if err != nil {
			return rtmp.Command{}, fmt.Errorf("%s: %w", call.Name, err)
		}
		switch {
		case answer.Name == "_result" && answer.Transaction == call.Transaction:
			return answer, nil
		case answer.Name == "_error" && answer.Transaction == call.Transaction:
			return rtmp.Command{}, c.refusal(call.Name, rtmp.ParseStatus(answer))
		}
	}
}

// refusal makes an error of what the server said.
func (c *connection) refusal(what string, status rtmp.Status) error {
	return refusedError{fmt.Errorf("%s: %s", what, c.said(status))}
}

// said is a status as text. Servers like to repeat the stream's name: the key
// is covered.
func (c *connection) said(status rtmp.Status) string {
	text := status.Code
	if text == "" {
		text = "refused"
	}
	if status.Description != "" {
		text += " (" + status.Description + ")"
	}
	return c.url.cover(text)
}

func (c *connection) send(stream uint32, command rtmp.Command) error {
	if err := c.w.WriteMessage(command.Message(stream)); err != nil {
		return fmt.Errorf("%s: %w", command.Name, err)
	}
	return nil
}

// command reads up to the next command. It answers pings itself: until media
// flows nobody else writes.
func (c *connection) command() (rtmp.Command, error) {
	for {
		m, err := c.r.ReadMessage()
		if err != nil {
			return rtmp.Command{}, closed(err)
		}
		if m.Type == rtmp.TypeCommandAMF0 || m.Type == rtmp.TypeCommandAMF3 {
			return rtmp.ParseCommand(m)
		}
		reply, ok, err := c.reply(m)
		if err != nil {
			return rtmp.Command{}, err
		}
		if !ok {
			continue
		}
		if err := c.w.WriteMessage(reply); err != nil {
			return rtmp.Command{}, err
		}
	}
}

// reply returns what a message that is no command, or the bytes so far, ask
// for.
func (c *connection) reply(m rtmp.Message) (reply rtmp.Message, ok bool, err error) {
	switch m.Type {
	case rtmp.TypeWindowAckSize:
		n, err := rtmp.ParseUint32(m)
		if err != nil {
			return rtmp.Message{}, false, err
		}
		c.window = uint64(max(n, minWindow))
	case rtmp.TypeUserControl:
		event, value, err := rtmp.ParseUserControl(m)
		if err != nil {
			return rtmp.Message{}, false, err
		}
		if event == rtmp.EventPingRequest {
			return rtmp.UserControl(rtmp.EventPingResponse, value), true, nil
		}
	}
	if got := c.r.Received(); got-c.acked >= c.window {
		c.acked = got
		return rtmp.Acknowledgement(uint32(got)), true, nil
	}
	return rtmp.Message{}, false, nil
}

// read listens to the server while media flows, until the connection ends or
// the server says that the stream has.
func (c *connection) read() error {
	for {
		m, err := c.r.ReadMessage()
		if err != nil {
			return closed(err)
		}
		if m.Type == rtmp.TypeCommandAMF0 || m.Type == rtmp.TypeCommandAMF3 {
			command, err := rtmp.ParseCommand(m)
			if err != nil {
				return err
			}
			if command.Name != "onStatus" {
				continue
			}
			status := rtmp.ParseStatus(command)
			switch {
			case status.Level == rtmp.LevelError:
				return c.refusal("stream", status)
			case status.Code == rtmp.CodeUnpublish, status.Code == codeConnectClosed:
				return fmt.Errorf("the server ended the stream: %s", c.said(status))
			}
			continue
		}
		reply, ok, err := c.reply(m)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		select {
		case c.replies <- reply:
		default: // a server that pings faster than media flows can wait
		}
	}
}

const codeConnectClosed = "NetConnection.Connect.Closed"

// begin sends what comes before media: metadata and decoder configurations.
func (c *connection) begin(m Metadata) error {
	payload := amf0.Append(nil, "@setDataFrame", "onMetaData", m.Value())
	if err := c.write(rtmp.Message{Type: rtmp.TypeDataAMF0, Chunk: rtmp.ChunkData, Stream: c.stream, Payload: payload}); err != nil {
		return err
	}
	if c.video != nil {
		if err := c.write(mediaMessage(true, c.stream, 0, c.video.payload)); err != nil {
			return err
		}
	}
	if c.audio != nil {
		return c.write(mediaMessage(false, c.stream, 0, c.audio.payload))
	}
	return nil
}

// write sends a message, and fails when the server does not take it in time.
func (c *connection) write(m rtmp.Message) error {
	c.mu.Lock()
	deadline := time.Now().Add(c.stall)
	if !c.end.IsZero() && c.end.Before(deadline) {
		deadline = c.end
	}
	c.conn.SetWriteDeadline(deadline)
	c.mu.Unlock()
	err := c.w.WriteMessage(m)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the server takes no more media for %v: %w", c.stall, err)
	}
	return err
}

// media sends an item, after its decoder configuration if that is new.
func (c *connection) media(it *item) error {
	last := &c.audio
	if it.video {
		last = &c.video
	}
	m := it.message(c.stream)
	if *last != it.config {
		if err := c.write(mediaMessage(it.video, c.stream, m.Time, it.config.payload)); err != nil {
			return err
		}
		*last = it.config
	}
	return c.write(m)
}

// endBy says when everything must have been written. It may come in the middle
// of a write, from any goroutine.
func (c *connection) endBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = t
	c.conn.SetDeadline(t)
}

// bye tells the server that the stream is over and waits until it has hung up,
// or endBy's time has come. ended is closed when read has returned.
func (c *connection) bye(ended <-chan struct{}) {
	for _, command := range []rtmp.Command{
		{Name: "FCUnpublish", Transaction: 6, Args: []amf0.Value{c.url.key}},
		{Name: "deleteStream", Transaction: 7, Args: []amf0.Value{float64(c.stream)}},
	} {
		if c.write(command.Message(0)) != nil {
			return
		}
	}
	// A connection closed with bytes unread is reset, and the server might
	// lose what it has not read yet.
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		<-ended
	}
}

// videoConfig makes a sequence header of an avcC.
func videoConfig(record []byte) *config {
	return &config{flv.AppendVideo(nil, flv.Video{KeyFrame: true, Packet: flv.SequenceHeader, Data: record})}
}

// audioConfig makes a sequence header of an AudioSpecificConfig.
func audioConfig(record []byte) *config {
	return &config{flv.AppendAudio(nil, flv.Audio{Packet: flv.SequenceHeader, Data: record})}
}

// closed says in words that the server hung up.
func closed(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the server closed the connection")
	}
	return err
}
