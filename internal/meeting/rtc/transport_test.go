package rtc

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// candidatesOf returns the candidate lines of an answer.
func candidatesOf(t *testing.T, tr *Transport) []string {
	t.Helper()
	p, err := tr.NewPeer(Events{}, quietLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	text, err := os.ReadFile("testdata/offers/chromium-join.sdp")
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Negotiate(t.Context(), Offer{SDP: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.SplitSeq(a.SDP, "\r\n") {
		if c, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			list = append(list, c)
		}
	}
	return list
}

func TestCandidates(t *testing.T) {
	public := []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")}
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", ":0"} {
		t.Run(addr, func(t *testing.T) {
			tr := newTestTransport(t, Config{Addr: addr, PublicAddresses: public})
			list := candidatesOf(t, tr)
			var udp, tcp int
			for i, c := range list {
				f := strings.Fields(c)
				if got, want := f[5], strconv.Itoa(int(tr.Addr().Port())); got != want {
					t.Errorf("port: got %s, want %s", got, want)
				}
				if !strings.Contains(c, "typ host") {
					t.Errorf("got %q, want a host candidate", c)
				}
				switch {
				case f[2] == "udp":
					udp++
				case f[2] == "tcp" && strings.HasSuffix(c, "tcptype passive"):
					tcp++
				}
				if i < 2 && f[4] != public[i].String() {
					t.Errorf("candidate %d: got %s, want %s", i, f[4], public[i])
				}
			}
			if udp <= len(public) || udp != tcp {
				t.Errorf("got %d UDP and %d TCP candidates, want as many of each and local ones among them:\n%s", udp, tcp, strings.Join(list, "\n"))
			}
			told := slices.ContainsFunc(list, func(c string) bool { return strings.Contains(c, " 127.0.0.1 ") })
			if want := tr.Addr().Addr().IsLoopback() || !hasNetwork(t); told != want {
				t.Errorf("loopback candidate: got %v, want %v", told, want)
			}
		})
	}
}

// hasNetwork reports whether the machine has an address others could use.
func hasNetwork(t *testing.T) bool {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		ip := a.(*net.IPNet).IP
		return !ip.IsLoopback() && !ip.IsLinkLocalUnicast()
	})
}

func TestAddressInUse(t *testing.T) {
	tr := newTestTransport(t, Config{})
	if other, err := NewTransport(Config{Addr: tr.Addr().String()}, quietLog(t)); err == nil {
		other.Close()
		t.Error("two transports listen on one port")
	}
}

func TestFingerprint(t *testing.T) {
	certificate, fingerprint, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	hash, print, _ := strings.Cut(fingerprint, " ")
	c := credentials{hash: hash, print: strings.ToLower(print)}
	if err := c.verify(certificate.Certificate); err != nil {
		t.Errorf("the same certificate: got %v, want nil", err)
	}
	other, _, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if c.verify(other.Certificate) == nil {
		t.Error("another certificate is accepted")
	}
	if c.verify(nil) == nil {
		t.Error("no certificate is accepted")
	}
}

func TestNTP(t *testing.T) {
	for _, want := range []time.Time{
		time.Unix(1_700_000_000, 123_456_789),
		time.Date(2036, 2, 7, 6, 28, 17, 0, time.UTC), // one second into the next era
		time.Unix(0, 0),
	} {
		if got := fromNTP(toNTP(want)); got.Sub(want).Abs() > time.Nanosecond {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
