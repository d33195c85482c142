package attendee

import "strings"

// splitSDP cuts a description into its session part and its m= sections, each
// with all its lines.
func splitSDP(sdp string) (session string, sections []string) {
	parts := strings.Split(sdp, "\r\nm=")
	for _, p := range parts[1:] {
		sections = append(sections, "m="+strings.TrimSuffix(p, "\r\n")+"\r\n")
	}
	return strings.TrimSuffix(parts[0], "\r\n") + "\r\n", sections
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
