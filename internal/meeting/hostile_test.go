package meeting_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/wire/chime"
)

// An attacker is a client with a right to be in the meeting that does not
// behave. It comes again as often as it is thrown out.
type attacker struct {
	h    *house
	a    meeting.Attendee
	ctx  context.Context // ends with the attack
	dial *websocket.DialOptions

	written int // frames
}

// again runs one connection after the other until the attack is over.
func (x *attacker) again(one func(conn *websocket.Conn)) {
	url := "ws" + strings.TrimPrefix(x.h.url, "http") + "/control/" + string(x.a.MeetingID)
	for x.ctx.Err() == nil {
		conn, _, err := websocket.Dial(x.ctx, url, x.dial)
		if err != nil {
			continue
		}
		one(conn)
		conn.CloseNow()
		time.Sleep(20 * time.Millisecond) // the way there and back
	}
}

// write sends at most 10,000 frames a second: the attacker is to be judged by
// what it makes the server do, and both are in this process.
func (x *attacker) write(conn *websocket.Conn, f *chime.Frame) bool {
	if x.written++; x.written%10 == 0 {
		time.Sleep(time.Millisecond)
	}
	return conn.Write(x.ctx, websocket.MessageBinary, chime.Append(nil, f)) == nil
}

func (x *attacker) join(conn *websocket.Conn) bool {
	f := chime.New(chime.Frame_JOIN, time.Now())
	f.Join = &chime.JoinFrame{AudioSessionId: proto.Uint64(1)}
	return x.write(conn, f)
}

func (x *attacker) message(topic string, data []byte) *chime.Frame {
	f := chime.New(chime.Frame_DATA_MESSAGE, time.Now())
	f.DataMessage = &chime.DataMessageFrame{Messages: []*chime.DataMessagePayload{{Topic: &topic, Data: data, LifetimeMs: proto.Uint32(1 << 31)}}}
	return f
}

func (x *attacker) offer(sdp string, compressed []byte) *chime.Frame {
	f := chime.New(chime.Frame_SUBSCRIBE, time.Now())
	f.Sub = &chime.SubscribeFrame{SdpOffer: &sdp, CompressedSdpOffer: compressed}
	return f
}

// drain reads what comes, for the server to see a client that does.
func drain(conn *websocket.Conn) {
	for {
		if _, _, err := conn.Read(context.Background()); err != nil {
			return
		}
	}
}

// Beats tell how well the machine keeps time by itself: they come at the pace
// of the mix and have nothing else to do.
type beats struct {
	done   chan struct{}
	missed chan int
	stop   func() int
}

func startBeats() *beats {
	b := &beats{done: make(chan struct{}), missed: make(chan int, 1)}
	b.stop = sync.OnceValue(func() int {
		close(b.done)
		return <-b.missed
	})
	go func() {
		const pace = 20 * time.Millisecond
		missed := 0
		for next := time.Now(); ; next = next.Add(pace) {
			select {
			case <-time.After(time.Until(next)):
			case <-b.done:
				b.missed <- missed
				return
			}
			if behind := time.Since(next); behind > 5*pace {
				missed += int(behind / pace)
				next = next.Add(behind)
			}
		}
	}()
	return b
}

