package config_test

import (
	"strings"
	"testing"

	"belfry.live/belfry/internal/config"
)

func TestAPI(t *testing.T) {
	c, err := load(t, "", "BELFRY_API_BASE_PATH=/aws/v1", "BELFRY_API_TRUST_PROXY=true", "BELFRY_API_IGNORE_REGION=false")
	if err != nil {
		t.Fatal(err)
	}
	if want := (config.API{BasePath: "/aws/v1", TrustProxy: true, Throttling: "generous"}); c.API != want {
		t.Errorf("got %+v, want %+v", c.API, want)
	}
	if _, err := load(t, "", "BELFRY_API_TRUST_PROXY=perhaps"); err == nil || !strings.Contains(err.Error(), "perhaps") {
		t.Errorf("got %v, want an error that names the value", err)
	}
	for path, good := range map[string]bool{"": true, "aws": true, "/aws/v1/": true, "/a b": false, "//": false, "/a?b": false, "/a%20": false, "http://x": false} {
		c := config.Default()
		c.API.BasePath = path
		if err := c.Check(); (err == nil) != good {
			t.Errorf("base path %q: got %v, want it good: %t", path, err, good)
		}
	}
	c = config.Default()
	c.API.Throttling = "sometimes"
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), `api.throttling: "sometimes"`) {
		t.Errorf("got %v, want an error that names api.throttling", err)
	}
}
