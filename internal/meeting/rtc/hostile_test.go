package rtc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A rawTrack sends whatever it is told to, encrypted as it should be.
type rawTrack struct {
	mu     sync.Mutex // guards writer
	writer webrtc.TrackLocalWriter
	ssrc   uint32
}

func (r *rawTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writer, r.ssrc = ctx.WriteStream(), uint32(ctx.SSRC())
	return ctx.CodecParameters()[0], nil
}

func (r *rawTrack) Unbind(webrtc.TrackLocalContext) error { return nil }
func (r *rawTrack) ID() string                            { return "raw" }
func (r *rawTrack) RID() string                           { return "" }
func (r *rawTrack) StreamID() string                      { return "raw" }
func (r *rawTrack) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeVideo }

func (r *rawTrack) send(h rtp.Header, payload []byte) {
	r.mu.Lock()
	w := r.writer
	r.mu.Unlock()
	h.Version = 2
	_, _ = w.WriteRTP(&h, payload)
}

// A mallory is a client in the meeting that does what it should not.
type mallory struct {
	*attendee
	raw    *rawTrack
	random *mathrand.Rand
	seq    uint16

	last time.Time
}

// due returns how many packets are due for so many a second: on a busy machine
// a millisecond may be a long time. What was missed too long ago is not made
// up for.
func (m *mallory) due(rate int) int {
	now := time.Now()
	since := min(now.Sub(m.last), 20*time.Millisecond)
	m.last = now
	return int(since.Seconds() * float64(rate))
}

const (
	malloryVP8  = 96 // as offered by the test client
	mallorySize = 200
)

func (m *mallory) payload() []byte {
	b := make([]byte, mallorySize)
	_, _ = rand.Read(b) // never fails
	return b
}

// attacks are what it does, about every millisecond.
var attacks = []struct {
	name string
	do   func(m *mallory)
	why  []string // of its own packets, what they are counted as
}{
	{"a flood of video", func(m *mallory) {
		for range m.due(4 * maxUplinkPackets) {
			m.seq++
			m.raw.send(rtp.Header{PayloadType: malloryVP8, SSRC: m.raw.ssrc, SequenceNumber: m.seq, Timestamp: uint32(m.seq) * 9}, m.payload())
		}
	}, []string{"too_much"}},
	{"thousands of streams", func(m *mallory) {
		for range 3 {
			m.raw.send(rtp.Header{PayloadType: malloryVP8, SSRC: m.random.Uint32()}, m.payload())
		}
	}, []string{"too_many_ssrcs", "other_ssrc"}},
	{"forged layers", func(m *mallory) {
		m.seq++
		h := rtp.Header{PayloadType: malloryVP8, SSRC: 7000 + m.random.Uint32N(20), SequenceNumber: m.seq}
		_ = h.SetExtension(10, []byte(fmt.Sprint("layer", m.random.IntN(1000))))
		_ = h.SetExtension(4, []byte(fmt.Sprint(m.random.IntN(5))))
		m.raw.send(h, m.payload())
	}, []string{"other_ssrc"}},
	{"wrong streams", func(m *mallory) {
		m.seq++
		h := rtp.Header{PayloadType: uint8(m.random.IntN(128)), SSRC: m.others(), SequenceNumber: m.seq, Timestamp: m.random.Uint32()}
		m.raw.send(h, m.payload())
		_ = m.pc.WriteRTCP([]rtcp.Packet{
			&rtcp.SenderReport{SSRC: m.others(), NTPTime: m.random.Uint64(), RTPTime: m.random.Uint32()},
			&rtcp.Goodbye{Sources: []uint32{m.others()}},
		})
	}, []string{"unknown_type"}},
	{"garbage in packets", func(m *mallory) {
		m.seq += uint16(m.random.IntN(100))
		h := rtp.Header{
			PayloadType: 32 + uint8(m.random.IntN(96)), SSRC: m.raw.ssrc + m.random.Uint32N(3), Padding: m.random.IntN(2) == 0,
			SequenceNumber: m.seq, Timestamp: m.random.Uint32(), Marker: true,
		}
		_ = h.SetExtension(uint8(1+m.random.IntN(14)), m.payload()[:1+m.random.IntN(16)])
		m.raw.send(h, m.payload()[:m.random.IntN(mallorySize)])
	}, []string{"unknown_type"}},
	{"garbage in control packets", func(m *mallory) {
		for range 3 {
			b := m.payload()
			b[0] = 0x80 | b[0]&0x1f
			b[1] = 200 + b[1]%8
			size := 4 * (1 + m.random.IntN(mallorySize/4))
			b[2], b[3] = byte(size/4-1)>>7, byte(size/4-1)
			raw := rtcp.RawPacket(b[:size])
			_ = m.pc.WriteRTCP([]rtcp.Packet{&raw})
		}
	}, []string{"unknown_type"}},
	{"storms of requests", func(m *mallory) {
		watched := m.others()
		var newest uint16
		m.locked(func() {
			for _, b := range m.pulses {
				newest = b.highest
			}
		})
		var nacks []rtcp.NackPair
		for i := range uint16(200) {
			nacks = append(nacks, rtcp.NackPair{PacketID: newest - 17*i, LostPackets: 0xffff})
		}
		_ = m.pc.WriteRTCP([]rtcp.Packet{
			&rtcp.TransportLayerNack{MediaSSRC: watched, Nacks: nacks},
			&rtcp.PictureLossIndication{MediaSSRC: watched},
			&rtcp.FullIntraRequest{MediaSSRC: watched, FIR: []rtcp.FIREntry{{SSRC: watched, SequenceNumber: uint8(m.random.Uint32())}}},
			&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1, SSRCs: []uint32{watched}},
		})
	}, []string{"too_much"}},
	{"offers without end", func(m *mallory) {
		sdp := shortOffer
		switch m.random.IntN(4) {
		case 0:
			sdp += strings.Repeat("a=rtcp-fb:* nack pli\r\n", maxOffer/22-100)
		case 1:
			sdp += strings.Repeat("a=rid:x send\r\na=ssrc:1 a:b\r\n", maxOffer/28-100)
		case 2:
			sdp += strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", maxOffer/33-100)
		case 3:
			sdp += "a=" + strings.Repeat("x", maxOffer)
		}
		if _, err := m.peer.Negotiate(context.Background(), Offer{SDP: sdp}); !errors.Is(err, ErrOffer) {
			m.t.Errorf("offer without end: got %v, want %v", err, ErrOffer)
		}
	}, nil},
}

