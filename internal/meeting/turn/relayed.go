package turn

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
)

// relayedAddresses makes up relayed addresses: an IPv4 one in the block set
// aside for benchmarks (RFC 2544), which no client has, and an IPv6 one in a
// block of our own choice (RFC 4193). They come round late, so that nobody
// gets one that the media port may still know from somebody else.
type relayedAddresses struct {
	prefix [8]byte // of the IPv6 addresses
	next   uint32
}

const (
	relayedBlock = 198<<24 | 18<<16 // 198.18.0.0/15
	relayedHosts = 1<<17 - 2        // without those that end in zeros or ones alone
	relayedPorts = 1 << 14
	relayedPort  = 49152 // the first, RFC 6335
)

func newRelayedAddresses() relayedAddresses {
	var r relayedAddresses
	_, _ = rand.Read(r.prefix[:]) // never fails
	r.prefix[0] = 0xfd
	return r
}

func (r *relayedAddresses) take(v6 bool) netip.AddrPort {
	n := r.next
	r.next++
	host, port := 1+n%relayedHosts, uint16(relayedPort+n/relayedHosts%relayedPorts)
	if v6 {
		var a [16]byte
		copy(a[:], r.prefix[:])
		binary.BigEndian.PutUint32(a[12:], host)
		return netip.AddrPortFrom(netip.AddrFrom16(a), port)
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], relayedBlock+host)
	return netip.AddrPortFrom(netip.AddrFrom4(a), port)
}
