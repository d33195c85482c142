package store

import (
	"fmt"
	"strings"
)

// maxKey is the longest key, in characters.
const maxKey = 256

// Check says what is wrong with a record's key or value, for Tables to ask
// before they write.
func Check(key string, value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("value of %s has %d bytes, the most is %d", key, len(value), MaxValue)
	}
	return CheckKey(key)
}

// CheckKey says what is wrong with a key.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("key has %d characters, want 1 to %d", len(key), maxKey)
	}
	if key[0] == '.' || key[len(key)-1] == '.' || strings.Contains(key, "..") {
		return fmt.Errorf("key %q has an empty part", key)
	}
	for _, c := range []byte(key) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("_=/.-", c) >= 0:
		default:
			return fmt.Errorf("key %q has the character %q, want letters, digits and _=/.-", key, c)
		}
	}
	return nil
}
