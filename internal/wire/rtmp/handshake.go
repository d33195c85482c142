package rtmp

import (
	"crypto/rand"
	"fmt"
	"io"
)

const (
	version       = 3
	handshakeSize = 1536 // of C1, S1, C2 and S2
)

// ServerHandshake takes the server's part of the handshake (section 5.2): it
// reads C0, C1 and C2 and writes S0, S1 and S2. What comes back in C2 is not
// compared: there are publishers that send something else.
func ServerHandshake(rw io.ReadWriter) error {
	var c [1 + handshakeSize]byte
	if _, err := io.ReadFull(rw, c[:1]); err != nil {
		return fmt.Errorf("read C0: %w", err)
	}
	if c[0] != version {
		return fmt.Errorf("RTMP version is %d, want %d", c[0], version)
	}
	if _, err := io.ReadFull(rw, c[1:]); err != nil {
		return fmt.Errorf("read C1: %w", err)
	}
	s := append(greeting(), c[1:]...)
	if _, err := rw.Write(s); err != nil {
		return fmt.Errorf("write S0, S1 and S2: %w", err)
	}
	if _, err := io.ReadFull(rw, c[1:]); err != nil {
		return fmt.Errorf("read C2: %w", err)
	}
	return nil
}

// ClientHandshake takes the client's part. It writes C2 before it reads S2,
// for a server may wait for it.
func ClientHandshake(rw io.ReadWriter) error {
	if _, err := rw.Write(greeting()); err != nil {
		return fmt.Errorf("write C0 and C1: %w", err)
	}
	var s [1 + handshakeSize]byte
	if _, err := io.ReadFull(rw, s[:]); err != nil {
		return fmt.Errorf("read S0 and S1: %w", err)
	}
	if s[0] != version {
		return fmt.Errorf("RTMP version is %d, want %d", s[0], version)
	}
	if _, err := rw.Write(s[1:]); err != nil {
		return fmt.Errorf("write C2: %w", err)
	}
	if _, err := io.ReadFull(rw, s[1:]); err != nil {
		return fmt.Errorf("read S2: %w", err)
	}
	return nil
}

// greeting makes C0 and C1, or S0 and S1: the version, four bytes of time and
// four that must be zero (other values would announce the digest handshake),
// and random bytes.
func greeting() []byte {
	b := make([]byte, 1+handshakeSize, 1+2*handshakeSize)
	b[0] = version
	rand.Read(b[9:]) // never fails
	return b
}
