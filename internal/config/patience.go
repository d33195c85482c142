package config

import "time"

// A Patience is a Duration, or "never": the time does not come.
type Patience struct{ Duration }

// never is what "never" is kept as.
const never = -1

// UnmarshalText parses the duration.
func (p *Patience) UnmarshalText(b []byte) error {
	if string(b) == "never" {
		p.Duration.Duration = never
		return nil
	}
	return p.Duration.UnmarshalText(b)
}

// String writes it as it is read.
func (p Patience) String() string {
	if p.Duration.Duration == never {
		return "never"
	}
	return p.Duration.String()
}

func (p Patience) tooShort() bool {
	return p.Duration.Duration != never && p.Duration.Duration < time.Second
}
