package port

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// numbered returns packets of those sizes that begin with their number.
func numbered(sizes ...int) [][]byte {
	var list [][]byte
	for i, size := range sizes {
		b := bytes.Repeat([]byte{byte(size)}, size)
		binary.BigEndian.PutUint32(b, uint32(i))
		list = append(list, b)
	}
	return list
}

// want reads packets and compares.
func (c *testClient) want(packets [][]byte) {
	c.t.Helper()
	for i, want := range packets {
		got := c.read(patience)
		if !bytes.Equal(got, want) {
			n := -1
			if len(got) >= 4 {
				n = int(binary.BigEndian.Uint32(got))
			}
			c.t.Fatalf("packet %d: got number %d with %d bytes, want %d bytes", i, n, len(got), len(want))
		}
	}
}

func TestSendOrderAndContent(t *testing.T) {
	sizes := []int{100, 1200, 1200, 1200, 700, 1201, 1201, 1200, 1199, 50, 50, 50, 51, MaxPacket, 4}
	for range 8 {
		sizes = append(sizes, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000)
	}
	for _, c := range []struct {
		name   string
		change func(*testing.T, *kernelSocket)
	}{
		{"split by the kernel", func(t *testing.T, s *kernelSocket) {
			if !s.splits.Load() {
				t.Skip("this kernel does not split")
			}
		}},
		{"split by us", func(_ *testing.T, s *kernelSocket) { s.splits.Store(false) }},
		{"the kernel refuses", func(t *testing.T, s *kernelSocket) {
			s.splits.Store(true)
			// Without checksums nothing is split.
			_ = s.raw.Control(func(fd uintptr) {
				if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
					t.Skip(err)
				}
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, Config{})
			c.change(t, p.sockets[0].(*kernelSocket))
			var clients []*testClient
			var flows []*recorder
			for i := range 5 {
				r := newFlow(t, p, fmt.Sprint(i), time.Minute)
				clients = append(clients, connect(t, r))
				flows = append(flows, r)
			}
			packets := numbered(sizes...)
			for _, r := range flows {
				r.queue(packets...)
			}
			for _, client := range clients {
				client.want(packets)
			}
			for i, r := range flows {
				if n := r.flow.Refused(); n != 0 {
					t.Errorf("flow %d: %d packets refused, want 0", i, n)
				}
			}
		})
	}
}

// Packets of one length to one client are one message, and messages to many
// clients one batch.
func TestBatch(t *testing.T) {
	p := open(t, Config{})
	var clients []*testClient
	var flows []*recorder
	for i := range 10 {
		r := newFlow(t, p, fmt.Sprint(i), time.Minute)
		clients = append(clients, connect(t, r))
		flows = append(flows, r)
	}
	before := p.Stats()
	packets := numbered(1100, 1100, 1100, 1100, 1100, 800)
	for _, r := range flows {
		r.queue(packets...)
	}
	for _, c := range clients {
		c.want(packets)
	}
	after := p.Stats()
	if n := after.Packets - before.Packets; n != 60 {
		t.Errorf("packets: got %d, want 60", n)
	}
	if n := after.Messages - before.Messages; n != 10 {
		t.Errorf("messages: got %d, want 10", n)
	}
	if n := after.Batches - before.Batches; n > 6 {
		t.Errorf("batches: got %d, want about one for each of %d senders", n, len(p.senders))
	}
}

func TestSendAllocatesNothing(t *testing.T) {
	p := open(t, Config{})
	r := newRepeater(t, p, numbered(1100, 1100, 1100)...)
	c := connect(t, &r.recorder)
	s := newSender(p) // not the one that runs
	now := time.Now()
	s.add(r.flow)
	step := func() {
		now = now.Add(2 * gather)
		s.since = now.Add(-gather)
		s.step(now)
		s.mu.Lock()
		s.ready = append(s.ready[:0], r.flow)
		s.mu.Unlock()
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("got %v allocations for each batch, want 0", n)
	}
	if got := c.read(patience); len(got) != 1100 {
		t.Errorf("got %d bytes, want 1100", len(got))
	}
}

// A repeater sends the same packets each time.
type repeater struct {
	recorder
	packets [][]byte
}

