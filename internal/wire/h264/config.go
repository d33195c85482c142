// Package h264 reads and writes what streaming needs of H.264: the decoder
// configuration record (avcC), sequence parameter sets, and NAL units as MP4
// and FLV (lengths) or a byte stream (start codes) carry them. Pictures are
// left to the codecs of package media/av.
package h264

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Limits of a decoder configuration record. The format's own are 31 SPS, 255
// PPS and 65535 bytes each.
const (
	MaxParameterSets = 32
	maxConfig        = 64 << 10
)

// A Config is an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1)
// with what its first SPS tells. Its slices are read-only once made.
type Config struct {
	Profile, Constraints, Level uint8
	// LengthSize is how many bytes stand before every NAL unit: 1, 2 or 4.
	LengthSize int

	SPS, PPS [][]byte // NAL units, header byte included
	// SPSExt and the chroma fields stand in the record of the High profiles
	// only; hasExt tells whether they did.
	ext ext

	Width, Height              int    // pixels
	FrameRateNum, FrameRateDen uint32 // Hz; zero when the SPS does not say
	MaxReorder                 int    // pictures; -1 when the SPS does not say
}

// ext is the tail of a High profile's record, bytes as they came.
type ext struct {
	present            bool
	chroma, luma, bits uint8
	spsExt             [][]byte
}

// NewConfig makes a record of one SPS and one PPS, with 4-byte lengths. It
// keeps both slices.
func NewConfig(sps, pps []byte) (Config, error) {
	if len(pps) == 0 || len(pps) > MaxSPS || TypeOf(pps) != TypePPS {
		return Config{}, fmt.Errorf("not a PPS: %d bytes of type %d", len(pps), TypeOf(pps))
	}
	c := Config{LengthSize: 4, SPS: [][]byte{sps}, PPS: [][]byte{pps}}
	if err := c.readSPS(); err != nil {
		return Config{}, err
	}
	if hasExt(c.Profile) {
		r := &bitReader{b: unescape(sps[4:])}
		r.ue()
		chroma := r.ue()
		if chroma == 3 {
			r.skip(1)
		}
		luma, bits := r.ue(), r.ue()
		if r.err != nil || luma > 6 || bits > 6 {
			return Config{}, errors.New("SPS: bit depth is out of range")
		}
		c.ext = ext{present: true, chroma: 0xfc | uint8(chroma), luma: 0xf8 | uint8(luma), bits: 0xf8 | uint8(bits)}
	}
	return c, nil
}

// NewConfigAnnexB makes a record of the parameter sets in a byte stream: an
// encoder's extradata, or a key frame with them in front.
func NewConfigAnnexB(b []byte) (Config, error) {
	var sps, pps []byte
	for len(b) > 0 {
		var nal []byte
		nal, b = NextAnnexB(b)
		switch TypeOf(nal) {
		case TypeSPS:
			sps = slices.Clone(nal)
		case TypePPS:
			pps = slices.Clone(nal)
		}
	}
	if sps == nil || pps == nil {
		return Config{}, errors.New("byte stream has no SPS and PPS")
	}
	return NewConfig(sps, pps)
}

// ParseConfig reads a record:
//
//	configurationVersion = 1   8
//	AVCProfileIndication       8
//	profile_compatibility      8
//	AVCLevelIndication         8
//	reserved 6, lengthSizeMinusOne 2
//	reserved 3, numOfSPS 5, then each: length 16, NAL unit
//	numOfPPS 8, then each: length 16, NAL unit
//	High profiles, may be missing: reserved 6, chroma_format 2;
//	  reserved 5, bit_depth_luma_minus8 3; reserved 5, bit_depth_chroma_minus8 3;
//	  numOfSPSExt 8, then each: length 16, NAL unit
//
// The Config shares no memory with b.
func ParseConfig(b []byte) (Config, error) {
	switch {
	case len(b) < 7:
		return Config{}, fmt.Errorf("avcC has %d bytes, want 7 or more", len(b))
	case len(b) > maxConfig:
		return Config{}, fmt.Errorf("avcC has %d bytes, limit %d", len(b), maxConfig)
	case b[0] != 1:
		return Config{}, fmt.Errorf("avcC has version %d, want 1", b[0])
	}
	b = slices.Clone(b)
	c := Config{LengthSize: int(b[4]&3) + 1}
	if c.LengthSize == 3 {
		return Config{}, errors.New("avcC says NAL unit lengths of 3 bytes, want 1, 2 or 4")
	}
	var err error
	rest := b[6:]
	if c.SPS, rest, err = parseSets(rest, int(b[5]&0x1f), TypeSPS); err != nil {
		return Config{}, fmt.Errorf("avcC: %w", err)
	}
	if len(rest) == 0 {
		return Config{}, errors.New("avcC ends before its PPS count")
	}
	if c.PPS, rest, err = parseSets(rest[1:], int(rest[0]), TypePPS); err != nil {
		return Config{}, fmt.Errorf("avcC: %w", err)
	}
	if len(c.SPS) == 0 || len(c.PPS) == 0 {
		return Config{}, fmt.Errorf("avcC has %d SPS and %d PPS, want one of each or more", len(c.SPS), len(c.PPS))
	}
	if err := c.readSPS(); err != nil {
		return Config{}, fmt.Errorf("avcC: %w", err)
	}
	// The record's profile bytes may differ from the SPS's when it has several.
	c.Profile, c.Constraints, c.Level = b[1], b[2], b[3]
	if hasExt(c.Profile) && len(rest) >= 4 {
		sets, _, err := parseSets(rest[4:], int(rest[3]), TypeSPSExt)
		if err != nil {
			return Config{}, fmt.Errorf("avcC: %w", err)
		}
		c.ext = ext{present: true, chroma: rest[0], luma: rest[1], bits: rest[2], spsExt: sets}
	}
	return c, nil
}

