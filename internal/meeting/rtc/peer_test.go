package rtc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/webrtc/v4"
)

func TestJoinAudioBothWays(t *testing.T) {
	for _, c := range []struct {
		name string
		addr string
		cfg  attendeeConfig
	}{
		{"UDP", "127.0.0.1:0", attendeeConfig{}},
		{"TCP", "127.0.0.1:0", attendeeConfig{tcp: true}},
		{"UDP on all addresses", ":0", attendeeConfig{}},
		{"TCP on all addresses", ":0", attendeeConfig{tcp: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAttendee(t, newTestTransport(t, Config{Addr: c.addr}), c.cfg)
			a.join()

			wait(t, "uplink audio", func() (ok bool) {
				a.locked(func() { ok = len(a.audio) > 20 })
				return ok
			})
			a.locked(func() {
				for i, p := range a.audio {
					if got := a.levels[i]; got != 42 {
						t.Fatalf("level of packet %d: got %d, want 42", i, got)
					}
					if i > 0 && p.SequenceNumber != a.audio[i-1].SequenceNumber+1 {
						t.Fatalf("packet %d has number %d after %d", i, p.SequenceNumber, a.audio[i-1].SequenceNumber)
					}
				}
			})

			// The mix: its sender report must name the server's clock.
			start := time.Now()
			const first = 7777
			for n := range uint32(100) {
				at := start.Add(time.Duration(n) * 20 * time.Millisecond)
				if err := a.peer.WriteAudio(AudioFrame{Payload: []byte{0xf8, 0xff, 0xfe}, Timestamp: first + n*960, Time: at}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(at.Add(20 * time.Millisecond)))
			}
			wait(t, "sender report of the mix", func() (ok bool) {
				a.locked(func() { _, ok = a.srs[a.peer.out.audioSSRC] })
				return ok
			})
			a.locked(func() {
				sr := a.srs[a.peer.out.audioSSRC]
				want := uint32(first + int64(fromNTP(sr.NTPTime).Sub(start))*48/int64(time.Millisecond))
				if diff := int32(sr.RTPTime - want); diff < -48 || diff > 48 {
					t.Errorf("sender report is %d samples off the frames' time", diff)
				}
				if a.tracks["audio"] == nil {
					t.Error("no track of stream \"audio\"")
				}
			})
			if s := a.peer.Stats(); s.AudioSent != 100 || s.AudioReceived < 20 || s.RTT <= 0 || s.WriteFailed != 0 {
				t.Errorf("stats: got %+v, want 100 sent, more than 20 received", s)
			}
			wait(t, "sender report of the uplink", func() (ok bool) {
				a.locked(func() { ok = len(a.reports) > 0 })
				return ok
			})
		})
	}
}

func TestCameraOnOffOn(t *testing.T) {
	a := newAttendee(t, newTestTransport(t, Config{}), attendeeConfig{})
	a.join()
	a.negotiate() // camera inactive a second time

	for n := 1; n <= 2; n++ {
		a.cameraOn = true
		a.negotiate()
		stop := a.film(vp8)
		p := a.publisher(n)
		wait(t, "frames", func() bool { return p.Stats().Packets > 30 })
		if got, want := p.Codec().String(), "VP8"; got != want {
			t.Errorf("codec: got %v, want %v", got, want)
		}
		if s := p.Stats(); s.Width != 640 || s.Height != 360 {
			t.Errorf("size: got %dx%d, want 640x360", s.Width, s.Height)
		}
		a.locked(func() {
			if len(a.stopped) != n-1 {
				t.Errorf("stopped: got %d times, want %d", len(a.stopped), n-1)
			}
		})
		a.cameraOn = false
		a.negotiate()
		wait(t, "stop", func() (ok bool) {
			a.locked(func() { ok = len(a.stopped) == n && a.stopped[n-1] == p })
			return ok
		})
		stop()
	}
}

