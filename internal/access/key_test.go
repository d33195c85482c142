package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Nothing that prints a key shows its secrets, however deep the key lies.
func TestSecretsAreNotPrinted(t *testing.T) {
	const secret, token = "the-secret-itself", "the-token-itself"
	k := Key{ID: "ASIAX", Secret: NewSecret(secret), SessionToken: NewSecret(token), Expires: time.Unix(1, 0)}
	book := &Book{keys: map[string]Key{"ASIAX": k}, owner: k}
	var out bytes.Buffer
	for _, v := range []any{
		k, &k, k.Secret, &k.Secret,
		[]Key{k},
		map[string]Key{"k": k},
		map[Secret]bool{k.Secret: true},
		book,
		struct{ hidden Key }{k},
		struct{ hidden *Key }{&k},
		struct{ hidden []any }{[]any{k.Secret}},
		fmt.Errorf("%v", k),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	for _, s := range []string{secret, token, fmt.Sprintf("%x", secret), fmt.Sprintf("%x", token)} {
		if i := strings.Index(out.String(), s); i >= 0 {
			t.Errorf("got %q printed: …%s", s, out.String()[max(0, i-60):i+len(s)])
		}
	}
	if !strings.Contains(out.String(), "(secret)") {
		t.Error("got no sign of a secret, want (secret)")
	}
}

func TestSecret(t *testing.T) {
	s := NewSecret("abc")
	if s.Reveal() != "abc" || !s.Equal("abc") || s.Equal("abd") || s.Equal("") || s.IsZero() {
		t.Errorf("got %q, want it to be abc and equal to that alone", s.Reveal())
	}
	var none Secret
	if none.Reveal() != "" || !none.Equal("") || none.Equal("abc") || !none.IsZero() || none.String() != "" || !NewSecret("").IsZero() {
		t.Error("got a zero secret that is something, want nothing")
	}
}
