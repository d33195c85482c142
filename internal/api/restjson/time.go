package restjson

import "time"

// A Time is written as AWS writes one in a body: ISO 8601 in UTC with
// milliseconds, 2026-03-04T05:06:07.089Z.
type Time time.Time

// MarshalJSON writes the time.
func (t Time) MarshalJSON() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}
