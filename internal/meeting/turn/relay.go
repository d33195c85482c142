package turn

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// Channels are numbered so that their data is told from STUN by the first two
// bits (RFC 8656, section 12).
const (
	firstChannel  = 0x4000
	lastChannel   = 0x4fff
	channelHeader = 4
)

// maxData is the longest datagram relayed, bytes. Media keeps below 1500.
const maxData = 2048

// maxMessage is the longest message to or from a client.
const maxMessage = stunHeader + maxData + 256

// relayChannel takes channel data from the client:
//
//	 0                   1                   2                   3
//	| channel number                | length                        |
//	| application data ...                                          |
func (s *Server) relayChannel(a *allocation, b []byte, now time.Time) {
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-channelHeader {
		s.counters.malformed.Add(1)
		return
	}
	to, ok := a.byChannel(binary.BigEndian.Uint16(b), now)
	if !ok {
		s.counters.noChannel.Add(1)
		return
	}
	s.toMedia(a, to, b[channelHeader:channelHeader+n], now)
}

// relayIndication takes a Send indication (RFC 8656, section 11.2).
func (s *Server) relayIndication(a *allocation, m *stun.Message, now time.Time) {
	data, err := m.Get(stun.AttrData)
	to, addrErr := peerAddress(m)
	if err != nil || addrErr != nil {
		s.counters.malformed.Add(1)
		return
	}
	if !a.permitted(to, now) {
		s.counters.noPermission.Add(1)
		return
	}
	s.toMedia(a, to, data, now)
}

func (s *Server) toMedia(a *allocation, to netip.AddrPort, data []byte, now time.Time) {
	if !a.goes(to, data, now) {
		s.counters.upLimit.Add(1)
		return
	}
	s.counters.upPackets.Add(1)
	s.counters.upBytes.Add(int64(len(data)))
	s.cfg.Media.Inject(a.relayed, data)
}

// toClient takes what the media port sends to the relayed address.
func (s *Server) toClient(a *allocation, data []byte, now time.Time) {
	if len(data) > maxData {
		s.counters.tooLong.Add(1)
		return
	}
	from, channel, ok := a.comes(data, now)
	if !ok {
		s.counters.downLimit.Add(1)
		return
	}
	buf := s.buffers.Get().(*[maxMessage]byte)
	defer s.buffers.Put(buf)
	var message []byte
	if channel != 0 {
		message = appendChannelData(buf[:0], channel, data, a.client.stream())
	} else {
		message = appendDataIndication(buf[:0], from, data)
	}
	s.counters.downPackets.Add(1)
	s.counters.downBytes.Add(int64(len(data)))
	a.client.send(message)
}

func appendChannelData(b []byte, channel uint16, data []byte, pad bool) []byte {
	b = binary.BigEndian.AppendUint16(b, channel)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	if pad {
		b = appendPadding(b)
	}
	return b
}

func appendPadding(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendDataIndication appends a STUN message with XOR-PEER-ADDRESS and DATA
// (RFC 8656, section 11.6). Nobody answers it, so it needs no transaction of
// its own; an address xored with zeros and the cookie is enough.
func appendDataIndication(b []byte, from netip.AddrPort, data []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, dataIndication)
	b = append(b, 0, 0) // the length is written below
	b = binary.BigEndian.AppendUint32(b, stunCookie)
	b = append(b, make([]byte, 12)...)

	b = binary.BigEndian.AppendUint16(b, uint16(stun.AttrXORPeerAddress))
	const v4, v6 = 1, 2 // families, RFC 8489 section 14.1
	port := from.Port() ^ stunCookie>>16
	if from.Addr().Is4() {
		ip := from.Addr().As4()
		b = append(b, 0, 8, 0, v4)
		b = binary.BigEndian.AppendUint16(b, port)
		b = binary.BigEndian.AppendUint32(b, binary.BigEndian.Uint32(ip[:])^stunCookie)
	} else {
		ip := from.Addr().As16()
		b = append(b, 0, 20, 0, v6)
		b = binary.BigEndian.AppendUint16(b, port)
		b = binary.BigEndian.AppendUint32(b, binary.BigEndian.Uint32(ip[:])^stunCookie)
		b = append(b, ip[4:]...)
	}

	b = binary.BigEndian.AppendUint16(b, uint16(stun.AttrData))
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = appendPadding(append(b, data...))
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start-stunHeader))
	return b
}
