package meeting

import (
	"errors"
	"fmt"
	"time"
)

// Tags by which a meeting has times of its own: a duration as Go writes one,
// or "never". Without them it has those of Config.
const (
	TagEmptyTimeout = "belfry:EmptyTimeout"
	TagMaxAge       = "belfry:MaxAge"
)

// What these tags may say.
const (
	minTime = 10 * time.Second
	maxTime = 8760 * time.Hour
	never   = "never"
)

// ErrTag says that a tag which means something here cannot be understood.
var ErrTag = errors.New("invalid tag")

// times are after how long a meeting ends; 0: as Config says, negative: never.
type times struct{ empty, age time.Duration }

// timesOf returns what a meeting's tags say, or ErrTag.
func timesOf(tags map[string]string) (t times, err error) {
	for key, into := range map[string]*time.Duration{TagEmptyTimeout: &t.empty, TagMaxAge: &t.age} {
		value, there := tags[key]
		switch {
		case !there:
		case value == never:
			*into = -1
		default:
			*into, err = time.ParseDuration(value)
			if err != nil || *into < minTime || *into > maxTime {
				return times{}, fmt.Errorf("%w %s: must be a duration from %v to %v, such as 30m, or %q: %q",
					ErrTag, key, minTime, maxTime, never, value)
			}
		}
	}
	return t, nil
}

// over says whether time is up for a meeting that began and is empty since
// then (zero: it is not).
func (t times) over(now, began, emptySince time.Time) bool {
	old := t.age > 0 && now.Sub(began) >= t.age
	empty := t.empty > 0 && !emptySince.IsZero() && now.Sub(emptySince) >= t.empty
	return old || empty
}
