package amf0

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
)

// cases are values as they are written. Those of ffmpeg's connect and
// onMetaData are as captured.
var cases = []struct {
	name  string
	value Value
	raw   string // hex
}{
	{"number", 1.5, "00 3ff8000000000000"},
	{"negative zero", math.Copysign(0, -1), "00 8000000000000000"},
	{"true", true, "01 01"},
	{"false", false, "01 00"},
	{"string", "connect", "02 0007 636f6e6e656374"},
	{"empty string", "", "02 0000"},
	{"null", nil, "05"},
	{"object", Object{{"app", "live"}, {"n", 1.0}}, "03 0003 617070 02 0004 6c697665 0001 6e 00 3ff0000000000000 0000 09"},
	{"empty object", Object{}, "03 0000 09"},
	{"empty key", Object{{"", nil}}, "03 0000 05 0000 09"},
	{"ECMA array", ECMAArray{{"stereo", true}}, "08 00000001 0006 73746572656f 01 01 0000 09"},
	{"array", Array{1.0, Array{}, "x"}, "0a 00000003 00 3ff0000000000000 0a 00000000 02 0001 78"},
	{"date", Date(86400000), "0b 4194997000000000 0000"},
	{"nested", Object{{"a", Object{{"b", Array{nil}}}}}, "03 0001 61 03 0001 62 0a 00000001 05 0000 09 0000 09"},
}

func TestParse(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.raw)
			got, rest, err := Parse(append(raw, 0xee))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.value) || math.Signbit(number(got)) != math.Signbit(number(c.value)) {
				t.Errorf("value: got %#v, want %#v", got, c.value)
			}
			if !bytes.Equal(rest, []byte{0xee}) {
				t.Errorf("rest: got %x, want ee", rest)
			}
			for n := range raw {
				if v, _, err := Parse(raw[:n]); err == nil {
					t.Errorf("first %d of %d bytes: got %#v, want an error", n, len(raw), v)
				}
			}
		})
	}
}

func TestAppend(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got, want := Append(nil, c.value), unhex(t, c.raw); !bytes.Equal(got, want) {
				t.Errorf("got %x, want %x", got, want)
			}
		})
	}
}

// TestParseOnly has forms that are read and never written.
func TestParseOnly(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  string
		want Value
	}{
		{"undefined", "06", nil},
		{"unsupported", "0d", nil},
		{"long string", "0c 00000003 616263", "abc"},
		{"XML", "0f 00000003 3c612f", "<a/"},
		{"typed object", "10 0003 466f6f 0001 61 05 0000 09", Object{{"a", nil}}},
		{"ECMA array without count", "08 00000000 0001 61 01 01 0000 09", ECMAArray{{"a", true}}},
		{"true is any byte but 0", "01 07", true},
		{"date with time zone", "0b 0000000000000000 00b4", Date(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, rest, err := Parse(unhex(t, c.raw))
			if err != nil || len(rest) > 0 || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v, rest %x, error %v, want %#v", got, rest, err, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	deep := func(n int) []byte {
		b := bytes.Repeat(unhex(t, "03 0001 61"), n)
		return append(append(b, markNull), bytes.Repeat([]byte{0, 0, markObjectEnd}, n)...)
	}
	for _, c := range []struct {
		name string
		raw  []byte
		want string // in the error; "" for none
	}{
		{"as deep as allowed", deep(MaxDepth), ""},
		{"too deep", deep(MaxDepth + 1), "deeper than 8"},
		{"bottomless", bytes.Repeat([]byte{0x0a, 0, 0, 0, 1}, 1<<16), "deeper than 8"},
		{"as many as allowed", Append(nil, make(Array, MaxValues-1)), ""},
		{"too many", Append(nil, make(Array, MaxValues)), "limit 1024"},
		{"too many members", Append(nil, make(Object, MaxValues)), "more than 1024"},
		{"array that says 4 billion", unhex(t, "0a ffffffff 05"), "limit 1024"},
		{"string that says 4 billion", unhex(t, "0c ffffffff 61"), "limit 65536"},
		{"reference", unhex(t, "07 0000"), "not supported"},
		{"AMF3", unhex(t, "11 01"), "not supported"},
		{"movie clip", unhex(t, "04"), "marker 0x04"},
		{"end without object", unhex(t, "09"), "marker 0x09"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Parse(c.raw)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := ParseAll(bytes.Repeat([]byte{markNull}, MaxValues+1)); err == nil {
		t.Errorf("ParseAll of %d values: got no error", MaxValues+1)
	}
}

func TestLongString(t *testing.T) {
	s := strings.Repeat("x", MaxString)
	got, _, err := Parse(Append(nil, s))
	if err != nil || got != Value(s) {
		t.Errorf("string of %d bytes: got error %v or another string", len(s), err)
	}
}

func TestGet(t *testing.T) {
	for _, v := range []Value{Object{{"a", 1.0}, {"b", true}}, ECMAArray{{"a", 1.0}, {"b", true}}} {
		if got := Members(v).Get("b"); got != Value(true) {
			t.Errorf("%T: got %v, want true", v, got)
		}
		if got := Members(v).Get("c"); got != nil {
			t.Errorf("%T: got %v, want nil", v, got)
		}
	}
	if got := Members("a string").Get("a"); got != nil {
		t.Errorf("member of a string: got %v, want nil", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range cases {
		f.Add(unhex(f, c.raw))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := ParseAll(b)
		if err != nil {
			return
		}
		// What was read is written in one form, which reads the same.
		raw := Append(nil, values...)
		again, err := ParseAll(raw)
		if err != nil {
			t.Fatalf("%x from %x: %v", raw, b, err)
		}
		if got := Append(nil, again...); !bytes.Equal(got, raw) {
			t.Errorf("written again: got %x, want %x", got, raw)
		}
	})
}

func number(v Value) float64 {
	n, _ := v.(float64)
	return n
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
