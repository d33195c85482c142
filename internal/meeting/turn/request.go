package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"
)

// RFC 8656, section 18.
const (
	overUDP    = 17 // REQUESTED-TRANSPORT: an IANA protocol number
	familyIPv4 = 1  // REQUESTED-ADDRESS-FAMILY
	familyIPv6 = 2
)

// A failure is an error answer.
type failure stun.ErrorCode

func (f failure) Error() string { return fmt.Sprintf("refused with %d", int(f)) }

// handle answers a STUN message from the client, whose allocation is a (nil:
// none), and returns the allocation it has afterwards.
func (s *Server) handle(c client, a *allocation, m *stun.Message, now time.Time) *allocation {
	if m.Type.Class == stun.ClassIndication {
		if m.Type.Method == stun.MethodSend && a != nil {
			s.relayIndication(a, m, now)
		}
		return a
	}
	if m.Type.Class != stun.ClassRequest {
		return a
	}
	if m.Type.Method == stun.MethodBinding && c.stream() { // a client that looks whether its connection lives
		s.answer(c, m, nil, nil, xorAddress{stun.AttrXORMappedAddress, c.address()})
		return a
	}
	who, err := s.authenticate(c, a, m, now)
	if err != nil {
		s.refuse(c, m, err, now)
		return a
	}
	if unknown := unknownAttributes(m); len(unknown) > 0 {
		s.answer(c, m, failure(stun.CodeUnknownAttribute), who.key, unknown)
		return a
	}
	var attributes []stun.Setter
	switch m.Type.Method {
	case stun.MethodAllocate:
		a, attributes, err = s.allocate(c, a, who, m, now)
	case stun.MethodRefresh:
		a, attributes, err = s.refresh(a, m, now)
	case stun.MethodCreatePermission:
		err = s.permit(a, m, now)
	case stun.MethodChannelBind:
		err = s.bind(a, m, now)
	default: // as the TCP allocations of RFC 6062
		err = failure(stun.CodeBadRequest)
	}
	s.answer(c, m, err, who.key, attributes...)
	return a
}

// An identity is who made a request.
type identity struct {
	attendee, username string
	expires            time.Time
	key                []byte
}

// authenticate follows RFC 8489, section 9.2.4. What it leaves of the message
// is what the client has proved to have sent.
func (s *Server) authenticate(c client, a *allocation, m *stun.Message, now time.Time) (identity, error) {
	proof := slices.IndexFunc(m.Attributes, func(r stun.RawAttribute) bool { return r.Type == stun.AttrMessageIntegrity })
	if proof < 0 {
		return identity{}, failure(stun.CodeUnauthorized)
	}
	username, userErr := m.Get(stun.AttrUsername)
	realm, realmErr := m.Get(stun.AttrRealm)
	nonce, nonceErr := m.Get(stun.AttrNonce)
	if userErr != nil || realmErr != nil || nonceErr != nil {
		return identity{}, failure(stun.CodeBadRequest)
	}
	if !s.nonces.good(string(nonce), c.address().Addr(), now) {
		return identity{}, failure(stun.CodeStaleNonce)
	}
	who := identity{username: string(username)}
	var known bool
	who.attendee, who.expires, known = parseUsername(who.username)
	if !known || !bytes.Equal(realm, []byte(Realm)) {
		return identity{}, failure(stun.CodeUnauthorized)
	}
	if a != nil && a.username == who.username {
		who.key = a.key
	} else {
		who.key = s.cfg.Secret.key(who.username)
	}
	if stun.MessageIntegrity(who.key).Check(m) != nil { // compares in constant time
		s.counters.wrongKey.Add(1)
		return identity{}, failure(stun.CodeUnauthorized)
	}
	if a == nil && !now.Before(who.expires) {
		return identity{}, failure(stun.CodeUnauthorized)
	}
	if a != nil && a.username != who.username {
		return identity{}, failure(stun.CodeWrongCredentials)
	}
	m.Attributes = m.Attributes[:proof]
	return who, nil
}

// refuse answers a request whose sender is not known. The answer is short,
// and over UDP few go to one address: it may be forged.
func (s *Server) refuse(c client, m *stun.Message, err error, now time.Time) {
	if !c.stream() && !s.asked.admits(c.address().Addr(), now) {
		s.counters.unanswered.Add(1)
		return
	}
	if code := failure(0); errors.As(err, &code) && code != failure(stun.CodeBadRequest) {
		s.answer(c, m, err, nil, stun.NewNonce(s.nonces.make(c.address().Addr(), now)), stun.NewRealm(Realm))
		return
	}
	s.answer(c, m, err, nil)
}

