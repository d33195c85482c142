package rtc

import "time"

// ntpEpoch is 1 January 1900 in seconds before 1970 (RFC 5905, section 6).
const ntpEpoch = 2208988800

// toNTP returns a time as NTP seconds and fraction.
func toNTP(t time.Time) uint64 {
	seconds := uint64(t.Unix() + ntpEpoch)
	fraction := uint64(t.Nanosecond()) << 32 / uint64(time.Second)
	return seconds<<32 | fraction
}

// fromNTP turns NTP seconds and fraction into a time. Its 32 bits of seconds
// end in 2036 and start again; those from before 1970 are taken as after.
func fromNTP(n uint64) time.Time {
	seconds := int64(n >> 32)
	if seconds < ntpEpoch {
		seconds += 1 << 32
	}
	nanos := int64((n & 0xffffffff) * uint64(time.Second) >> 32)
	return time.Unix(seconds-ntpEpoch, nanos)
}
