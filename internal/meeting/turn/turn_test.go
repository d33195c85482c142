package turn_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"

	"belfry.live/belfry/internal/meeting/turn"
)

// open makes an allocation with pion's client.
func (r *relay) open(t *testing.T, how, attendee string) (relayed net.PacketConn) {
	t.Helper()
	var conn net.PacketConn
	var server net.Addr = r.udp
	switch how {
	case "udp":
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		conn = c
	case "tcp":
		c, err := net.Dial("tcp4", r.tcp)
		if err != nil {
			t.Fatal(err)
		}
		conn, server = pion.NewSTUNConn(c), c.RemoteAddr()
	case "tls":
		c, err := tls.Dial("tcp4", r.tls, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		conn, server = pion.NewSTUNConn(c), c.RemoteAddr()
	}
	username, password, _ := r.Credentials(attendee, time.Now())
	client, err := pion.NewClient(&pion.ClientConfig{TURNServerAddr: server.String(), Username: username, Password: password, Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); conn.Close() })
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relayed, err = client.Allocate()
	if err != nil {
		t.Fatalf("allocate over %s: %v", how, err)
	}
	t.Cleanup(func() { relayed.Close() })
	return relayed
}

func TestRelay(t *testing.T) {
	for _, how := range []string{"udp", "tcp", "tls"} {
		t.Run(how, func(t *testing.T) {
			r := start(t, turn.Limits{})
			relayed := r.open(t, how, "alice")
			// The first ones go as indications, then pion binds a channel.
			b := make([]byte, 2000)
			for i := range 100 {
				want := bytes.Repeat([]byte{0x80, byte(i)}, 6+i*6) // pion's client waits for more after less than 9 bytes
				if _, err := relayed.WriteTo(want, net.UDPAddrFromAddrPort(here)); err != nil {
					t.Fatal(err)
				}
				if err := relayed.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
					t.Fatal(err)
				}
				n, from, err := relayed.ReadFrom(b)
				if err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
				if !bytes.Equal(b[:n], want) || from.String() != here.String() {
					t.Fatalf("packet %d: got %x from %v, want %x from %v", i, b[:n], from, want, here)
				}
			}
			if got := r.Stats(); got.UpPackets != 100 || got.DownPackets != 100 || got.Allocations != 1 {
				t.Errorf("got %+v, want 100 packets each way and one allocation", got)
			}
			if err := relayed.Close(); err != nil { // gives the allocation back
				t.Fatal(err)
			}
			until(t, "the allocation is gone", func() bool {
				routes, _ := r.media.count()
				return routes == 0 && r.Stats().Allocations == 0
			})
		})
	}
}

func TestRelayedAddressIsTheMediaPortsView(t *testing.T) {
	r := start(t, turn.Limits{})
	d := r.dial(t, "udp", "alice")
	relayed := address(t, d.allocate(), stun.AttrXORRelayedAddress)
	if !netip.MustParsePrefix("198.18.0.0/15").Contains(relayed.Addr()) {
		t.Errorf("got relayed address %v, want one of 198.18.0.0/15", relayed)
	}
	d.ask(stun.MethodCreatePermission, peer(here))
	d.indicate(here, []byte{0x80})
	until(t, "the packet is there", func() bool { _, n := r.media.count(); return n == 1 })
	if got := r.media.from[0]; got != relayed {
		t.Errorf("media comes from %v, want %v", got, relayed)
	}
}

