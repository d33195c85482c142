package port

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// interfacesFor is how long the machine's addresses are believed.
const interfacesFor = 5 * time.Second

// A Candidate is where the server can be reached.
type Candidate struct {
	Addr     netip.AddrPort
	TCP      bool // passive
	Priority uint32
}

// String returns the value of the SDP attribute (RFC 8839, section 5.1). All
// candidates are host candidates, since the Chime client throws others away.
func (c Candidate) String() string {
	foundation, transport, suffix := 1, "udp", ""
	if c.TCP {
		foundation, transport, suffix = 2, "tcp", " tcptype passive"
	}
	return fmt.Sprintf("%d 1 %s %d %s %d typ host%s", foundation, transport, c.Priority, c.Addr.Addr(), c.Addr.Port(), suffix)
}

// Candidates returns what an answer says about where the server is: public
// addresses first, UDP before TCP.
func (p *Port) Candidates() ([]Candidate, error) {
	addrs := p.PublicAddresses()
	if a := p.addr.Addr(); a.IsUnspecified() {
		local, err := p.local.list(time.Now())
		if err != nil {
			return nil, fmt.Errorf("network interfaces: %w", err)
		}
		addrs = append(addrs, local...)
	} else {
		addrs = append(addrs, a)
	}
	var list []Candidate
	add := func(isTCP bool, preference uint32) {
		for i, a := range addrs {
			if slices.Contains(addrs[:i], a) {
				continue
			}
			list = append(list, Candidate{
				Addr: netip.AddrPortFrom(a, p.addr.Port()),
				TCP:  isTCP,
				// RFC 8445, section 5.1.2.1, for component 1.
				Priority: preference<<24 | uint32(0xffff-i)<<8 | 255,
			})
		}
	}
	add(false, 126)
	if p.listener != nil {
		add(true, 90)
	}
	if len(list) == 0 {
		return nil, errors.New("this machine has no network address to tell")
	}
	return list, nil
}

// PublicAddresses returns what was configured or set.
func (p *Port) PublicAddresses() []netip.Addr {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Clone(p.public)
}

// SetPublicAddresses replaces what clients are told in front of the local
// addresses, from the next answer on.
func (p *Port) SetPublicAddresses(list []netip.Addr) {
	addrs := make([]netip.Addr, len(list))
	for i, a := range list {
		addrs[i] = a.Unmap().WithZone("")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.public = addrs
}

// localAddresses are those of the machine's interfaces.
type localAddresses struct {
	mu    sync.Mutex // guards what follows
	addrs []netip.Addr
	until time.Time
}

func (l *localAddresses) list(now time.Time) ([]netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.until) {
		return l.addrs, nil
	}
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var outer, loopback []netip.Addr
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		list, err := i.Addrs()
		if err != nil {
			continue // gone since
		}
		for _, a := range list {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, ok := netip.AddrFromSlice(n.IP)
			switch ip = ip.Unmap(); {
			case !ok || !tellable(ip):
			case ip.IsLoopback():
				loopback = append(loopback, ip)
			default:
				outer = append(outer, ip)
			}
		}
	}
	if len(outer) == 0 {
		outer = loopback // a first try on one machine
	}
	l.addrs, l.until = outer, now.Add(interfacesFor)
	return outer, nil
}

// tellable leaves out what no client can use (RFC 8445, section 5.1.1.1).
func tellable(a netip.Addr) bool {
	if a.Is4() {
		return true
	}
	b := a.As16()
	v4Compatible := !a.IsLoopback() && [12]byte(b[:12]) == [12]byte{}
	siteLocal := b[0] == 0xfe && b[1]&0xc0 == 0xc0
	return !v4Compatible && !siteLocal && !a.IsLinkLocalUnicast()
}
