package ticket

import (
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	for _, c := range []struct {
		list, origin string
		want         bool
	}{
		{"", "", true},
		{"", "https://example.com", true},
		{"*", "https://example.com", true},
		{"*", "null", true},
		{"*", "", false},
		{"https://example.com", "https://example.com", true},
		{"https://example.com", "HTTPS://Example.COM", true},
		{"https://Example.com/", "https://example.com", true},
		{"https://example.com:443", "https://example.com", true},
		{"https://example.com", "https://example.com:443", true},
		{"http://example.com:80", "http://example.com", true},
		{"https://example.com", "", false},
		{"https://example.com", "null", false},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://example.com:8443", false},
		{"https://example.com:8443", "https://example.com:8443", true},
		{"https://example.com", "https://example.com.evil.net", false},
		{"https://example.com", "https://www.example.com", false},
		{"https://*.example.com", "https://www.example.com", true},
		{"https://*.example.com", "https://a.b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"https://*.example.com", "https://evilexample.com", false},
		{"https://*.example.com", "http://www.example.com", false},
		{"https://*.example.com:8443", "https://www.example.com:8443", true},
		{"https://*.example.com:8443", "https://www.example.com", false},
		{"https://*", "https://anything.net", true},
		{"https://*", "http://anything.net", false},
		{"example.com", "http://example.com", true},
		{"example.com", "https://example.com", true},
		{"*.example.com", "https://www.example.com", true},
		{"null", "null", false},
		{"https://a.com, https://b.com,", "https://b.com", true},
		{"https://a.com, https://b.com", "https://c.com", false},
		{"http://localhost:3000", "http://localhost:3000", true},
		{"http://[::1]:3000", "http://[::1]:3000", true},
		{"capacitor://localhost", "capacitor://localhost", true},
	} {
		o, err := ParseOrigins(c.list)
		if err != nil {
			t.Errorf("%q: %v", c.list, err)
			continue
		}
		if got := o.Allow(c.origin); got != c.want {
			t.Errorf("%q allows %q: got %v, want %v", c.list, c.origin, got, c.want)
		}
	}
}

func TestOriginsRefuse(t *testing.T) {
	for _, c := range []struct{ origin, want string }{
		{"https://", "not of the form"},
		{"://example.com", "scheme"},
		{"ht tp://example.com", "scheme"},
		{"https://example.com/path", "not of the form"},
		{"https://user@example.com", "not of the form"},
		{"https://exa mple.com", "not of the form"},
		{"https://example.com:", "port"},
		{"https://example.com:x", "port"},
		{"https://example.com:123456", "port"},
		{"https://ex*mple.com", "a * stands for"},
		{"https://*.*.com", "a * stands for"},
		{"https://www.*", "a * stands for"},
		{"https://*:8443", "a * stands for"},
		{"https://[::1", "port"},
		{strings.Repeat("a", 257), "257 characters, limit 256"},
	} {
		if o, err := NewOrigins([]string{c.origin}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %q, %v, want an error with %q", c.origin, o, err, c.want)
		}
	}
	if _, err := NewOrigins([]string{strings.Repeat("a", 256)}); err != nil {
		t.Errorf("256 characters: %v", err)
	}
	if _, err := NewOrigins([]string{"a.com", ""}); err == nil {
		t.Error("an empty origin in a list was accepted")
	}
}

func TestAllowDoesNotAllocate(t *testing.T) {
	o := Origins("https://a.example,https://b.example,https://*.example.com")
	if n := testing.AllocsPerRun(100, func() { o.Allow("https://www.example.com") }); n != 0 {
		t.Errorf("Allow allocates %v times, want 0", n)
	}
}

func FuzzOrigins(f *testing.F) {
	for _, s := range []string{"https://example.com", "https://*.example.com:8443,*", "*.example.com", "https://[::1]:3000", "a,b", "://", "https://*"} {
		f.Add(s, "https://www.example.com")
	}
	f.Fuzz(func(t *testing.T, list, origin string) {
		o, err := ParseOrigins(list)
		if err != nil {
			return
		}
		again, err := ParseOrigins(string(o))
		if err != nil || again != o {
			t.Errorf("%q is read as %q, that as %q, %v", list, o, again, err)
		}
		if o.Allow(origin) != again.Allow(origin) {
			t.Errorf("%q and %q differ in %q", o, again, origin)
		}
	})
}