// answer answers the request m, with err's code if it failed, and proves with
// the key (nil: not) that it comes from us.
func (s *Server) answer(c client, m *stun.Message, err error, key []byte, attributes ...stun.Setter) {
	class := stun.ClassSuccessResponse
	if err != nil {
		class = stun.ClassErrorResponse
		code := failure(stun.CodeServerError)
		if !errors.As(err, &code) {
			s.log.Warn("TURN request failed", "remote", c.address(), "err", err)
		}
		attributes = append([]stun.Setter{stun.ErrorCodeAttribute{Code: stun.ErrorCode(code)}}, attributes...)
		s.counters.refused(stun.ErrorCode(code))
	}
	setters := append([]stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(m.Type.Method, class)}, attributes...)
	if key != nil {
		setters = append(setters, stun.MessageIntegrity(key))
	}
	reply, buildErr := stun.Build(setters...)
	if buildErr != nil {
		s.log.Error("TURN answer cannot be written", "err", buildErr)
		return
	}
	c.send(reply.Raw)
}

// allocate follows RFC 8656, section 7.2.
func (s *Server) allocate(c client, a *allocation, who identity, m *stun.Message, now time.Time) (*allocation, []stun.Setter, error) {
	if a != nil {
		if a.transaction == m.TransactionID { // our answer was lost
			return a, allocated(a), nil
		}
		return a, nil, failure(stun.CodeAllocMismatch)
	}
	transport, err := m.Get(stun.AttrRequestedTransport)
	switch {
	case err != nil || len(transport) != 4:
		return nil, nil, failure(stun.CodeBadRequest)
	case transport[0] != overUDP:
		return nil, nil, failure(stun.CodeUnsupportedTransProto)
	case m.Contains(stun.AttrEvenPort) || m.Contains(stun.AttrReservationToken): // nobody pairs ports any more
		return nil, nil, failure(stun.CodeInsufficientCapacity)
	}
	v6, err := s.family(c, m)
	if err != nil {
		return nil, nil, err
	}
	a = &allocation{
		client: c, attendee: who.attendee, username: who.username, key: who.key,
		transaction: m.TransactionID, expires: now.Add(allocationLife),
		up:   newBucket(float64(s.limits.Uplink)/8, float64(s.limits.Uplink)/8*burst),
		down: newBucket(float64(s.limits.Downlink)/8, float64(s.limits.Downlink)/8*burst),
	}
	if err := s.add(a, v6); err != nil {
		return nil, nil, err
	}
	s.log.Debug("TURN allocation made", "attendee", a.attendee, "remote", c.address(), "relayed", a.relayed)
	return a, allocated(a), nil
}

func allocated(a *allocation) []stun.Setter {
	return []stun.Setter{
		xorAddress{stun.AttrXORRelayedAddress, a.relayed},
		xorAddress{stun.AttrXORMappedAddress, a.client.address()},
		lifetime(allocationLife),
	}
}

// family says whether the relayed address is an IPv6 one. Browsers do not ask
// for a family, and take their own for granted.
func (s *Server) family(c client, m *stun.Message) (v6 bool, err error) {
	asked, err := m.Get(stun.AttrRequestedAddressFamily)
	if err == nil {
		if len(asked) != 4 || asked[0] != familyIPv4 && asked[0] != familyIPv6 {
			return false, failure(stun.CodeAddrFamilyNotSupported)
		}
		return asked[0] == familyIPv6, nil
	}
	v6 = c.address().Addr().Is6()
	sameFamily := func(p netip.AddrPort) bool { return p.Addr().Is6() == v6 }
	if peers := s.cfg.Peers(); len(peers) > 0 && !slices.ContainsFunc(peers, sameFamily) {
		return !v6, nil
	}
	return v6, nil
}

// refresh follows RFC 8656, section 8.2.
func (s *Server) refresh(a *allocation, m *stun.Message, now time.Time) (*allocation, []stun.Setter, error) {
	if a == nil {
		return nil, nil, failure(stun.CodeAllocMismatch)
	}
	if asked, err := m.Get(stun.AttrRequestedAddressFamily); err == nil {
		if len(asked) != 4 || (asked[0] == familyIPv6) != a.relayed.Addr().Is6() {
			return a, nil, failure(stun.CodePeerAddrFamilyMismatch)
		}
	}
	if asked, err := m.Get(stun.AttrLifetime); err == nil && len(asked) == 4 && binary.BigEndian.Uint32(asked) == 0 {
		s.remove(a)
		return nil, []stun.Setter{lifetime(0)}, nil
	}
	a.refresh(allocationLife, now)
	return a, []stun.Setter{lifetime(allocationLife)}, nil
}

