package signal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// A notebook is a Seat that writes down what it is told.
type notebook struct {
	session *Session
	welcome Welcome // what JOIN is answered with

	mu    sync.Mutex
	lines []string
}

func (n *notebook) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notebook) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

func (n *notebook) Join(_ context.Context, f *chime.JoinFrame) {
	n.note("join %d", f.GetAudioSessionId())
	n.session.Welcome(n.welcome)
	index := chime.New(chime.Frame_INDEX, time.Now())
	index.Index = &chime.IndexFrame{}
	n.session.Send(chime.Append(nil, index))
}

func (n *notebook) Subscribe(ctx context.Context, f *chime.SubscribeFrame) Answer {
	n.note("subscribe %s", f.GetSdpOffer())
	if f.GetSdpOffer() == "wait" {
		<-ctx.Done()
	}
	return Answer{Ack: &chime.SubscribeAckFrame{SdpAnswer: proto.String("answer to " + f.GetSdpOffer())}}
}

func (n *notebook) Promote(_ context.Context, c *chime.MeetingSessionCredentials) uint32 {
	n.note("promote %s", c.GetAttendeeId())
	if c == nil {
		return 403
	}
	return 0
}

func (n *notebook) SetMuted(muted bool)                       { n.note("muted %t", muted) }
func (n *notebook) Pause(ids []uint32, paused bool)           { n.note("pause %v %t", ids, paused) }
func (n *notebook) UpdateVideo(*chime.RemoteVideoUpdateFrame) { n.note("update") }
func (n *notebook) Answered()                                 {}
func (n *notebook) Message(m *chime.DataMessagePayload)       { n.note("message %s", m.GetTopic()) }
func (n *notebook) Demote()                                   { n.note("demote") }
func (n *notebook) Metrics(*chime.ClientMetricFrame)          { n.note("metrics") }
func (n *notebook) Timing(*chime.MeetingSessionTimingFrame)   { n.note("timing") }
func (n *notebook) Leave(d Departure)                         { n.note("leave %d", d) }

// A pipe is a network of one listener in memory, whose time may be simulated.
type pipe struct {
	conns chan net.Conn
	over  chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}
func (p *pipe) Close() error   { close(p.over); return nil }
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{} }

// A world is one client, one session and its seat.
type world struct {
	t     *testing.T
	seat  *notebook
	conn  *websocket.Conn
	raw   net.Conn
	end   context.CancelFunc // ends the session's ctx
	ended chan struct{}      // closed when the session has ended
	reply *http.Response
}