// A client checks several of our addresses at once, from one relayed address,
// and takes no answer that comes from another than it asked.
func TestAnswersComeFromWhoWasAsked(t *testing.T) {
	r := start(t, turn.Limits{})
	d := r.dial(t, "tcp", "alice")
	d.allocate()
	if code := errorCode(d.ask(stun.MethodCreatePermission, peer(here), peer(there))); code != 0 {
		t.Fatalf("got %d, want success", code)
	}
	if code := errorCode(d.ask(stun.MethodChannelBind, channel(0x4001), peer(there))); code != 0 {
		t.Fatalf("got %d, want success", code)
	}
	first, second := stun.MustBuild(stun.TransactionID, stun.BindingRequest), stun.MustBuild(stun.TransactionID, stun.BindingRequest)

	d.indicate(there, first.Raw)
	if b := d.read(); b[0] != 0x40 || b[1] != 1 || !bytes.Equal(b[12:24], first.TransactionID[:]) {
		t.Errorf("got %x, want channel data with the answer", b)
	}
	d.indicate(here, second.Raw)
	m := &stun.Message{Raw: d.read()}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	if from := address(t, m, stun.AttrXORPeerAddress); from != here {
		t.Errorf("got an answer from %v, want %v", from, here)
	}
	// Media comes from where media went, whatever was checked since.
	d.indicate(there, []byte{0x80, 1})
	d.read()
	d.indicate(here, second.Raw)
	d.read()
	r.media.send([]byte{0x80, 2})
	if b := d.read(); !bytes.Equal(b[:6], []byte{0x40, 1, 0, 2, 0x80, 2}) {
		t.Errorf("got %x, want the packet on channel 4001", b)
	}
}

func TestForeignPeersAreRefused(t *testing.T) {
	r := start(t, turn.Limits{})
	d := r.dial(t, "udp", "mallory")
	d.allocate()
	for _, foreign := range []string{"127.0.0.1:80", "169.254.169.254:80", "10.0.0.1:3478", "198.18.0.1:3478"} {
		to := netip.MustParseAddrPort(foreign)
		if code := errorCode(d.ask(stun.MethodCreatePermission, peer(to))); code != stun.CodeForbidden {
			t.Errorf("permission for %v: got %d, want 403", to, code)
		}
		if code := errorCode(d.ask(stun.MethodCreatePermission, peer(here), peer(to))); code != stun.CodeForbidden {
			t.Errorf("permission for %v and %v: got %d, want 403", here, to, code)
		}
		if code := errorCode(d.ask(stun.MethodChannelBind, channel(0x4000), peer(to))); code != stun.CodeForbidden {
			t.Errorf("channel to %v: got %d, want 403", to, code)
		}
	}
	otherPort := netip.AddrPortFrom(here.Addr(), 22)
	if code := errorCode(d.ask(stun.MethodChannelBind, channel(0x4000), peer(otherPort))); code != stun.CodeForbidden {
		t.Errorf("channel to %v: got %d, want 403", otherPort, code)
	}
	if code := errorCode(d.ask(stun.MethodCreatePermission, peer(six))); code != stun.CodePeerAddrFamilyMismatch {
		t.Errorf("permission for %v: got %d, want 443", six, code)
	}
	d.indicate(here, []byte{1}) // the two permissions above were refused as a whole
	d.indicate(otherPort, []byte{1})
	d.ask(stun.MethodCreatePermission, peer(there))
	d.indicate(otherPort, []byte{1})
	d.ask(stun.MethodRefresh) // all of them have been dealt with
	if _, n := r.media.count(); n != 0 {
		t.Errorf("got %d packets, want none", n)
	}
	if got := r.Stats(); got.Dropped["no permission"] != 3 || got.Forbidden != 13 {
		t.Errorf("got %+v, want 3 packets without permission, 13 requests forbidden", got)
	}
}

