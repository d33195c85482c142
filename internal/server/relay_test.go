package server

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/turn"
)

func TestTURNSecretIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), turnFile)
	password := func() string {
		secret, err := openTURNSecret(path)
		if err != nil {
			t.Fatal(err)
		}
		_, password, _ := turn.New(turn.Config{Secret: secret}, nil).Credentials("alice", time.Unix(0, 0))
		return password
	}
	first := password()
	if again := password(); again != first {
		t.Error("the secret changed with the second start")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v (%v), want mode 0600", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openTURNSecret(path); err == nil {
		t.Error("got no error for a file without a secret")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if other := password(); other == first {
		t.Error("another data folder has the same secret")
	}
}

func TestRelayURIs(t *testing.T) {
	addr := netip.MustParseAddrPort
	inner, outer, six := addr("10.0.0.1:3478"), addr("203.0.113.1:3478"), addr("[2001:db8::1]:3478")
	for name, c := range map[string]struct {
		candidates []netip.AddrPort
		public     []netip.Addr
		secure     string
		want       []string
	}{
		"own addresses": {[]netip.AddrPort{inner, six}, nil, "", []string{
			"turn:10.0.0.1:3478?transport=udp", "turn:10.0.0.1:3478?transport=tcp",
			"turn:[2001:db8::1]:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp",
		}},
		"behind NAT, with TLS": {[]netip.AddrPort{outer, inner, six}, []netip.Addr{outer.Addr()}, "meet.example:443", []string{
			"turn:203.0.113.1:3478?transport=udp", "turn:203.0.113.1:3478?transport=tcp",
			"turn:[2001:db8::1]:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp",
			"turns:meet.example:443?transport=tcp",
		}},
	} {
		if got := relayURIs(c.candidates, c.public, c.secure); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	var many []netip.AddrPort
	for i := range 20 {
		many = append(many, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 3478))
	}
	if got := relayURIs(many, nil, ""); len(got) != 2*maxRelayHosts {
		t.Errorf("got %d URIs for 20 addresses, want %d", len(got), 2*maxRelayHosts)
	}
}

func TestSecureRelay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	candidates := []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:3478")}
	for public, want := range map[string]string{
		"https://meet.example":      "meet.example:443",
		"https://meet.example:8443": "meet.example:8443",
		"http://meet.example":       "meet.example:" + port,
		"":                          "[2001:db8::1]:" + port,
	} {
		u, err := url.Parse(public)
		if err != nil {
			t.Fatal(err)
		}
		if got := secureRelay(l, u, public != "", candidates); got != want {
			t.Errorf("public URL %q: got %s, want %s", public, got, want)
		}
	}
	if got := secureRelay(nil, &url.URL{}, false, candidates); got != "" {
		t.Errorf("without a TLS port: got %s, want nothing", got)
	}
}
