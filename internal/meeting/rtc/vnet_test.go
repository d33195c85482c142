package rtc

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/port"
	"github.com/pion/logging"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"
)

// A lossyNet is a virtual network where every packet may be lost on the way.
type lossyNet struct {
	t      *testing.T
	router *vnet.Router
	server *Transport
	lossy  atomic.Bool
	dead   atomic.Bool // nothing arrives any more
	hosts  int
}

const serverIP = "10.0.0.1"

// newLossyNet makes a network that loses one packet of `every`, in each
// direction, once lossy is set.
func newLossyNet(t *testing.T, every int) *lossyNet {
	t.Helper()
	checkLeaks(t)
	router, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR:          "10.0.0.0/16",
		LoggerFactory: logging.NewDefaultLoggerFactory(),
		MinDelay:      10 * time.Millisecond,
		QueueSize:     10000,
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &lossyNet{t: t, router: router}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(3, 4))
	router.AddChunkFilter(func(vnet.Chunk) bool {
		if n.dead.Load() {
			return false
		}
		if !n.lossy.Load() {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(every) != 0
	})
	host := n.host(serverIP)
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := router.Stop(); err != nil {
			t.Errorf("stop network: got %v, want nil", err)
		}
	})
	udp, err := host.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(serverIP), Port: 3478})
	if err != nil {
		t.Fatal(err)
	}
	if n.server, err = newTransport(port.New(port.Config{}, udp, quietLog(t)), quietLog(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.server.Close(); err != nil {
			t.Errorf("close transport: got %v, want nil", err)
		}
	})
	return n
}

func (n *lossyNet) host(ip string) *vnet.Net {
	n.t.Helper()
	host, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.router.AddNet(host); err != nil {
		n.t.Fatal(err)
	}
	return host
}

func (n *lossyNet) attendee(codec webrtc.RTPCodecCapability) *attendee {
	n.t.Helper()
	n.hosts++
	ip := netip.AddrFrom4([4]byte{10, 0, 1, byte(n.hosts)})
	return newAttendee(n.t, n.server, attendeeConfig{codec: codec, net: n.host(ip.String())})
}

// With five percent of all packets lost on each way, nearly all frames come
// out whole: what is lost going up is asked for by us, what is lost going down
// is asked for by the receiver and sent again.
func TestVideoSurvivesLoss(t *testing.T) {
	for _, c := range []struct {
		name  string
		codec webrtc.RTPCodecCapability
	}{{"VP8", vp8}, {"H264", h264}} {
		t.Run(c.name, func(t *testing.T) {
			n := newLossyNet(t, 20)
			alice, bob := n.attendee(c.codec), n.attendee(vp8)
			alice.cameraOn = true
			alice.join()
			stop := alice.film(c.codec)
			p := alice.publisher(1)
			section := bob.watch(p)
			bob.join()
			wait(t, "video", func() bool {
				v := bob.video("v_" + section.Mid())
				if v == nil {
					return false
				}
				whole, _, _ := v.count()
				return whole > 0
			})
			v := bob.video("v_" + section.Mid())
			n.lossy.Store(true)
			wait(t, "video on the lossy network", func() bool {
				whole, broken, _ := v.count()
				return whole+broken > 150
			})
			n.lossy.Store(false)
			// Packets sent again are only seen by this receiver when others
			// come after them, so the film goes on.
			wait(t, "last packets", func() bool {
				v.mu.Lock()
				defer v.mu.Unlock()
				return len(v.waiting) == 0
			})
			stop()
			v.check(t)
			v.mu.Lock()
			defer v.mu.Unlock()
			sent := int(v.numbers[len(v.numbers)-1]-v.numbers[0]) + 1
			t.Logf("%d frames, %d whole, %d broken, %d key frames; publisher %+v", sent, v.whole, v.broken, v.keys, p.Stats())
			if want := sent * 98 / 100; v.whole < want {
				t.Errorf("whole frames: got %d of %d, want at least %d", v.whole, sent, want)
			}
			for _, s := range bob.peer.plan.Load().subscribers {
				t.Logf("subscriber %+v", s.Stats())
				if s.Stats().Resent == 0 {
					t.Error("nothing was sent again: does the network lose nothing?")
				}
			}
		})
	}
}

func TestClientVanishes(t *testing.T) {
	n := newLossyNet(t, 20)
	n.server.timeouts = timeouts{connect: 10 * time.Second, silence: 600 * time.Millisecond}
	a := n.attendee(vp8)
	a.join()
	n.dead.Store(true)
	wait(t, "end", func() (ok bool) {
		a.locked(func() { ok = len(a.closed) == 1 })
		return ok
	})
	a.locked(func() {
		if !errors.Is(a.closed[0], ErrLost) {
			t.Errorf("got %v, want %v", a.closed[0], ErrLost)
		}
	})
}

func TestClientNeverComes(t *testing.T) {
	n := newLossyNet(t, 20)
	n.server.timeouts.connect = 300 * time.Millisecond
	n.dead.Store(true)
	a := n.attendee(vp8)
	a.negotiate()
	wait(t, "end", func() (ok bool) {
		a.locked(func() { ok = len(a.closed) == 1 })
		return ok
	})
	a.locked(func() {
		if !errors.Is(a.closed[0], ErrUnreachable) {
			t.Errorf("got %v, want %v", a.closed[0], ErrUnreachable)
		}
	})
}
