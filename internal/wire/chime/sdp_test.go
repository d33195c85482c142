package chime

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
)

// offer returns text as repetitive as an SDP offer of n sections is.
func offer(n int) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")
	for i := range n {
		b.WriteString("m=video 9 UDP/TLS/RTP/SAVPF 96 97 102\r\na=mid:" + string(rune('a'+i)) + "\r\na=rtpmap:96 VP8/90000\r\na=recvonly\r\n")
	}
	return b.String()
}

func TestSDPCompression(t *testing.T) {
	long := strings.Repeat("x", maxDictionary) + "beyond"
	for _, c := range []struct{ name, sdp, previous string }{
		{"first", offer(2), ""},
		{"again", offer(3), offer(2)},
		{"after a very long one", offer(3), long},
		{"the same again", offer(25), offer(25)},
		{"empty", "", ""},
		{"empty after another", "", offer(1)},
		{"not Latin", "s=Glöckchen ☃\r\n", "s=Glöckchen\r\n"},
	} {
		compressed := CompressSDP(c.sdp, c.previous)
		got, err := InflateSDP(compressed, c.previous, len(c.sdp))
		if err != nil || got != c.sdp {
			t.Errorf("%s: got %q, %v, want what went in", c.name, got, err)
		}
		if again := CompressSDP(c.sdp, c.previous); !bytes.Equal(again, compressed) {
			t.Errorf("%s, once more: got %x, want %x", c.name, again, compressed)
		}
		if most := len(c.sdp)*3/4 + 32; len(compressed) > most {
			t.Errorf("%s: got %d bytes from %d, want at most %d", c.name, len(compressed), len(c.sdp), most)
		}
	}
	if a, b := CompressSDP(offer(3), ""), CompressSDP(offer(3), offer(2)); len(b)*2 > len(a) {
		t.Errorf("with a dictionary: got %d bytes, want less than half of %d", len(b), len(a))
	}
}

// What another implementation of RFC 1951 wrote: zlib, raw, level 6.
func TestInflateOfAnother(t *testing.T) {
	const first = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=mid:0\r\n"
	for _, c := range []struct{ name, raw, previous, want string }{
		{
			"without a dictionary",
			"2bb335e0e5cab7d55530543052f0f453f00c3051303432d7330042435eae625b5d5eae125b0305a0aa5cdbc4d294cc7c054b85509700fd109f60fda09000fd60c7b00037054343a0e244dbdccc142b03240600",
			"", first,
		},
		{"with one", "2ba3a9e989b6c5a9792945a9c965bc5c00", first, first + "a=sendrecv\r\n"},
	} {
		raw, err := hex.DecodeString(c.raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := InflateSDP(raw, c.previous, 1000); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestInflateBombs(t *testing.T) {
	var bomb bytes.Buffer
	w, err := flate.NewWriter(&bomb, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	w.Close()
	const limit = 512 << 10
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := InflateSDP(bomb.Bytes(), "", limit); !errors.Is(err, ErrInflated) {
			t.Errorf("64 MiB from %d bytes: got %v, want %v", bomb.Len(), err, ErrInflated)
		}
	})
	if allocated > 200 {
		t.Errorf("got %v allocations, want a few", allocated)
	}
	whole := CompressSDP(offer(4), "")
	for _, c := range []struct {
		name string
		b    []byte
	}{{"nothing", nil}, {"cut off", whole[:len(whole)/2]}, {"rubbish", []byte{0xff, 0xff, 0xff}}} {
		if got, err := InflateSDP(c.b, "", limit); err == nil || got != "" {
			t.Errorf("%s: got %q, want an error", c.name, got)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func FuzzInflateSDP(f *testing.F) {
	f.Add([]byte{}, "")
	f.Add(CompressSDP(offer(2), ""), "")
	f.Add(CompressSDP(offer(2), offer(1)), offer(1))
	f.Add([]byte{1, 0, 0, 0xff, 0xff}, "x")
	f.Fuzz(func(t *testing.T, b []byte, previous string) {
		const limit = 10000
		got, err := InflateSDP(b, previous, limit)
		if len(got) > limit || (err != nil && got != "") {
			t.Fatalf("got %d bytes and %v, want at most %d, or an error", len(got), err, limit)
		}
		if err == nil {
			again, err := InflateSDP(CompressSDP(got, previous), previous, limit)
			if err != nil || again != got {
				t.Errorf("written and read again: got %q, %v, want %q", again, err, got)
			}
		}
	})
}
