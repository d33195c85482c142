package turn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	nonceLife = time.Hour // RFC 8656, section 5
	nonceTime = 8         // bytes of it are the second it was made
	nonceSize = nonceTime + 12
)

// nonces makes and knows nonces without remembering any: each carries the
// time it was made and a proof that we made it for the client's address.
type nonces struct{ key []byte }

func newNonces() nonces {
	n := nonces{key: make([]byte, sha256.Size)}
	_, _ = rand.Read(n.key) // never fails
	return n
}

func (n nonces) make(client netip.Addr, now time.Time) string {
	raw := make([]byte, nonceTime, sha256.Size+nonceTime)
	binary.BigEndian.PutUint64(raw, uint64(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(n.prove(raw, client)[:nonceSize])
}

// prove appends the proof to the time in raw.
func (n nonces) prove(raw []byte, client netip.Addr) []byte {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(raw)
	ip := client.As16()
	mac.Write(ip[:])
	return mac.Sum(raw)
}

func (n nonces) good(nonce string, client netip.Addr, now time.Time) bool {
	raw, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(raw) != nonceSize {
		return false
	}
	want := n.prove(raw[:nonceTime:nonceTime], client)[:nonceSize]
	age := now.Sub(time.Unix(int64(binary.BigEndian.Uint64(raw)), 0))
	return hmac.Equal(raw, want) && age < nonceLife
}
