package rtc

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of an offer.
const (
	maxOffer      = 512 << 10 // bytes
	maxSections   = 64
	maxFormats    = 128 // of one section; there are no more payload types
	maxExtensions = 64  // of one section
	maxSSRCs      = 64  // of one section
	maxFeedback   = 16  // kinds of feedback of one format
	maxLine       = 4096
	maxToken      = 64  // bytes of a mid, a ufrag and the like
	maxSecret     = 256 // bytes of an ICE password (RFC 8839, section 5.4)
)

// ErrOffer says that an offer cannot be answered.
var ErrOffer = errors.New("offer not understood")

func offerError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrOffer}, args...)...)
}

// A direction is what the offerer wants to do on a section.
type direction string

const (
	sendRecv direction = "sendrecv"
	sendOnly direction = "sendonly"
	recvOnly direction = "recvonly"
	inactive direction = "inactive"
)

func (d direction) sends() bool    { return d == sendRecv || d == sendOnly }
func (d direction) receives() bool { return d == sendRecv || d == recvOnly }

// An offer is a parsed session description (RFC 8866), as far as an answer
// depends on it.
type offer struct {
	credentials
	bundle           []string // mids
	extmapAllowMixed bool
	sections         []section
}

// credentials identify the client's ICE agent and its DTLS certificate. In an
// offer they stand in front of all sections or in each.
type credentials struct {
	ufrag, pwd  string
	hash, print string // of the certificate: "sha-256" and hex digits with colons, both lower case
	setup       string
	lite        bool
}

// A section is one m= line and what belongs to it.
type section struct {
	kind       string // "audio", "video" or "application"
	port       int
	proto      string
	mid        string
	direction  direction
	bundleOnly bool
	rtcpRsize  bool
	anyFormat  string // the first of the m= line, whatever the kind
	formats    []format
	extensions []extension
	repairs    map[uint32]uint32 // SSRC of retransmissions -> SSRC of the media (ssrc-group:FID)
	ssrcs      []uint32
	simulcast  simulcast

	credentials
}

// A format is one payload type of a section.
type format struct {
	typ      uint8
	name     string // lower case; "" without rtpmap
	clock    int
	channels int
	params   string   // of fmtp
	feedback []string // of rtcp-fb, without the payload type
}

// An extension is an RTP header extension (RFC 8285).
type extension struct {
	id        int
	uri       string
	direction direction // "" if not said
}

// Protocols of m= lines (RFC 8829, section 5.1.2, and RFC 8841).
var (
	rtpProtocols  = []string{"UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF"}
	dataProtocols = []string{"UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"}
)

// stopped reports that the section is not in use: port 0 rejects it, unless it
// is bundle-only, which says no more than that it shares the port of another.
func (s *section) stopped(bundle []string) bool {
	return s.port == 0 && !(s.bundleOnly && slices.Contains(bundle, s.mid))
}

func (s *section) format(typ uint8) *format {
	for i := range s.formats {
		if s.formats[i].typ == typ {
			return &s.formats[i]
		}
	}
	return nil
}

func parseOffer(sdp string) (*offer, error) {
	if len(sdp) > maxOffer {
		return nil, offerError("%d bytes long, at most %d are read", len(sdp), maxOffer)
	}
	o := new(offer)
	all := section{direction: sendRecv} // what is said in front of all sections
	at := &all
	for n := 1; sdp != ""; n++ {
		var line string
		line, sdp, _ = strings.Cut(sdp, "\n")
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		if len(line) > maxLine {
			return nil, offerError("line %d: longer than %d bytes", n, maxLine)
		}
		if len(line) < 2 || line[1] != '=' {
			return nil, offerError("line %d: no type", n)
		}
		var err error
		switch value := line[2:]; line[0] {
		case 'm':
			if len(o.sections) == maxSections {
				return nil, offerError("more than %d sections", maxSections)
			}
			o.sections = append(o.sections, section{})
			at = &o.sections[len(o.sections)-1]
			at.credentials, at.direction = all.credentials, all.direction
			err = at.parseMedia(value)
		case 'a':
			name, value, _ := strings.Cut(value, ":")
			if at == &all && name == "group" {
				o.parseGroup(value)
				break
			}
			if name == "extmap-allow-mixed" {
				o.extmapAllowMixed = true
				break
			}
			err = at.parseAttribute(name, value)
		}
		if err != nil {
			return nil, offerError("line %d: %v", n, err)
		}
	}
	return o, o.check(all.credentials)
}