// Append appends the record.
func (c Config) Append(b []byte) []byte {
	b = append(b, 1, c.Profile, c.Constraints, c.Level, 0xfc|uint8(c.LengthSize-1))
	b = appendSets(append(b, 0xe0|uint8(len(c.SPS))), c.SPS)
	b = appendSets(append(b, uint8(len(c.PPS))), c.PPS)
	if c.ext.present {
		b = append(b, c.ext.chroma, c.ext.luma, c.ext.bits, uint8(len(c.ext.spsExt)))
		b = appendSets(b, c.ext.spsExt)
	}
	return b
}

// Codec returns the codecs parameter of RFC 6381, like avc1.64001f.
func (c Config) Codec() string {
	return fmt.Sprintf("avc1.%02x%02x%02x", c.Profile, c.Constraints, c.Level)
}

// FrameRate returns pictures a second, or zero when the SPS does not say.
func (c Config) FrameRate() float64 {
	if c.FrameRateDen == 0 {
		return 0
	}
	return float64(c.FrameRateNum) / float64(c.FrameRateDen)
}

// Equal tells whether both make the same record.
func (c Config) Equal(o Config) bool {
	return c.Profile == o.Profile && c.Constraints == o.Constraints && c.Level == o.Level &&
		c.LengthSize == o.LengthSize && equalSets(c.SPS, o.SPS) && equalSets(c.PPS, o.PPS) &&
		c.ext.present == o.ext.present && c.ext.chroma == o.ext.chroma && c.ext.luma == o.ext.luma &&
		c.ext.bits == o.ext.bits && equalSets(c.ext.spsExt, o.ext.spsExt)
}

// readSPS fills in what the first SPS tells.
func (c *Config) readSPS() error {
	s, err := ParseSPS(c.SPS[0])
	if err != nil {
		return err
	}
	c.Profile, c.Constraints, c.Level = s.Profile, s.Constraints, s.Level
	c.Width, c.Height = s.Width, s.Height
	c.FrameRateNum, c.FrameRateDen = s.FrameRateNum, s.FrameRateDen
	c.MaxReorder = s.MaxReorder
	return nil
}

// hasExt tells the profiles whose record has the tail.
func hasExt(profile uint8) bool {
	return profile == 100 || profile == 110 || profile == 122 || profile == 144 || profile == 244
}

func parseSets(b []byte, count int, typ uint8) (sets [][]byte, rest []byte, err error) {
	if count > MaxParameterSets {
		return nil, nil, fmt.Errorf("%d parameter sets of type %d, limit %d", count, typ, MaxParameterSets)
	}
	for range count {
		if len(b) < 2 {
			return nil, nil, errors.New("ends in a parameter set's length")
		}
		n := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		switch {
		case n > len(b):
			return nil, nil, fmt.Errorf("parameter set says %d bytes, %d are left", n, len(b))
		case n == 0 || n > MaxSPS:
			return nil, nil, fmt.Errorf("parameter set has %d bytes, want 1 to %d", n, MaxSPS)
		case TypeOf(b) != typ:
			return nil, nil, fmt.Errorf("parameter set is a NAL unit of type %d, want %d", TypeOf(b), typ)
		}
		sets = append(sets, b[:n:n])
		b = b[n:]
	}
	return sets, b, nil
}

func appendSets(b []byte, sets [][]byte) []byte {
	for _, s := range sets {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return b
}

func equalSets(a, b [][]byte) bool { return slices.EqualFunc(a, b, slices.Equal[[]byte]) }