// permit follows RFC 8656, section 10.2.
func (s *Server) permit(a *allocation, m *stun.Message, now time.Time) error {
	if a == nil {
		return failure(stun.CodeAllocMismatch)
	}
	ours := s.cfg.Peers()
	var wanted []netip.AddrPort
	addresses := 0
	for _, r := range m.Attributes {
		if r.Type != stun.AttrXORPeerAddress {
			continue
		}
		addr, err := parseXORAddress(r.Value, m.TransactionID)
		if err != nil {
			return failure(stun.CodeBadRequest)
		}
		if addr.Addr().Is6() != a.relayed.Addr().Is6() {
			return failure(stun.CodePeerAddrFamilyMismatch)
		}
		known := false
		for _, o := range ours { // a permission is for all ports of an address
			if o.Addr() == addr.Addr() {
				wanted, known = append(wanted, o), true
			}
		}
		if !known {
			return s.foreign(a, addr)
		}
		if addresses++; addresses > maxPeers {
			return failure(stun.CodeInsufficientCapacity)
		}
	}
	if addresses == 0 {
		return failure(stun.CodeBadRequest)
	}
	a.permit(wanted, now)
	return nil
}

// bind follows RFC 8656, section 12.2.
func (s *Server) bind(a *allocation, m *stun.Message, now time.Time) error {
	if a == nil {
		return failure(stun.CodeAllocMismatch)
	}
	number, err := m.Get(stun.AttrChannelNumber)
	addr, addrErr := peerAddress(m)
	if err != nil || addrErr != nil || len(number) != 4 {
		return failure(stun.CodeBadRequest)
	}
	channel := binary.BigEndian.Uint16(number)
	if channel < firstChannel || channel > lastChannel {
		return failure(stun.CodeBadRequest)
	}
	if addr.Addr().Is6() != a.relayed.Addr().Is6() {
		return failure(stun.CodePeerAddrFamilyMismatch)
	}
	if !slices.Contains(s.cfg.Peers(), addr) {
		return s.foreign(a, addr)
	}
	if !a.bind(addr, channel, now) {
		return failure(stun.CodeBadRequest)
	}
	return nil
}

func (s *Server) foreign(a *allocation, to netip.AddrPort) error {
	s.log.Debug("TURN peer refused", "attendee", a.attendee, "remote", a.client.address(), "peer", to)
	return failure(stun.CodeForbidden)
}

// unknownAttributes returns those the client wants understood and we do not.
func unknownAttributes(m *stun.Message) (unknown stun.UnknownAttributes) {
	for _, r := range m.Attributes {
		switch r.Type {
		case stun.AttrUsername, stun.AttrRealm, stun.AttrNonce, stun.AttrMessageIntegrity,
			stun.AttrChannelNumber, stun.AttrLifetime, stun.AttrXORPeerAddress, stun.AttrData,
			stun.AttrEvenPort, stun.AttrRequestedTransport, stun.AttrReservationToken, stun.AttrRequestedAddressFamily:
		default:
			if r.Type.Required() && len(unknown) < maxUnknown {
				unknown = append(unknown, r.Type)
			}
		}
	}
	return unknown
}

const maxUnknown = 16 // attributes named in an answer

// An xorAddress is an address attribute.
type xorAddress struct {
	attribute stun.AttrType
	addr      netip.AddrPort
}

// AddTo implements stun.Setter.
func (x xorAddress) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress{IP: x.addr.Addr().AsSlice(), Port: int(x.addr.Port())}.AddToAs(m, x.attribute)
}

// lifetime is the LIFETIME attribute.
type lifetime time.Duration

// AddTo implements stun.Setter.
func (l lifetime) AddTo(m *stun.Message) error {
	m.Add(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(time.Duration(l)/time.Second)))
	return nil
}

var errAddress = errors.New("malformed address")

// peerAddress returns the message's XOR-PEER-ADDRESS.
func peerAddress(m *stun.Message) (netip.AddrPort, error) {
	v, err := m.Get(stun.AttrXORPeerAddress)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return parseXORAddress(v, m.TransactionID)
}

// parseXORAddress reads an address attribute (RFC 8489, section 14.2).
func parseXORAddress(v []byte, transaction [12]byte) (netip.AddrPort, error) {
	var mask [16]byte
	binary.BigEndian.PutUint32(mask[:], stunCookie)
	copy(mask[4:], transaction[:])
	var ip [16]byte
	if len(v) < 4 || len(v)-4 > len(ip) {
		return netip.AddrPort{}, errAddress
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ stunCookie>>16
	for i, b := range v[4:] {
		ip[i] = b ^ mask[i]
	}
	switch {
	case v[1] == familyIPv4 && len(v) == 4+net.IPv4len:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[:4])), port), nil
	case v[1] == familyIPv6 && len(v) == 4+net.IPv6len:
		return netip.AddrPortFrom(netip.AddrFrom16(ip).Unmap(), port), nil
	}
	return netip.AddrPort{}, errAddress
}
