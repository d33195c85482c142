package port

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"

	"github.com/pion/stun/v4"
)

const (
	// strangerRate and strangerBurst are how many answers a second all those
	// get together who do not know a password.
	strangerRate, strangerBurst = 100, 200

	stunHeader  = 20
	magicCookie = 0x2112a442

	// maxSTUN is the longest check that is looked at. A browser's has fewer
	// than 200 bytes.
	maxSTUN = 600

	attrIntegritySHA256 stun.AttrType = 0x001c // RFC 8489, section 14.6
)

// isSTUN says whether b can be a STUN message and no more (RFC 8489, section 5).
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0]&0xc0 == 0 && binary.BigEndian.Uint32(b[4:]) == magicCookie &&
		stunHeader+int(binary.BigEndian.Uint16(b[2:])) == len(b)
}

var messages = sync.Pool{New: func() any { return new(stun.Message) }}

// stun takes a datagram that begins as STUN messages do.
func (p *Port) stun(b []byte, a arrival) {
	if !isSTUN(b) {
		p.counts[Malformed].Add(1)
		return
	}
	var t stun.MessageType
	t.ReadValue(binary.BigEndian.Uint16(b))
	switch {
	case t.Method != stun.MethodBinding, t.Class == stun.ClassSuccessResponse, t.Class == stun.ClassErrorResponse:
		p.turn.message(b, a)
	case t.Class == stun.ClassIndication:
		// Keeps a NAT's binding; proves nothing.
	case len(b) > maxSTUN:
		p.counts[Malformed].Add(1)
	default:
		m := messages.Get().(*stun.Message)
		defer messages.Put(m)
		if stun.Decode(b, m) != nil || stun.Fingerprint.Check(m) != nil ||
			m.Attributes[len(m.Attributes)-1].Type != stun.AttrFingerprint {
			p.counts[Malformed].Add(1)
			return
		}
		p.check(m, a)
	}
}

// A check is what counts of a connectivity check.
type check struct {
	username   string
	integrity  bool // there is one; what follows it is not looked at
	priority   uint32
	nominates  bool
	controlled bool // the client takes itself for controlled
	unknown    []stun.AttrType
}

func readCheck(m *stun.Message) (c check) {
	for _, a := range m.Attributes {
		switch a.Type {
		case stun.AttrMessageIntegrity:
			c.integrity = true
			return c
		case stun.AttrUsername:
			c.username = string(a.Value)
		case stun.AttrPriority:
			if len(a.Value) == 4 {
				c.priority = binary.BigEndian.Uint32(a.Value)
			}
		case stun.AttrUseCandidate:
			c.nominates = true
		case stun.AttrICEControlled:
			c.controlled = true
		case attrIntegritySHA256:
		default:
			if a.Type.Required() && len(c.unknown) < 8 {
				c.unknown = append(c.unknown, a.Type)
			}
		}
	}
	return c
}

// check answers a connectivity check (RFC 8445, section 7.3). The client's
// side is always the controlling one.
func (p *Port) check(m *stun.Message, a arrival) {
	c := readCheck(m)
	if !c.integrity || c.username == "" {
		p.counts[UnknownUser].Add(1)
		p.refuse(m, a, stun.CodeBadRequest)
		return
	}
	ours, theirs, _ := strings.Cut(c.username, ":")
	p.mu.RLock()
	f := p.flows[ours]
	p.mu.RUnlock()
	if f == nil || !f.isRemote(theirs) {
		p.counts[UnknownUser].Add(1)
		p.refuse(m, a, stun.CodeUnauthorized)
		return
	}
	if limit := f.limiterFor(p.pathOf(a)); !limit.allow(a.at) {
		p.counts[TooManyChecks].Add(1)
		return
	}
	if !authentic(m, f.pwd) {
		p.counts[WrongPassword].Add(1)
		p.refuse(m, a, stun.CodeUnauthorized)
		return
	}
	switch {
	case len(c.unknown) > 0:
		answer(m, a, f.pwd, stun.BindingError, stun.CodeUnknownAttribute, stun.UnknownAttributes(c.unknown))
	case c.controlled:
		answer(m, a, f.pwd, stun.BindingError, stun.CodeRoleConflict)
	case f.learn(a, c.priority, c.nominates) != nil:
		answer(m, a, f.pwd, stun.BindingSuccess, xorMapped(a.from))
	}
}

// isRemote compares the second half of a username with the client's ufrag.
func (f *Flow) isRemote(ufrag string) bool {
	want := f.remoteUfrag.Load()
	return want != nil && *want == ufrag
}

// limiterFor returns what bounds the checks that come on a path, which may be
// nil: a stranger who has seen a ufrag must not use up the client's share.
func (f *Flow) limiterFor(pt *path) *limiter {
	if pt != nil && pt.flow == f {
		return &pt.checks
	}
	return &f.unknown
}

// authentic checks MESSAGE-INTEGRITY (RFC 8489, section 14.5).
func authentic(m *stun.Message, pwd string) bool {
	return stun.MessageIntegrity(pwd).Check(m) == nil
}

// refuse answers a stranger, within limits.
func (p *Port) refuse(m *stun.Message, a arrival, code stun.ErrorCode) {
	if p.strangers.allow(a.at) {
		answer(m, a, "", stun.BindingError, code)
	}
}

// answer sends a response; without a password nothing proves who it is from.
func answer(request *stun.Message, a arrival, pwd string, t stun.MessageType, attributes ...stun.Setter) {
	m := messages.Get().(*stun.Message)
	defer messages.Put(m)
	setters := append([]stun.Setter{request, t}, attributes...)
	if pwd != "" {
		setters = append(setters, stun.MessageIntegrity(pwd))
	}
	if m.Build(append(setters, stun.Fingerprint)...) == nil {
		_ = a.link.send(m.Raw, a.from, a.local) // the client asks again
	}
}

func xorMapped(at netip.AddrPort) stun.Setter {
	return &stun.XORMappedAddress{IP: at.Addr().AsSlice(), Port: int(at.Port())}
}
