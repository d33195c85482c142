package sfu

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// sps is 640x360, constrained baseline, level 3.1.
const sps = "6742e01fda0280bfe5c0440000030004000003 00f03c60ca80"

var payloadCases = []struct {
	name  string
	codec Codec
	raw   string // hex
	want  payloadInfo
}{
	{"VP8 key frame, 15-bit picture id, TL0PICIDX, TID", VP8, "90f0 8123 07 20 10 0200 9d012a 8002 6801 aa", payloadInfo{
		keyStart: true, width: 640, height: 360, pictureIDAt: 2, wide: true, pictureID: 0x123, tl0At: 4, tl0: 7,
	}},
	{"VP8 key frame, 7-bit picture id", VP8, "9080 45 10 0200 9d012a 8002 6801", payloadInfo{
		keyStart: true, width: 640, height: 360, pictureIDAt: 2, pictureID: 0x45,
	}},
	{"VP8 key frame without extensions, scaled", VP8, "10 10 0200 9d012a 8042 68c1", payloadInfo{keyStart: true, width: 640, height: 360}},
	{"VP8 key frame cut after its first byte", VP8, "10 10", payloadInfo{keyStart: true}},
	{"VP8 delta frame", VP8, "9080 8001 11 0200", payloadInfo{pictureIDAt: 2, wide: true, pictureID: 1}},
	{"VP8 key frame, later packet", VP8, "8080 8001 10 0200", payloadInfo{pictureIDAt: 2, wide: true, pictureID: 1}},
	{"VP8 second partition", VP8, "91 80 05 10 0200", payloadInfo{pictureIDAt: 2, pictureID: 5}},
	{"VP8 cut in the picture id", VP8, "90 80 81", payloadInfo{}},
	{"VP8 cut before the picture id", VP8, "90 80", payloadInfo{}},
	{"VP8 cut before the extensions", VP8, "90", payloadInfo{}},
	{"VP8 cut before TL0PICIDX", VP8, "90 c0 05", payloadInfo{}},
	{"VP8 empty", VP8, "", payloadInfo{}},

	{"H.264 SPS", H264, sps, payloadInfo{keyStart: true, width: 640, height: 360}},
	{"H.264 IDR slice", H264, "6588", payloadInfo{idrStart: true}},
	{"H.264 slice", H264, "4188", payloadInfo{}},
	{"H.264 STAP-A of SPS and PPS", H264, "78 0019" + sps + "0004 68ce3880", payloadInfo{keyStart: true, width: 640, height: 360}},
	{"H.264 STAP-A of PPS and IDR", H264, "78 0004 68ce3880 0002 6588", payloadInfo{idrStart: true}},
	{"H.264 STAP-A longer than the packet", H264, "78 ffff 67", payloadInfo{}},
	{"H.264 STAP-A with an empty unit", H264, "78 0000 0002 6588", payloadInfo{}},
	{"H.264 FU-A start of IDR", H264, "7c 85 88", payloadInfo{idrStart: true}},
	{"H.264 FU-A middle of IDR", H264, "7c 05 88", payloadInfo{}},
	{"H.264 FU-A start of slice", H264, "7c 81 88", payloadInfo{}},
	{"H.264 FU-A cut", H264, "7c", payloadInfo{}},
	{"H.264 broken SPS", H264, "67 42", payloadInfo{keyStart: true}},
	{"H.264 empty", H264, "", payloadInfo{}},
	{"no codec", NoCodec, "9080", payloadInfo{}},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParsePayload(t *testing.T) {
	for _, c := range payloadCases {
		t.Run(c.name, func(t *testing.T) {
			if got := parsePayload(c.codec, unhex(t, c.raw)); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// Whatever a stranger sends, parsing and rewriting stay inside the payload,
// and what was rewritten reads back.
func FuzzPayload(f *testing.F) {
	for _, c := range payloadCases {
		f.Add(uint8(c.codec), unhex(f, c.raw), uint16(0x7123), uint8(9))
	}
	f.Fuzz(func(t *testing.T, codec uint8, b []byte, id uint16, tl0 uint8) {
		info := parsePayload(Codec(codec), b)
		if Codec(codec) != VP8 {
			return
		}
		id &= 0x7fff
		c := bytes.Clone(b)
		info.rewriteVP8(c, id, tl0)
		again := parseVP8(c)
		want := info
		if info.pictureIDAt != 0 {
			want.pictureID = id
			if !info.wide {
				want.pictureID &= 0x7f
			}
		}
		if info.tl0At != 0 {
			want.tl0 = tl0
		}
		if again != want {
			t.Errorf("rewritten: got %+v, want %+v", again, want)
		}
	})
}
