package port

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// A nullLink takes everything, and wants it to be what a port may send.
type nullLink struct{ t *testing.T }

func (l nullLink) send(b []byte, _ netip.AddrPort, _ netip.Addr) error {
	if !isSTUN(b) || stun.Fingerprint.Check(&stun.Message{Raw: b, Length: uint32(len(b) - stunHeader), Attributes: attributesOf(l.t, b)}) != nil {
		l.t.Errorf("sent %x, want a STUN message", b)
	}
	return nil
}

func attributesOf(t *testing.T, b []byte) stun.Attributes {
	m := new(stun.Message)
	if err := stun.Decode(b, m); err != nil {
		t.Fatal(err)
	}
	return m.Attributes
}

// FuzzDatagram: whatever comes, nobody is heard who does not know the
// password, answers are no longer than what they answer by much, and nothing
// breaks.
func FuzzDatagram(f *testing.F) {
	for _, option := range []checkOption{
		func(*checkConfig) {},
		func(c *checkConfig) { c.pwd = "guessed" },
		func(c *checkConfig) { c.username = "" },
		func(c *checkConfig) { c.noIntegrity = true },
		func(c *checkConfig) { c.controlled = true },
		func(c *checkConfig) { c.unknown = true },
		func(c *checkConfig) { c.late = true },
	} {
		f.Add(newCheck(f, "ours", option).Raw)
	}
	f.Add(stun.MustBuild(stun.TransactionID, allocate).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingSuccess, stun.Fingerprint).Raw)
	f.Add([]byte("\x80\x60 media ok"))
	f.Add([]byte("\x40\x00\x00\x04data"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := New(Config{}, newPipeNet(), slog.New(slog.DiscardHandler))
		defer p.Close()
		p.TURN()
		r := newFlow(t, p, "ours", time.Minute)
		defer r.flow.Close()
		p.dispatch(bytes.Clone(b), arrival{link: nullLink{t}, from: netip.MustParseAddrPort("192.0.2.7:4000"), at: time.Now()})
		m := new(stun.Message)
		known := stun.Decode(b, m) == nil && stun.NewShortTermIntegrity(testPwd).Check(m) == nil
		if r.isConnected() && !known {
			t.Errorf("%x counts as the client's", b)
		}
	})
}

// FuzzFrames: a stream of frames is cut as it was put together, never beyond
// the limit.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame([]byte("one")), frame([]byte("two"))...))
	f.Add([]byte{0xff, 0xff, 0})
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bufio.NewReader(bytes.NewReader(stream))
		buf := make([]byte, MaxPacket)
		rest := stream
		for {
			b, err := readFrame(r, buf)
			if err != nil {
				whole := len(rest) >= frameHeader && int(binary.BigEndian.Uint16(rest)) <= min(len(rest)-frameHeader, MaxPacket)
				if whole || !errors.Is(err, errFrame) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("got %v with %d bytes left", err, len(rest))
				}
				return
			}
			if want := rest[frameHeader : frameHeader+len(b)]; !bytes.Equal(b, want) {
				t.Errorf("got %x, want %x", b, want)
			}
			rest = rest[frameHeader+len(b):]
		}
	})
}