func TestCredentials(t *testing.T) {
	r := start(t, turn.Limits{})
	now := time.Now()
	username, password, ttl := r.Credentials("alice", now)
	if want := fmt.Sprintf("%d:alice", now.Add(ttl).Unix()); username != want {
		t.Errorf("got %s, want %s", username, want)
	}
	other, otherPassword, _ := turn.New(turn.Config{Secret: turn.NewSecret([]byte("another"))}, discard()).Credentials("alice", now)
	old, oldPassword, _ := r.Credentials("alice", now.Add(-ttl))
	for name, c := range map[string]struct {
		username, password string
		want               stun.ErrorCode
	}{
		"good":               {username, password, 0},
		"wrong password":     {username, password[1:], stun.CodeUnauthorized},
		"no password":        {username, "", stun.CodeUnauthorized},
		"another secret":     {other, otherPassword, stun.CodeUnauthorized},
		"expired":            {old, oldPassword, stun.CodeUnauthorized},
		"prolonged":          {"9" + username, password, stun.CodeUnauthorized},
		"of somebody else":   {strings.Replace(username, "alice", "bob", 1), password, stun.CodeUnauthorized},
		"without an expiry":  {"alice", password, stun.CodeUnauthorized},
		"without a name":     {strings.TrimSuffix(username, "alice"), password, stun.CodeUnauthorized},
		"far too long":       {username + strings.Repeat("x", 400), password, stun.CodeUnauthorized},
		"with another realm": {username, password, stun.CodeUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			d := r.dial(t, "udp", "")
			d.username, d.password = c.username, c.password
			d.allocate()
			if name == "with another realm" {
				d.realm = "elsewhere"
			}
			if got := errorCode(d.askOnce(stun.MethodAllocate, overUDP)); got != c.want && got != stun.CodeAllocMismatch {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
	if got := r.Stats().Allocations; got != 2 { // "good", and "with another realm" in its first request
		t.Errorf("got %d allocations, want 2", got)
	}
	for _, text := range []string{fmt.Sprint(turn.NewSecret([]byte("x"))), fmt.Sprintf("%#v %+v", turn.NewSecret([]byte("x")), turn.NewSecret([]byte("x")))} {
		if strings.ContainsAny(text, "x78") {
			t.Errorf("the secret shows in %q", text)
		}
	}
}

func TestRequests(t *testing.T) {
	r := start(t, turn.Limits{})
	family := func(f byte) stun.Setter {
		return stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{f, 0, 0, 0}}
	}
	raw := func(a stun.AttrType, v ...byte) stun.Setter { return stun.RawAttribute{Type: a, Value: v} }
	for name, c := range map[string]struct {
		attributes []stun.Setter
		want       stun.ErrorCode
	}{
		"no transport":       {nil, stun.CodeBadRequest},
		"TCP":                {[]stun.Setter{raw(stun.AttrRequestedTransport, 6, 0, 0, 0)}, stun.CodeUnsupportedTransProto},
		"no fragments":       {[]stun.Setter{overUDP, raw(stun.AttrDontFragment)}, stun.CodeUnknownAttribute},
		"even port":          {[]stun.Setter{overUDP, raw(stun.AttrEvenPort, 0)}, stun.CodeInsufficientCapacity},
		"reservation":        {[]stun.Setter{overUDP, raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)}, stun.CodeInsufficientCapacity},
		"family nobody has":  {[]stun.Setter{overUDP, family(3)}, stun.CodeAddrFamilyNotSupported},
		"IPv6":               {[]stun.Setter{overUDP, family(2)}, 0},
		"optional attribute": {[]stun.Setter{overUDP, raw(0x8000, 2, 0, 0, 0)}, 0},
	} {
		if got := errorCode(r.dial(t, "udp", "alice").ask(stun.MethodAllocate, c.attributes...)); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}

	d := r.dial(t, "udp", "alice")
	for _, method := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		if got := errorCode(d.ask(method, peer(here), channel(0x4000))); got != stun.CodeAllocMismatch {
			t.Errorf("%v without allocation: got %d, want 437", method, got)
		}
	}
	again := d.request(stun.MethodAllocate, overUDP)
	for range 2 { // the second time because the answer was lost
		if _, err := d.conn.Write(again.Raw); err != nil {
			t.Fatal(err)
		}
		m := &stun.Message{Raw: d.read()}
		if err := m.Decode(); err != nil || m.Type.Class != stun.ClassSuccessResponse {
			t.Errorf("got %v (%v), want success", m, err)
		}
	}
	for name, c := range map[string]struct {
		method     stun.Method
		attributes []stun.Setter
		want       stun.ErrorCode
	}{
		"second allocation":      {stun.MethodAllocate, []stun.Setter{overUDP}, stun.CodeAllocMismatch},
		"permission for nobody":  {stun.MethodCreatePermission, nil, stun.CodeBadRequest},
		"malformed peer":         {stun.MethodCreatePermission, []stun.Setter{raw(stun.AttrXORPeerAddress, 0, 1, 2)}, stun.CodeBadRequest},
		"channel below":          {stun.MethodChannelBind, []stun.Setter{peer(here), channel(0x3fff)}, stun.CodeBadRequest},
		"channel above":          {stun.MethodChannelBind, []stun.Setter{peer(here), channel(0x5000)}, stun.CodeBadRequest},
		"channel without number": {stun.MethodChannelBind, []stun.Setter{peer(here)}, stun.CodeBadRequest},
		"a method for TCP":       {stun.MethodConnect, []stun.Setter{peer(here)}, stun.CodeBadRequest},
	} {
		if got := errorCode(d.ask(c.method, c.attributes...)); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}

	// A channel belongs to one peer, and a peer has one channel.
	for _, c := range []struct {
		number uint16
		to     netip.AddrPort
		want   stun.ErrorCode
	}{{0x4001, here, 0}, {0x4001, here, 0}, {0x4002, here, stun.CodeBadRequest}, {0x4001, there, stun.CodeBadRequest}, {0x4fff, there, 0}} {
		if got := errorCode(d.ask(stun.MethodChannelBind, channel(c.number), peer(c.to))); got != c.want {
			t.Errorf("channel %x to %v: got %d, want %d", c.number, c.to, got, c.want)
		}
	}

	// Nobody else can do anything with the allocation, not from its address.
	d.username, d.password, _ = r.Credentials("bob", time.Now())
	if got := errorCode(d.ask(stun.MethodRefresh)); got != stun.CodeWrongCredentials {
		t.Errorf("refresh by another attendee: got %d, want 441", got)
	}
}