// meet connects a client to a session. refuse is the close code it gets at
// once, if not 0.
func meet(t *testing.T, refuse int) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{t: t, seat: &notebook{welcome: Welcome{Compress: true, VideoLimit: 25}}, end: cancel, ended: make(chan struct{})}
	l := &pipe{conns: make(chan net.Conn), over: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer close(w.ended)
		s, err := Accept(rw, r, Config{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Error(err)
			return
		}
		if refuse != 0 {
			s.Refuse(refuse, "no")
			return
		}
		w.seat.session = s
		s.Run(ctx, w.seat)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		w.raw = near
		l.conns <- far
		return near, nil
	}}}
	conn, reply, err := websocket.Dial(t.Context(), "ws://meeting/control/1", &websocket.DialOptions{
		HTTPClient: client, Subprotocols: []string{subprotocol, "token"},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(chime.MaxFrame)
	w.conn, w.reply = conn, reply
	t.Cleanup(func() {
		cancel()
		w.raw.Close()
		conn.CloseNow()
		<-w.ended
		server.Close()
		<-served
	})
	return w
}

func frame(t chime.Frame_Type, payload func(*chime.Frame)) *chime.Frame {
	f := chime.New(t, time.Now())
	if payload != nil {
		payload(f)
	}
	return f
}

func (w *world) send(f *chime.Frame) {
	w.t.Helper()
	if err := w.conn.Write(w.t.Context(), websocket.MessageBinary, chime.Append(nil, f)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) receive(want chime.Frame_Type) *chime.Frame {
	w.t.Helper()
	_, b, err := w.conn.Read(w.t.Context())
	if err != nil {
		w.t.Fatalf("waiting for %v: got %v", want, err)
	}
	f, err := chime.Parse(b)
	if err != nil {
		w.t.Fatal(err)
	}
	if f.GetType() != want {
		w.t.Fatalf("got a frame %v, want %v", f, want)
	}
	if f.GetTimestampMs() == 0 {
		w.t.Errorf("%v: got no timestamp, want one", want)
	}
	return f
}

// closed reads until the socket is closed and returns the code, -1 if it was
// just gone.
func (w *world) closed() websocket.StatusCode {
	w.t.Helper()
	for {
		if _, _, err := w.conn.Read(w.t.Context()); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func (w *world) join() {
	w.t.Helper()
	w.send(frame(chime.Frame_JOIN, func(f *chime.Frame) { f.Join = &chime.JoinFrame{AudioSessionId: proto.Uint64(7)} }))
	w.receive(chime.Frame_JOIN_ACK)
	w.receive(chime.Frame_INDEX)
}

func (w *world) wantNotes(want ...string) {
	w.t.Helper()
	synctest.Wait()
	if got := w.seat.all(); !slices.Equal(got, want) {
		w.t.Errorf("the seat was told: got %q, want %q", got, want)
	}
}

func ping(id uint32) *chime.Frame {
	return frame(chime.Frame_PING_PONG, func(f *chime.Frame) {
		f.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PING.Enum(), PingId: &id}
	})
}

func subscribe(sdp string) *chime.Frame {
	return frame(chime.Frame_SUBSCRIBE, func(f *chime.Frame) { f.Sub = &chime.SubscribeFrame{SdpOffer: &sdp} })
}

func leave() *chime.Frame {
	return frame(chime.Frame_LEAVE, func(f *chime.Frame) { f.Leave = &chime.LeaveFrame{} })
}

// A step in a simulated world.
func simulate(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { f(t, meet(t, 0)) })
}

func TestSessionFromJoinToLeave(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		if got := w.reply.Header.Get("Sec-WebSocket-Protocol"); got != subprotocol {
			t.Errorf("subprotocol: got %q, want %q", got, subprotocol)
		}
		w.send(ping(1))
		pong := w.receive(chime.Frame_PING_PONG).GetPingPong()
		if pong.GetType() != chime.PingPongType_PONG || pong.GetPingId() != 1 {
			t.Errorf("got %v, want pong 1", pong)
		}
		w.send(subscribe("too early"))
		w.send(frame(chime.Frame_JOIN, func(f *chime.Frame) { f.Join = &chime.JoinFrame{AudioSessionId: proto.Uint64(7)} }))
		ack := w.receive(chime.Frame_JOIN_ACK).GetJoinack()
		if c := ack.GetTurnCredentials(); c == nil || len(c.GetUris()) != 0 {
			t.Errorf("TURN credentials: got %v, want some without URIs", c)
		}
		if ack.GetWantsCompressedSdp() || ack.GetVideoSubscriptionLimit() != 25 || ack.DefaultServerSideNetworkAdaption != nil {
			t.Errorf("got %v, want a limit of 25 and nothing more", ack)
		}
		w.receive(chime.Frame_INDEX)
		w.send(frame(chime.Frame_JOIN, nil)) // again: ignored
		w.send(subscribe("offer"))
		if got := w.receive(chime.Frame_SUBSCRIBE_ACK); got.GetSuback().GetSdpAnswer() != "answer to offer" || got.Error != nil {
			t.Errorf("got %v, want the answer", got)
		}
		w.send(frame(chime.Frame_AUDIO_CONTROL, func(f *chime.Frame) { f.AudioControl = &chime.AudioControlFrame{Muted: proto.Bool(true)} }))
		w.send(frame(chime.Frame_PAUSE, func(f *chime.Frame) { f.Pause = &chime.PauseResumeFrame{StreamIds: []uint32{4}} }))
		w.send(frame(chime.Frame_RESUME, func(f *chime.Frame) { f.Pause = &chime.PauseResumeFrame{StreamIds: []uint32{4}} }))
		w.send(frame(chime.Frame_REMOTE_VIDEO_UPDATE, func(f *chime.Frame) { f.RemoteVideoUpdate = &chime.RemoteVideoUpdateFrame{} }))
		w.send(frame(chime.Frame_CLIENT_METRIC, func(f *chime.Frame) { f.ClientMetric = &chime.ClientMetricFrame{} }))
		w.send(frame(chime.Frame_MEETING_SESSION_TIMING, func(f *chime.Frame) { f.MeetingSessionTiming = &chime.MeetingSessionTimingFrame{} }))
		w.send(frame(chime.Frame_DATA_MESSAGE, nil))
		w.send(frame(chime.Frame_DATA_MESSAGE, func(f *chime.Frame) {
			f.DataMessage = &chime.DataMessageFrame{Messages: []*chime.DataMessagePayload{{Topic: proto.String("a")}, {Topic: proto.String("b")}}}
		}))
		w.send(frame(chime.Frame_PRIMARY_MEETING_JOIN, func(f *chime.Frame) {
			f.PrimaryMeetingJoin = &chime.PrimaryMeetingJoinFrame{Credentials: &chime.MeetingSessionCredentials{AttendeeId: proto.String("c")}}
		}))
		if got := w.receive(chime.Frame_PRIMARY_MEETING_JOIN_ACK); got.PrimaryMeetingJoinAck == nil || got.Error != nil {
			t.Errorf("got %v, want a payload and no error", got)
		}
		w.send(frame(chime.Frame_PRIMARY_MEETING_LEAVE, nil))
		w.send(frame(chime.Frame_PRIMARY_MEETING_JOIN, nil))
		if got := w.receive(chime.Frame_PRIMARY_MEETING_JOIN_ACK); got.GetError().GetStatus() != 403 {
			t.Errorf("got %v, want error 403", got)
		}
		w.send(frame(chime.Frame_Type(999), nil))
		w.send(leave())
		if got := w.receive(chime.Frame_LEAVE_ACK); got.LeaveAck == nil {
			t.Errorf("got %v, want a payload", got)
		}
		w.send(subscribe("too late"))
		w.conn.Close(websocket.StatusNormalClosure, "")
		<-w.ended
		w.wantNotes("join 7", "subscribe offer", "muted true", "pause [4] true", "pause [4] false", "update",
			"metrics", "timing", "message a", "message b", "promote c", "demote", "promote ", "leave 1")
	})
}

