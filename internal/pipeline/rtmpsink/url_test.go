package rtmpsink

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		url               string
		tls               bool
		address, app, key string
		tcURL             string
	}{
		{"rtmp://localhost/app/sk_1", false, "localhost:1935", "app", "sk_1", "rtmp://localhost/app"},
		{"rtmps://ingest.example.net:443/app/sk_us-east-1_a", true, "ingest.example.net:443", "app", "sk_us-east-1_a", "rtmps://ingest.example.net/app"},
		{"rtmps://a.rtmps.youtube.com/live2/aaaa-bbbb", true, "a.rtmps.youtube.com:443", "live2", "aaaa-bbbb", "rtmps://a.rtmps.youtube.com/live2"},
		{"RTMP://h:19350/a/b/c/key?x=1&y=/2", false, "h:19350", "a/b/c", "key?x=1&y=/2", "rtmp://h:19350/a/b/c"},
		{"rtmps://[2001:db8::1]/app/k%20k", true, "[2001:db8::1]:443", "app", "k%20k", "rtmps://[2001:db8::1]/app"},
		{"rtmp://127.0.0.1:443/app/k", false, "127.0.0.1:443", "app", "k", "rtmp://127.0.0.1:443/app"},
	} {
		u, err := ParseURL(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if u.TLS != c.tls || u.Address() != c.address || u.App != c.app || u.key != c.key || u.tcURL() != c.tcURL {
			t.Errorf("%s: got %v %s %s %s %s, want %v %s %s %s %s", c.url,
				u.TLS, u.Address(), u.App, u.key, u.tcURL(), c.tls, c.address, c.app, c.key, c.tcURL)
		}
	}
}

func TestParseURLErrors(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"http://h/app/SECRETKEY", "neither rtmp:// nor rtmps://"},
		{"SECRETKEY", "neither"},
		{"rtmp://h/SECRETKEY", "no application"},
		{"rtmp://h//SECRETKEY", "empty application"},
		{"rtmp://h/SECRETKEY/", "empty application or stream key"},
		{"rtmp://h", "no application"},
		{"rtmp:///app/SECRETKEY", "no valid host"},
		{"rtmp://h:0/app/SECRETKEY", `port "0"`},
		{"rtmp://h:70000/app/SECRETKEY", `port "70000"`},
		{"rtmp://h:x/app/SECRETKEY", "no valid host"},
		{"rtmp://u:SECRETKEY@h/app/k", "user name"},
		{"rtmp://h?SECRETKEY", "query before its path"},
		{"rtmp://h/app/SECRET KEY", "space"},
		{"rtmp://h/app/SECRETKEY\r\n", "control character"},
		{"rtmp://h/app/SECRETKEY" + strings.Repeat("x", MaxURL), "limit 1024"},
	} {
		u, err := ParseURL(c.url)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, error %v, want an error with %q", c.url, u, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%.40q: error %q holds the key", c.url, err)
		}
	}
}

func TestURLHidesItsKey(t *testing.T) {
	u, err := ParseURL("rtmps://h/app/SECRETKEY?token=SECRETTOKEN")
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{u, &u, Config{URL: u}, []URL{u}} {
			if s := fmt.Sprintf(form, v); strings.Contains(s, "SECRET") {
				t.Errorf("%s of %T: got %s, want no key", form, v, s)
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "sink", u)
	if want := `"sink":"rtmps://h/app/(stream key)"`; !strings.Contains(log.String(), want) {
		t.Errorf("log in JSON: got %s, want %s", &log, want)
	}
	for _, said := range []string{
		"stream SECRETKEY?token=SECRETTOKEN is taken",
		"SECRETKEY", "bad SECRETTOKEN", "app/SECRETKEY", "SECRETKEY" + strings.Repeat("é", 500),
	} {
		got := u.cover(said)
		if strings.Contains(got, "SECRET") || !strings.Contains(got, "(stream key)") || len(got) > maxSaid+3 {
			t.Errorf("cover(%q): got %q", said, got)
		}
	}
	if got := u.cover("line\nbreak\x1b"); got != "line?break?" {
		t.Errorf("cover of control characters: got %q", got)
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("rtmp://localhost/app/sk_1")
	f.Add("rtmps://[::1]:443/a/b/c?d=e")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			return
		}
		if u.Host == "" || u.Port == "" || u.App == "" || u.key == "" {
			t.Errorf("%q: got %#v with key %q", s, u, u.key)
		}
		u.cover(s)
	})
}
