package h264

// A Payload says what begins in an RTP payload.
type Payload struct {
	SPS           bool // a sequence parameter set
	Width, Height int  // what it says, 0: cut off or nonsense
	IDR           bool // a slice of an IDR picture
}

// ParsePayload reads the NAL unit headers of an RTP payload (RFC 6184,
// sections 5.6 to 5.8). What it cannot understand it passes over.
func ParsePayload(b []byte) (p Payload) {
	const (
		last  = 23 // of the types that stand for themselves
		stapA = 24 // 16-bit size and NAL unit, repeated
		fuA   = 28 // |S|E|R| type |, then a part of the unit
	)
	switch typ := TypeOf(b); {
	case typ >= 1 && typ <= last:
		p.add(b)
	case typ == stapA:
		for b = b[1:]; len(b) >= 2; {
			size := int(b[0])<<8 | int(b[1])
			b = b[2:]
			if size == 0 || size > len(b) {
				break
			}
			p.add(b[:size])
			b = b[size:]
		}
	case typ == fuA:
		if len(b) > 1 && b[1]&0x80 != 0 {
			p.IDR = b[1]&0x1f == TypeIDR
			p.SPS = b[1]&0x1f == TypeSPS
		}
	}
	return p
}

func (p *Payload) add(nal []byte) {
	switch TypeOf(nal) {
	case TypeIDR:
		p.IDR = true
	case TypeSPS:
		p.SPS = true
		if sps, err := ParseSPS(nal); err == nil {
			p.Width, p.Height = sps.Width, sps.Height
		}
	}
}
