package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// A Key lets its holder call the APIs.
type Key struct {
	ID           string // begins with AKIA, of a temporary key with ASIA
	Secret       Secret // signs requests
	SessionToken Secret // goes along with the requests of a temporary key; others have none
	Account      string // 12 digits, whose resources the key reaches; "" is the server's own
	Name         string // for people and in ARNs; may be "", need not be unique
	Created      time.Time
	Expires      time.Time // zero: never. Set if and only if there is a session token
	Policy       Policy    // what the key may do; the zero value allows everything
}

// Temporary says whether the key has a session token and an end.
func (k Key) Temporary() bool { return !k.Expires.IsZero() }

// Expired says whether the key's time is over.
func (k Key) Expired(now time.Time) bool { return k.Temporary() && !now.Before(k.Expires) }

// Owner says whether the key may do everything in the server's own account for
// good, as the site and the server's operator need it.
func (k Key) Owner() bool { return k.Account == "" && !k.Temporary() && k.Policy.IsZero() }

// User is the holder's name in ARNs: the key's name, or else its id.
func (k Key) User() string {
	if k.Name != "" {
		return k.Name
	}
	return k.ID
}

// A Secret is a text that does not get printed, whatever prints it. Its zero
// value is the empty text.
type Secret struct {
	// Behind a pointer, since fmt prints the strings in unexported fields of
	// others' structs without asking their type.
	text *string
}

// NewSecret returns the text as a Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the text; nothing else does.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero says whether the text is empty.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal compares the secret with a text, in a time that tells nothing about
// where they differ.
func (s Secret) Equal(text string) bool {
	own, other := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(own[:], other[:]) == 1
}

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "(secret)"
}

// GoString is what %#v prints.
func (s Secret) GoString() string { return s.String() }

// MarshalText is what JSON and slog print.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const (
	upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// random draws n characters from the alphabet, whose length divides 256.
func random(n int, alphabet string) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}
