package flv

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/amf0"
)

var tagCases = []struct {
	name string
	tag  Tag
	raw  string // hex
}{
	{"end of sequence", Tag{TypeVideo, 40, []byte{0x17, 2, 0, 0, 0}}, "09 000005 000028 00 000000 1702000000 00000010"},
	{"audio", Tag{TypeAudio, 0, []byte{0xaf, 1, 0x21}}, "08 000003 000000 00 000000 af0121 0000000e"},
	{"time of 32 bits", Tag{TypeAudio, 0xfedcba98, []byte{0xaf}}, "08 000001 dcba98 fe 000000 af 0000000c"},
	{"empty", Tag{TypeScript, 1, []byte{}}, "12 000000 000001 00 000000 0000000b"},
}

func TestTag(t *testing.T) {
	for _, c := range tagCases {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.raw)
			got, rest, err := ParseTag(append(raw, 0xee))
			if err != nil || !reflect.DeepEqual(got, c.tag) || !bytes.Equal(rest, []byte{0xee}) {
				t.Errorf("parse: got %+v, rest %x, error %v, want %+v", got, rest, err, c.tag)
			}
			if b := c.tag.Append([]byte{0xee}); !bytes.Equal(b[1:], raw) {
				t.Errorf("append: got %x, want %x", b[1:], raw)
			}
			for n := range len(raw) - 4 {
				if _, _, err := ParseTag(raw[:n]); !errors.Is(err, ErrShort) {
					t.Errorf("first %d of %d bytes: got error %v, want ErrShort", n, len(raw), err)
				}
			}
		})
	}
}

var videoCases = []struct {
	name  string
	video Video
	raw   string // hex
}{
	{"sequence header", Video{true, SequenceHeader, 0, []byte{1}}, "17 00 000000 01"},
	{"key frame", Video{true, Frame, 80 * time.Millisecond, []byte{2, 3}}, "17 01 000050 0203"},
	{"frame before its DTS", Video{false, Frame, -time.Millisecond, []byte{4}}, "27 01 ffffff 04"},
	{"end of sequence", Video{true, EndOfSequence, 0, []byte{}}, "17 02 000000"},
}

func TestVideo(t *testing.T) {
	for _, c := range videoCases {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.raw)
			if got, err := ParseVideo(raw); err != nil || !reflect.DeepEqual(got, c.video) {
				t.Errorf("parse: got %+v, error %v, want %+v", got, err, c.video)
			}
			if b := AppendVideo(nil, c.video); !bytes.Equal(b, raw) {
				t.Errorf("append: got %x, want %x", b, raw)
			}
		})
	}
}

