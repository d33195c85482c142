package attendee

import "strings"

// splitSDP cuts a description into its session part and its m= sections, each
// with all its lines.
func splitSDP(sdp string) (session string, sections []string) {
	cut := func() (part string, more bool) {
		i := strings.Index(sdp, "\r\nm=")
		if i < 0 {
			return sdp, false
		}
		part, sdp = sdp[:i+2], sdp[i+2:]
		return part, true
	}
	session, more := cut()
	for more {
		var part string
		part, more = cut()
		sections = append(sections, part)
	}
	return session, sections
}

// sectionMID is the mid of a section, "" if it says none.
func sectionMID(section string) string {
	for line := range strings.SplitSeq(section, "\r\n") {
		if mid, ok := strings.CutPrefix(line, "a=mid:"); ok {
			return mid
		}
	}
	return ""
}

// direction is the direction line of a section, "sendrecv" if it has none
// (RFC 8866 section 6.7).
func direction(section string) string {
	for line := range strings.SplitSeq(section, "\r\n") {
		switch line {
		case "a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive":
			return line[2:]
		}
	}
	return "sendrecv"
}

// withDirection changes the direction line of a section.
func withDirection(section, to string) string {
	return strings.Replace(section, "\r\na="+direction(section)+"\r\n", "\r\na="+to+"\r\n", 1)
}
