package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Headers of a post, those of Standard Webhooks.
const (
	IDHeader        = "Webhook-Id"        // the event's id, the same in every try
	TimestampHeader = "Webhook-Timestamp" // of the try, seconds since 1970
	SignatureHeader = "Webhook-Signature" // what Sign returns
)

// secretPrefix begins a secret that is the base64 of the key.
const secretPrefix = "whsec_"

const minKey = 16 // bytes

// parseSecret returns the key that the secret stands for: the base64 after
// whsec_, or the text itself.
func parseSecret(secret string) ([]byte, error) {
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("its secret is not base64 after " + secretPrefix)
		}
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("its secret has %d bytes, want %d or more", len(key), minKey)
	}
	return key, nil
}

// Sign returns the signature of a post: "v1," and the base64 of the
// HMAC-SHA256, under the key, of the post's id, its timestamp and its body,
// with dots between.
//
// Source: Standard Webhooks, "Signature scheme".
func Sign(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