// others returns the SSRC that the client watches somebody else under.
func (m *mallory) others() uint32 { return m.answer.Tracks[0].SSRC }

// Whatever one client sends, the pictures and the sound of the others go on as
// before.
func TestHostileClients(t *testing.T) {
	tr := newTestTransport(t, Config{})
	alice := newAttendee(t, tr, attendeeConfig{})
	alice.cameraOn = true
	alice.join()
	stop := alice.film(vp8)
	defer stop()
	picture := alice.publisher(1)

	bob := newAttendee(t, tr, attendeeConfig{})
	section := bob.watch(picture)
	bob.join()
	defer sendMix(bob)()
	stream := "v_" + section.Mid()
	wait(t, "video and sound", func() (ok bool) {
		bob.locked(func() {
			ok = bob.pulses[stream] != nil && bob.pulses[stream].packets > 30 && bob.pulses["audio"] != nil && bob.pulses["audio"].packets > 20
		})
		return ok
	})

	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			m := &mallory{attendee: newAttendee(t, tr, attendeeConfig{}), raw: new(rawTrack), random: mathrand.New(mathrand.NewPCG(1, 2))}
			if err := m.camera.Sender().ReplaceTrack(m.raw); err != nil {
				t.Fatal(err)
			}
			m.cameraOn = true
			m.watch(picture)
			m.join()

			v := bob.video(stream)
			lag := measureLag(t)
			whole, broken, keys := v.count()
			filmed, spoken, heard := alice.filmed.Load(), alice.spoken.Load(), 0
			bob.locked(func() { *bob.pulses[stream], *bob.pulses["audio"] = pulse{}, pulse{} })
			alice.locked(func() { heard = len(alice.audio) })
			began := time.Now()
			attacked := 0
			for time.Since(began) < 2*time.Second {
				attack.do(m)
				attacked++
				time.Sleep(time.Millisecond)
			}
			took := time.Since(began)
			filmed, spoken = alice.filmed.Load()-filmed, alice.spoken.Load()-spoken

			for _, why := range attack.why {
				wait(t, "packets counted as "+why, func() bool {
					attack.do(m)
					return m.peer.Stats().ReceiveDropped[why] > 0
				})
			}
			nowWhole, nowBroken, nowKeys := v.count()
			if got, want := int64(nowWhole-whole), filmed*9/10; got < want || nowBroken != broken {
				t.Errorf("bystander's video: got %d whole frames, %d broken of %d, want at least %d, 0", got, nowBroken-broken, filmed, want)
			}
			if got, most := nowKeys-keys, 2*(int(took/time.Second)+2); got > most {
				t.Errorf("key frames of the one who is watched: got %d, want at most %d", got, most)
			}
			v.check(t)
			// A packet goes through the hands of several clients' goroutines,
			// each of which the machine may hold up.
			most := stutter + 3*lag()
			bob.locked(func() {
				for what, b := range map[string]*pulse{"video": bob.pulses[stream], "sound": bob.pulses["audio"]} {
					if b.missing > 0 || b.longest > most {
						t.Errorf("bystander's %s: got a gap of %v, %d packets missing, want less than %v, 0", what, b.longest, b.missing, most)
					}
				}
				t.Logf("%d attacks; the bystander's longest gap is %v of video, %v of sound, the machine's %v; of mallory's packets %v",
					attacked, bob.pulses[stream].longest, bob.pulses["audio"].longest, lag(), m.peer.Stats().ReceiveDropped)
			})
			alice.locked(func() {
				if got, want := int64(len(alice.audio)-heard), spoken*9/10; got < want {
					t.Errorf("sound of the one who is watched: got %d packets, want at least %d", got, want)
				}
			})
		})
	}
}

