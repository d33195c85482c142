// Package guest is the same load for two media servers: guests who publish a
// made-up camera and microphone, or watch, in Belfry by the Chime protocol and
// in a LiveKit server by its own. Both use one WebRTC library with one set of
// options, so what differs is the server. Starting servers and reading their
// cost is left to package bench.
package guest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A Role is what a guest does.
type Role struct {
	Publish   bool
	Simulcast bool // three layers instead of one
}

// A Meeting is where guests go.
type Meeting interface {
	// Join brings one guest in. It returns when its media is connected.
	Join(ctx context.Context, name string, r Role) (*Guest, error)
}

// Cipher is the SRTP protection profile that all guests insist on.
const Cipher = "SRTP_AEAD_AES_128_GCM"

// maxDelays is how many forwarding delays a guest keeps.
const maxDelays = 100_000

// A Guest is one attendee, once it is in.
type Guest struct {
	Connected  time.Duration // from the first byte to connected media
	FirstAudio atomic.Int64  // nanoseconds from the first byte to the first audio packet; 0: none yet

	began   time.Time
	packets atomic.Uint64
	bytes   atomic.Uint64
	videos  atomic.Int32 // tracks that have brought a packet

	mu     sync.Mutex // guards what follows
	delays []time.Duration

	camera *camera // nil: does not publish
	stop   context.CancelFunc
	tasks  sync.WaitGroup
	close  func() error
}

// Received is what a guest, or several, got.
type Received struct {
	Packets, Bytes uint64 // RTP
	Delays         []time.Duration
}

// Videos returns how many videos the guest receives.
func (g *Guest) Videos() int { return int(g.videos.Load()) }

// Take returns what came since the last Take.
func (g *Guest) Take() Received {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := Received{Packets: g.packets.Swap(0), Bytes: g.bytes.Swap(0), Delays: g.delays}
	g.delays = nil
	return r
}

// Leave ends the guest and waits for it.
func (g *Guest) Leave() error {
	g.stop()
	err := g.close()
	g.tasks.Wait()
	return err
}

func newGuest(r Role, rids [3]string) *Guest {
	g := &Guest{began: time.Now()}
	if r.Publish {
		g.camera = newCamera(r.Simulcast, rids)
	}
	return g
}

var api = sync.OnceValues(func() (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	i := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(m, i); err != nil {
		return nil, err
	}
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(i), webrtc.WithSettingEngine(s)), nil
})

// peer makes a connection that counts what comes.
func (g *Guest) peer() (*webrtc.PeerConnection, error) {
	a, err := api()
	if err != nil {
		return nil, err
	}
	pc, err := a.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { g.tasks.Go(func() { g.receive(t) }) })
	return pc, nil
}

// receive counts the packets of a track until it ends.
func (g *Guest) receive(t *webrtc.TrackRemote) {
	video := t.Kind() == webrtc.RTPCodecTypeVideo
	b := make([]byte, 1600)
	var h rtp.Header
	for first := true; ; first = false {
		n, _, err := t.Read(b)
		if err != nil {
			return
		}
		now := time.Now()
		g.packets.Add(1)
		g.bytes.Add(uint64(n))
		if first {
			if video {
				g.videos.Add(1)
			} else {
				g.FirstAudio.CompareAndSwap(0, int64(now.Sub(g.began)))
			}
		}
		if !video {
			continue
		}
		start, err := h.Unmarshal(b[:n])
		if err != nil || n-start < stampSize || h.Padding {
			continue
		}
		sent := time.Unix(0, int64(binary.BigEndian.Uint64(b[n-stampSize:n])))
		if d := now.Sub(sent); d >= 0 && d < time.Minute {
			g.mu.Lock()
			if len(g.delays) < maxDelays {
				g.delays = append(g.delays, d)
			}
			g.mu.Unlock()
		}
	}
}

// Together adds up what several guests got.
func Together(guests []*Guest) (sum Received) {
	for _, g := range guests {
		r := g.Take()
		sum.Packets += r.Packets
		sum.Bytes += r.Bytes
		sum.Delays = append(sum.Delays, r.Delays...)
	}
	slices.Sort(sum.Delays)
	return sum
}

// Delay returns a quantile of the sorted delays, 0 without any.
func (r Received) Delay(q float64) time.Duration {
	if len(r.Delays) == 0 {
		return 0
	}
	return r.Delays[min(int(q*float64(len(r.Delays))), len(r.Delays)-1)]
}

// connected waits for a connection to be up.
func connected(ctx context.Context, pc *webrtc.PeerConnection) error {
	states := make(chan webrtc.PeerConnectionState, 8)
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		select {
		case states <- s:
		default:
		}
	})
	s := pc.ConnectionState()
	for {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			return nil
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			return fmt.Errorf("the media connection is %v", s)
		}
		select {
		case s = <-states:
		case <-ctx.Done():
			return fmt.Errorf("no media connection: %w", ctx.Err())
		}
	}
}

// offer makes a complete offer.
func offer(ctx context.Context, pc *webrtc.PeerConnection) (string, error) {
	o, err := pc.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	return local(ctx, pc, o)
}

func local(ctx context.Context, pc *webrtc.PeerConnection, d webrtc.SessionDescription) (string, error) {
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return "", err
	}
	select {
	case <-gathered:
		return pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
