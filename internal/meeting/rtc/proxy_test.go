package rtc

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// A proxy stands between clients and a server. Once stopped it takes nothing
// more from the server.
type proxy struct {
	listener net.Listener
	target   string
	stopped  chan struct{}
	once     sync.Once
	tasks    sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, stopped: make(chan struct{})}
	p.tasks.Go(p.accept)
	t.Cleanup(func() {
		p.stop()
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.tasks.Wait()
	})
	return p
}

func (p *proxy) addr() netip.AddrPort { return p.listener.Addr().(*net.TCPAddr).AddrPort() }

func (p *proxy) stop() { p.once.Do(func() { close(p.stopped) }) }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.tasks.Go(func() { _, _ = io.Copy(server, client) })
		p.tasks.Go(func() {
			b := make([]byte, 4096)
			for {
				select {
				case <-p.stopped:
					return
				default:
				}
				n, err := server.Read(b)
				if err != nil {
					return
				}
				if _, err := client.Write(b[:n]); err != nil {
					return
				}
			}
		})
	}
}
