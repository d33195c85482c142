package bwe

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
)

// A told is what a feedback says of one packet; at is -1 if it has not arrived.
type told struct {
	seq uint16
	at  time.Duration
}

func (f *Feedback) list() (list []told) {
	f.each(func(seq uint16, got bool, at time.Duration) {
		if !got {
			at = -1
		}
		list = append(list, told{seq, at})
	})
	return list
}

var feedbackCases = []struct {
	name string
	raw  string // hex
	want []told // nil: not valid
}{
	{
		"run of small deltas, padding", "afcd0007 00000001 00000002 00050002 000001 00 2002 04 08 00000000 00000004",
		[]told{{5, 65 * time.Millisecond}, {6, 67 * time.Millisecond}},
	},
	{
		"run of lost ones, then one with a large delta", "8fcd0007 00000001 00000002 ffff0003 000000 00 0002 4001 fffc 0000 00000000",
		[]told{{65535, -1}, {0, -1}, {1, -time.Millisecond}},
	},
	{
		"vector of one bit", "8fcd0005 00000001 00000002 00010003 000000 00 a800 04 04",
		[]told{{1, time.Millisecond}, {2, -1}, {3, 2 * time.Millisecond}},
	},
	{
		"vector of two bits", "8fcd0006 00000001 00000002 00010004 000000 00 d240 04 0004 04 0000",
		[]told{{1, time.Millisecond}, {2, -1}, {3, 2 * time.Millisecond}, {4, 3 * time.Millisecond}},
	},
	{"no packets", "8fcd0005 00000001 00000002 00010000 000000 00 2001 0400", nil},
	{"more packets than chunks", "8fcd0005 00000001 00000002 00010040 000000 00 2001 0400", nil},
	{"more packets than deltas", "8fcd0005 00000001 00000002 00010007 000000 00 2007 0400", nil},
	{"more packets than are remembered", "8fcd0005 00000001 00000002 0001ffff 000000 00 1fff 0400", nil},
	{"run of none", "8fcd0005 00000001 00000002 00010001 000000 00 0000 0000", nil},
	{"shorter than it says", "8fcd0006 00000001 00000002 00010001 000000 00 2001 0400", nil},
	{"other packet", "8ecd0005 00000001 00000002 00010001 000000 00 2001 0400", nil},
	{"padding beyond the beginning", "afcd0005 00000001 00000002 00010001 000000 00 2001 04ff", nil},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseFeedback(t *testing.T) {
	for _, c := range feedbackCases {
		t.Run(c.name, func(t *testing.T) {
			f, err := ParseFeedback(unhex(t, c.raw))
			if err != nil {
				if c.want != nil {
					t.Errorf("got %v, want %v", err, c.want)
				}
				return
			}
			if got := f.list(); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// What another implementation writes is read as it was meant.
func TestFeedbackOfAnother(t *testing.T) {
	rec := twcc.NewRecorder(1)
	want := []told{}
	at := 3 * time.Second
	for i := range 300 {
		at += time.Duration(i%7) * 3 * time.Millisecond
		if i%5 == 3 && i < 299 {
			want = append(want, told{uint16(65500 + i), -1})
			continue
		}
		rec.Record(2, uint16(65500+i), int64(at/time.Microsecond))
		want = append(want, told{uint16(65500 + i), at})
	}
	var got []told
	for _, p := range rec.BuildFeedbackPacket() {
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseFeedback(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.list()...)
	}
	if len(got) != len(want) {
		t.Fatalf("got %d packets, want %d", len(got), len(want))
	}
	for i := range want {
		off := got[i].at - want[i].at
		if got[i].seq != want[i].seq || (got[i].at < 0) != (want[i].at < 0) || max(off, -off) > 2*deltaUnit {
			t.Errorf("packet %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

func TestParseREMB(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  string
		want int // -1: none
	}{
		{"1 Mbit/s", "8fce0005 00000001 00000000 52454d42 01 0bd090 00000002", 250000 << 2},
		{"beyond any link", "8fce0005 00000001 00000000 52454d42 01 ffffff 00000002", 1 << 40},
		{"other feedback", "8fce0005 00000001 00000000 52454d43 01 0bd090 00000002", -1},
		{"too short", "8fce0003 00000001 00000000 52454d42", -1},
	} {
		got, ok := ParseREMB(unhex(t, c.raw))
		if !ok {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s: got %d bit/s, want %d", c.name, got, c.want)
		}
	}
}

// FuzzFeedback has a client say whatever it likes: the estimate stays within
// its bounds, and nothing is allocated for it.
func FuzzFeedback(f *testing.F) {
	for _, c := range feedbackCases {
		f.Add(unhex(f, c.raw), byte(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, n byte) {
		c := New(Config{}, epoch)
		c.SetWanted(5_000_000)
		now := epoch
		for i := range 300 {
			now = now.Add(time.Duration(n) * time.Millisecond / 4)
			c.Sent(Video, 1200, now)
			if i%20 != 0 {
				continue
			}
			said := bytes.Clone(b)
			if len(said) > 16 {
				said[13] += byte(i) // further on every time
			}
			if fb, err := ParseFeedback(said); err == nil {
				c.Feedback(fb, now)
			}
			if bps, ok := ParseREMB(b); ok {
				c.REMB(bps, now)
			}
			c.Padding(now)
			if wait := c.Next(now).Sub(now); wait <= 0 || wait > time.Second {
				t.Fatalf("next: got %v, want a short time", wait)
			}
			if e := c.Estimate(now); e < DefaultMin || e > DefaultMax {
				t.Fatalf("estimate: got %d bit/s, want %d to %d", e, DefaultMin, DefaultMax)
			}
		}
	})
}
