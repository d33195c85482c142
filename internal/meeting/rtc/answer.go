package rtc

import (
	"fmt"
	"strconv"
	"strings"

	"belfry.live/belfry/internal/meeting/port"
)

// An answerSection is what the server says to one section of an offer.
type answerSection struct {
	offered    *section
	rejected   bool
	direction  direction
	formats    []chosen
	extensions []extension
	layers     []string // ids of the simulcast encodings that are taken, nil: no simulcast
	msid       string   // "<stream> <track>", "" none
	ssrc, rtx  uint32   // 0: none
}

// An answerWriter writes answers. All that names the transport is the same
// in every answer of a peer.
type answerWriter struct {
	session     uint64
	version     uint64
	ufrag, pwd  string
	fingerprint string // of the server's certificate, "sha-256 AB:..."
	cname       string
	candidates  []port.Candidate
}

// write returns the answer to o.
func (w *answerWriter) write(o *offer, sections []answerSection) string {
	b := new(strings.Builder)
	line := func(format string, args ...any) {
		fmt.Fprintf(b, format+"\r\n", args...)
	}
	w.version++
	line("v=0")
	line("o=- %d %d IN IP4 127.0.0.1", w.session, w.version)
	line("s=-")
	line("t=0 0")
	bundle := ""
	for i := range sections {
		if !sections[i].rejected {
			bundle += " " + sections[i].offered.mid
		}
	}
	line("a=group:BUNDLE%s", bundle)
	line("a=ice-lite")
	if o.extmapAllowMixed {
		line("a=extmap-allow-mixed")
	}
	line("a=msid-semantic: WMS *")
	first := true
	for i := range sections {
		s := &sections[i]
		w.media(line, s)
		if s.rejected {
			continue
		}
		if first {
			for _, c := range w.candidates {
				line("a=candidate:%v", c)
			}
			line("a=end-of-candidates")
			first = false
		}
	}
	return b.String()
}

func (w *answerWriter) media(line func(string, ...any), s *answerSection) {
	m := s.offered
	if s.rejected {
		line("m=%s 0 %s %s", m.kind, m.proto, m.anyFormat)
		line("c=IN IP4 0.0.0.0")
		line("a=mid:%s", m.mid)
		line("a=inactive")
		return
	}
	types := ""
	for _, f := range s.formats {
		types += " " + strconv.Itoa(int(f.typ))
		if f.rtx != 0 {
			types += " " + strconv.Itoa(int(f.rtx))
		}
	}
	line("m=%s 9 %s%s", m.kind, m.proto, types)
	line("c=IN IP4 0.0.0.0")
	line("a=rtcp:9 IN IP4 0.0.0.0")
	line("a=ice-ufrag:%s", w.ufrag)
	line("a=ice-pwd:%s", w.pwd)
	line("a=fingerprint:%s", w.fingerprint)
	line("a=setup:passive")
	line("a=mid:%s", m.mid)
	for _, e := range s.extensions {
		if e.direction == "" {
			line("a=extmap:%d %s", e.id, e.uri)
		} else {
			line("a=extmap:%d/%s %s", e.id, reverse(e.direction), e.uri)
		}
	}
	line("a=%s", s.direction)
	if s.msid != "" {
		line("a=msid:%s", s.msid)
	}
	line("a=rtcp-mux")
	if m.rtcpRsize {
		line("a=rtcp-rsize")
	}
	for _, f := range s.formats {
		line("a=rtpmap:%d %s", f.typ, f.rtpmap)
		for _, fb := range f.feedback {
			line("a=rtcp-fb:%d %s", f.typ, fb)
		}
		if f.params != "" {
			line("a=fmtp:%d %s", f.typ, f.params)
		}
		if f.rtx != 0 {
			line("a=rtpmap:%d rtx/90000", f.rtx)
			line("a=fmtp:%d apt=%d", f.rtx, f.typ)
		}
	}
	for _, rid := range s.layers {
		line("a=rid:%s recv", rid)
	}
	if len(s.layers) > 0 {
		line("a=simulcast:recv %s", strings.Join(s.layers, ";"))
	}
	if s.ssrc == 0 {
		return
	}
	ssrcs := []uint32{s.ssrc}
	if s.rtx != 0 {
		line("a=ssrc-group:FID %d %d", s.ssrc, s.rtx)
		ssrcs = append(ssrcs, s.rtx)
	}
	for _, ssrc := range ssrcs {
		line("a=ssrc:%d cname:%s", ssrc, w.cname)
		line("a=ssrc:%d msid:%s", ssrc, s.msid)
	}
}
