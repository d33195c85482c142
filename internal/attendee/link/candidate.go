package link

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Candidate is an address media may be sent to (RFC 8839 section 5.1).
type Candidate struct {
	Addr     netip.AddrPort
	TCP      bool // passive: it waits to be called (RFC 6544)
	Priority uint32
	Type     string // "host", "relay" and the like
}

// String gives the value of an a=candidate line.
func (c Candidate) String() string {
	protocol, suffix := "udp", ""
	switch {
	case c.TCP:
		protocol, suffix = "tcp", " tcptype passive"
	case c.Type != "host":
		suffix = " raddr 0.0.0.0 rport 0"
	}
	return fmt.Sprintf("1 1 %s %d %s %d typ %s%s", protocol, c.Priority, c.Addr.Addr(), c.Addr.Port(), c.Type, suffix)
}

// ParseCandidate reads the value of an a=candidate line. False: it is not one
// that can be used here, such as one for RTCP alone or one with a name.
func ParseCandidate(value string) (c Candidate, ok bool) {
	f := strings.Fields(value)
	if len(f) < 8 || f[1] != "1" || f[6] != "typ" {
		return c, false
	}
	addr, err := netip.ParseAddr(f[4])
	if err != nil {
		return c, false
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port == 0 {
		return c, false
	}
	priority, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return c, false
	}
	c = Candidate{Addr: netip.AddrPortFrom(addr.Unmap(), uint16(port)), Priority: uint32(priority), Type: f[7]}
	switch strings.ToLower(f[2]) {
	case "udp":
		return c, true
	case "tcp":
		for i := 8; i+1 < len(f); i += 2 {
			if f[i] == "tcptype" && f[i+1] == "passive" {
				c.TCP = true
				return c, true
			}
		}
	}
	return c, false
}
