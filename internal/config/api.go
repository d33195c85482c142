package config

import "regexp"

// API says how the AWS-shaped APIs are reached, and how often.
type API struct {
	BasePath     string `toml:"base_path"`
	TrustProxy   bool   `toml:"trust_proxy"`
	IgnoreRegion bool   `toml:"ignore_region"`
	Throttling   string `toml:"throttling"`
}

// basePath is what nobody escapes, so that all sign it alike.
var basePath = regexp.MustCompile(`^(/?[A-Za-z0-9._-]+)*/?$`)

func (a API) check(say func(setting, format string, args ...any), oneOf func(setting, value string, allowed ...string)) {
	if !basePath.MatchString(a.BasePath) {
		say("api.base_path", "%q is no path, want letters, digits and ._- between slashes", a.BasePath)
	}
	oneOf("api.throttling", a.Throttling, "generous", "aws", "off")
}