func TestQuotas(t *testing.T) {
	r := start(t, turn.Limits{Allocations: 5, AllocationsPerAttendee: 3})
	var first *dialogue
	for i, want := range []stun.ErrorCode{0, 0, 0, stun.CodeAllocQuotaReached} {
		d := r.dial(t, "udp", "alice")
		if got := errorCode(d.allocate()); got != want {
			t.Errorf("allocation %d: got %d, want %d", i, got, want)
		}
		if first == nil {
			first = d
		}
	}
	for i, want := range []stun.ErrorCode{0, 0, stun.CodeInsufficientCapacity} {
		if got := errorCode(r.dial(t, "tcp", "bob").allocate()); got != want {
			t.Errorf("allocation %d of another attendee: got %d, want %d", i, got, want)
		}
	}
	none := stun.RawAttribute{Type: stun.AttrLifetime, Value: make([]byte, 4)}
	if got := errorCode(first.ask(stun.MethodRefresh, none)); got != 0 {
		t.Errorf("giving an allocation back: got %d", got)
	}
	if got := errorCode(r.dial(t, "udp", "alice").allocate()); got != 0 {
		t.Errorf("an allocation after one was given back: got %d", got)
	}
	if got := r.Stats(); got.Quota != 2 || got.Allocations != 5 || got.Attendees != 2 {
		t.Errorf("got %+v, want 2 refused for a quota, 5 allocations of 2 attendees", got)
	}
}

func TestIPv6(t *testing.T) {
	r := start(t, turn.Limits{})
	d := r.dial(t, "tcp", "alice")
	relayed := address(t, d.allocate(stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{2, 0, 0, 0}}), stun.AttrXORRelayedAddress)
	if !relayed.Addr().Is6() || !relayed.Addr().IsPrivate() {
		t.Errorf("got %v, want a local IPv6 address", relayed)
	}
	if code := errorCode(d.ask(stun.MethodCreatePermission, peer(six))); code != 0 {
		t.Fatalf("got %d, want success", code)
	}
	d.indicate(six, []byte{0x80, 1, 2})
	m := &stun.Message{Raw: d.read()}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	data, err := m.Get(stun.AttrData)
	if from := address(t, m, stun.AttrXORPeerAddress); err != nil || from != six || !bytes.Equal(data, []byte{0x80, 1, 2}) {
		t.Errorf("got %x from %v (%v), want 800102 from %v", data, from, err, six)
	}
}

// until waits for what another goroutine does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
