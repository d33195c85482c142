package attendee

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

const patience = 20 * time.Second

// A desk is a server whose conversation the test writes.
type desk struct {
	t    *testing.T
	conn *websocket.Conn
	r    *http.Request
}

// serve runs talk for each connection; the address is a SignalingURL.
func serve(t *testing.T, talk func(d *desk)) string {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		conn.SetReadLimit(chime.MaxFrame)
		defer conn.CloseNow()
		talk(&desk{t: t, conn: conn, r: r})
	}))
	t.Cleanup(web.Close)
	return "ws" + strings.TrimPrefix(web.URL, "http") + "/control/m"
}

// read gives the next frame that is no PING; those are answered.
func (d *desk) read() *chime.Frame {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		_, b, err := d.conn.Read(ctx)
		if err != nil {
			return nil
		}
		f, err := chime.Parse(b)
		if err != nil {
			d.t.Errorf("parse: %v", err)
			return nil
		}
		if f.GetType() != chime.Frame_PING_PONG {
			return f
		}
		pong := chime.New(chime.Frame_PING_PONG, time.Now())
		pong.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PONG.Enum(), PingId: f.GetPingPong().PingId}
		d.send(pong)
	}
}

// want reads a frame of that type.
func (d *desk) want(t chime.Frame_Type) *chime.Frame {
	f := d.read()
	if f.GetType() != t {
		d.t.Errorf("got frame %v, want %v", f.GetType(), t)
		return &chime.Frame{}
	}
	return f
}

func (d *desk) send(f *chime.Frame) {
	// Whether the client still listens is seen by what it does.
	_ = d.conn.Write(context.Background(), websocket.MessageBinary, chime.Append(nil, f))
}

// admit lets the client in.
func (d *desk) admit() {
	d.want(chime.Frame_JOIN)
	ack := chime.New(chime.Frame_JOIN_ACK, time.Now())
	ack.Joinack = &chime.JoinAckFrame{TurnCredentials: &chime.TurnCredentials{}, VideoSubscriptionLimit: proto.Uint32(25)}
	d.send(ack)
	index := chime.New(chime.Frame_INDEX, time.Now())
	index.Index = &chime.IndexFrame{NumParticipants: proto.Uint32(1)}
	d.send(index)
}

func run(t *testing.T, cfg Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return New(cfg, Handler{}).Run(ctx)
}

func TestJoinAsBrowsersDo(t *testing.T) {
	url := serve(t, func(d *desk) {
		if got, want := d.r.URL.RequestURI(), "/control/m?X-Chime-Control-Protocol-Version=3&X-Amzn-Chime-Send-Close-On-Error=1"; got != want {
			t.Errorf("got request %s, want %s", got, want)
		}
		protocols := strings.Split(strings.Join(d.r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
		for i := range protocols {
			protocols[i] = strings.TrimSpace(protocols[i])
		}
		if want := []string{"_aws_wt_session", "token"}; !slices.Equal(protocols, want) {
			t.Errorf("got subprotocols %q, want %q", protocols, want)
		}
		_, b, err := d.conn.Read(context.Background())
		if f, _ := chime.Parse(b); err != nil || f.GetPingPong().GetType() != chime.PingPongType_PING || f.GetPingPong().GetPingId() != 1 {
			t.Errorf("got first frame %v, %v, want PING 1", f, err)
		}
		d.admit()
		sub := d.want(chime.Frame_SUBSCRIBE).GetSub()
		if sub.GetDuplex() != chime.StreamServiceType_RX || !slices.Equal(sub.GetReceiveStreamIds(), []uint32{0}) || !sub.GetAudioMuted() {
			t.Errorf("got duplex %v, streams %v, muted %v, want RX, [0], true", sub.GetDuplex(), sub.GetReceiveStreamIds(), sub.GetAudioMuted())
		}
		// An offer reads like an answer but for setup.
		offer, err := parseAnswer(sub.GetSdpOffer())
		if err != nil {
			t.Error(err)
			return
		}
		var shape []string
		for _, p := range offer.sections {
			shape = append(shape, fmt.Sprintf("%s %s %s", p.kind, p.mid, p.direction))
		}
		if want := []string{"audio 0 sendrecv", "video 1 inactive"}; !slices.Equal(shape, want) {
			t.Errorf("got sections %q, want %q", shape, want)
		}
		if !strings.Contains(sub.GetSdpOffer(), "a=candidate:") {
			t.Error("got an offer without candidates")
		}
		end := chime.New(chime.Frame_AUDIO_STATUS, time.Now())
		end.AudioStatus = &chime.AudioStatusFrame{AudioStatus: proto.Uint32(410)}
		d.send(end)
		d.want(chime.Frame_LEAVE)
		d.send(chime.New(chime.Frame_LEAVE_ACK, time.Now()))
		d.read()
	})
	c := New(Config{SignalingURL: url, JoinToken: "token"}, Handler{})
	c.SetMuted(true)
	if err := c.Run(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("got %v, want %v", err, ErrEnded)
	}
}

func TestStatuses(t *testing.T) {
	for _, tc := range []struct {
		audio  bool
		status uint32
		want   error // nil: the session goes on; errServer: a new attempt
	}{
		{true, 200, nil},
		{true, 302, nil},
		{true, 301, ErrJoinedElsewhere},
		{true, 403, ErrRefused},
		{true, 409, ErrFull},
		{true, 410, ErrEnded},
		{true, 411, ErrRemoved},
		{true, 500, errServer},
		{true, 503, errServer},
		{true, 700, ErrRefused},
		{false, 0, nil},
		{false, 206, nil},
		{false, 403, ErrRefused},
		{false, 404, ErrRefused},
		{false, 409, ErrFull},
		{false, 509, ErrFull},
		{false, 500, errServer},
		{false, 302, ErrRefused},
	} {
		err := envelopeError(&chime.ErrorFrame{Status: &tc.status})
		if tc.audio {
			err = audioStatus(&chime.AudioStatusFrame{AudioStatus: &tc.status})
		}
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("audio %v, status %d: got %v, want %v", tc.audio, tc.status, err, tc.want)
		}
		if wantFinal := tc.want != nil && tc.want != errServer; final(err) != wantFinal {
			t.Errorf("audio %v, status %d: got final %v, want %v", tc.audio, tc.status, final(err), wantFinal)
		}
	}
}

func TestCloseCodes(t *testing.T) {
	for _, tc := range []struct {
		code websocket.StatusCode
		want error // nil: tries again
	}{
		{4403, ErrRefused},
		{4410, ErrEnded},
		{4500, nil},
		{4599, nil},
		{1000, nil},
		{1001, nil},
		{1011, nil},
	} {
		t.Run(fmt.Sprint(tc.code), func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			url := serve(t, func(d *desk) {
				if connections.Add(1) == 1 {
					d.conn.Close(tc.code, "")
					return
				}
				d.conn.Close(4410, "")
			})
			err, want := run(t, Config{SignalingURL: url, JoinToken: "token"}), tc.want
			if want == nil {
				want = ErrEnded
			}
			if got := connections.Load(); !errors.Is(err, want) || got != 1 && tc.want != nil || got != 2 && tc.want == nil {
				t.Errorf("got %v after %d connections, want %v", err, got, want)
			}
		})
	}
}