// check looks at what the sections say together.
func (o *offer) check(all credentials) error {
	if len(o.sections) == 0 {
		return offerError("no sections")
	}
	mids := make(map[string]bool, len(o.sections))
	for i := range o.sections {
		s := &o.sections[i]
		if s.mid == "" {
			return offerError("section %d has no mid", i)
		}
		if mids[s.mid] {
			return offerError("two sections have the mid %q", s.mid)
		}
		mids[s.mid] = true
		if s.stopped(o.bundle) {
			continue
		}
		if !slices.Contains(o.bundle, s.mid) {
			return offerError("section %q is not bundled", s.mid)
		}
		if o.ufrag == "" {
			o.credentials = s.credentials
		}
	}
	if o.ufrag == "" {
		o.credentials = all
	}
	switch {
	case o.ufrag == "" || o.pwd == "":
		return offerError("no ICE credentials")
	case o.print == "":
		return offerError("no certificate fingerprint")
	case o.lite:
		return offerError("both sides are ICE-lite")
	case o.setup == "passive":
		return offerError("setup:passive, but this server is passive itself")
	}
	return nil
}

func (o *offer) parseGroup(value string) {
	if mids, ok := strings.CutPrefix(value, "BUNDLE "); ok && o.bundle == nil {
		o.bundle = strings.Fields(mids)
	}
}

// parseMedia reads <kind> <port> <proto> <format> ...
func (s *section) parseMedia(value string) error {
	fields := strings.Fields(value)
	if len(fields) < 4 {
		return errors.New("m= has too few fields")
	}
	if len(fields)-3 > maxFormats {
		return fmt.Errorf("m= has more than %d formats", maxFormats)
	}
	port, _, _ := strings.Cut(fields[1], "/")
	var err error
	if s.port, err = strconv.Atoi(port); err != nil || s.port < 0 || s.port > 65535 {
		return fmt.Errorf("port %.20q", port)
	}
	s.kind, s.proto, s.anyFormat = fields[0], fields[2], fields[3]
	if !isToken(s.anyFormat) {
		return errors.New("m= has a strange format")
	}
	known := rtpProtocols
	switch s.kind {
	case "audio", "video":
	case "application":
		known = dataProtocols
	default:
		return fmt.Errorf("m= has the strange kind %.20q", s.kind)
	}
	if !slices.Contains(known, s.proto) {
		return fmt.Errorf("m=%s has the strange protocol %.40q", s.kind, s.proto)
	}
	if s.kind == "application" {
		return nil
	}
	for _, f := range fields[3:] {
		typ, err := parsePayloadType(f)
		if err != nil {
			return err
		}
		if s.format(typ) != nil {
			return fmt.Errorf("payload type %d twice", typ)
		}
		s.formats = append(s.formats, format{typ: typ})
	}
	return nil
}