func TestOtherBodies(t *testing.T) {
	video := func(b []byte) error { _, err := ParseVideo(b); return err }
	audio := func(b []byte) error { _, err := ParseAudio(b); return err }
	for _, c := range []struct {
		name  string
		parse func([]byte) error
		raw   string
		want  string // in the error
	}{
		{"empty video", video, "", "no media"},
		{"video command frame", video, "57 00", "no media"},
		{"HEVC", video, "1c 00 000000", "video codec HEVC is not supported"},
		{"Sorenson", video, "22 00", "Sorenson H.263"},
		{"unknown video codec", video, "1f", "number 15"},
		{"Enhanced RTMP", video, "90 68766331", `"hvc1" of Enhanced RTMP`},
		{"Enhanced RTMP, cut", video, "90 68", "of Enhanced RTMP"},
		{"Enhanced RTMP, binary", video, "90 00ff0a31", `"???1"`},
		{"video cut", video, "17 01 0000", "ends too early"},
		{"AVC packet type", video, "17 03 000000", "packet type 3"},
		{"empty audio", audio, "", "no media"},
		{"MP3", audio, "2f 00", "audio codec MP3 is not supported"},
		{"Enhanced audio", audio, "91 4f707573", "Enhanced RTMP"},
		{"audio cut", audio, "af", "ends too early"},
		{"AAC packet type", audio, "af 02", "packet type 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.parse(unhex(t, c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestSource reads a file that ffmpeg wrote.
func TestSource(t *testing.T) {
	b, err := os.ReadFile("testdata/source.flv")
	if err != nil {
		t.Fatal(err)
	}
	video, audio, keys := 0, 0, 0
	for b = b[13:]; len(b) > 0; { // file header and the first PreviousTagSize
		tag, rest, err := ParseTag(b)
		if err != nil {
			t.Fatal(err)
		}
		if again := tag.Append(nil); !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("tag at %d ms written again: got %d bytes %.20x, want %d bytes %.20x", tag.Time, len(again), again, len(b)-len(rest), b)
		}
		b = rest
		switch tag.Type {
		case TypeVideo:
			v, err := ParseVideo(tag.Data)
			if err != nil {
				t.Fatal(err)
			}
			if v.Packet == Frame {
				video++
				if v.KeyFrame {
					keys++
				}
			}
		case TypeAudio:
			a, err := ParseAudio(tag.Data)
			if err != nil {
				t.Fatal(err)
			}
			if a.Packet == Frame {
				audio++
			}
		case TypeScript:
			values, err := amf0.ParseAll(tag.Data)
			if err != nil {
				t.Fatal(err)
			}
			want := Metadata{
				Width: 160, Height: 90, FrameRate: 25, VideoBitrate: 58593, AudioBitrate: 31250,
				AudioSampleRate: 48000, AudioChannels: 2, Encoder: "Lavf59.27.100",
			}
			if got := ParseMetadata(values[1]); got != want {
				t.Errorf("metadata: got %+v, want %+v", got, want)
			}
		}
	}
	if video != 50 || keys != 2 || audio < 94 || audio > 96 {
		t.Errorf("got %d pictures, %d key frames, %d audio frames, want 50, 2, 94 to 96", video, keys, audio)
	}
}

func TestMetadata(t *testing.T) {
	m := Metadata{
		Width: 1280, Height: 720, FrameRate: 29.97, VideoBitrate: 2_500_000, AudioBitrate: 128_000,
		AudioSampleRate: 48000, AudioChannels: 2, KeyFrameInterval: 2, Encoder: "Belfry",
	}
	v, rest, err := amf0.Parse(amf0.Append(nil, m.Value()))
	if err != nil || len(rest) > 0 {
		t.Fatal(err)
	}
	if got := ParseMetadata(v); got != m {
		t.Errorf("got %+v, want %+v", got, m)
	}
	hostile := amf0.Object{
		{Key: "width", Value: -5.0},
		{Key: "height", Value: 1e300},
		{Key: "framerate", Value: "30"},
		{Key: "audiochannels", Value: amf0.Array{}},
		{Key: "encoder", Value: "a\x00\x1b[31m\n" + strings.Repeat("b", 200)},
	}
	got := ParseMetadata(hostile)
	if want := (Metadata{Encoder: "a[31m" + strings.Repeat("b", 92)}); got != want {
		t.Errorf("hostile: got %+v, want %+v", got, want)
	}
	if got := ParseMetadata("no object"); got != (Metadata{}) {
		t.Errorf("string: got %+v, want nothing", got)
	}
}

func TestNoAllocation(t *testing.T) {
	body := unhex(t, "17 01 000050 00000002 6588")
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		v, err := ParseVideo(body)
		if err != nil {
			t.Fatal(err)
		}
		buf = AppendVideo(buf[:0], v)
	}); n != 0 {
		t.Errorf("a video body costs %v allocations, want 0", n)
	}
}

func FuzzTag(f *testing.F) {
	for _, c := range tagCases {
		f.Add(unhex(f, c.raw))
	}
	for _, c := range videoCases {
		f.Add(Tag{Type: TypeVideo, Data: unhex(f, c.raw)}.Append(nil))
	}
	if b, err := os.ReadFile("testdata/source.flv"); err == nil {
		f.Add(b[13:1000])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			tag, rest, err := ParseTag(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatalf("%d bytes left of %d", len(rest), len(b))
			}
			if again, _, err := ParseTag(tag.Append(nil)); err != nil || !reflect.DeepEqual(again, tag) {
				t.Errorf("written and read again: got %+v, error %v, want %+v", again, err, tag)
			}
			switch tag.Type {
			case TypeVideo:
				if v, err := ParseVideo(tag.Data); err == nil {
					if again, err := ParseVideo(AppendVideo(nil, v)); err != nil || !reflect.DeepEqual(again, v) {
						t.Errorf("video: got %+v, error %v, want %+v", again, err, v)
					}
				}
			case TypeAudio:
				if a, err := ParseAudio(tag.Data); err == nil {
					if again, err := ParseAudio(AppendAudio(nil, a)); err != nil || !reflect.DeepEqual(again, a) {
						t.Errorf("audio: got %+v, error %v, want %+v", again, err, a)
					}
				}
			case TypeScript:
				if v, _, err := amf0.Parse(tag.Data); err == nil {
					ParseMetadata(v)
				}
			}
			b = rest
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
