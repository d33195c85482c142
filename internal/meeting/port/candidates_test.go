package port

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCandidate(t *testing.T) {
	for _, c := range []struct {
		candidate Candidate
		want      string
	}{
		{
			Candidate{Addr: netip.MustParseAddrPort("198.51.100.7:3478"), Priority: 2130706175},
			"1 1 udp 2130706175 198.51.100.7 3478 typ host",
		},
		{
			Candidate{Addr: netip.MustParseAddrPort("[2001:db8::7]:3478"), TCP: true, Priority: 7},
			"2 1 tcp 7 2001:db8::7 3478 typ host tcptype passive",
		},
	} {
		if got := c.candidate.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestCandidates(t *testing.T) {
	public := []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")}
	p := open(t, Config{Addr: "127.0.0.1:0", PublicAddresses: public})
	told := func() string {
		t.Helper()
		list, err := p.Candidates()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(list, func(a, b Candidate) int { return int(b.Priority>>8) - int(a.Priority>>8) }) {
			t.Errorf("priorities do not fall: %v", list)
		}
		var b strings.Builder
		for _, c := range list {
			if c.Addr.Port() != p.Addr().Port() {
				t.Errorf("port of %v: want %d", c, p.Addr().Port())
			}
			if c.TCP {
				b.WriteByte('t')
			}
			b.WriteString(c.Addr.Addr().String() + " ")
		}
		return b.String()
	}
	if got, want := told(), "198.51.100.7 2001:db8::7 127.0.0.1 t198.51.100.7 t2001:db8::7 t127.0.0.1 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.SetPublicAddresses([]netip.Addr{netip.MustParseAddr("::ffff:203.0.113.9"), netip.MustParseAddr("127.0.0.1")})
	if got, want := told(), "203.0.113.9 127.0.0.1 t203.0.113.9 t127.0.0.1 "; got != want {
		t.Errorf("changed: got %q, want %q", got, want)
	}
	virtual := New(Config{}, newPipeNet(), quiet(t))
	defer virtual.Close()
	if list, err := virtual.Candidates(); err != nil || len(list) != 1 || list[0].TCP {
		t.Errorf("virtual: got %v, %v, want one for UDP", list, err)
	}
}

func TestTellable(t *testing.T) {
	for _, c := range []struct {
		addr string
		want bool
	}{
		{"192.0.2.1", true},
		{"2001:db8::1", true},
		{"fd00::1", true},
		{"::1", true},
		{"fe80::1", false},
		{"fec0::1", false},
		{"::192.0.2.1", false},
	} {
		if got := tellable(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.addr, got, c.want)
		}
	}
}

func TestLocalAddressesAreRemembered(t *testing.T) {
	var l localAddresses
	now := time.Unix(1000, 0)
	first, err := l.list(now)
	if err != nil || len(first) == 0 {
		t.Fatalf("got %v, %v, want some", first, err)
	}
	l.addrs = nil
	if list, _ := l.list(now.Add(interfacesFor - 1)); list != nil {
		t.Errorf("soon after: got %v, want what is remembered", list)
	}
	if list, _ := l.list(now.Add(interfacesFor)); !slices.Equal(list, first) {
		t.Errorf("later: got %v, want %v", list, first)
	}
}