func TestSessionEnds(t *testing.T) {
	wide := make([]uint32, maxSections+1)
	for _, c := range []struct {
		name  string
		do    func(w *world)
		code  websocket.StatusCode // -1: without a word, 0: not looked at
		after time.Duration
		note  string
	}{
		{"the tab is closed", func(w *world) { w.conn.Close(websocket.StatusGoingAway, "") }, 0, 0, "leave 1"},
		{"the connection breaks", func(w *world) { w.raw.Close() }, 0, 0, "leave 2"},
		{"nothing is heard", func(w *world) {}, -1, 30 * time.Second, "leave 3"},
		{"pings are heard", func(w *world) {
			for i := range uint32(6) {
				w.send(ping(i + 1))
				w.receive(chime.Frame_PING_PONG)
				time.Sleep(25 * time.Second)
			}
		}, -1, 5*25*time.Second + 30*time.Second, "leave 3"},
		{"the server stops", func(w *world) { w.end() }, CloseRetry, 0, "leave 4"},
		{"the server stops during an offer", func(w *world) {
			w.send(subscribe("wait"))
			synctest.Wait()
			w.end()
		}, CloseRetry, 0, "leave 4"},
		{"the client never closes after its LEAVE", func(w *world) { w.send(leave()) }, CloseNormal, ackTimeout, "leave 1"},
		{"a final status, LEAVE follows", func(w *world) {
			w.seat.session.End(410)
			w.seat.session.End(411)
			if got := w.receive(chime.Frame_AUDIO_STATUS).GetAudioStatus().GetAudioStatus(); got != 410 {
				w.t.Errorf("got status %d, want 410", got)
			}
			w.send(subscribe("too late"))
			w.send(leave())
			w.receive(chime.Frame_LEAVE_ACK)
		}, CloseNormal, ackTimeout, "leave 1"},
		{"a final status, no LEAVE follows", func(w *world) { w.seat.session.End(301) }, CloseNormal, 5 * time.Second, "leave 4"},
		{"cut", func(w *world) { w.seat.session.Cut() }, -1, 0, "leave 4"},
		{"too many frames", func(w *world) {
			for range frameBurst + 1 {
				if w.conn.Write(w.t.Context(), websocket.MessageText, []byte("x")) != nil {
					return
				}
			}
		}, -1, 0, "leave 4"},
		{"text and rubbish are harmless", func(w *world) {
			w.conn.Write(w.t.Context(), websocket.MessageText, []byte("hello"))
			w.conn.Write(w.t.Context(), websocket.MessageBinary, []byte("hello"))
			w.conn.Write(w.t.Context(), websocket.MessageBinary, nil)
			w.conn.Write(w.t.Context(), websocket.MessageBinary, []byte{5})
			w.send(leave())
			w.receive(chime.Frame_LEAVE_ACK)
		}, CloseNormal, ackTimeout, "leave 1"},
		{"a message is too long", func(w *world) {
			go w.conn.Write(w.t.Context(), websocket.MessageBinary, make([]byte, chime.MaxFrame+1))
		}, websocket.StatusMessageTooBig, 0, "leave 2"},
		{"hostile offers are answered", func(w *world) {
			for _, f := range []*chime.Frame{
				frame(chime.Frame_SUBSCRIBE, nil),
				subscribe(""),
				subscribe(strings.Repeat("x", maxOffer+1)),
				frame(chime.Frame_SUBSCRIBE, func(f *chime.Frame) {
					f.Sub = &chime.SubscribeFrame{SdpOffer: proto.String("x"), ReceiveStreamIds: wide}
				}),
				frame(chime.Frame_SUBSCRIBE, func(f *chime.Frame) {
					f.Sub = &chime.SubscribeFrame{SdpOffer: proto.String("x"), SendStreams: make([]*chime.StreamDescriptor, maxSections+1)}
					for i := range f.Sub.SendStreams {
						f.Sub.SendStreams[i] = &chime.StreamDescriptor{}
					}
				}),
			} {
				w.send(f)
				if got := w.receive(chime.Frame_SUBSCRIBE_ACK); got.GetError().GetStatus() != 400 || got.Suback == nil {
					w.t.Errorf("got %v, want an empty answer with error 400", got)
				}
			}
			w.raw.Close()
		}, 0, 0, "leave 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.join()
				begin := time.Now()
				c.do(w)
				if c.code != 0 {
					if got := w.closed(); got != c.code {
						t.Errorf("got close code %v, want %v", got, c.code)
					}
				}
				<-w.ended
				if got := time.Since(begin); got != c.after {
					t.Errorf("the session ended after %v, want %v", got, c.after)
				}
				notes := w.seat.all()
				if got := notes[len(notes)-1]; got != c.note || slices.Index(notes, got) != len(notes)-1 {
					t.Errorf("got notes %q, want %q as the last and only one", notes, c.note)
				}
			})
		})
	}
}

