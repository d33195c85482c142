package h264

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"
)

// cases are records as x264 makes them, through ffmpeg.
var cases = []struct {
	name          string
	raw           string // hex
	codec         string
	width, height int
	rate          float64
	reorder       int
	interlaced    bool
}{
	{"baseline 1080p", "0142c028ffe100186742c028d900780227e5c04400000fa40003a9803c60c92001000568cb83cb20", "avc1.42c028", 1920, 1080, 30000. / 1001, 0, false},
	{"baseline 720p", "0142c01fffe100176742c01fd9005005bb011000003e90000ea600f183248001000568cb83cb20", "avc1.42c01f", 1280, 720, 30000. / 1001, 0, false},
	{"baseline cropped", "0142c00affe100176742c00ad907279e23011000003e90000ea600f122648001000568cb83cb20", "avc1.42c00a", 100, 50, 30000. / 1001, 0, false},
	{"main 1080p", "014d4028ffe10018674d4028eca03c0113f2e022000007d20001d4c01e30632c01000568ebe3cb20", "avc1.4d4028", 1920, 1080, 30000. / 1001, 2, false},
	{"high 1080p", "01640028ffe1001967640028acd940780227e5c04400000fa40003a9803c60c65801000668ebe3cb22c0fdf8f800", "avc1.640028", 1920, 1080, 30000. / 1001, 2, false},
	{"high 160x90", "0164000bffe100186764000bacb4146fc980880000030008000003019478a15501000468ef3cb0fdf8f800", "avc1.64000b", 160, 90, 25, 0, false},
	{"high 4:2:2 interlaced", "017a001effe10019677a001ebcd940a07b6022000003000200000300643e28532c01000668fba3cb22c0fef8f800", "avc1.7a001e", 640, 480, 25, 2, true},
	{"high 4:4:4, HRD, scaling lists", "01f4000dffe1002667f4000d919b282a33c7c6e02200000300020000030064c04003d08000f427261803c50a658001000768ebec44c00044fff8f800", "avc1.f4000d", 322, 180, 25, 2, false},
}

