package turn

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Realm is the realm of all credentials (RFC 8489, section 9.2).
const Realm = "belfry"

// CredentialLife is how long a credential makes allocations. It is the
// longest that a meeting lives unless told otherwise: a browser that changes
// networks asks for new allocations with the credentials of its join. What was
// allocated in time may be refreshed after it.
const CredentialLife = 24 * time.Hour

const maxUsername = 256 // bytes; an attendee id has 36

// A Secret makes the credentials of all attendees. It cannot be printed.
type Secret struct{ value []byte }

// NewSecret returns the secret made of the bytes.
func NewSecret(b []byte) Secret { return Secret{b} }

// String keeps the secret out of logs.
func (Secret) String() string { return "(turn secret)" }

// GoString keeps the secret out of logs.
func (Secret) GoString() string { return "(turn secret)" }

// password is that of the username. Only we can tell it, so nothing needs to
// be remembered about credentials that were given out.
func (s Secret) password(username string) string {
	mac := hmac.New(sha256.New, s.value)
	mac.Write([]byte(username))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// key is that of the long-term credential mechanism (RFC 8489, section
// 9.2.2); browsers know no other algorithm than MD5.
func (s Secret) key(username string) []byte {
	k := md5.Sum([]byte(username + ":" + Realm + ":" + s.password(username)))
	return k[:]
}

// Credentials returns what the attendee authenticates with, and for how long
// it makes allocations.
func (s *Server) Credentials(attendee string, now time.Time) (username, password string, ttl time.Duration) {
	username = strconv.FormatInt(now.Add(CredentialLife).Unix(), 10) + ":" + attendee
	return username, s.cfg.Secret.password(username), CredentialLife
}

// parseUsername returns whose the username is and when it expires.
func parseUsername(username string) (attendee string, expires time.Time, ok bool) {
	if len(username) > maxUsername {
		return "", time.Time{}, false
	}
	seconds, attendee, ok := strings.Cut(username, ":")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || err != nil || attendee == "" {
		return "", time.Time{}, false
	}
	return attendee, time.Unix(n, 0), true
}