func TestSessionWithoutJoin(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		begin := time.Now()
		go func() {
			for i := uint32(1); time.Since(begin) < 85*time.Second; i++ {
				w.send(ping(i))
				time.Sleep(10 * time.Second)
			}
		}()
		if got := w.closed(); got != CloseRetry {
			t.Errorf("got close code %v, want %v", got, CloseRetry)
		}
		if got, want := time.Since(begin), 90*time.Second; got != want {
			t.Errorf("closed after %v, want %v", got, want)
		}
		<-w.ended
		w.wantNotes("leave 4")
	})
}

// A client that reads nothing is cut when its queue is full; a stop does not
// wait for it either.
func TestSessionSlowReader(t *testing.T) {
	for _, size := range []int{10, 100 << 10} {
		simulate(t, func(t *testing.T, w *world) {
			w.join()
			begin := time.Now()
			message := make([]byte, size)
			for range queueFrames + 2 {
				w.seat.session.Send(message)
			}
			<-w.ended
			if got := time.Since(begin); got > writeTimeout {
				t.Errorf("cut after %v, want at once", got)
			}
			w.wantNotes("join 7", "leave 2")
		})
	}
	simulate(t, func(t *testing.T, w *world) {
		w.join()
		w.seat.session.Send(make([]byte, 100))
		synctest.Wait()
		begin := time.Now()
		w.end()
		<-w.ended
		if got := time.Since(begin); got > time.Second {
			t.Errorf("stopped after %v, want within a second", got)
		}
	})
}