// measureLag finds how long this program is held up by the machine, which the
// clients in it are as well.
func measureLag(t *testing.T) (longest func() time.Duration) {
	done, lag := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		last, worst := time.Now(), time.Duration(0)
		for {
			select {
			case <-done:
				lag <- worst
				return
			case <-tick.C:
				worst = max(worst, time.Since(last))
				last = time.Now()
			}
		}
	}()
	var once sync.Once
	var got time.Duration
	longest = func() time.Duration {
		once.Do(func() { close(done); got = <-lag })
		return got
	}
	t.Cleanup(func() { longest() })
	return longest
}

// stutter is a gap that people notice for sure.
const stutter = 300 * time.Millisecond

// sendMix sends an attendee the mix, until the returned function is called.
func sendMix(a *attendee) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := uint32(0); ; n++ {
			select {
			case <-done:
				return
			case at := <-tick.C:
				_ = a.peer.WriteAudio(AudioFrame{Payload: []byte{0xf8, 0xff, 0xfe}, Timestamp: n * 960, Time: at})
			}
		}
	}()
	return func() { close(done); <-ended }
}

// Who is not in the meeting at all, but knows the port, does no harm either.
func TestStrangersAtThePort(t *testing.T) {
	tr := newTestTransport(t, Config{})
	alice := newAttendee(t, tr, attendeeConfig{})
	alice.cameraOn = true
	alice.join()
	defer alice.film(vp8)()
	picture := alice.publisher(1)
	conn, err := net.Dial("udp", tr.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	filmed, packets := alice.filmed.Load(), picture.Stats().Packets
	b := make([]byte, 1200)
	_, _ = rand.Read(b) // never fails
	random := mathrand.New(mathrand.NewPCG(1, 2))
	began := time.Now()
	for time.Since(began) < time.Second {
		for range 5 {
			b[0] = byte(random.Uint32())
			_, _ = conn.Write(b[:1+random.IntN(len(b)-1)]) // may be refused
		}
		time.Sleep(time.Millisecond)
	}
	want := uint64(alice.filmed.Load()-filmed) * 9 / 10 // frames, of a packet or more
	if got := picture.Stats().Packets - packets; got < want {
		t.Errorf("video in the meantime: got %d packets, want at least %d", got, want)
	}
	if got := alice.peer.Stats().ReceiveDropped["unauthentic"]; got != 0 {
		t.Errorf("taken for alice's: got %d packets, want 0", got)
	}
}
