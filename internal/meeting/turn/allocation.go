package turn

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Lifetimes of RFC 8656, sections 3.2, 9 and 12.
const (
	allocationLife = 10 * time.Minute // also the longest: who is gone is soon forgotten
	permissionLife = 5 * time.Minute
	channelLife    = 10 * time.Minute
)

const (
	maxPeers  = 64 // addresses that one allocation speaks to
	maxChecks = 32 // requests of the client that wait for their answer
	burst     = 2  // seconds of the bit rate that may go at once
)

// An allocation is one client's relayed address. The media port knows the
// client by that alone and does not say from which of our candidates it
// answers; a client expects it from the one it wrote to, so the allocation
// remembers.
type allocation struct {
	// Fixed by allocate.
	client      client
	attendee    string
	username    string
	key         []byte // of the long-term credential
	relayed     netip.AddrPort
	transaction [12]byte // of the request that made it; it may come again

	mu        sync.Mutex // guards what follows
	expires   time.Time
	peers     []peer
	up, down  bucket           // bytes
	checks    [maxChecks]check // a ring
	nextCheck int
	media     netip.AddrPort // the peer to which media goes; it has the answers
	route     func()         // removes the route
	ended     bool
}

// A peer is an address that the client relays to.
type peer struct {
	addr      netip.AddrPort
	permitted time.Time // until then
	channel   uint16    // 0: none
	bound     time.Time // until then
}

// open says whether the client may send to the peer. A channel alone is
// enough: all peers are our own, permissions keep nobody out.
func (p *peer) open(now time.Time) bool {
	return now.Before(p.permitted) || p.channel != 0 && now.Before(p.bound)
}

// A check is a STUN request that went to a peer.
type check struct {
	transaction [12]byte
	peer        netip.AddrPort
}

// A client is where an allocation's messages go.
type client interface {
	address() netip.AddrPort
	// stream says that messages travel on a connection: their sender's address
	// is no forgery, and channel data is padded.
	stream() bool
	// send takes one whole message and does not keep it. It does not wait: what
	// does not fit is dropped and counted.
	send(b []byte)
	// expire ends a client whose allocation is gone.
	expire()
}

// routed keeps what removes the route, or says that it is too late.
func (a *allocation) routed(remove func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.route = remove
	return !a.ended
}

// end lets no more media through.
func (a *allocation) end() {
	a.mu.Lock()
	a.ended = true
	remove := a.route
	a.mu.Unlock()
	if remove != nil {
		remove()
	}
}

func (a *allocation) expired(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !now.Before(a.expires)
}

func (a *allocation) refresh(life time.Duration, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expires = now.Add(life)
}

// permit lets the client send to the peers.
func (a *allocation) permit(addrs []netip.AddrPort, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, addr := range addrs {
		if p := a.peer(addr, now); p != nil {
			p.permitted = now.Add(permissionLife)
		}
	}
}

// bind gives the peer a channel for a while. It fails if one of the two
// belongs to another (RFC 8656, section 12.2).
func (a *allocation) bind(addr netip.AddrPort, channel uint16, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.peers {
		if p.channel == channel && p.addr != addr && now.Before(p.bound) {
			return false
		}
	}
	p := a.peer(addr, now)
	if p == nil || p.channel != 0 && p.channel != channel && now.Before(p.bound) {
		return false
	}
	p.channel, p.bound, p.permitted = channel, now.Add(channelLife), now.Add(permissionLife)
	return true
}

// peer returns the peer's entry, a new one if it has none, or nil if there are
// too many. The caller holds the mutex.
func (a *allocation) peer(addr netip.AddrPort, now time.Time) *peer {
	if i := slices.IndexFunc(a.peers, func(p peer) bool { return p.addr == addr }); i >= 0 {
		return &a.peers[i]
	}
	if len(a.peers) >= maxPeers {
		a.peers = slices.DeleteFunc(a.peers, func(p peer) bool { return !p.open(now) })
	}
	if len(a.peers) >= maxPeers {
		return nil
	}
	a.peers = append(a.peers, peer{addr: addr})
	return &a.peers[len(a.peers)-1]
}

// byChannel returns where the channel's data goes.
func (a *allocation) byChannel(channel uint16, now time.Time) (addr netip.AddrPort, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.peers {
		if p := &a.peers[i]; p.channel == channel && now.Before(p.bound) {
			return p.addr, true
		}
	}
	return netip.AddrPort{}, false
}

// permitted says whether the client may send to the address.
func (a *allocation) permitted(addr netip.AddrPort, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.peers {
		if p := &a.peers[i]; p.addr == addr {
			return p.open(now)
		}
	}
	return false
}

// STUN message types (RFC 8489, section 5).
const (
	bindingRequest = 0x0001
	bindingSuccess = 0x0101
	bindingError   = 0x0111
	stunHeader     = 20
	stunCookie     = 0x2112a442
	dataIndication = 0x0017 // RFC 8656, section 11
)

// stunType returns the type of a datagram that is a STUN message. Media begins
// with another byte (RFC 7983).
func stunType(b []byte) (kind uint16, ok bool) {
	if len(b) < stunHeader || b[0] > 3 || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return 0, false
	}
	return binary.BigEndian.Uint16(b), true
}

// goes notes that the client sends data to the peer, and says whether it may:
// not if it sends too much.
func (a *allocation) goes(to netip.AddrPort, data []byte, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.up.take(float64(len(data)), now) {
		return false
	}
	switch kind, isSTUN := stunType(data); {
	case !isSTUN:
		a.media = to
	case kind == bindingRequest:
		c := &a.checks[a.nextCheck%maxChecks]
		copy(c.transaction[:], data[8:stunHeader])
		c.peer = to
		a.nextCheck++
	}
	return true
}

// comes returns the peer that data for the client comes from and the channel
// bound to it, 0 if there is none. It says no if there is no such peer (nobody
// was spoken to yet) or it is too much.
func (a *allocation) comes(data []byte, now time.Time) (from netip.AddrPort, channel uint16, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.down.take(float64(len(data)), now) {
		return netip.AddrPort{}, 0, false
	}
	from = a.media
	if kind, isSTUN := stunType(data); isSTUN && (kind == bindingSuccess || kind == bindingError) {
		for i := range a.checks {
			if string(a.checks[i].transaction[:]) == string(data[8:stunHeader]) {
				from = a.checks[i].peer
				break
			}
		}
	}
	for i := range a.peers {
		if p := &a.peers[i]; p.addr == from && p.open(now) {
			if p.channel != 0 && now.Before(p.bound) {
				channel = p.channel
			}
			return from, channel, true
		}
	}
	return netip.AddrPort{}, 0, false
}
