package vp8

import (
	"encoding/hex"
	"strings"
	"testing"
)

var cases = []struct {
	name   string
	raw    string // hex
	want   Descriptor
	header FrameHeader
	broken bool
}{
	{
		name: "key frame, 15-bit picture id, TL0PICIDX, layer", raw: "90f0 8123 07 60 10 0200 9d012a 8002 6801 aa",
		want:   Descriptor{FrameStart: true, PictureIDAt: 2, WidePictureID: true, PictureID: 0x123, TL0At: 4, TL0: 7, Temporal: 1, Sync: true},
		header: FrameHeader{Key: true, Width: 640, Height: 360},
	},
	{
		name: "key frame, 7-bit picture id", raw: "9080 45 10 0200 9d012a 8002 6801",
		want:   Descriptor{FrameStart: true, PictureIDAt: 2, PictureID: 0x45},
		header: FrameHeader{Key: true, Width: 640, Height: 360},
	},
	{
		name: "key frame without extensions, scaled", raw: "10 10 0200 9d012a 8042 68c1",
		want:   Descriptor{FrameStart: true},
		header: FrameHeader{Key: true, Width: 640, Height: 360},
	},
	{name: "key frame cut after its first byte", raw: "10 10", want: Descriptor{FrameStart: true}, header: FrameHeader{Key: true}},
	{name: "delta frame", raw: "9080 8001 11 0200", want: Descriptor{FrameStart: true, PictureIDAt: 2, WidePictureID: true, PictureID: 1}},
	{name: "later packet", raw: "8080 8001 11 0200", want: Descriptor{PictureIDAt: 2, WidePictureID: true, PictureID: 1}},
	{name: "second partition", raw: "91 80 05 11 0200", want: Descriptor{PictureIDAt: 2, PictureID: 5}},
	{name: "key index without layer", raw: "9010 c5 11", want: Descriptor{FrameStart: true}},
	{name: "highest layer", raw: "9020 c0 11", want: Descriptor{FrameStart: true, Temporal: 3}},
	{name: "nothing but the descriptor", raw: "10", want: Descriptor{FrameStart: true}},
	{name: "cut in the picture id", raw: "90 80 81", broken: true},
	{name: "cut before the picture id", raw: "90 80", broken: true},
	{name: "cut before the extensions", raw: "90", broken: true},
	{name: "cut before TL0PICIDX", raw: "90 c0 05", broken: true},
	{name: "cut before the layer", raw: "90 20", broken: true},
	{name: "empty", raw: "", broken: true},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, rest, err := ParseDescriptor(unhex(t, c.raw))
			if (err != nil) != c.broken || d != c.want {
				t.Fatalf("got %+v, %v, want %+v, error %t", d, err, c.want, c.broken)
			}
			if h := ParseFrameHeader(rest); h != c.header {
				t.Errorf("frame: got %+v, want %+v", h, c.header)
			}
		})
	}
}

// The places a descriptor names are in the payload and hold what it says.
func FuzzParse(f *testing.F) {
	for _, c := range cases {
		f.Add(unhex(f, c.raw))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, rest, err := ParseDescriptor(b)
		if err != nil {
			return
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
		if len(rest) >= len(b) || d.Temporal > 3 {
			t.Errorf("got %+v and %d of %d bytes left", d, len(rest), len(b))
		}
		ParseFrameHeader(rest)
	})
}