// roundTrip answers requests.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down: token")
		var attempts []time.Time
		c := New(Config{
			SignalingURL: "ws://nowhere.test/control/m", JoinToken: "token", Patience: 2 * time.Minute,
			HTTPClient: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				attempts = append(attempts, time.Now())
				return nil, down
			})},
		}, Handler{})
		begun := time.Now()
		err := c.Run(t.Context())
		if took := time.Since(begun); err == nil || took < 2*time.Minute || took > 2*time.Minute+maxBackoff {
			t.Errorf("got %v after %v, want an error after two minutes", err, took)
		}
		if err != nil && strings.Contains(err.Error(), "token") && !strings.Contains(err.Error(), "(token)") {
			t.Errorf("got the token in %q", err)
		}
		// A random wait up to five seconds, 2.5 on average.
		if n := len(attempts); n < 30 || n > 100 {
			t.Errorf("got %d attempts in two minutes, want about 50", n)
		}
		for i := 1; i < len(attempts); i++ {
			if wait := attempts[i].Sub(attempts[i-1]); wait > maxBackoff {
				t.Errorf("got %v between attempts, want at most %v", wait, maxBackoff)
			}
		}
	})
}

func TestFourPingsWithoutAnswer(t *testing.T) {
	url := serve(t, func(d *desk) { // reads, and says nothing
		for {
			if _, _, err := d.conn.Read(context.Background()); err != nil {
				return
			}
		}
	})
	s := newSession(New(Config{SignalingURL: url, JoinToken: "token"}, Handler{}))
	if err := s.dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.socket.CloseNow()
	pong := func(id uint32) {
		f := chime.New(chime.Frame_PING_PONG, time.Now())
		f.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PONG.Enum(), PingId: &id}
		if err := s.handle(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 8 {
		if err := s.ping(t.Context()); err != nil {
			t.Fatalf("ping %d: %v", i+1, err)
		}
		if i == 3 {
			pong(3) // an old one does not count
			pong(4)
		}
	}
	if err := s.ping(t.Context()); err == nil {
		t.Error("got no error after four pings without an answer")
	}
}

func TestRoster(t *testing.T) {
	type entry = chime.AudioStreamIdInfo
	here := func(id uint32, attendee string) *entry {
		return &entry{AudioStreamId: &id, AttendeeId: &attendee, ExternalUserId: proto.String("x-" + attendee), Muted: proto.Bool(false)}
	}
	muted := func(id uint32, muted bool) *entry { return &entry{AudioStreamId: &id, Muted: &muted} }
	gone := func(id uint32) *entry { return &entry{AudioStreamId: &id} }

	var told []string
	c := New(Config{}, Handler{Roster: func(p Participant) {
		what := p.AttendeeID + " here"
		if !p.Present {
			what = p.AttendeeID + " gone"
		} else if p.Muted {
			what = p.AttendeeID + " muted"
		}
		told = append(told, what)
	}})
	s := newSession(c)
	for _, step := range []struct {
		name    string
		again   bool // after a reconnect
		entries []*entry
		want    []string
	}{
		{"whole roster", false, []*entry{here(1, "a"), here(2, "b")}, []string{"a here", "b here"}},
		{"the same again", false, []*entry{here(1, "a")}, nil},
		{"mute", false, []*entry{muted(2, true)}, []string{"b muted"}},
		{"mute of nobody", false, []*entry{muted(9, true)}, nil},
		{"rejoin before the leave", false, []*entry{here(3, "b"), gone(2)}, []string{"b here"}},
		{"leave", false, []*entry{gone(3)}, []string{"b gone"}},
		{"leave twice", false, []*entry{gone(3)}, nil},
		{"come", false, []*entry{here(4, "c")}, []string{"c here"}},
		{"after a reconnect, c has left meanwhile", true, []*entry{here(5, "a"), here(6, "d")}, []string{"d here", "c gone"}},
		{"an id of 0", false, []*entry{here(0, "z")}, nil},
	} {
		if step.again {
			s = newSession(c)
		}
		told = nil
		s.rosterChanged(step.entries)
		if !slices.Equal(told, step.want) {
			t.Errorf("%s: got %q, want %q", step.name, told, step.want)
		}
	}
}

func TestChooseVideos(t *testing.T) {
	layer := func(attendee string, group, stream, kbps uint32) *chime.StreamDescriptor {
		return &chime.StreamDescriptor{
			MediaType: chime.StreamMediaType_VIDEO.Enum(), AttendeeId: &attendee,
			GroupId: &group, StreamId: &stream, MaxBitrateKbps: &kbps,
		}
	}
	audio := layer("e", 9, 9, 9)
	audio.MediaType = chime.StreamMediaType_AUDIO.Enum()
	announced := []*chime.StreamDescriptor{
		layer("c", 3, 31, 600), layer("c", 3, 32, 1200), layer("c", 3, 33, 300), // layers: the best
		layer("b", 2, 21, 1500), layer("b", 1, 11, 1500), // an older camera
		layer("me", 4, 41, 1500), layer("unwanted", 5, 51, 1500), layer("d", 6, 0, 1500), audio,
		layer("f", 7, 71, 1500),
	}
	cfg := Config{AttendeeID: "me", WantVideo: func(s Source) bool { return s.AttendeeID != "unwanted" }}
	got := choose(announced, cfg, 2)
	want := []Source{{AttendeeID: "b", GroupID: 2, StreamID: 21}, {AttendeeID: "c", GroupID: 3, StreamID: 32}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := choose(announced, Config{}, 25); len(got) != 0 {
		t.Errorf("without WantVideo: got %+v, want none", got)
	}
}

func TestTimestampsFollowTheTime(t *testing.T) {
	epoch := time.Now()
	o := newOutgoing(90000, epoch)
	for _, d := range []time.Duration{0, time.Second / 15, time.Hour, 100 * time.Hour, -time.Second} {
		want := o.base + uint32(int64(d.Seconds()*90000+0.5*float64(max(-1, min(1, d)))))
		if got := o.timestamp(epoch.Add(d)); got != want && got != want+1 && got != want-1 {
			t.Errorf("at %v: got %d, want %d", d, got-o.base, want-o.base)
		}
	}
	// 20 ms are 960 ticks each time, whatever the epoch.
	a := newOutgoing(48000, epoch.Add(-123456789))
	for i := range 1000 {
		at := epoch.Add(time.Duration(i) * 20 * time.Millisecond)
		if d := a.timestamp(at.Add(20*time.Millisecond)) - a.timestamp(at); d != 960 {
			t.Fatalf("packet %d: got %d ticks, want 960", i, d)
		}
	}
}

func TestNTP(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2026, 5, 4, 3, 2, 1, 123456789, time.UTC),
		time.Date(2036, 2, 7, 6, 28, 17, 5e8, time.UTC), // just after the wrap
	} {
		if got := fromNTP(toNTP(at)); got.Sub(at).Abs() > time.Nanosecond {
			t.Errorf("got %v, want %v", got, at)
		}
	}
	if got, want := toNTP(time.Unix(0, 5e8)), uint64(2208988800)<<32|1<<31; got != want {
		t.Errorf("got %#x, want %#x", got, want)
	}
}