// Whatever one client does, those who behave hear each other without a gap,
// see each other, get their messages and are answered at once.
func TestHostileSignaling(t *testing.T) {
	for _, c := range []struct {
		name   string
		attack func(x *attacker)
		seen   func(m meeting.Metrics) bool // that the attack has been what it should be
	}{
		{"garbage frames", func(x *attacker) {
			b := make([]byte, 2000)
			x.again(func(conn *websocket.Conn) {
				go drain(conn)
				for x.join(conn) {
					_, _ = rand.Read(b)
					if b[1]&1 == 0 {
						b[0] = 5 // looks like a frame
					}
					if conn.Write(x.ctx, websocket.MessageBinary, b) != nil {
						return
					}
				}
			})
		}, func(m meeting.Metrics) bool { return m.Signal.Garbage > 1000 }},
		{"10,000 frames a second", func(x *attacker) {
			x.again(func(conn *websocket.Conn) {
				go drain(conn)
				x.join(conn)
				for id := uint32(0); ; id++ {
					f := chime.New(chime.Frame_PING_PONG, time.Now())
					f.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PING.Enum(), PingId: &id}
					mute := chime.New(chime.Frame_AUDIO_CONTROL, time.Now())
					mute.AudioControl = &chime.AudioControlFrame{Muted: proto.Bool(id%2 == 0)}
					if !x.write(conn, f) || !x.write(conn, mute) {
						return
					}
				}
			})
		}, func(m meeting.Metrics) bool { return m.Signal.CutFlood > 0 }},
		{"oversized data messages", func(x *attacker) {
			big := make([]byte, 500<<10)
			x.again(func(conn *websocket.Conn) {
				go drain(conn)
				x.join(conn)
				for x.write(conn, x.message("t", big)) && x.write(conn, x.message("t", big[:2049])) {
				}
			})
		}, func(m meeting.Metrics) bool { return m.MessagesRefused > 10 }},
		{"a flood of data messages", func(x *attacker) {
			full := make([]byte, 2048)
			x.again(func(conn *websocket.Conn) {
				go drain(conn)
				x.join(conn)
				for x.write(conn, x.message("t", full)) {
				}
			})
		}, func(m meeting.Metrics) bool { return m.MessagesFlooded > 0 || m.Signal.CutFlood > 0 }},
		{"forged tokens", func(x *attacker) {
			token := []byte(x.a.JoinToken.Reveal())
			token[len(token)-1] ^= 1
			x.dial = &websocket.DialOptions{Subprotocols: []string{"_aws_wt_session", string(token)}}
			x.again(func(conn *websocket.Conn) { drain(conn) })
		}, func(m meeting.Metrics) bool { return m.Refusals["token"] > 50 }},
		{"offers without end", func(x *attacker) {
			line := "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
			long := strings.TrimSuffix(deadOffer, "\r\n") + "\r\n" + strings.Repeat(line, 500<<10/len(line))
			bomb := chime.CompressSDP(strings.Repeat("0", 20<<20), "")
			sections := deadOffer + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=inactive\r\n", 5000)
			x.again(func(conn *websocket.Conn) {
				go drain(conn)
				x.join(conn)
				for x.write(conn, x.offer(long, nil)) && x.write(conn, x.offer("", bomb)) && x.write(conn, x.offer(sections, nil)) {
				}
			})
		}, func(m meeting.Metrics) bool { return m.Signal.BytesIn > 1<<20 }},
		{"a message without end", func(x *attacker) {
			x.again(func(conn *websocket.Conn) {
				x.join(conn)
				w, err := conn.Writer(x.ctx, websocket.MessageBinary)
				if err != nil {
					return
				}
				for b := make([]byte, 32<<10); err == nil; {
					_, err = w.Write(b)
				}
			})
		}, func(m meeting.Metrics) bool { return m.Joins+m.Rejoins > 2 }},
		{"one that reads nothing", func(x *attacker) {
			x.dial.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					err = c.(*net.TCPConn).SetReadBuffer(4096)
				}
				return c, err
			}}}
			m := meeting.Meeting{ID: x.a.MeetingID}
			var chatty sync.WaitGroup
			for i := range 4 {
				other := *x
				other.a = x.h.attendee(m, fmt.Sprint("chatty ", i))
				other.dial = &websocket.DialOptions{Subprotocols: []string{"_aws_wt_session", other.a.JoinToken.Reveal()}}
				chatty.Go(func() {
					other.again(func(conn *websocket.Conn) {
						go drain(conn)
						other.join(conn)
						for other.write(conn, other.message("t", make([]byte, 2000))) {
							time.Sleep(5 * time.Millisecond)
						}
					})
				})
			}
			x.again(func(conn *websocket.Conn) {
				x.join(conn)
				x.write(conn, x.offer(deadOffer, nil))
				for i := uint32(0); ; i++ {
					f := chime.New(chime.Frame_PING_PONG, time.Now())
					f.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PING.Enum(), PingId: &i}
					if !x.write(conn, f) {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
			chatty.Wait()
		}, func(m meeting.Metrics) bool { return m.Signal.CutSlow > 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			h := open(t, t.TempDir(), meeting.Config{})
			m := h.meeting()
			ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
			ann.media.say(440)
			eventually(t, "Ben hears Ann", func() bool { return ben.media.loudness(440) > 0.1 })

			ctx, cancel := context.WithCancel(t.Context())
			a := h.attendee(m, "Mallory")
			x := &attacker{h: h, a: a, ctx: ctx, dial: &websocket.DialOptions{Subprotocols: []string{"_aws_wt_session", a.JoinToken.Reveal()}}}
			var attack sync.WaitGroup
			attack.Go(func() { c.attack(x) })
			t.Cleanup(attack.Wait)
			t.Cleanup(cancel)

			beats := startBeats()
			t.Cleanup(func() { beats.stop() })
			before := ben.media.quality()
			load := h.Metrics(t.Context()).Mix
			begin := time.Now()
			for n := 0; time.Since(begin) < 3*time.Second || !c.seen(h.Metrics(t.Context())); n++ {
				mark, sent := ann.mark(), time.Now()
				id := uint32(n)
				ann.send(chime.Frame_PING_PONG, func(f *chime.Frame) {
					f.PingPong = &chime.PingPongFrame{Type: chime.PingPongType_PING.Enum(), PingId: &id}
				})
				ann.next(mark, chime.Frame_PING_PONG)
				if took := time.Since(sent); took > time.Second {
					t.Errorf("a ping was answered after %v, want at once", took)
				}
				text := fmt.Sprint("message ", n)
				ann.tell("bystanders", text, 0)
				ben.wait(text, func() bool {
					for _, m := range ben.messages() {
						if m.GetTopic() == "bystanders" && string(m.GetData()) == text {
							return true
						}
					}
					return false
				})
				ben.locked(func() { ben.frames = nil }) // Mallory's messages add up
				if time.Since(begin) > patience {
					t.Fatalf("got no sign of the attack in %+v", h.Metrics(t.Context()))
				}
				time.Sleep(50 * time.Millisecond)
			}
			after := ben.media.quality()
			mixed := h.Metrics(t.Context()).Mix
			packets, lost, quiet := after.packets-before.packets, after.lost-before.lost, after.quiet-before.quiet
			skipped, missed := int(mixed.Skipped-load.Skipped), beats.stop()
			t.Logf("%v: %d packets, %d lost, %d without sound; %d ticks late, %d skipped; the machine itself missed %d",
				time.Since(begin).Round(time.Millisecond), packets, lost, quiet, mixed.Late-load.Late, skipped, missed)
			if lost > 0 || quiet*10 > packets+10*missed {
				t.Errorf("bystander: got %d packets lost and %d of %d without the sound, want none and a tenth at most", lost, quiet, packets)
			}
			if skipped*10 > packets+20*missed {
				t.Errorf("bystander: got %d frames never made beside %d, want a tenth at most", skipped, packets)
			}
			ben.locked(func() {
				if ben.end != nil {
					t.Errorf("bystander: got %v, want an open socket", ben.end)
				}
			})
		})
	}
}
