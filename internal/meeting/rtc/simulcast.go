package rtc

import (
	"slices"
	"strings"
)

const (
	// maxLayers is how many simulcast encodings of a camera are taken. Clients
	// send three at most; what an offer has beyond is left out of the answer.
	maxLayers = 4

	// maxRID is the longest id of an encoding that fits a one-byte header
	// extension (RFC 8285, section 4.2).
	maxRID = 16
)

// A simulcast is what an offer says about the encodings of its camera, while
// it is read.
type simulcast struct {
	rids []string // of a=rid lines with direction send
	list string   // of the a=simulcast line, what follows "send"
}

// parseRID reads <id> <direction> [<restrictions>] (RFC 8851, section 10).
func (s *simulcast) parseRID(value string) {
	id, rest, _ := strings.Cut(value, " ")
	dir, _, _ := strings.Cut(rest, " ")
	if dir == "send" && isRID(id) && len(s.rids) < maxFormats {
		s.rids = append(s.rids, id)
	}
}

// parseSimulcast reads <direction> <list> [<direction> <list>] (RFC 8853,
// section 5.1).
func (s *simulcast) parseSimulcast(value string) {
	fields := strings.Fields(value)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "send" {
			s.list = fields[i+1]
		}
	}
}

// layers returns the ids of the encodings in the order of the offer: lists
// have ";" between encodings, "," between alternatives, of which the first is
// taken, and "~" in front of one that begins paused. Nil is no simulcast.
func (s *simulcast) layers() []string {
	var list []string
	for alternatives := range strings.SplitSeq(s.list, ";") {
		id, _, _ := strings.Cut(alternatives, ",")
		id = strings.TrimPrefix(id, "~")
		if len(list) < maxLayers && slices.Contains(s.rids, id) && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// isRID reports whether s is an id of an encoding: letters and digits (RFC
// 8852, section 3), and what older drafts allowed besides.
func isRID(s string) bool {
	if s == "" || len(s) > maxRID {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
