package attendee

import (
	"fmt"
	"strconv"
	"strings"

	"belfry.live/belfry/internal/attendee/link"
)

// maxSections bounds what is read of an answer.
const maxSections = 128

// An answer is what the server says to an offer.
type answer struct {
	remote link.Description

	sections []answeredSection
}

// An answeredSection is one m= section of an answer.
type answeredSection struct {
	kind      string // "audio", "video"
	mid       string
	direction string // "sendrecv" and the like, as the server sees it
	types     []byte
	rtx       map[byte]byte   // retransmission payload type by that of the media
	exts      map[string]byte // header extension ids by URI
	ssrc      uint32          // 0: nothing is sent
	repair    uint32          // SSRC of retransmissions, 0: none
	rids      []string        // simulcast layers that are taken
}

// parseAnswer reads one. What it does not know it passes over.
func parseAnswer(sdp string) (*answer, error) {
	a := new(answer)
	setup := ""
	session := answeredSection{direction: "sendrecv"}
	s := &session
	for line := range strings.SplitSeq(sdp, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if media, ok := strings.CutPrefix(line, "m="); ok {
			if len(a.sections) == maxSections {
				return nil, fmt.Errorf("answer has more than %d sections", maxSections)
			}
			f := strings.Fields(media)
			if len(f) < 4 {
				return nil, fmt.Errorf("answer has a section of %d words", len(f))
			}
			a.sections = append(a.sections, answeredSection{
				kind: f[0], direction: session.direction, rtx: map[byte]byte{}, exts: map[string]byte{},
			})
			s = &a.sections[len(a.sections)-1]
			for _, t := range f[3:] {
				if n, err := strconv.ParseUint(t, 10, 7); err == nil {
					s.types = append(s.types, byte(n))
				}
			}
			if f[1] == "0" {
				s.direction = "inactive"
			}
			continue
		}
		attribute, ok := strings.CutPrefix(line, "a=")
		if !ok {
			continue
		}
		name, value, _ := strings.Cut(attribute, ":")
		switch name {
		case "ice-ufrag":
			first(&a.remote.Ufrag, value)
		case "ice-pwd":
			first(&a.remote.Pwd, value)
		case "fingerprint":
			first(&a.remote.Fingerprint, value)
		case "setup":
			first(&setup, value)
		case "candidate":
			if c, ok := link.ParseCandidate(value); ok {
				a.remote.Candidates = append(a.remote.Candidates, c)
			}
		case "sendrecv", "sendonly", "recvonly", "inactive":
			s.direction = name
		default:
			s.attribute(name, value)
		}
	}
	if a.remote.Ufrag == "" || a.remote.Pwd == "" || a.remote.Fingerprint == "" {
		return nil, fmt.Errorf("answer does not say how to connect")
	}
	if setup == "active" {
		return nil, fmt.Errorf("answer has setup %q, want passive", setup)
	}
	return a, nil
}

func first(to *string, value string) {
	if *to == "" {
		*to = value
	}
}

// attribute takes one that concerns a section alone.
func (s *answeredSection) attribute(name, value string) {
	switch name {
	case "mid":
		s.mid = value
	case "extmap":
		f := strings.Fields(value)
		if len(f) < 2 || s.exts == nil {
			return
		}
		number, _, _ := strings.Cut(f[0], "/")
		if n, err := strconv.ParseUint(number, 10, 8); err == nil && n > 0 && n < 15 {
			s.exts[f[1]] = byte(n)
		}
	case "fmtp":
		number, params, _ := strings.Cut(value, " ")
		of, ok := strings.CutPrefix(params, "apt=")
		n, err := strconv.ParseUint(number, 10, 7)
		m, err2 := strconv.ParseUint(of, 10, 7)
		if ok && err == nil && err2 == nil && s.rtx != nil {
			s.rtx[byte(m)] = byte(n)
		}
	case "ssrc":
		number, _, _ := strings.Cut(value, " ")
		if n, err := strconv.ParseUint(number, 10, 32); err == nil && s.ssrc == 0 {
			s.ssrc = uint32(n)
		}
	case "ssrc-group":
		f := strings.Fields(value)
		if len(f) != 3 || f[0] != "FID" {
			return
		}
		n, err := strconv.ParseUint(f[1], 10, 32)
		m, err2 := strconv.ParseUint(f[2], 10, 32)
		if err == nil && err2 == nil {
			s.ssrc, s.repair = uint32(n), uint32(m)
		}
	case "simulcast":
		if list, ok := strings.CutPrefix(value, "recv "); ok {
			list, _, _ = strings.Cut(list, " ")
			for rid := range strings.SplitSeq(list, ";") {
				s.rids = append(s.rids, strings.TrimPrefix(rid, "~"))
			}
		}
	}
}

// takes says whether the section receives from here.
func (s *answeredSection) takes() bool {
	return s.direction == "recvonly" || s.direction == "sendrecv"
}

// sends says whether the section sends to here.
func (s *answeredSection) sends() bool {
	return s.direction == "sendonly" || s.direction == "sendrecv"
}

// numberOf is the payload type under which a codec may be sent, 0 if none.
func (s *answeredSection) numberOf(c Codec) byte {
	for _, n := range s.types {
		if codec, retransmission := codecOf(n); codec == c && !retransmission {
			return n
		}
	}
	return 0
}
