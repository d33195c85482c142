package av1

import (
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What Chromium 156 sent.
const (
	keyL1T3 = "80007b800214eaa860414d141020842703bf021b"
	keyL3T3 = "81017680081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082b04a0941b820ac1282503157f974000ca864330e222222eca8655304224230eca8775300ef008601df010d03bf021b"
	keyKey  = "82016380481485214eaaaaa8000600004000100002aa80a8000600004000100002a000a800060000400016d549241b5524906d54923157e001974ca864330e222396eca8655304224390eca8775300ef008601df010d03bf021b"

	payloadL3T3 = "681c08008707238191c04860e430321809041c8206410124cf7f0d8034013400"
)

var payloadCases = []struct {
	name string
	raw  string // hex
	want Payload
}{
	// Two OBUs, the first continues in no other packet: 28 bytes of sequence
	// header with operating points.
	{"Chromium, start", payloadL3T3, Payload{Start: true, Width: 960, Height: 540}},
	{"Chromium, later frame", "503440340004924929440228", Payload{}},
	{"libaom, sequence header alone, with its size", "18 0a0d 20000004457e3e7ffcd010d002", Payload{Start: true, Width: 352, Height: 288}},
	{"SVT-AV1", "18 0a0b 00000004457e3e7dfc8020", Payload{Start: true, Width: 352, Height: 288}},
	{"rav1e, with timing", "18 0a0e 200000fa22bf1f1085681010128032", Payload{Start: true, Width: 352, Height: 288}},
	{"start without sequence header", "18 32 00", Payload{Start: true}},
	{"start that continues", "98 0a", Payload{}},
	{"OBU longer than the packet", "28 7f 0a", Payload{Start: true}},
	{"OBU without end of its length", "28 ff ff ff ff ff ff 0a", Payload{Start: true}},
	{"sequence header cut", "18 0a 0b 000000 02", Payload{Start: true}},
	{"sequence header cut before its size", "18 0a", Payload{Start: true}},
	{"sequence header cut before its layers", "18 0e", Payload{Start: true}},
	{"nothing after the header", "18", Payload{Start: true}},
	{"empty", "", Payload{}},
}

func TestParsePayload(t *testing.T) {
	for _, c := range payloadCases {
		if got := ParsePayload(unhex(t, c.raw)); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	for _, c := range payloadCases {
		f.Add(unhex(f, c.raw))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := ParsePayload(b)
		if !p.Start && p.Width != 0 || p.Width > 1<<16 || p.Height > 1<<16 || (p.Width == 0) != (p.Height == 0) {
			t.Errorf("got %+v", p)
		}
	})
}

func TestStructure(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		targets   int
		spatial   int
		width     int
		place     Place // of the key frame's first
	}{
		{"L1T3", keyL1T3, 3, 1, 960, Place{Present: 0b111, Switch: 0b111}},
		{"L3T3", keyL3T3, 9, 3, 240, Place{Present: 0x1ff, Switch: 0x1ff}},
		{"L3T3_KEY", keyKey, 9, 3, 240, Place{Present: 0x1ff, Switch: 0x1ff}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Structure
			d, err := ParseDescriptor(unhex(t, c.raw), &s)
			if err != nil {
				t.Fatal(err)
			}
			if !d.HasStructure || !d.FrameStart || d.ReferenceCount != 0 || d.Targets != c.targets {
				t.Errorf("got %+v, want the start of a key frame with %d targets", d, c.targets)
			}
			if s.Targets != c.targets || s.Spatial != c.spatial || s.Width[0] != c.width {
				t.Errorf("got %d targets, %d spatial layers, %d wide, want %d, %d, %d", s.Targets, s.Spatial, s.Width[0], c.targets, c.spatial, c.width)
			}
			if last := s.Spatial - 1; s.Width[last] != 960 || s.Height[last] != 540 {
				t.Errorf("largest: got %dx%d, want 960x540", s.Width[last], s.Height[last])
			}
			if d.Place != c.place {
				t.Errorf("place: got %+v, want %+v", d.Place, c.place)
			}
			for i := range s.Targets {
				if s.TargetSpatial[i] != uint8(i/3) || s.TargetTemporal[i] != uint8(i%3) {
					t.Errorf("target %d: got layers %d and %d, want %d and %d", i, s.TargetSpatial[i], s.TargetTemporal[i], i/3, i%3)
				}
			}
		})
	}
}

func TestTarget(t *testing.T) {
	var s Structure
	if _, err := ParseDescriptor(unhex(t, keyL3T3), &s); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spatial, temporal uint8
		active            uint32
		want              int
	}{
		{7, 7, 0x1ff, 8},
		{1, 7, 0x1ff, 5},
		{1, 1, 0x1ff, 4},
		{0, 0, 0x1ff, 0},
		{7, 0, 0x1ff, 6},
		{7, 7, 0b000_111_111, 5}, // the largest is not sent any more
		{7, 7, 0, 0},
	} {
		if got := s.Target(c.spatial, c.temporal, c.active); got != c.want {
			t.Errorf("within %d and %d, active %#b: got target %d, want %d", c.spatial, c.temporal, c.active, got, c.want)
		}
	}
	if got, want := s.Within(4), uint32(0b000_011_011); got != want {
		t.Errorf("within target 4: got %#b, want %#b", got, want)
	}
	// With the key frames alone in common, a smaller picture is not part of a
	// larger one.
	if _, err := ParseDescriptor(unhex(t, keyKey), &s); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Within(5), uint32(0b000_111_000); got != want {
		t.Errorf("within target 5 of L3T3_KEY: got %#b, want %#b", got, want)
	}
}