func (s *section) parseAttribute(name, value string) error {
	switch name {
	case "mid":
		if !isToken(value) {
			return fmt.Errorf("mid %.80q", value)
		}
		s.mid = value
	case string(sendRecv), string(sendOnly), string(recvOnly), string(inactive):
		s.direction = direction(name)
	case "bundle-only":
		s.bundleOnly = true
	case "rtcp-rsize":
		s.rtcpRsize = true
	case "ice-ufrag":
		if len(value) > maxSecret {
			return errors.New("ice-ufrag is too long")
		}
		s.ufrag = value
	case "ice-pwd":
		if len(value) > maxSecret {
			return errors.New("ice-pwd is too long")
		}
		s.pwd = value
	case "ice-lite":
		s.lite = true
	case "fingerprint":
		hash, print, _ := strings.Cut(value, " ")
		hash = strings.ToLower(hash)
		if newHash(hash) == nil {
			return nil // there may be another that we know
		}
		s.hash, s.print = hash, strings.ToLower(print)
	case "setup":
		s.setup = value
	case "rtpmap", "fmtp", "rtcp-fb":
		return s.parseFormat(name, value)
	case "extmap":
		return s.parseExtension(value)
	case "ssrc":
		id, _, _ := strings.Cut(value, " ")
		ssrc, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return fmt.Errorf("ssrc %.20q", id)
		}
		if !slices.Contains(s.ssrcs, uint32(ssrc)) && len(s.ssrcs) < maxSSRCs {
			s.ssrcs = append(s.ssrcs, uint32(ssrc))
		}
	case "ssrc-group":
		s.parseSSRCGroup(value)
	case "rid":
		s.simulcast.parseRID(value)
	case "simulcast":
		s.simulcast.parseSimulcast(value)
	}
	return nil
}

// parseFormat reads <payload type> <rest> of an attribute of a format. A type
// that the m= line does not name is passed over.
func (s *section) parseFormat(name, value string) error {
	number, rest, _ := strings.Cut(value, " ")
	if number == "*" && name == "rtcp-fb" {
		for i := range s.formats {
			s.formats[i].addFeedback(rest)
		}
		return nil
	}
	typ, err := parsePayloadType(number)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f := s.format(typ)
	if f == nil {
		return nil
	}
	switch name {
	case "rtpmap": // <name>/<clock rate>[/<channels>]
		parts := strings.Split(rest, "/")
		if len(parts) < 2 || len(parts) > 3 {
			return fmt.Errorf("rtpmap of %d", typ)
		}
		f.name = strings.ToLower(parts[0])
		if f.clock, err = strconv.Atoi(parts[1]); err != nil {
			return fmt.Errorf("clock rate of %d", typ)
		}
		f.channels = 1
		if len(parts) == 3 {
			if f.channels, err = strconv.Atoi(parts[2]); err != nil {
				return fmt.Errorf("channels of %d", typ)
			}
		}
	case "fmtp":
		f.params = rest
	case "rtcp-fb":
		f.addFeedback(rest)
	}
	return nil
}

func (f *format) addFeedback(kind string) {
	if len(f.feedback) < maxFeedback {
		f.feedback = append(f.feedback, kind)
	}
}

// parseExtension reads <id>[/<direction>] <uri> ...
func (s *section) parseExtension(value string) error {
	fields := strings.Fields(value)
	if len(fields) < 2 {
		return errors.New("extmap has too few fields")
	}
	number, dir, _ := strings.Cut(fields[0], "/")
	id, err := strconv.Atoi(number)
	if err != nil || id < 1 || id > 255 {
		return fmt.Errorf("extmap id %.20q", number)
	}
	if len(s.extensions) < maxExtensions {
		s.extensions = append(s.extensions, extension{id: id, uri: fields[1], direction: direction(dir)})
	}
	return nil
}

// parseSSRCGroup reads FID <media> <retransmissions> (RFC 5576, section 4.2).
func (s *section) parseSSRCGroup(value string) {
	fields := strings.Fields(value)
	if len(fields) != 3 || fields[0] != "FID" || len(s.repairs) >= maxSSRCs {
		return
	}
	media, err1 := strconv.ParseUint(fields[1], 10, 32)
	rtx, err2 := strconv.ParseUint(fields[2], 10, 32)
	if err1 != nil || err2 != nil {
		return
	}
	if s.repairs == nil {
		s.repairs = make(map[uint32]uint32)
	}
	s.repairs[uint32(rtx)] = uint32(media)
}

// param returns one parameter of a format's fmtp.
func (f *format) param(name string) string {
	for part := range strings.SplitSeq(f.params, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

func parsePayloadType(s string) (uint8, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n > 127 {
		return 0, fmt.Errorf("payload type %.20q", s)
	}
	return uint8(n), nil
}

// isToken reports whether s can be repeated in an answer as it is (RFC 8866,
// section 9, token).
func isToken(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`{|}~", c) >= 0:
		default:
			return false
		}
	}
	return true
}
