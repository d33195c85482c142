package site_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// failing is the network between a site and the services: while it is on,
// requests that match do not get through, or their answers do not.
type failing struct {
	match   func(*http.Request) bool
	answers bool // lose the answer, not the request
	on      atomic.Bool

	mu    sync.Mutex
	calls []string // guarded by mu
}

func (f *failing) install(c *aws.Config) { c.HTTPClient = f }

func (f *failing) Do(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.calls = append(f.calls, r.Method+" "+r.URL.Path)
	f.mu.Unlock()
	lost := f.on.Load() && f.match(r)
	if lost && !f.answers {
		return nil, errors.New("the network is down")
	}
	res, err := http.DefaultClient.Do(r)
	if err == nil && lost {
		res.Body.Close()
		return nil, errors.New("the connection broke")
	}
	return res, err
}

// seen counts the calls of the method whose path begins so.
func (f *failing) seen(method, path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if strings.HasPrefix(c, method+" "+path) {
			n++
		}
	}
	return n
}
