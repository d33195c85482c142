package liveconnector

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/media/jitter"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var vp8Cases = []struct {
	name       string
	payload    string
	data       string
	start, key bool
	ok         bool
}{
	{"key frame, no extension", "10 50 01", "50 01", true, true, true},
	{"inter frame", "10 51 01", "51 01", true, false, true},
	{"continuation", "00 50 01", "50 01", false, false, true},
	{"later partition", "11 50", "50", false, false, true},
	{"7-bit picture id", "90 80 12 50", "50", true, true, true},
	{"15-bit picture id", "90 80 92 34 50", "50", true, true, true},
	{"all fields", "90 f0 92 34 05 21 50", "50", true, true, true},
	{"TL0PICIDX and KEYIDX without id", "90 50 05 21 50", "50", true, true, true},
	{"empty", "", "", false, false, false},
	{"descriptor alone", "10", "", false, false, false},
	{"extension missing", "90", "", false, false, false},
	{"picture id missing", "90 80", "", false, false, false},
	{"half a picture id", "90 80 92", "", false, false, false},
	{"nothing after all fields", "90 f0 92 34 05 21", "", false, false, false},
}

func TestParseVP8(t *testing.T) {
	for _, c := range vp8Cases {
		p, ok := parseVP8(unhex(t, c.payload))
		if ok != c.ok {
			t.Errorf("%s: got ok %v, want %v", c.name, ok, c.ok)
			continue
		}
		if ok && (!bytes.Equal(p.data, unhex(t, c.data)) || p.start != c.start || p.key != c.key) {
			t.Errorf("%s: got %x start %v key %v, want %s start %v key %v",
				c.name, p.data, p.start, p.key, c.data, c.start, c.key)
		}
	}
}

var h264Cases = []struct {
	name     string
	payloads []string
	unit     string
	key      bool // of any
	ok       bool // of the last
}{
	{"single slice", []string{"41 9a 00"}, "00000001 419a00", false, true},
	{"single IDR", []string{"65 88 84"}, "00000001 658884", true, true},
	{"second slice of an IDR", []string{"65 40 84"}, "00000001 654084", false, true},
	{"STAP-A", []string{"78 0002 6742 0003 68ce3c", "65 88"}, "00000001 6742 00000001 68ce3c 00000001 6588", true, true},
	{"STAP-A with an IDR", []string{"78 0002 6588 0002 6540"}, "00000001 6588 00000001 6540", true, true},
	{"FU-A", []string{"7c 85 88 01", "7c 05 02", "7c 45 03"}, "00000001 65 8801 02 03", true, true},
	{"FU-A of a slice", []string{"5c 81 9a", "5c 41 03"}, "00000001 41 9a 03", false, true},
	{"FU-A without its start", []string{"7c 05 02"}, "", false, false},
	{"STAP-A with too long a unit", []string{"78 0002 6742 0009 68ce"}, "00000001 6742", false, false},
	{"STAP-A with an empty unit", []string{"78 0000 0002 6742"}, "", false, false},
	{"STAP-A with a byte too many", []string{"78 0002 6742 00"}, "00000001 6742", false, false},
	{"STAP-B", []string{"79 0000 0002 6742"}, "", false, false},
	{"type 0", []string{"60 11"}, "", false, false},
	{"one byte", []string{"65"}, "", false, false},
}

func TestAppendH264(t *testing.T) {
	for _, c := range h264Cases {
		var unit []byte
		var key, ok bool
		for _, p := range c.payloads {
			var k bool
			unit, k, ok = appendH264(unit, unhex(t, p))
			key = key || k
		}
		if ok != c.ok || key != c.key || !bytes.Equal(unit, unhex(t, c.unit)) {
			t.Errorf("%s: got %x key %v ok %v, want %s key %v ok %v", c.name, unit, key, ok, c.unit, c.key, c.ok)
		}
	}
}

