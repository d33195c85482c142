package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"belfry.live/belfry/internal/server"
)

const (
	maxDeadPage  = 64 << 20 // bytes; 100 envelopes of 256 KiB fit
	maxErrorText = 4 << 10
)

// An eventSource is a server and how it is asked for events.
type eventSource struct {
	data          *string
	key, endpoint string
}

// reach returns the server's URL, and the key that the requests are signed
// with.
func (s *eventSource) reach(ctx context.Context) (endpoint, region string, key aws.Credentials, err error) {
	if s.endpoint != "" {
		from, err := awsFromEnvironment(s.endpoint)
		if err != nil {
			return "", "", aws.Credentials{}, err
		}
		key, err := from.Credentials.Retrieve(ctx)
		return s.endpoint, from.Region, key, err
	}
	running, err := server.ReadRunning(*s.data)
	if err != nil {
		return "", "", aws.Credentials{}, err
	}
	k, err := findKey(*s.data, s.key)
	if err != nil {
		return "", "", aws.Credentials{}, err
	}
	key = aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal()}
	if k.Temporary() {
		key.SessionToken = k.SessionToken.Reveal()
	}
	return running.Endpoint, running.Region, key, nil
}

// ask sends a signed request. An answer that is no success is an error.
func (s *eventSource) ask(ctx context.Context, path string, query url.Values, lastID string) (*http.Response, error) {
	endpoint, region, key, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(endpoint, "/")+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	empty := sha256.Sum256(nil)
	if err := v4.NewSigner().SignHTTP(ctx, key, req, hex.EncodeToString(empty[:]), "events", region, time.Now()); err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorText)) // what there is of it
	var said struct{ Message string }
	if err := json.Unmarshal(text, &said); err != nil || said.Message == "" {
		return nil, fmt.Errorf("the server answered %s", res.Status)
	}
	return nil, fmt.Errorf("the server answered %s: %s", res.Status, said.Message)
}
