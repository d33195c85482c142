package channel

import (
	"fmt"
	"time"
)

// ExpiryTag is the tag whose value ends a stream key: a time as in RFC 3339.
const ExpiryTag = "belfry:expires"

// CheckKeyTags says what is wrong with a stream key's tags.
func CheckKeyTags(tags map[string]string) error {
	text, ok := tags[ExpiryTag]
	if !ok {
		return nil
	}
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return fmt.Errorf("the tag %s must be a time like 2006-01-02T15:04:05Z: %q", ExpiryTag, text)
	}
	return nil
}

// Expired says whether nobody can publish with the key any more.
func (k StreamKey) Expired(now time.Time) bool {
	text, ok := k.Tags[ExpiryTag]
	if !ok {
		return false
	}
	end, err := time.Parse(time.RFC3339, text)
	return err != nil || !now.Before(end)
}