func TestParseDescriptor(t *testing.T) {
	var s Structure
	if _, err := ParseDescriptor(unhex(t, "020060"), &s); err == nil {
		t.Error("without structure: got no error")
	}
	if _, err := ParseDescriptor(unhex(t, keyL3T3), &s); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, raw string
		want      Descriptor
		broken    bool
	}{
		{name: "with indications, references and chains of its own", raw: "c3011f1a20302820", want: Descriptor{
			FrameStart: true, FrameEnd: true, Frame: 0x11f,
			Place:      Place{Spatial: 0, Temporal: 2},
			References: [maxReferences]uint16{2}, ReferenceCount: 1,
			ActiveAt: 29, Targets: 9,
		}},
		{name: "template that is not there", raw: "ff0124", broken: true},
		{name: "cut in the mandatory fields", raw: "c301", broken: true},
		{name: "empty", broken: true},
		{name: "too long", raw: strings.Repeat("00", MaxDescriptor+1), broken: true},
		{name: "cut in the structure", raw: keyL3T3[:60], broken: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s
			d, err := ParseDescriptor(unhex(t, c.raw), &s)
			if (err != nil) != c.broken {
				t.Fatalf("got %+v, %v, want error %t", d, err, c.broken)
			}
			if s != before {
				t.Error("the structure has changed")
			}
			if c.broken {
				return
			}
			c.want.Present, c.want.Switch, c.want.References = d.Present, d.Switch, d.References
			if d != c.want {
				t.Errorf("got %+v, want %+v", d, c.want)
			}
		})
	}
}

// changed writes a descriptor with a change and reads it again.
func changed(t *testing.T, raw []byte, before Structure, frame uint16, active *uint32) {
	t.Helper()
	was := before
	d, err := ParseDescriptor(raw, &was)
	if err != nil {
		return
	}
	c := Change{Frame: frame, HasActive: d.HasActive, ActiveAt: d.ActiveAt, Targets: d.Targets}
	want := d
	want.Frame = frame
	if active != nil {
		c.SetActive, c.Active = true, *active&(1<<d.Targets-1)
		want.HasActive, want.Active = true, c.Active
		want.ActiveAt = max(want.ActiveAt, 29)
	}
	b := AppendDescriptor([]byte{7}, raw, &c)
	if len(b) != 1+c.Size(len(raw)) || b[0] != 7 {
		t.Fatalf("got %d bytes, want %d appended", len(b), c.Size(len(raw)))
	}
	if len(b) > 256 {
		t.Fatalf("got %d bytes, more than an extension holds", len(b)-1)
	}
	if len(b)-1 > MaxDescriptor {
		return
	}
	is := before
	got, err := ParseDescriptor(b[1:], &is)
	if err != nil || got != want || is != was {
		t.Errorf("%x as %x: got %+v, %v, want %+v", raw, b[1:], got, err, want)
	}
}

func TestAppendDescriptor(t *testing.T) {
	var s Structure
	if _, err := ParseDescriptor(unhex(t, keyL3T3), &s); err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{keyL1T3, keyL3T3, keyKey, "020060", "c3011f1a20302820", "c801201a2800e0c0a0", "c001211ae0403830", "0a012312e800"} {
		changed(t, unhex(t, raw), s, 0xfedc, nil)
		for _, active := range []uint32{0, 1, 0b000_111_111, 0x1ff} {
			changed(t, unhex(t, raw), s, 0xfedc, &active)
		}
		// And what was written so once more.
		active := uint32(0b101)
		var now Structure = s
		d, err := ParseDescriptor(unhex(t, raw), &now)
		if err != nil {
			t.Fatal(err)
		}
		c := Change{Frame: 1, SetActive: true, Active: active, HasActive: d.HasActive, ActiveAt: d.ActiveAt, Targets: d.Targets}
		changed(t, AppendDescriptor(nil, unhex(t, raw), &c), s, 2, &active)
	}
}

func FuzzDescriptor(f *testing.F) {
	for _, raw := range []string{keyL1T3, keyL3T3, keyKey, "020060", "c3011f1a20302820", "c801201a2800e0c0a0"} {
		f.Add(unhex(f, raw), uint16(0x1234), uint32(0b11))
	}
	var known Structure
	if _, err := ParseDescriptor(unhex(f, keyL3T3), &known); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte, frame uint16, active uint32) {
		s := known
		d, err := ParseDescriptor(raw, &s)
		if err != nil || !d.HasStructure {
			if s != known {
				t.Fatal("the structure has changed")
			}
		}
		if err != nil {
			return
		}
		if got := s.Target(1, 1, active); got < 0 || got >= s.Targets {
			t.Fatalf("target %d of %d", got, s.Targets)
		}
		s.Within(0)
		changed(t, raw, known, frame, nil)
		changed(t, raw, known, frame, &active)
	})
}
