package h264

import (
	"bytes"
	"strings"
	"testing"
)

var units = []struct {
	name    string
	annexB  string // hex
	avcc    string // hex, lengths of 4
	idr     bool
	slice   bool
	written string // hex, as AppendAnnexB writes it; "" for annexB
}{
	{"IDR", "00000001 6588", "00000002 6588", true, true, ""},
	{"three-byte codes", "000001 09f0 000001 419a", "00000002 09f0 00000002 419a", false, true, "00000001 09f0 00000001 419a"},
	{"mixed", "00000001 0910 000001 6588", "00000002 0910 00000002 6588", true, true, "00000001 0910 00000001 6588"},
	{"zeros at the ends", "0000 00000001 0600 0000 00000001 4101 00", "00000001 06 00000002 4101", false, true, "00000001 06 00000001 4101"},
	{"escaped zeros", "00000001 650000030001", "00000006 650000030001", true, true, ""},
	{"no slice", "00000001 09f0", "00000002 09f0", false, false, ""},
	{"nothing", "", "", false, false, ""},
	{"no start code", "6588", "", false, false, ""},
}

func TestUnits(t *testing.T) {
	for _, c := range units {
		t.Run(c.name, func(t *testing.T) {
			annexB, avcc := unhex(t, c.annexB), unhex(t, c.avcc)
			if got := AppendAVCC([]byte{0xee}, annexB); !bytes.Equal(got, append([]byte{0xee}, avcc...)) {
				t.Errorf("AppendAVCC: got %x, want ee%x", got, avcc)
			}
			want := unhex(t, c.written)
			if c.written == "" && len(avcc) > 0 {
				want = annexB
			}
			if got, err := AppendAnnexB(nil, avcc, 4); err != nil || !bytes.Equal(got, want) {
				t.Errorf("AppendAnnexB: got %x, error %v, want %x", got, err, want)
			}
			if got := IsKeyFrame(avcc, 4); got != c.idr {
				t.Errorf("IsKeyFrame: got %v, want %v", got, c.idr)
			}
			if got, err := Inspect(avcc, 4); err != nil || got != (Contents{Slice: c.slice, IDR: c.idr}) {
				t.Errorf("Inspect: got %+v, error %v, want slice %v, IDR %v", got, err, c.slice, c.idr)
			}
		})
	}
}

func TestLengthSizes(t *testing.T) {
	for size, raw := range map[int]string{1: "02 09f0 02 6588", 2: "0002 09f0 0002 6588", 4: "00000002 09f0 00000002 6588"} {
		got, err := AppendLength4(nil, unhex(t, raw), size)
		if want := unhex(t, "00000002 09f0 00000002 6588"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("lengths of %d: got %x, error %v, want %x", size, got, err, want)
		}
	}
}

func TestMalformedUnits(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"length cut", "000000", "in a NAL unit's length"},
		{"unit cut", "00000003 6588", "says 3 bytes, 2 are left"},
		{"length of 4 billion", "ffffffff 65", "4294967295"},
		{"second unit cut", "00000001 65 00000002 41", "says 2 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Inspect(unhex(t, c.raw), 4); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if IsKeyFrame(unhex(t, c.raw), 4) {
				t.Error("IsKeyFrame: got true, want false")
			}
		})
	}
}

func TestInspectDoesNotAllocate(t *testing.T) {
	au := unhex(t, "00000002 09f0 00000002 6588")
	if n := testing.AllocsPerRun(100, func() { Inspect(au, 4) }); n != 0 {
		t.Errorf("Inspect allocates %v times, want 0", n)
	}
}

func FuzzUnits(f *testing.F) {
	for _, c := range units {
		f.Add(unhex(f, c.annexB), 4)
		f.Add(unhex(f, c.avcc), 4)
	}
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		if size != 1 && size != 2 {
			size = 4
		}
		if _, err := Inspect(b, size); err == nil {
			four, err := AppendLength4(nil, b, size)
			if err != nil {
				t.Fatal(err)
			}
			if IsKeyFrame(four, 4) != IsKeyFrame(b, size) {
				t.Errorf("%x: a key frame with one length only", b)
			}
		}
		avcc := AppendAVCC(nil, b)
		if _, err := Inspect(avcc, 4); err != nil {
			t.Fatalf("%x from %x: %v", avcc, b, err)
		}
		stream, err := AppendAnnexB(nil, avcc, 4)
		if err != nil {
			t.Fatal(err)
		}
		if again := AppendAVCC(nil, stream); !bytes.Equal(again, avcc) {
			t.Errorf("%x: got %x over the byte stream, want %x", b, again, avcc)
		}
	})
}
