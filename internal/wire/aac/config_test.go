package aac

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

var cases = []struct {
	name   string
	config Config
	raw    string // hex, as Append writes it
	codec  string
}{
	{"LC 48000 stereo", Config{ObjectType: TypeLC, SampleRate: 48000, Channels: 2}, "1190", "mp4a.40.2"},
	{"LC 44100 stereo", Config{ObjectType: TypeLC, SampleRate: 44100, Channels: 2}, "1210", "mp4a.40.2"},
	{"LC 48000 mono", Config{ObjectType: TypeLC, SampleRate: 48000, Channels: 1}, "1188", "mp4a.40.2"},
	{"LC 48000 5.1", Config{ObjectType: TypeLC, SampleRate: 48000, Channels: 6}, "11b0", "mp4a.40.2"},
	{"LC 48000 7.1", Config{ObjectType: TypeLC, SampleRate: 48000, Channels: 8}, "11b8", "mp4a.40.2"},
	{"LC 960", Config{ObjectType: TypeLC, SampleRate: 48000, Channels: 2, ShortFrames: true}, "1194", "mp4a.40.2"},
	{"Main 8000", Config{ObjectType: TypeMain, SampleRate: 8000, Channels: 1}, "0d88", "mp4a.40.1"},
	{"LC of a rate that has no index", Config{ObjectType: TypeLC, SampleRate: 50000, Channels: 2}, "1780 61a810", "mp4a.40.2"},
	{"HE-AAC", Config{ObjectType: TypeSBR, SampleRate: 24000, Channels: 2, ExtensionRate: 48000}, "2b118800", "mp4a.40.5"},
	{"HE-AAC v2", Config{ObjectType: TypePS, SampleRate: 24000, Channels: 1, ExtensionRate: 48000}, "eb098800", "mp4a.40.29"},
}

func TestConfig(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.raw)
			got, err := ParseConfig(raw)
			if err != nil || got != c.config {
				t.Errorf("parse: got %+v, error %v, want %+v", got, err, c.config)
			}
			if b := c.config.Append([]byte{0xee}); !bytes.Equal(b, append([]byte{0xee}, raw...)) {
				t.Errorf("append: got %x, want ee%x", b, raw)
			}
			if got := c.config.Codec(); got != c.codec {
				t.Errorf("codec: got %s, want %s", got, c.codec)
			}
		})
	}
}

func TestParseOnly(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		want      Config
	}{
		{"ffmpeg says no SBR", "1190 56e500", Config{ObjectType: TypeLC, SampleRate: 48000, Channels: 2}},
		{"SBR said at the end", "1310 56e598", Config{ObjectType: TypeSBR, SampleRate: 24000, Channels: 2, ExtensionRate: 48000}},
		{"SBR and PS said at the end", "1308 56e59d4880", Config{ObjectType: TypePS, SampleRate: 24000, Channels: 1, ExtensionRate: 48000}},
		{"something else at the end", "1190 000000", Config{ObjectType: TypeLC, SampleRate: 48000, Channels: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseConfig(unhex(t, c.raw)); err != nil || got != c.want {
				t.Errorf("got %+v, error %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"empty", "", "0 bytes"},
		{"one byte", "11", "1 bytes"},
		{"too long", strings.Repeat("11", MaxConfig+1), "limit 64"},
		{"object type 0", "0190", "object type 0"},
		{"object type 39", "f8f1 9000", "object type 39"},
		{"layout in the stream", "1180", "channel configuration 0"},
		{"reserved layout", "11c0", "channel configuration 8"},
		{"reserved rate", "1690", "sample rate 0"},
		{"rate of 16 MHz", "17ff ffff 9000", "sample rate"},
		{"ends in the rate", "1780", "ends too early"},
		{"ends in the extension", "2b11", "ends too early"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseConfig(unhex(t, c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, error %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

func TestFrameSamples(t *testing.T) {
	if got := (Config{}).FrameSamples(); got != 1024 {
		t.Errorf("got %d, want 1024", got)
	}
	if got := (Config{ShortFrames: true}).FrameSamples(); got != 960 {
		t.Errorf("short frames: got %d, want 960", got)
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, c := range cases {
		f.Add(unhex(f, c.raw))
	}
	for _, s := range []string{"119056e500", "131056e598", "130856e59d4880"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			return
		}
		if c.Channels < 1 || c.Channels > 8 || c.SampleRate < 7350 || c.SampleRate > 96000 {
			t.Errorf("%x: got %+v", b, c)
		}
		if again, err := ParseConfig(c.Append(nil)); err != nil || again != c {
			t.Errorf("%x: written and read again: got %+v, error %v, want %+v", b, again, err, c)
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
