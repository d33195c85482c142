package ticket

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// maxMaterial is the longest PEM text that is looked at, in bytes. A P-384 key
// needs about 215.
const maxMaterial = 4096

// A PublicKey is the public half of a playback key pair, on the curve P-384.
// The zero value is none.
type PublicKey struct {
	key *ecdsa.PublicKey
	der string // SubjectPublicKeyInfo
}

// ParsePublicKey reads the PEM text of a SubjectPublicKeyInfo (RFC 7468,
// section 13) with an EC key on P-384. The error says what else it found, and
// nothing of the text.
func ParsePublicKey(text string) (PublicKey, error) {
	if len(text) > maxMaterial {
		return PublicKey{}, fmt.Errorf("it has %d bytes, limit %d", len(text), maxMaterial)
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return PublicKey{}, errors.New("it is no PEM text with a block PUBLIC KEY")
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return PublicKey{}, fmt.Errorf("it is a private key (PEM block %q), which must stay with its owner: give the public half", block.Type)
	case block.Type != "PUBLIC KEY":
		return PublicKey{}, fmt.Errorf("it is a PEM block %q, want PUBLIC KEY", block.Type)
	case strings.TrimSpace(string(rest)) != "":
		return PublicKey{}, errors.New("something follows the PEM block")
	}
	return parseDER(block.Bytes)
}

func parseDER(der []byte) (PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, errors.New("it holds no public key that can be read, want an EC key on P-384")
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() {
		return PublicKey{}, fmt.Errorf("it is %s, want an EC key on P-384", kind(parsed))
	}
	// Written anew, so that one key has one form.
	if der, err = x509.MarshalPKIXPublicKey(key); err != nil {
		return PublicKey{}, fmt.Errorf("it cannot be written: %w", err)
	}
	return PublicKey{key, string(der)}, nil
}

// kind says for people what sort of key it is.
func kind(key any) string {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return "an EC key on " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("an RSA key of %d bits", key.N.BitLen())
	case ed25519.PublicKey:
		return "an Ed25519 key"
	}
	return fmt.Sprintf("a key of another sort (%T)", key)
}

// Equal tells whether both are the same key.
func (k PublicKey) Equal(other PublicKey) bool { return k.der == other.der }

// Fingerprint returns 16 pairs of hex digits, joined by colons: the MD5 sum of
// the key's DER form. It tells keys apart for people and protects nothing.
func (k PublicKey) Fingerprint() string {
	sum := md5.Sum([]byte(k.der))
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(pairs, ":")
}

// MarshalText returns the key for the store.
func (k PublicKey) MarshalText() ([]byte, error) {
	return []byte(base64.StdEncoding.EncodeToString([]byte(k.der))), nil
}

// UnmarshalText takes the key from the store.
func (k *PublicKey) UnmarshalText(text []byte) error {
	der, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("read a playback key: %w", err)
	}
	if *k, err = parseDER(der); err != nil {
		return fmt.Errorf("read a playback key: %w", err)
	}
	return nil
}
