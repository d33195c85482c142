package fmp4

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"testing"
)

var fragmentCases = []struct {
	name string
	f    Fragment
	raw  string // hex
}{
	{
		"all alike",
		Fragment{Sequence: 7, DecodeTime: 1 << 32, Samples: []Sample{
			{Duration: 1024, Sync: true, Data: []byte{1, 2}},
			{Duration: 1024, Sync: true, Data: []byte{3}},
		}},
		"00000068 6d6f6f66" + "00000010 6d666864 00000000 00000007" +
			"00000050 74726166" + "00000018 74666864 00020028 00000001 00000400 02000000" +
			"00000014 74666474 01000000 0000000100000000" +
			"0000001c 7472756e 01000201 00000002 00000070 00000002 00000001" +
			"0000000b 6d646174 010203",
	},
	{
		"each its own",
		Fragment{Sequence: 1, DecodeTime: 90000, Samples: []Sample{
			{Duration: 3000, Offset: 6000, Sync: true, Data: []byte{1}},
			{Duration: 3001, Offset: -90, Data: []byte{2}},
		}},
		"00000078 6d6f6f66" + "00000010 6d666864 00000000 00000001" +
			"00000060 74726166" + "00000010 74666864 00020000 00000001" +
			"00000014 74666474 01000000 0000000000015f90" +
			"00000034 7472756e 01000f01 00000002 00000080" +
			"00000bb8 00000001 02000000 00001770" + "00000bb9 00000001 01010000 ffffffa6" +
			"0000000a 6d646174 0102",
	},
	{
		"one sample, empty",
		Fragment{Sequence: math.MaxUint32, Samples: []Sample{{Duration: math.MaxUint32, Data: []byte{}}}},
		"00000064 6d6f6f66" + "00000010 6d666864 00000000 ffffffff" +
			"0000004c 74726166" + "00000018 74666864 00020028 00000001 ffffffff 01010000" +
			"00000014 74666474 01000000 0000000000000000" +
			"00000018 7472756e 01000201 00000001 0000006c 00000000" +
			"00000008 6d646174",
	},
}

func TestFragment(t *testing.T) {
	for _, c := range fragmentCases {
		t.Run(c.name, func(t *testing.T) {
			want := unhex(t, c.raw)
			got := c.f.Append(nil)
			if !bytes.Equal(got, want) {
				t.Errorf("Append: got  %x\nwant %x", got, want)
			}
			if c.f.Size() < len(got) {
				t.Errorf("Size: got %d, want %d or more", c.f.Size(), len(got))
			}
			f, rest, err := ParseFragment(append(want, 0xff))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(f, c.f) || len(rest) != 1 {
				t.Errorf("ParseFragment: got %+v and %d bytes left, want %+v and 1", f, len(rest), c.f)
			}
		})
	}
}

func TestParseFragmentRefuses(t *testing.T) {
	whole := fragmentCases[1].f.Append(nil)
	for i := range whole {
		if _, _, err := ParseFragment(whole[:i]); err == nil {
			t.Errorf("the first %d of %d bytes: got no error", i, len(whole))
		}
	}
}

func TestInitHasTheConfig(t *testing.T) {
	avcC, asc := []byte("avc configuration"), []byte{0x11, 0x90}
	for name, c := range map[string]struct {
		track  Track
		config []byte
	}{
		"video": {Track{Timescale: 90000, Video: &Video{Width: 1280, Height: 720, Config: avcC}}, avcC},
		"audio": {Track{Timescale: 48000, Audio: &Audio{SampleRate: 48000, Channels: 2, Config: asc}}, asc},
	} {
		b := Init(c.track)
		if !bytes.Contains(b, c.config) {
			t.Errorf("%s: the configuration is not in the segment", name)
		}
		if got := boxes(t, b); got != "ftyp moov(mvhd trak(tkhd mdia(mdhd hdlr minf("+map[string]string{"video": "vmhd", "audio": "smhd"}[name]+
			" dinf stbl(stsd stts stsc stsz stco)))) mvex(trex))" {
			t.Errorf("%s: got boxes %s", name, got)
		}
	}
}

// boxes names the boxes of b and those inside them.
func boxes(t *testing.T, b []byte) string {
	t.Helper()
	var out string
	for len(b) > 0 {
		box, rest, err := ParseBox(b)
		if err != nil {
			t.Fatal(err)
		}
		if out != "" {
			out += " "
		}
		out += box.Type.String()
		switch box.Type.String() {
		case "moov", "trak", "mdia", "minf", "stbl", "mvex":
			out += "(" + boxes(t, box.Payload) + ")"
		}
		b = rest
	}
	return out
}

func FuzzParseFragment(f *testing.F) {
	for _, c := range fragmentCases {
		f.Add(c.f.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frag, rest, err := ParseFragment(b)
		if err != nil {
			return
		}
		again, left, err := ParseFragment(frag.Append(nil))
		if err != nil || len(left) != 0 {
			t.Fatalf("what was read is written as something else: %v, %d bytes left", err, len(left))
		}
		if fmt.Sprint(again) != fmt.Sprint(frag) {
			t.Errorf("got %v, want %v", again, frag)
		}
		if len(rest) > len(b) {
			t.Errorf("got %d bytes left of %d", len(rest), len(b))
		}
	})
}

// One second of 4.6 Mbit/s: 30 pictures and 47 audio frames in parts of 200 ms.
func BenchmarkSecondOfMedia(b *testing.B) {
	picture, sound := make([]byte, 4_470_000/8/30), make([]byte, 128_000/8/47)
	video, audio := Fragment{Samples: make([]Sample, 6)}, Fragment{Samples: make([]Sample, 9)}
	for i := range video.Samples {
		video.Samples[i] = Sample{Duration: 3000, Sync: i == 0, Data: picture}
	}
	for i := range audio.Samples {
		audio.Samples[i] = Sample{Duration: 1024, Sync: true, Data: sound}
	}
	b.ReportAllocs()
	for b.Loop() {
		for range 5 {
			video.Append(make([]byte, 0, video.Size()))
			audio.Append(make([]byte, 0, audio.Size()))
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