func TestAssemblerAfterLoss(t *testing.T) {
	const key, inter, more = "10 50 11", "10 51 22", "00 33"
	type packet struct {
		payload   string
		timestamp uint32
		marker    bool
		lost      int
	}
	for _, c := range []struct {
		name    string
		packets []packet
		want    string // timestamps of the frames that come out, wrapped
	}{
		{"in order", []packet{{key, 1, true, 0}, {inter, 2, false, 0}, {more, 2, true, 0}}, "1 2"},
		{"begins with an inter frame", []packet{{inter, 1, true, 0}, {key, 2, true, 0}, {inter, 3, true, 0}}, "2 3"},
		{"lost inside a frame", []packet{{key, 1, true, 0}, {inter, 2, false, 0}, {more, 2, true, 1}, {inter, 3, true, 0}, {key, 4, true, 0}, {inter, 5, true, 0}}, "1 4 5"},
		{"lost between frames", []packet{{key, 1, true, 0}, {inter, 3, true, 2}, {key, 4, true, 0}}, "1 4"},
		{"lost before a key frame", []packet{{key, 1, true, 0}, {key, 3, true, 2}, {inter, 4, true, 0}}, "1 3 4"},
		{"beginning of a key frame lost", []packet{{more, 1, true, 1}, {inter, 2, true, 0}, {key, 3, true, 0}}, "3"},
		{"no marker", []packet{{key, 1, true, 0}, {inter, 2, false, 0}, {inter, 3, true, 0}, {key, 4, true, 0}}, "1 4"},
		{"damaged payload", []packet{{key, 1, true, 0}, {"90", 2, true, 0}, {inter, 3, true, 0}, {key, 4, true, 0}}, "1 4"},
		{"padding between", []packet{{key, 1, true, 0}, {"", 1, false, 0}, {inter, 2, true, 0}}, "1 2"},
		{"timestamps wrap", []packet{{key, 1<<32 - 1, true, 0}, {inter, 1, true, 0}}, "4294967295 1"},
	} {
		a := newAssembler(av.VP8)
		var got []string
		last := int64(-1)
		for _, p := range c.packets {
			f, ok := a.push(jitter.Packet{Payload: unhex(t, p.payload), Timestamp: p.timestamp, Marker: p.marker, Lost: p.lost})
			if !ok {
				continue
			}
			got = append(got, strconv.Itoa(int(uint32(f.stamp))))
			if f.stamp <= last {
				t.Errorf("%s: got stamp %d after %d", c.name, f.stamp, last)
			}
			last = f.stamp
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: got frames %s, want %s", c.name, got, c.want)
		}
	}
}

// FuzzAssembler reads packets from its input: a byte of flags (1 marker,
// 2 next timestamp, 4 loss before), one of length, and the payload.
func FuzzAssembler(f *testing.F) {
	for _, c := range vp8Cases {
		p := unhex(f, c.payload)
		f.Add(false, append([]byte{3, byte(len(p))}, p...))
	}
	for _, c := range h264Cases {
		var all []byte
		for i, s := range c.payloads {
			p := unhex(f, s)
			flags := byte(0)
			if i == len(c.payloads)-1 {
				flags = 1
			}
			all = append(append(all, flags, byte(len(p))), p...)
		}
		f.Add(true, all)
	}
	f.Fuzz(func(t *testing.T, h264 bool, in []byte) {
		codec := av.VP8
		if h264 {
			codec = av.H264
		}
		a := newAssembler(codec)
		given, stamp := 0, uint32(0)
		clean := false // a key frame has come out since the last loss
		for len(in) >= 2 {
			flags, n := in[0], min(int(in[1]), len(in)-2)
			payload := in[2 : 2+n]
			in = in[2+n:]
			given += n + 4*(n/2+1) // start codes
			p := jitter.Packet{Payload: payload, Marker: flags&1 != 0}
			if flags&2 != 0 {
				stamp += 3000
			}
			p.Timestamp = stamp
			if flags&4 != 0 {
				p.Lost, clean = 1, false
			}
			frame, ok := a.push(p)
			if !ok {
				continue
			}
			clean = clean || frame.key
			if !clean {
				t.Errorf("got a frame that is no key frame after a loss")
			}
			if len(frame.data) == 0 || len(frame.data) > given {
				t.Errorf("got a frame of %d bytes out of %d", len(frame.data), given)
			}
		}
	})
}

func TestFrameSizeLimit(t *testing.T) {
	a := newAssembler(av.VP8)
	start := append([]byte{0x10, 0x50}, make([]byte, 1000)...)
	more := append([]byte{0x00}, make([]byte, 1000)...)
	a.push(jitter.Packet{Payload: start})
	for range 5 * av.MaxFrameSize / 1000 {
		a.push(jitter.Packet{Payload: more})
		if n := cap(a.current.data); n > 2*av.MaxFrameSize {
			t.Fatalf("got %d bytes held, limit %d", n, av.MaxFrameSize)
		}
	}
	if f, ok := a.push(jitter.Packet{Payload: more, Marker: true}); ok {
		t.Errorf("got a frame of %d bytes, want none", len(f.data))
	}
}
