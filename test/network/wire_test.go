package network

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fault is what a wire does to frames on their way. It does the same in both
// directions, unless it says otherwise.
type fault struct {
	loss   float64       // share of the frames
	delay  time.Duration // of all
	jitter time.Duration // more for each, at random; beyond the spacing of packets it reorders them
	rate   string        // towards the client, as tc has it; empty: no limit
}

// A wire carries frames between two network devices. The kernel could do the
// same with netem, which not every kernel has.
type wire struct {
	fault   fault
	a, b    *os.File
	tasks   sync.WaitGroup
	carried atomic.Int64
	lost    atomic.Int64
	swapped atomic.Int64 // overtaken by a later one
}

// impair has a wire with the fault between router and client.
func (l *lab) impair(f fault) *wire {
	l.t.Helper()
	between := l.namespace("wire")
	l.client.run("ip", "link", "del", "uplink")
	lay(end{l.client, "uplink"}, end{between, "left"})
	lay(end{l.router, "client"}, end{between, "right"})
	l.attachClient()
	for _, e := range []end{{l.client, "uplink"}, {l.router, "client"}} {
		if err := e.inside(func() error { return wholeFrames(e.device) }); err != nil {
			l.t.Fatalf("%s: %v", e.device, err)
		}
	}
	if f.rate != "" {
		between.run("tc", "qdisc", "add", "dev", "left", "root", "tbf", "rate", f.rate, "burst", "6000", "latency", "300ms")
	}
	w := &wire{fault: f}
	err := between.inside(func() (err error) {
		if w.a, err = packetSocket("left"); err == nil {
			w.b, err = packetSocket("right")
		}
		return err
	})
	if err != nil {
		l.t.Fatalf("wire: %v", err)
	}
	w.tasks.Go(func() { w.carry(w.a, w.b) })
	w.tasks.Go(func() { w.carry(w.b, w.a) })
	l.t.Cleanup(func() {
		w.a.Close()
		w.b.Close()
		w.tasks.Wait()
		l.t.Logf("the wire carried %d frames, lost %d, swapped %d", w.carried.Load(), w.lost.Load(), w.swapped.Load())
	})
	return w
}

// wholeFrames has the device send frames as they would be on a cable: with
// checksums, and no longer than it takes.
func wholeFrames(device string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	value := struct{ cmd, data uint32 }{unix.ETHTOOL_STXCSUM, 0}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return fmt.Errorf("switch checksum offload off: %w", errno)
	}
	return nil
}

// packetSocket takes and sends whole frames.
func packetSocket(device string) (*os.File, error) {
	index, err := deviceIndex(device)
	if err != nil {
		return nil, err
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(s, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return nil, errors.Join(err, unix.Close(s))
	}
	if err := unix.Bind(s, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		return nil, errors.Join(err, unix.Close(s))
	}
	return os.NewFile(uintptr(s), device), nil
}

func deviceIndex(device string) (int, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq(device)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, request); err != nil {
		return 0, err
	}
	return int(request.Uint32()), nil
}

// A frame waits for its time.
type frame struct {
	due    time.Time
	number int
	bytes  []byte
}

// frames are a heap, the next one first.
type frames []frame

func (f frames) Len() int           { return len(f) }
func (f frames) Less(i, j int) bool { return f[i].due.Before(f[j].due) }
func (f frames) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *frames) Push(x any)        { *f = append(*f, x.(frame)) }
func (f *frames) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

// carry carries frames one way until a socket is closed.
func (w *wire) carry(from, to *os.File) {
	arrived := make(chan frame, 1000)
	w.tasks.Go(func() { w.deliver(arrived, to) })
	defer close(arrived)
	b := make([]byte, 65536)
	for number := 0; ; number++ {
		n, err := from.Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the device says once that it was down
		}
		// Addresses are looked up before there are packets to lose.
		const typeAt, ipv4, ipv6 = 12, 0x0800, 0x86dd
		kind := binary.BigEndian.Uint16(b[typeAt:])
		if (kind == ipv4 || kind == ipv6) && rand.Float64() < w.fault.loss {
			w.lost.Add(1)
			continue
		}
		delay := w.fault.delay
		if w.fault.jitter > 0 {
			delay += rand.N(w.fault.jitter)
		}
		arrived <- frame{time.Now().Add(delay), number, append([]byte(nil), b[:n]...)}
	}
}

// deliver sends frames when they are due.
func (w *wire) deliver(arrived <-chan frame, to *os.File) {
	var waiting frames
	last := 0
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if len(waiting) > 0 {
			timer.Reset(time.Until(waiting[0].due))
		}
		select {
		case f, ok := <-arrived:
			if !ok {
				return
			}
			heap.Push(&waiting, f)
		case <-timer.C:
			timer.Reset(time.Hour)
		}
		for now := time.Now(); len(waiting) > 0 && !waiting[0].due.After(now); {
			f := heap.Pop(&waiting).(frame)
			if f.number < last {
				w.swapped.Add(1)
			}
			last = max(last, f.number)
			w.carried.Add(1)
			_, _ = to.Write(f.bytes) // a full queue loses it, as on any wire
		}
	}
}
