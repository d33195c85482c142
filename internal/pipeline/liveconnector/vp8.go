package liveconnector

// parseVP8 strips the payload descriptor of RFC 7741 section 4.2 from an RTP
// payload. False: it is not one.
//
//	 0 1 2 3 4 5 6 7
//	|X|R|N|S|R| PID |  S: a partition starts; PID: which
//	|I|L|T|K| RSV   |  if X: which of these follow
//	|M| PictureID   |  if I: 7 bits, or with M 15 in two bytes
//	| TL0PICIDX     |  if L
//	|TID|Y| KEYIDX  |  if T or K
func parseVP8(b []byte) (p fragment, ok bool) {
	if len(b) == 0 {
		return fragment{}, false
	}
	p.start = b[0]&0x10 != 0 && b[0]&0x07 == 0
	skip := 1
	if b[0]&0x80 != 0 {
		if len(b) < 2 {
			return fragment{}, false
		}
		flags := b[1]
		skip = 2
		if flags&0x80 != 0 {
			if len(b) <= skip {
				return fragment{}, false
			}
			if b[skip]&0x80 != 0 {
				skip++
			}
			skip++
		}
		if flags&0x40 != 0 {
			skip++
		}
		if flags&0x30 != 0 {
			skip++
		}
	}
	if len(b) <= skip {
		return fragment{}, false
	}
	p.data = b[skip:]
	// The first bit of a frame's header is 0 for a key frame (RFC 6386
	// section 9.1).
	p.key = p.start && p.data[0]&1 == 0
	return p, true
}
