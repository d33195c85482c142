package h264

import (
	"encoding/hex"
	"strings"
	"testing"
)

// payloadSPS is 640x360, constrained baseline, level 3.1.
const payloadSPS = "6742e01fda0280bfe5c044000003000400000300f03c60ca80"

var payloadCases = []struct {
	name string
	raw  string // hex
	want Payload
}{
	{"SPS", payloadSPS, Payload{SPS: true, Width: 640, Height: 360}},
	{"IDR slice", "6588", Payload{IDR: true}},
	{"slice", "4188", Payload{}},
	{"STAP-A of SPS and PPS", "78 0019" + payloadSPS + "0004 68ce3880", Payload{SPS: true, Width: 640, Height: 360}},
	{"STAP-A of PPS and IDR", "78 0004 68ce3880 0002 6588", Payload{IDR: true}},
	{"STAP-A longer than the packet", "78 ffff 67", Payload{}},
	{"STAP-A with an empty unit", "78 0000 0002 6588", Payload{}},
	{"FU-A, start of IDR", "7c 85 88", Payload{IDR: true}},
	{"FU-A, start of SPS", "7c 87 42", Payload{SPS: true}},
	{"FU-A, middle of IDR", "7c 05 88", Payload{}},
	{"FU-A, start of slice", "7c 81 88", Payload{}},
	{"FU-A cut", "7c", Payload{}},
	{"broken SPS", "67 42", Payload{SPS: true}},
	{"empty", "", Payload{}},
}

func payloadBytes(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParsePayload(t *testing.T) {
	for _, c := range payloadCases {
		if got := ParsePayload(payloadBytes(t, c.raw)); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	for _, c := range payloadCases {
		f.Add(payloadBytes(f, c.raw))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := ParsePayload(b); p.Width != 0 && !p.SPS {
			t.Errorf("got %+v: a size without parameter set", p)
		}
	})
}
