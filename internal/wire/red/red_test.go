package red

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var cases = []struct {
	name   string
	blocks []Block
	raw    string
}{
	{"the primary alone", []Block{{111, 0, []byte{0xf8, 0xff, 0xfe}}}, "6f f8fffe"},
	{"nothing in the primary", []Block{{111, 0, []byte{}}}, "6f"},
	{"one redundant block", []Block{{111, 960, []byte{1, 2}}, {111, 0, []byte{3, 4, 5}}}, "ef 0f0002 6f 0102 030405"},
	{"two, as far as can be said", []Block{
		{0, MaxOffset, bytes.Repeat([]byte{7}, MaxSize)}, {127, 1, []byte{}}, {5, 0, []byte{9}},
	}, "80 ffffff ff 000400 05" + strings.Repeat("07", MaxSize) + "09"},
}

func raw(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	for _, c := range cases {
		got, err := Parse(nil, raw(t, c.raw))
		if err != nil || !reflect.DeepEqual(got, c.blocks) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.blocks)
		}
	}
}

func TestAppend(t *testing.T) {
	for _, c := range cases {
		got, err := Append([]byte("x"), c.blocks)
		if want := append([]byte("x"), raw(t, c.raw)...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, %v, want %x", c.name, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		want      error
	}{
		{"nothing", "", ErrShort},
		{"half a header", "ef0f00", ErrShort},
		{"no primary", "ef0f0002", ErrShort},
		{"a block that is too long", "ef0f0003 6f 0102", ErrShort},
		{"too many blocks", strings.Repeat("ef0f0000", MaxBlocks) + "6f", ErrBlocks},
	} {
		dst := []Block{{Type: 1}}
		got, err := Parse(dst, raw(t, c.raw))
		if !errors.Is(err, c.want) || !reflect.DeepEqual(got, dst) {
			t.Errorf("%s: got %v, %v, want %v, %v", c.name, got, err, dst, c.want)
		}
	}
	if got, err := Parse(nil, raw(t, strings.Repeat("ef0f0000", MaxBlocks-1)+"6f")); err != nil || len(got) != MaxBlocks {
		t.Errorf("as many blocks as may be: got %d, %v, want %d", len(got), err, MaxBlocks)
	}
}

func TestAppendRefuses(t *testing.T) {
	primary := Block{Type: 111}
	for _, c := range []struct {
		name   string
		blocks []Block
		want   error
	}{
		{"no block", nil, ErrBlocks},
		{"too many", make([]Block, MaxBlocks+1), ErrBlocks},
		{"an offset of 15 bits", []Block{{111, MaxOffset + 1, nil}, primary}, ErrRange},
		{"a block that is too long", []Block{{111, 960, make([]byte, MaxSize+1)}, primary}, ErrRange},
		{"a type of 8 bits", []Block{{128, 960, nil}, primary}, ErrRange},
		{"an earlier primary", []Block{{111, 960, nil}}, ErrRange},
	} {
		if got, err := Append([]byte("x"), c.blocks); !errors.Is(err, c.want) || string(got) != "x" {
			t.Errorf("%s: got %q, %v, want %q, %v", c.name, got, err, "x", c.want)
		}
	}
}

// found is a frame that a Recovery gave out.
type found struct {
	seq       uint16
	timestamp uint32
	payload   byte
}

func TestRecovery(t *testing.T) {
	// A packet every 20 ms from sequence number 65530, each with what was sent
	// that many packets before.
	type packet struct {
		i    int
		back []int
	}
	const first, at0 = 65530, 1<<32 - 2000
	for _, c := range []struct {
		name string
		came []packet
		want []int // numbers of those found
	}{
		{"nothing is lost", []packet{{0, nil}, {1, []int{1}}, {2, []int{2, 1}}, {3, []int{2, 1}}}, nil},
		{"one", []packet{{0, nil}, {2, []int{1}}}, []int{1}},
		{"one is found once", []packet{{0, nil}, {2, []int{2, 1}}, {3, []int{2, 1}}}, []int{1}},
		{"two in a row", []packet{{6, nil}, {9, []int{2, 1}}}, []int{7, 8}},
		{"every second one is carried", []packet{{4, nil}, {8, []int{4, 2}}, {9, []int{4, 2}}}, []int{6, 5, 7}},
		{"three in a row, one copy two back", []packet{{6, nil}, {10, []int{2}}}, []int{8}},
		{"reordered", []packet{{0, nil}, {3, []int{2}}, {2, nil}, {1, nil}}, []int{1}},
		{"what was before the first", []packet{{5, []int{2, 1}}}, nil},
	} {
		var r Recovery
		var got, want []found
		for _, p := range c.came {
			var blocks []Block
			for _, b := range p.back {
				blocks = append(blocks, Block{111, uint16(b * 960), []byte{byte(p.i - b)}})
			}
			blocks = append(blocks, Block{111, 0, []byte{byte(p.i)}})
			r.Packet(uint16(first+p.i), at0+uint32(p.i*960), blocks, func(seq uint16, timestamp uint32, payload []byte) {
				got = append(got, found{seq, timestamp, payload[0]})
			})
		}
		for _, i := range c.want {
			want = append(want, found{uint16((first + i) & 0xffff), uint32((at0 + i*960) & 0xffffffff), byte(i)})
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", c.name, got, want)
		}
	}
}

func TestRecoveryAcrossAPause(t *testing.T) {
	// Discontinuous transmission: a packet, then 400 ms of nothing, then the
	// next in order. Its copy of the first is no loss, whatever the distance.
	var r Recovery
	fail := func(seq uint16, timestamp uint32, _ []byte) {
		t.Errorf("got frame %d at %d lost, want none", seq, timestamp)
	}
	blocks := func(offset uint16) []Block { return []Block{{111, offset, []byte{1}}, {111, 0, []byte{2}}} }
	r.Packet(10, 9600, blocks(960)[1:], fail)
	r.Packet(11, 9600+15360, blocks(15360), fail)
	r.Packet(12, 9600+15360+960, blocks(960), fail)
	// A frame that never had a packet of its own is none either.
	r.Packet(13, 9600+15360+3*960, blocks(960), fail)
	r.Reset()
	r.Packet(15, 9600, blocks(960), fail)
}

func TestPacketPathDoesNotAllocate(t *testing.T) {
	var r Recovery
	var store [MaxBlocks]Block
	packet := raw(t, "ef 1e0001 ef 0f0002 6f 01 0102 030405")
	seq, at, n := uint16(0), uint32(0), 0
	lost := func(uint16, uint32, []byte) { n++ }
	if got := testing.AllocsPerRun(1000, func() {
		seq, at = seq+3, at+3*960
		blocks, err := Parse(store[:0], packet)
		if err != nil {
			t.Fatal(err)
		}
		r.Packet(seq, at, blocks, lost)
	}); got != 0 || n == 0 {
		t.Errorf("got %v allocations a packet, %d frames found, want 0 and some", got, n)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range cases {
		f.Add(raw(f, c.raw))
	}
	f.Add(bytes.Repeat([]byte{0xff}, 200))
	f.Fuzz(func(t *testing.T, packet []byte) {
		blocks, err := Parse(nil, packet)
		if err != nil {
			return
		}
		again, err := Append(nil, blocks)
		if err != nil || !bytes.Equal(again, packet) {
			t.Errorf("got %x, %v, want %x again", again, err, packet)
		}
	})
}

// FuzzRecovery plays packets with any numbers; each byte pair is a step of the
// sequence number and one of the timestamp, in 2.5 ms.
func FuzzRecovery(f *testing.F) {
	f.Add([]byte{1, 8, 1, 8, 3, 24, 1, 8})
	f.Add([]byte{255, 255, 2, 0, 64, 1, 200, 7})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var r Recovery
		seq, at := uint16(65000), uint32(0)
		blocks := []Block{{111, 1920, []byte{2}}, {111, 960, []byte{1}}, {111, 0, nil}}
		for ; len(steps) >= 2; steps = steps[2:] {
			seq += uint16(int8(steps[0]))
			at += uint32(int32(int8(steps[1])) * 120)
			r.Packet(seq, at, blocks, func(lost uint16, when uint32, _ []byte) {
				if d := seq - lost; d == 0 || d >= remembered {
					t.Errorf("got frame %d lost, with packet %d", lost, seq)
				}
				if d := at - when; d != 960 && d != 1920 {
					t.Errorf("got a frame lost %d earlier, want 960 or 1920", d)
				}
			})
		}
	})
}