func newRepeater(t *testing.T, p *Port, packets ...[]byte) *repeater {
	t.Helper()
	r := &repeater{packets: packets}
	f, err := p.NewFlow(FlowConfig{Ufrag: "ours", Pwd: testPwd, Timeout: time.Minute, Handler: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	f.SetRemote("theirs")
	r.flow = f
	return r
}

func (r *repeater) Fill(b *Burst, _ time.Time) time.Time {
	for _, p := range r.packets { // few
		b.Add(len(append(b.Next(), p...)))
	}
	return time.Time{}
}

func (r *repeater) Tick(time.Time) {}

// Receive counts, and keeps nothing.
func (r *repeater) Receive(b []byte, _ time.Time) bool { return true }

func TestDispatchAllocatesNothing(t *testing.T) {
	p := open(t, Config{})
	c := connect(t, &newRepeater(t, p).recorder)
	b := make([]byte, 1100)
	b[0] = 0x80
	a := arrival{link: p.sockets[0], from: c.addr(), at: time.Now()}
	if n := testing.AllocsPerRun(1000, func() { p.dispatch(b, a) }); n != 0 {
		t.Errorf("got %v allocations for each packet, want 0", n)
	}
}

// What one client is sent does not leave before the others' when it is much.
func TestBurstsTakeTurns(t *testing.T) {
	p := open(t, Config{})
	big, small := newFlow(t, p, "big", time.Minute), newFlow(t, p, "small", time.Minute)
	connect(t, big)
	c := connect(t, small)
	var many [][]byte
	for range 20 * burstPackets {
		many = append(many, make([]byte, 100))
	}
	big.queue(many...)
	small.queue([]byte("small"))
	if got := string(c.read(patience)); got != "small" {
		t.Errorf("got %q, want %q", got, "small")
	}
	wait(t, "the rest", func() (ok bool) {
		big.locked(func() { ok = len(big.send) == 0 })
		return ok
	})
}

// The first packet waits for others, but not long; and Fill is called when it
// has asked for.
func TestSenderTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipeNet()
		p := New(Config{}, net, quiet(t))
		defer p.Close()
		r := newFlow(t, p, "ours", time.Hour)
		defer r.flow.Close()
		at := netip.MustParseAddrPort("192.0.2.7:4000")
		net.deliver(newCheck(t, "ours").Raw, at)
		time.Sleep(time.Second)

		began := time.Now()
		r.queue([]byte("one"))
		time.Sleep(gather / 2)
		r.queue([]byte("two"))
		time.Sleep(10 * gather)
		synctest.Wait()
		list := net.sent()[1:] // after the answer to the check
		if len(list) != 2 {
			t.Fatalf("got %d packets, want 2", len(list))
		}
		for i, d := range list {
			if took := d.at.Sub(began); took != gather {
				t.Errorf("packet %d left after %v, want %v", i, took, gather)
			}
		}

		for _, d := range []time.Duration{time.Millisecond, 7 * time.Millisecond, 40 * time.Millisecond} {
			r.locked(func() { r.next = time.Now().Add(gather + d) })
			r.flow.Wake()
			time.Sleep(gather)
			synctest.Wait()
			r.locked(func() { r.send, r.next = [][]byte{[]byte("later")}, time.Time{} })
			due := time.Now().Add(d)
			time.Sleep(d + 2*time.Millisecond)
			synctest.Wait()
			list := net.sent()
			last := list[len(list)-1]
			if string(last.b) != "later" || last.at.Before(due) || last.at.Sub(due) > 2*time.Millisecond {
				t.Errorf("asked for in %v: got %q %v later, want it then", d, last.b, last.at.Sub(due))
			}
		}
	})
}

// The wheel serves everybody once, whenever it is turned.
func TestWheel(t *testing.T) {
	p := New(Config{}, newPipeNet(), quiet(t))
	defer p.Close()
	s := newSender(p)
	now := p.began.Add(time.Second)
	s.step(now)
	var flows []*recorder
	for i := range 100 {
		r := newFlow(t, p, fmt.Sprint(i), time.Minute)
		pt := &path{flow: r.flow, link: p.sockets[0], remote: netip.MustParseAddrPort("192.0.2.7:4000")}
		r.flow.selected.Store(pt)
		flows = append(flows, r)
		s.later(r.flow, now.Add(time.Duration(i)*time.Millisecond), now)
		s.later(r.flow, now.Add(time.Duration(i+5)*time.Millisecond), now)
	}
	for _, d := range []time.Duration{0, 1, 3, 4, 9, 9, 30, 63, 64, 200} {
		s.step(now.Add(d * time.Millisecond))
		for i, r := range flows {
			want := 0
			if due := time.Duration(min(max(i, 1), wheelSlots-1)); d >= due {
				want = 1
			}
			if r.fills != want {
				t.Errorf("after %d ms: flow due at %d: got %d calls, want %d", d, i, r.fills, want)
			}
		}
	}
	if s.waiting != 0 {
		t.Errorf("waiting: got %d, want 0", s.waiting)
	}
	if next := s.step(now.Add(time.Second)); !next.IsZero() {
		t.Errorf("next: got %v, want never", next)
	}
}

func BenchmarkSend(b *testing.B) {
	for _, size := range []int{1, 6} {
		b.Run(fmt.Sprintf("%d a client", size), func(b *testing.B) {
			p := open(b, Config{})
			s := newSender(p)
			sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
			var flows []*Flow
			packets := make([][]byte, size)
			for i := range packets {
				packets[i] = make([]byte, 1100)
			}
			for i := range 50 {
				f, err := p.NewFlow(FlowConfig{Ufrag: fmt.Sprint(i), Timeout: time.Minute, Handler: &repeater{packets: packets}})
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				f.selected.Store(&path{flow: f, link: p.sockets[0], remote: sink.LocalAddr().(*net.UDPAddr).AddrPort()})
				flows = append(flows, f)
			}
			now := time.Now()
			used := processCPU(b)
			for b.Loop() {
				now = now.Add(2 * gather)
				s.ready = append(s.ready[:0], flows...)
				s.since = now.Add(-gather)
				s.step(now)
			}
			b.ReportMetric(float64((processCPU(b)-used).Nanoseconds())/float64(b.N*len(flows)*size), "ns-cpu/packet")
		})
	}
}

func processCPU(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
