package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"belfry.live/belfry/test/running"
)

// A request is a call before it is signed.
type request struct {
	service, path, query string
	body                 []byte
}

// A caller signs as the AWS SDK does, with its signer, and calls with as
// little besides as net/http allows: the SDK itself would take more time than
// the server does.
type caller struct {
	endpoint string
	access   running.Access
	signer   *v4.Signer
	http     *http.Client
}

func newCaller(endpoint string, access running.Access) *caller {
	return &caller{
		endpoint: endpoint, access: access, signer: v4.NewSigner(),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}},
	}
}

// bytes calls and returns the answer's body.
func (c *caller) bytes(ctx context.Context, r request, expected int) ([]byte, error) {
	url := c.endpoint + r.path
	if r.query != "" {
		url += "?" + r.query
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	hash := sha256.Sum256(r.body)
	credentials := aws.Credentials{AccessKeyID: c.access.AccessKeyID, SecretAccessKey: c.access.SecretAccessKey}
	if err := c.signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(hash[:]), r.service, "us-east-1", time.Now()); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != expected {
		err = fmt.Errorf("%s answered %d, want %d: %.300s", r.path, resp.StatusCode, expected, answer)
	}
	return answer, err
}

// call decodes the answer.
func (c *caller) call(ctx context.Context, r request, expected int, out any) error {
	answer, err := c.bytes(ctx, r, expected)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// A pace is how fast calls were answered.
type pace struct {
	times []time.Duration
	spent time.Duration
}

func (p *pace) rate() float64 { return float64(len(p.times)) / p.spent.Seconds() }

// repeat calls from all callers at once for a while, and adds up what CPU time
// that takes of the process that answers.
func (c *caller) repeat(ctx context.Context, op operation, n *atomic.Int64, p *pace, server int, cpu *time.Duration) error {
	defer c.http.CloseIdleConnections()
	before, err := cpuTime(server)
	if err != nil {
		return err
	}
	times := make([][]time.Duration, op.callers)
	errs := make([]error, op.callers)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range op.callers {
		wg.Go(func() {
			for time.Since(began) < apiCalls && errs[i] == nil {
				r := op.request(int(n.Add(1)))
				called := time.Now()
				_, errs[i] = c.bytes(ctx, r, op.expected)
				times[i] = append(times[i], time.Since(called))
			}
		})
	}
	wg.Wait()
	p.spent += time.Since(began)
	after, err := cpuTime(server)
	if err != nil {
		return err
	}
	*cpu += after - before
	for _, t := range times {
		p.times = append(p.times, t...)
	}
	return errors.Join(errs...)
}