func TestConfig(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.raw)
			got, err := ParseConfig(raw)
			if err != nil {
				t.Fatal(err)
			}
			if b := got.Append([]byte{0xee}); !bytes.Equal(b, append([]byte{0xee}, raw...)) {
				t.Errorf("append: got %x, want ee%x", b, raw)
			}
			if got.Codec() != c.codec || got.LengthSize != 4 {
				t.Errorf("got %s with lengths of %d, want %s with 4", got.Codec(), got.LengthSize, c.codec)
			}
			if got.Width != c.width || got.Height != c.height {
				t.Errorf("size: got %dx%d, want %dx%d", got.Width, got.Height, c.width, c.height)
			}
			if math.Abs(got.FrameRate()-c.rate) > 1e-9 {
				t.Errorf("frame rate: got %d/%d, want %v", got.FrameRateNum, got.FrameRateDen, c.rate)
			}
			if got.MaxReorder != c.reorder {
				t.Errorf("reorder: got %d, want %d", got.MaxReorder, c.reorder)
			}
			sps, err := ParseSPS(got.SPS[0])
			if err != nil || sps.Interlaced != c.interlaced {
				t.Errorf("interlaced: got %v, error %v, want %v", sps.Interlaced, err, c.interlaced)
			}

			// The parameter sets alone make the same record.
			made, err := NewConfig(got.SPS[0], got.PPS[0])
			if err != nil || !bytes.Equal(made.Append(nil), raw) || !made.Equal(got) {
				t.Errorf("NewConfig: got %x, error %v, want %x", made.Append(nil), err, raw)
			}
			stream := append([]byte{0, 0, 0, 1}, got.SPS[0]...)
			stream = append(append(stream, 0, 0, 1), got.PPS[0]...)
			made, err = NewConfigAnnexB(stream)
			if err != nil || !made.Equal(got) {
				t.Errorf("NewConfigAnnexB: got %+v, error %v, want %+v", made, err, got)
			}

			for n := range raw {
				if _, err := ParseConfig(raw[:n]); err == nil && n < len(raw)-4 {
					t.Errorf("first %d of %d bytes: got no error", n, len(raw))
				}
			}
			// It keeps nothing of what it was given.
			for i := range raw {
				raw[i] = 0
			}
			if again := got.Append(nil); again[0] != 1 || !bytes.Equal(again, unhex(t, c.raw)) {
				t.Error("the config changed with the bytes it was read from")
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	good := unhex(t, cases[1].raw)
	change := func(at int, to byte) string {
		b := bytes.Clone(good)
		b[at] = to
		return hex.EncodeToString(b)
	}
	for _, c := range []struct{ name, raw, want string }{
		{"empty", "", "0 bytes"},
		{"version", change(0, 2), "version 2"},
		{"lengths of 3", change(4, 0xfe), "3 bytes"},
		{"no SPS", change(5, 0xe0), "avcC"},
		{"SPS is none", change(8, 0x68), "type 8, want 7"},
		{"SPS too long", change(6, 0xff), "are left"},
		{"no PPS", change(31, 0), "0 PPS"},
		{"too many PPS", change(31, 200), "200 parameter sets"},
		{"PPS is empty", change(33, 0), "0 bytes"},
		{"too long", strings.Repeat("01", maxConfig+1), "limit 65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseConfig(unhex(t, c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, error %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

func TestSPSErrors(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"no SPS", "68ce0fc8", "type 8"},
		{"three bytes", "6742c0", "3 bytes"},
		{"ends early", "6742c01fd9", "ends too early"},
		{"too long", "6742c01f" + strings.Repeat("ff", MaxSPS), "limit"},
		{"wider than allowed", "6742c01fda00100710", "16400x16, limit 16384"},
		{"as large as the code can say", "6742c01fda0000030000ffffffff0000030001ffffffff10", "limit 16384"},
		{"cropped away", "6742c01fda74a5d0", "leaves nothing of 16x16"},
		{"cropped by billions", "6742c01fda740000030007fffffff8000003000ffffffffd", "leaves nothing of 16x16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseSPS(unhex(t, c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, error %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

func TestShortVUI(t *testing.T) {
	c, err := ParseConfig(unhex(t, cases[1].raw))
	if err != nil {
		t.Fatal(err)
	}
	sps := c.SPS[0]
	got, err := ParseSPS(sps[:len(sps)-4])
	if err != nil || got.Width != 1280 {
		t.Errorf("SPS whose VUI is cut short: got %+v, error %v, want 1280 wide", got, err)
	}
}

func TestEqual(t *testing.T) {
	a, err := ParseConfig(unhex(t, cases[4].raw))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseConfig(unhex(t, cases[4].raw))
	if err != nil {
		t.Fatal(err)
	}
	if !a.Equal(b) {
		t.Error("equal configs differ")
	}
	b.PPS[0][2]++
	if a.Equal(b) {
		t.Error("configs with different PPS are equal")
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, c := range cases {
		f.Add(unhex(f, c.raw))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			return
		}
		if c.Width < 1 || c.Width > MaxDimension || c.Height < 1 || c.Height > MaxDimension {
			t.Errorf("%x: got %dx%d", b, c.Width, c.Height)
		}
		again, err := ParseConfig(c.Append(nil))
		if err != nil || !again.Equal(c) {
			t.Errorf("%x: written and read again: got %+v, error %v, want %+v", b, again, err, c)
		}
		NewConfig(c.SPS[0], c.PPS[0])
	})
}

func FuzzParseSPS(f *testing.F) {
	for _, c := range cases {
		config, err := ParseConfig(unhex(f, c.raw))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(config.SPS[0])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSPS(b)
		if err == nil && (s.Width < 1 || s.Width > MaxDimension || s.Height < 1 || s.Height > MaxDimension) {
			t.Errorf("%x: got %dx%d", b, s.Width, s.Height)
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
