package vp9

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// Marked "Chromium" is what Chromium 156 sent.
var cases = []struct {
	name      string
	raw       string // hex
	want      Descriptor
	structure Structure // if the descriptor has one
	rest      int       // bytes after the descriptor
	header    FrameHeader
	broken    bool
}{
	{
		name: "Chromium, L3T3, key picture, lowest layer", raw: "ba abbb 10 50 00f00087 01e0010e 03c0021c 83498342000ef008781df810",
		want: Descriptor{
			Flexible: true, FrameStart: true, PictureIDAt: 1, WidePictureID: true, HasPictureID: true, PictureID: 0x2bbb,
			SwitchUp: true, HasStructure: true,
		},
		structure: Structure{Spatial: 3, Width: [8]int{240, 480, 960}, Height: [8]int{135, 270, 540}},
		rest:      12,
		header:    FrameHeader{Key: true, Width: 240, Height: 136},
	},
	{
		name: "Chromium, L3T3, key picture, next layer", raw: "b8 abbb 13 8702020003be",
		want: Descriptor{
			Flexible: true, FrameStart: true, PictureIDAt: 1, WidePictureID: true, HasPictureID: true, PictureID: 0x2bbb,
			SwitchUp: true, Spatial: 1, OnLower: true,
		},
		rest: 6,
	},
	{
		name: "Chromium, L3T3, end of the picture", raw: "f5 aba9 35 04 b10f",
		want: Descriptor{
			Inter: true, Flexible: true, FrameEnd: true, PictureIDAt: 1, WidePictureID: true, HasPictureID: true, PictureID: 0x2ba9,
			Temporal: 1, SwitchUp: true, Spatial: 2, OnLower: true, References: [3]uint8{2}, ReferenceCount: 1,
		},
		rest: 2,
	},
	{
		name: "Chromium, L1T3, two references", raw: "fc ba11 50 03 04 8710",
		want: Descriptor{
			Inter: true, Flexible: true, FrameStart: true, FrameEnd: true, PictureIDAt: 1, WidePictureID: true, HasPictureID: true,
			PictureID: 0x3a11, Temporal: 2, SwitchUp: true, References: [3]uint8{1, 2}, ReferenceCount: 2,
		},
		rest: 2,
	},
	{
		name: "not flexible, with a pattern", raw: "aa 05 00 09 18 0140 00b4 02 14 02 24 01 82498342",
		want: Descriptor{FrameStart: true, PictureIDAt: 1, HasPictureID: true, PictureID: 5, TL0At: 3, TL0: 9, HasStructure: true},
		structure: Structure{Spatial: 1, Width: [8]int{320}, Height: [8]int{180}, Pictures: 2, Pattern: [255]Picture{
			{SwitchUp: true, References: [3]uint8{2}, ReferenceCount: 1},
			{Temporal: 1, References: [3]uint8{1}, ReferenceCount: 1},
		}},
		rest: 4,
	},
	{name: "without layers", raw: "0c 83498342 0001 3f00b4 00", want: Descriptor{FrameStart: true, FrameEnd: true}, rest: 10},
	{name: "structure without sizes", raw: "0a 00 83", want: Descriptor{FrameStart: true, HasStructure: true}, structure: Structure{Spatial: 1}, rest: 1},
	{name: "empty", broken: true},
	{name: "cut before the picture id", raw: "80", broken: true},
	{name: "cut in the picture id", raw: "80 81", broken: true},
	{name: "cut before the layers", raw: "20", broken: true},
	{name: "cut before TL0PICIDX", raw: "20 00", broken: true},
	{name: "cut before the references", raw: "d0 01", broken: true},
	{name: "too many references", raw: "d0 01 03 03 03 03 02", broken: true},
	{name: "cut before the structure", raw: "02", broken: true},
	{name: "cut in the sizes", raw: "02 10 0140", broken: true},
	{name: "cut before the pattern", raw: "02 08", broken: true},
	{name: "cut in the pattern", raw: "02 08 02 00", broken: true},
	{name: "cut in the pattern's references", raw: "02 08 01 08 01", broken: true},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseDescriptor(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := Structure{Spatial: 7}
			s := before
			d, rest, err := ParseDescriptor(unhex(t, c.raw), &s)
			if (err != nil) != c.broken || d != c.want {
				t.Fatalf("got %+v, %v, want %+v, error %t", d, err, c.want, c.broken)
			}
			want := c.structure
			if !c.want.HasStructure {
				want = before
			}
			if s != want {
				t.Errorf("structure: got %+v, want %+v", s, want)
			}
			if len(rest) != c.rest {
				t.Errorf("got %d bytes left, want %d", len(rest), c.rest)
			}
			if c.header.Key {
				if h := ParseFrameHeader(rest); h != c.header {
					t.Errorf("frame: got %+v, want %+v", h, c.header)
				}
			}
		})
	}
}