func TestWatch(t *testing.T) {
	for _, codec := range []webrtc.RTPCodecCapability{vp8, h264} {
		t.Run(strings.TrimPrefix(codec.MimeType, "video/"), func(t *testing.T) {
			tr := newTestTransport(t, Config{})
			alice, bob := newAttendee(t, tr, attendeeConfig{codec: codec}), newAttendee(t, tr, attendeeConfig{})
			alice.cameraOn = true
			alice.join()
			stop := alice.film(codec)
			defer stop()
			p := alice.publisher(1)

			section := bob.watch(p)
			bob.join()
			wait(t, "video", func() bool {
				v := bob.video("v_" + section.Mid())
				if v == nil {
					return false
				}
				whole, _, _ := v.count()
				return whole >= 30
			})
			if got, want := len(bob.answer.Tracks), 1; got != want {
				t.Fatalf("tracks: got %d, want %d", got, want)
			}
			track := bob.answer.Tracks[0]
			if track.MID != section.Mid() || track.Section != 1 || uint32(bob.tracks["v_"+section.Mid()].SSRC()) != track.SSRC {
				t.Errorf("track: got %+v, want that of mid %s, section 1, SSRC %d", track, section.Mid(), bob.tracks["v_"+section.Mid()].SSRC())
			}
			v := bob.video("v_" + section.Mid())
			v.check(t)
			if _, broken, _ := v.count(); broken != 0 {
				t.Errorf("broken frames: got %d, want 0", broken)
			}
			ssrc := track.SSRC
			wait(t, "sender report of the video", func() (ok bool) {
				bob.locked(func() { _, ok = bob.srs[ssrc] })
				return ok
			})

			// Not watching, and watching again in the same section.
			bob.receive[section] = nil
			bob.negotiate()
			bob.locked(func() { clear(bob.videos) }) // the client starts a new track
			bob.receive[section] = p
			bob.negotiate()
			if got := bob.answer.Tracks[0].SSRC; got != ssrc {
				t.Errorf("SSRC after coming back: got %d, want %d", got, ssrc)
			}
			wait(t, "video after coming back", func() bool {
				if v = bob.video("v_" + section.Mid()); v == nil {
					return false
				}
				whole, _, _ := v.count()
				return whole > 20
			})
			v.check(t)
		})
	}
}

func TestClientEnds(t *testing.T) {
	a := newAttendee(t, newTestTransport(t, Config{}), attendeeConfig{})
	a.cameraOn = true
	a.join()
	stop := a.film(vp8)
	defer stop()
	a.publisher(1)
	if err := a.pc.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	wait(t, "end", func() (ok bool) {
		a.locked(func() { ok = len(a.closed) == 1 })
		return ok
	})
	a.locked(func() {
		if !errors.Is(a.closed[0], ErrEnded) {
			t.Errorf("end: got %v, want %v", a.closed[0], ErrEnded)
		}
		if len(a.stopped) != 1 {
			t.Errorf("stopped: got %d times, want 1", len(a.stopped))
		}
	})
	if _, err := a.peer.Negotiate(t.Context(), Offer{}); !errors.Is(err, ErrClosed) {
		t.Errorf("offer after the end: got %v, want %v", err, ErrClosed)
	}
}

// Who has the offer of another, but not the key, gets no media; and a handshake
// that fails ends that connection alone.
func TestHandshakeFails(t *testing.T) {
	a := newAttendee(t, newTestTransport(t, Config{}), attendeeConfig{})
	a.foreign = true
	a.negotiate()
	wait(t, "end", func() (ok bool) {
		a.locked(func() { ok = len(a.closed) == 1 })
		return ok
	})
	a.locked(func() {
		if a.connected || !strings.Contains(a.closed[0].Error(), "fingerprint") {
			t.Errorf("got connected %v, then %v, want an error about the fingerprint alone", a.connected, a.closed[0])
		}
	})
}

