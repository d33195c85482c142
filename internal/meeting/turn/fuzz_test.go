package turn

import (
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// seeds are messages as clients send them, proved with the key of alice in
// newAllocated if its time is now.
func seeds(s *Server, now time.Time) [][]byte {
	username, password, _ := s.Credentials("alice", now)
	request := func(method stun.Method, attributes ...stun.Setter) []byte {
		setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
		return stun.MustBuild(append(setters, stun.NewUsername(username), stun.NewRealm(Realm),
			stun.NewNonce(s.nonces.make(testClient.Addr(), now)), stun.NewLongTermIntegrity(username, Realm, password), stun.Fingerprint)...).Raw
	}
	transport := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{overUDP, 0, 0, 0}}
	here := xorAddress{stun.AttrXORPeerAddress, testPeer}
	return [][]byte{
		stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport).Raw,
		request(stun.MethodAllocate, transport),
		request(stun.MethodRefresh, lifetime(time.Minute)),
		request(stun.MethodRefresh, lifetime(0)),
		request(stun.MethodCreatePermission, here, xorAddress{stun.AttrXORPeerAddress, netip.MustParseAddrPort("[2001:db8::1]:1")}),
		request(stun.MethodChannelBind, here, stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{0x40, 1, 0, 0}}),
		request(stun.MethodConnect, here),
		stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), here,
			stun.RawAttribute{Type: stun.AttrData, Value: []byte("data")}).Raw,
		stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint).Raw,
		{0x40, 0, 0, 3, 1, 2, 3},
		{0x40, 0, 0xff, 0xff, 1},
		append([]byte{0, 3, 0xff, 0xec, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 16)...),
	}
}

// FuzzDatagram gives the server anything, before and after there is an
// allocation. Whatever comes, the answer goes to the sender alone and the
// tables agree.
func FuzzDatagram(f *testing.F) {
	now := time.Now()
	reference, _ := newAllocated(f, &sink{}, now)
	for _, b := range seeds(reference, now) {
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, known bool) {
		if len(b) == 0 || len(b) > maxMessage {
			return
		}
		k := &sink{keep: true}
		s, a := newAllocated(t, k, now)
		s.nonces = reference.nonces
		if !known {
			s.remove(a)
		}
		var m stun.Message
		s.takeDatagram(fuzzConn{k: k}, testClient, bytes.Clone(b), &m, now)
		for _, sent := range k.sent {
			if err := stun.Decode(sent, new(stun.Message)); err != nil {
				t.Errorf("answer %x: %v", sent, err)
			}
		}
		if len(k.sent) > 1 {
			t.Errorf("got %d answers, want one at most", len(k.sent))
		}
		if got := s.Stats(); got.Allocations != k.routes || got.Allocations != len(s.datagrams) || got.Attendees != len(s.attendees) {
			t.Errorf("got %+v with %d routes, want as many", got, k.routes)
		}
	})
}

// FuzzStream cuts anything into messages, all of it and within the limits.
func FuzzStream(f *testing.F) {
	reference, _ := newAllocated(f, &sink{}, time.Now())
	var all []byte
	for _, b := range seeds(reference, time.Now())[:10] {
		f.Add(b)
		all = append(append(all, b...), make([]byte, -len(b)&3)...)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(b), 2*maxMessage)
		left := len(b)
		for {
			m, size, err := peekMessage(r)
			if err != nil {
				return
			}
			if len(m) < channelHeader || len(m) > size || size > maxMessage || size%4 != 0 {
				t.Fatalf("got a message of %d bytes in %d", len(m), size)
			}
			if left -= size; left < 0 {
				t.Fatal("more was read than there was")
			}
			if !bytes.Equal(m, b[len(b)-left-size:][:len(m)]) {
				t.Fatal("the message is not what came")
			}
			if _, err := r.Discard(size); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// fuzzConn sends to the sink.
type fuzzConn struct {
	packetConn
	k *sink
}

func (c fuzzConn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if addr != testClient {
		return 0, io.ErrClosedPipe
	}
	c.k.send(b)
	return len(b), nil
}
