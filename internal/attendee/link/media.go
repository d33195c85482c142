package link

import (
	"errors"
	"net/netip"
	"time"
)

// ErrClosed is what sending gives while there is nobody to send to.
var ErrClosed = errors.New("media connection is not open")

// read takes datagrams from a socket until it is closed.
func (l *Link) read(s *socket) {
	b := make([]byte, maxDatagram)
	for {
		n, from, at, err := s.receive(b)
		if err != nil {
			return
		}
		l.took(s, from, b[:n], at)
	}
}

// took tells datagrams apart by their first byte (RFC 7983 section 7).
func (l *Link) took(s *socket, from netip.AddrPort, b []byte, at time.Time) {
	switch {
	case len(b) < 2:
	case b[0] < 4:
		l.tookSTUN(s, from, b)
	case b[0] >= 20 && b[0] < 64:
		_, _ = l.records.Write(b) // full: DTLS sends again
	case b[0] >= 128 && b[0] < 192:
		l.tookMedia(b, at)
	}
}

// tookMedia decrypts one packet and passes it on. RTCP is told apart by its
// type (RFC 5761 section 4).
func (l *Link) tookMedia(b []byte, at time.Time) {
	l.in.Lock()
	defer l.in.Unlock()
	if !l.in.open {
		return
	}
	if b[1] >= 192 && b[1] < 224 {
		plain, err := l.in.ciphers.rtcp.DecryptRTCP(l.in.plain[:0], b, nil)
		if err == nil && l.handler.RTCP != nil {
			l.handler.RTCP(plain, at)
		}
		return
	}
	p := &l.in.packet
	start, err := p.Header.Unmarshal(b)
	if err != nil {
		return
	}
	plain, err := l.in.ciphers.rtp.DecryptRTP(l.in.plain[:0], b, &p.Header)
	if err != nil || len(plain) < start {
		return
	}
	l.heard.Store(at.UnixNano())
	end := len(plain)
	if p.Padding && end > start {
		end = max(start, end-int(plain[end-1]))
	}
	p.Payload = plain[start:end]
	if l.handler.RTP != nil {
		l.handler.RTP(p, at)
	}
}

// WriteRTP encrypts and sends a packet. Errors other than ErrClosed concern
// this packet alone.
func (l *Link) WriteRTP(packet []byte) error {
	l.out.Lock()
	defer l.out.Unlock()
	if !l.out.open {
		return ErrClosed
	}
	h := &l.out.header
	if _, err := h.Unmarshal(packet); err != nil {
		return err
	}
	secret, err := l.out.ciphers.rtp.EncryptRTP(l.out.secret[:0], packet, h)
	if err != nil {
		return err
	}
	return l.selected.Load().send(secret)
}

// WriteRTCP encrypts and sends a compound packet.
func (l *Link) WriteRTCP(compound []byte) error {
	l.out.Lock()
	defer l.out.Unlock()
	if !l.out.open {
		return ErrClosed
	}
	secret, err := l.out.ciphers.rtcp.EncryptRTCP(l.out.secret[:0], compound, nil)
	if err != nil {
		return err
	}
	return l.selected.Load().send(secret)
}