// A client that leaves while it connects takes nothing with it.
func TestClosedWhileConnecting(t *testing.T) {
	tr := newTestTransport(t, Config{})
	for range 10 {
		a := newAttendee(t, tr, attendeeConfig{})
		a.negotiate()
		wait(t, "ICE", func() bool { return a.pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected })
		if err := a.peer.Close(); err != nil {
			t.Errorf("close: got %v, want nil", err)
		}
	}
}

// Another publisher takes the place of the first in one section: the receiver
// sees one stream.
func TestSwitchPublisher(t *testing.T) {
	tr := newTestTransport(t, Config{})
	alice, carol := newAttendee(t, tr, attendeeConfig{}), newAttendee(t, tr, attendeeConfig{})
	for _, a := range []*attendee{alice, carol} {
		a.cameraOn = true
		a.join()
		defer a.film(vp8)()
	}
	bob := newAttendee(t, tr, attendeeConfig{})
	section := bob.watch(alice.publisher(1))
	bob.join()
	var v *video
	frames := func(n int) {
		t.Helper()
		wait(t, "video", func() bool {
			if v = bob.video("v_" + section.Mid()); v == nil {
				return false
			}
			whole, _, _ := v.count()
			return whole >= n
		})
	}
	frames(30)
	ssrc := bob.answer.Tracks[0].SSRC
	_, _, keys := v.count()
	bob.receive[section] = carol.publisher(1)
	bob.negotiate()
	if got := bob.answer.Tracks[0].SSRC; got != ssrc {
		t.Errorf("SSRC: got %d, want %d as before", got, ssrc)
	}
	wait(t, "key frame of the other", func() bool {
		_, _, now := v.count()
		return now > keys
	})
	whole, _, _ := v.count()
	frames(whole + 30)
	v.check(t)
	if _, broken, _ := v.count(); broken != 0 {
		t.Errorf("broken frames: got %d, want 0", broken)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := 1; i < len(v.pictureIDs); i++ {
		if v.pictureIDs[i] != (v.pictureIDs[i-1]+1)&0x7fff {
			t.Fatalf("picture id after %d: got %d", v.pictureIDs[i-1], v.pictureIDs[i])
		}
	}
}

// A client on TCP stops reading: packets for it are dropped, nobody waits for
// it, and the others see nothing.
func TestStuckClient(t *testing.T) {
	tr := newTestTransport(t, Config{})
	alice := newAttendee(t, tr, attendeeConfig{})
	alice.cameraOn = true
	alice.join()
	defer alice.film(vp8)()
	p := alice.publisher(1)

	through := newProxy(t, tr.Addr().String())
	stuck := newAttendee(t, tr, attendeeConfig{tcp: true, proxy: through.addr()})
	stuck.watch(p)
	stuck.join()
	bob := newAttendee(t, tr, attendeeConfig{})
	section := bob.watch(p)
	bob.join()
	through.stop()
	big := AudioFrame{Payload: make([]byte, sfu.MaxPayload), Time: time.Now()}
	refused := 0 // rounds in a row in which nothing was taken
	wait(t, "packets for the stuck client that are dropped", func() bool {
		began := time.Now()
		refused++
		for range audioQueue {
			if stuck.peer.WriteAudio(big) == nil {
				refused = 0
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%d frames for the stuck client took %v", audioQueue, took)
		}
		return refused > 50
	})
	var v *video
	before := 0
	wait(t, "video of the others", func() bool {
		if v = bob.video("v_" + section.Mid()); v == nil {
			return false
		}
		before, _, _ = v.count()
		return before > 0
	})
	wait(t, "more video of the others", func() bool {
		whole, _, _ := v.count()
		return whole > before+30
	})
	v.check(t)
	if _, broken, _ := v.count(); broken != 0 {
		t.Errorf("broken frames of the others: got %d, want 0", broken)
	}
}
