// Package access says who may call the APIs, and what each may do. In come the
// file of access keys in the data folder and what `belfry keys` wants changed
// in it; out come the key of an id, and whether its policy allows an action on
// a resource. Checking a signature is left to package sigv4, refusing a caller
// in AWS's words to package api.
package access

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Limits of keys and what belongs to them.
const (
	MaxKeys = 5000
	MaxName = 64 // characters, as of an IAM user's name
	MinTTL  = time.Minute
	MaxTTL  = 366 * 24 * time.Hour

	// keepExpired is how long the id of an expired key is remembered, to be
	// answered with that.
	keepExpired = 7 * 24 * time.Hour
)

// Errors of Create and Revoke.
var (
	ErrNotFound = errors.New("no such access key")
	ErrLast     = errors.New("the last key that may do everything in the server's own account cannot be revoked: the site and belfry env need it")
	ErrFull     = errors.New("too many access keys")
)

// A Spec is what a new key is to be like.
type Spec struct {
	Account string        // 12 digits; "" is the server's own
	Name    string        // up to MaxName of letters, digits and +=,.@_-
	Policy  Policy        // the zero value allows everything
	TTL     time.Duration // MinTTL to MaxTTL makes a temporary key; 0: one for good
}

// Create makes a key and writes it into the file, from where a running server
// takes it within a second. If there is no file yet the owner's key is made
// along with it.
func Create(path string, s Spec, now time.Time) (Key, error) {
	k, err := s.key(now)
	if err != nil {
		return Key{}, err
	}
	return k, change(path, now, func(keys []Key) ([]Key, error) {
		keys = slices.DeleteFunc(keys, func(k Key) bool { return k.Expired(now.Add(-keepExpired)) })
		if len(keys) >= MaxKeys {
			return nil, fmt.Errorf("%w: there are %d, at most %d can be", ErrFull, len(keys), MaxKeys)
		}
		return append(keys, k), nil
	})
}

// key makes a key after the spec.
func (s Spec) key(now time.Time) (Key, error) {
	if err := checkAccount(s.Account); err != nil {
		return Key{}, err
	}
	if err := checkName(s.Name); err != nil {
		return Key{}, err
	}
	k := Key{
		ID: "AKIA" + random(16, upper), Secret: NewSecret(random(40, letters)),
		Account: s.Account, Name: s.Name, Created: now.UTC().Truncate(time.Second), Policy: s.Policy,
	}
	if s.TTL != 0 {
		if s.TTL < MinTTL || s.TTL > MaxTTL {
			return Key{}, fmt.Errorf("a temporary key must live from %v to %v: %v", MinTTL, MaxTTL, s.TTL)
		}
		k.ID, k.SessionToken = "ASIA"+random(16, upper), NewSecret(random(64, letters))
		k.Expires = k.Created.Add(s.TTL)
	}
	return k, nil
}

// List returns the keys of the file, the owner's first.
func List(path string) ([]Key, error) { return read(path) }

// Owner returns the first of the keys that may do everything in the server's
// own account for good.
func Owner(keys []Key) (Key, bool) {
	i := slices.IndexFunc(keys, Key.Owner)
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// Revoke takes the key out of the file; a running server refuses it within a
// second. Errors are ErrNotFound and ErrLast.
func Revoke(path, id string, now time.Time) error {
	return change(path, now, func(keys []Key) ([]Key, error) {
		i := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("%w: %.128q", ErrNotFound, id)
		}
		keys = slices.Delete(keys, i, i+1)
		if _, ok := Owner(keys); !ok {
			return nil, fmt.Errorf("%w: %s", ErrLast, id)
		}
		return keys, nil
	})
}

// change rewrites the file while no other process does.
func change(path string, now time.Time, f func([]Key) ([]Key, error)) error {
	unlock, err := lock(path)
	if err != nil {
		return err
	}
	defer unlock()
	keys, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		keys, err = first(now)
	}
	if err != nil {
		return err
	}
	if keys, err = f(keys); err != nil {
		return err
	}
	return write(path, keys)
}

// first is what the file begins with: the owner's key.
func first(now time.Time) ([]Key, error) {
	k, err := Spec{}.key(now)
	return []Key{k}, err
}

func checkAccount(account string) error {
	if account != "" && (len(account) != 12 || !all(account, isDigit)) {
		return fmt.Errorf("an account must be 12 digits: %.64q", account)
	}
	return nil
}

func checkName(name string) error {
	if len(name) > MaxName || !all(name, isLetter, isDigit, is("+=,.@_-")) {
		return fmt.Errorf("a key's name must have at most %d of letters, digits and +=,.@_-: %.100q", MaxName, name)
	}
	return nil
}