// bitString packs fields of a number of bits each.
func bitString(fields ...[2]uint32) []byte {
	var b []byte
	n := 0
	for _, f := range fields {
		for i := int(f[0]) - 1; i >= 0; i-- {
			if n%8 == 0 {
				b = append(b, 0)
			}
			b[n/8] |= byte(f[1]>>i&1) << (7 - n%8)
			n++
		}
	}
	return b
}

func TestParseFrameHeader(t *testing.T) {
	const sync = 0x498342
	type bits = [2]uint32
	marker, size := bits{2, 2}, []bits{{16, 1279}, {16, 719}}
	flags := bits{4, 0b0010} // not shown before, key, shown, not resilient
	for _, c := range []struct {
		name   string
		fields []bits
		want   FrameHeader
	}{
		{"profile 0", append([]bits{marker, {2, 0}, flags, {24, sync}, {3, 2}, {1, 0}}, size...), FrameHeader{true, 1280, 720}},
		{"profile 1", append([]bits{marker, {2, 0b10}, flags, {24, sync}, {3, 2}, {1, 0}, {3, 0}}, size...), FrameHeader{true, 1280, 720}},
		{"profile 2", append([]bits{marker, {2, 0b01}, flags, {24, sync}, {1, 1}, {3, 2}, {1, 0}}, size...), FrameHeader{true, 1280, 720}},
		{"profile 3, RGB", append([]bits{marker, {2, 0b11}, {1, 0}, flags, {24, sync}, {1, 0}, {3, 7}, {1, 0}}, size...), FrameHeader{true, 1280, 720}},
		{"inter frame", append([]bits{marker, {2, 0}, {4, 0b0110}, {24, sync}, {3, 2}, {1, 0}}, size...), FrameHeader{}},
		{"shows another frame", []bits{marker, {2, 0}, {1, 1}, {3, 5}, {16, 0}}, FrameHeader{}},
		{"wrong marker", []bits{{2, 1}, {2, 0}, {30, 0}}, FrameHeader{}},
		{"cut after its first byte", []bits{marker, {2, 0}, flags}, FrameHeader{Key: true}},
		{"wrong start code", append([]bits{marker, {2, 0}, flags, {24, sync + 1}, {3, 2}, {1, 0}}, size...), FrameHeader{Key: true}},
		{"empty", nil, FrameHeader{}},
	} {
		if got := ParseFrameHeader(bitString(c.fields...)); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// The places a descriptor names are in the payload and hold what it says, and
// a broken structure leaves the last one alone.
func FuzzParseDescriptor(f *testing.F) {
	for _, c := range cases {
		f.Add(unhex(f, c.raw))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := Structure{Spatial: 5, Pictures: 3}
		s := before
		d, rest, err := ParseDescriptor(b, &s)
		if (err != nil || !d.HasStructure) && s != before {
			t.Fatalf("structure: got %+v, want it untouched", s)
		}
		if err != nil {
			return
		}
		if !slices.Equal(rest, b[len(b)-len(rest):]) || len(rest) >= len(b) {
			t.Fatal("the rest is not the end of the payload")
		}
		if at := d.PictureIDAt; at != 0 {
			id := uint16(b[at] & 0x7f)
			if d.WidePictureID {
				id = id<<8 | uint16(b[at+1])
			}
			if id != d.PictureID {
				t.Errorf("picture id: got %d, at its place is %d", d.PictureID, id)
			}
		}
		if at := d.TL0At; at != 0 && b[at] != d.TL0 {
			t.Errorf("TL0PICIDX: got %d, at its place is %d", d.TL0, b[at])
		}
		if d.Spatial >= MaxSpatial || d.Temporal > 7 || s.Spatial > MaxSpatial {
			t.Errorf("layers: got %+v, %+v", d, s)
		}
		ParseFrameHeader(rest)
	})
}
