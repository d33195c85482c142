package ticket

import (
	"strings"
	"testing"
	"time"
)

var sessionCases = []struct {
	name  string
	token Token
}{
	{"plain", Token{}},
	{"viewer", Token{ViewerID: "bob", Version: 1<<62 + 5}},
	{"viewer of a version below zero", Token{ViewerID: "bob", Version: -1}},
	{"origins", Token{Origins: "https://a.example,https://b.example", Strict: true, MaxResolution: SD}},
	{"all", Token{ViewerID: strings.Repeat("ü", 40), Version: 7, Origins: "https://a.example", MaxResolution: FullHD}},
	{"long", Token{Origins: Origins(strings.Repeat("a", MaxToken))}},
}

func TestSession(t *testing.T) {
	sealer := NewSealer()
	for _, c := range sessionCases {
		want := NewSession(c.token, now)
		text := sealer.Seal("channel", "run", want)
		got, ok := sealer.Open("channel", "run", text, now)
		if !ok {
			t.Errorf("%s: its own session was not taken", c.name)
			continue
		}
		want.Name, want.Began = got.Name, got.Began
		if got != want || !got.Began.Equal(now) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, want)
		}
		if got.HasViewer && got.Viewer != ViewerOf(c.token.ViewerID) {
			t.Errorf("%s: got another viewer", c.name)
		}
	}
	a, _ := sealer.Open("channel", "run", sealer.Seal("channel", "run", Session{Began: now}), now)
	b, _ := sealer.Open("channel", "run", sealer.Seal("channel", "run", Session{Began: now}), now)
	if a.Name == b.Name || a.Name == "" {
		t.Errorf("two sessions have the names %q and %q, want two", a.Name, b.Name)
	}
}

func TestSessionRefuses(t *testing.T) {
	sealer := NewSealer()
	text := sealer.Seal("channel", "run", NewSession(Token{ViewerID: "bob", Origins: "https://a.example"}, now))
	for _, c := range []struct {
		name               string
		sealer             *Sealer
		channel, run, text string
		now                time.Time
	}{
		{"another key", NewSealer(), "channel", "run", text, now},
		{"another channel", sealer, "channe1", "run", text, now},
		{"another run", sealer, "channel", "ruin", text, now},
		{"border moved", sealer, "channelr", "un", text, now},
		{"too old", sealer, "channel", "run", text, now.Add(SessionLife)},
		{"empty", sealer, "channel", "run", "", now},
		{"cut", sealer, "channel", "run", text[:len(text)-4], now},
		{"longer", sealer, "channel", "run", text + "AAAA", now},
		{"huge", sealer, "channel", "run", strings.Repeat("A", 1<<20), now},
		{"not base64", sealer, "channel", "run", strings.Repeat("!", 80), now},
		{"line ends", sealer, "channel", "run", text[:8] + "\n" + text[8:], now},
		{"shortest zeros", sealer, "channel", "run", strings.Repeat("A", minimumText), now},
	} {
		if _, ok := c.sealer.Open(c.channel, c.run, c.text, c.now); ok {
			t.Errorf("%s: was taken", c.name)
		}
	}
	// Every character counts, and none has two spellings.
	for i := range text {
		for _, other := range []byte("Ab-9") {
			if forged := text[:i] + string(other) + text[i+1:]; forged != text {
				if _, ok := sealer.Open("channel", "run", forged, now); ok {
					t.Errorf("taken with %q instead of %q at %d", other, text[i], i)
				}
			}
		}
	}
	if _, ok := sealer.Open("channel", "run", text, now.Add(SessionLife-time.Second)); !ok {
		t.Error("it was not taken in its last second")
	}
}

func TestOpenDoesNotAllocate(t *testing.T) {
	sealer := NewSealer()
	text := sealer.Seal("channel", "run", NewSession(Token{ViewerID: "bob"}, now))
	x := sealer.newSeal() // not from the pool, which the race detector empties at random
	n := testing.AllocsPerRun(1000, func() {
		if _, ok := x.open("channel", "run", text, now); !ok {
			t.Fatal("not taken")
		}
	})
	if n != 0 {
		t.Errorf("Open allocates %v times, want 0", n)
	}
}

func BenchmarkOpen(b *testing.B) {
	sealer := NewSealer()
	text := sealer.Seal("channel", "run", NewSession(Token{ViewerID: "bob"}, now))
	b.ReportAllocs()
	for b.Loop() {
		sealer.Open("channel", "run", text, now)
	}
}

// FuzzSession seals whatever a token may say and opens it again, whole and with
// something else in its place.
func FuzzSession(f *testing.F) {
	for i, c := range sessionCases {
		f.Add(c.token.ViewerID, c.token.Version, string(c.token.Origins), c.token.Strict, byte(c.token.MaxResolution), i*7, "Ab")
	}
	f.Fuzz(func(t *testing.T, viewer string, version int64, origins string, strict bool, resolution byte, at int, other string) {
		sealer := NewSealer()
		want := NewSession(Token{
			ViewerID: viewer, Version: version, Origins: Origins(origins), Strict: strict, MaxResolution: Resolution(resolution % byte(len(resolutions))),
		}, now)
		text := sealer.Seal("channel", "run", want)
		got, ok := sealer.Open("channel", "run", text, now)
		if !ok {
			if len(text) <= maxSession {
				t.Errorf("%+v was not taken", want)
			}
			return
		}
		want.Name, want.Began = got.Name, got.Began
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		at = min(max(at, 0), len(text))
		for _, forged := range []string{text[:at] + other + text[min(at+len(other), len(text)):], text[:at] + other + text[at:], text[:at], other} {
			if forged == text {
				continue
			}
			if _, ok := sealer.Open("channel", "run", forged, now); ok {
				t.Errorf("%q was taken, it is none: %q is", forged, text)
			}
		}
	})
}
