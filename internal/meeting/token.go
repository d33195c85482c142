package meeting

import (
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"
)

// newJoinToken makes an attendee's token: the base64 of "<id>:<uuid>" without
// padding. Both are hexadecimal digits and hyphens, so the token holds letters
// and digits only and passes as the name of a WebSocket subprotocol.
func newJoinToken(id AttendeeID) Secret {
	return NewSecret(base64.RawStdEncoding.EncodeToString([]byte(string(id) + ":" + uuid.NewString())))
}

// attendeeOf returns whom the token claims to be of. Only matches says whether
// that is true.
func attendeeOf(token string) (AttendeeID, bool) {
	raw, err := base64.RawStdEncoding.DecodeString(token)
	if err != nil {
		return "", false
	}
	id, _, ok := strings.Cut(string(raw), ":")
	return AttendeeID(id), ok
}

// matches compares with what a stranger says, in constant time.
func (s Secret) matches(said string) bool {
	return subtle.ConstantTimeCompare([]byte(s.value), []byte(said)) == 1
}