// More offers than honest clients make wait; they are not refused.
func TestSessionPacesOffers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.join()
		begin := time.Now()
		const n = offerBurst + 10
		go func() {
			for range n {
				w.send(subscribe("x"))
			}
		}()
		for range n {
			w.receive(chime.Frame_SUBSCRIBE_ACK)
		}
		if got, want := time.Since(begin), 2*time.Second; got < want-50*time.Millisecond || got > want+time.Second {
			t.Errorf("%d offers: answered in %v, want about %v", n, got, want)
		}
	})
}

func TestRefuse(t *testing.T) {
	for _, code := range []int{CloseForbidden, CloseGone, CloseRetry} {
		synctest.Test(t, func(t *testing.T) {
			w := meet(t, code)
			if got := w.closed(); int(got) != code {
				t.Errorf("got %v, want %v", got, code)
			}
		})
	}
}

// A stranger that neither reads nor closes does not keep us.
func TestRefuseTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		w := meet(t, CloseForbidden)
		<-w.ended
		if got := time.Since(begin); got > time.Second {
			t.Errorf("refused after %v, want within a second", got)
		}
	})
}

func TestCredentials(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []string
		want   Credentials
	}{
		{"browser", []string{"_aws_wt_session, abc"}, Credentials{Token: "abc"}},
		{"two lines", []string{"_aws_wt_session", "abc"}, Credentials{Token: "abc"}},
		{"content share", []string{"_aws_wt_session,abc#content"}, Credentials{Token: "abc", Share: true}},
		{"relayed", []string{"_aws_wt_session,abc.relay"}, Credentials{Token: "abc", Relay: RelayAlways}},
		{"relayed share", []string{"_aws_wt_session,abc.relay#content"}, Credentials{Token: "abc", Share: true, Relay: RelayAlways}},
		{"never relayed", []string{"_aws_wt_session,abc.direct"}, Credentials{Token: "abc", Relay: RelayNever}},
		{"none", nil, Credentials{}},
		{"no token", []string{"_aws_wt_session"}, Credentials{}},
		{"empty ones", []string{", ,_aws_wt_session,, "}, Credentials{}},
		{"too long", []string{"_aws_wt_session, " + strings.Repeat("x", maxToken+1)}, Credentials{}},
	} {
		r := &http.Request{Header: http.Header{"Sec-Websocket-Protocol": c.header}}
		if got := RequestCredentials(r); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
