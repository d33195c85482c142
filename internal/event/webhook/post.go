package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"belfry.live/belfry/internal/event"
)

const (
	maxResponse   = 64 << 10 // bytes of a response that are read
	maxRetryAfter = time.Hour
)

// A failure is why a try failed.
type failure struct {
	reason string // one of few, to count by
	text   string // for people; neither secret nor URL are in it
	after  time.Duration
}

// post tries once. It returns nil if the event was taken.
func (d *delivery) post(ctx context.Context, r event.Record) *failure {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.hook.URL, bytes.NewReader(r.Body))
	if err != nil {
		return &failure{reason: "request", text: "the request cannot be made"}
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "belfry")
	req.Header.Set(IDHeader, r.ID)
	req.Header.Set(TimestampHeader, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(SignatureHeader, Sign(d.key, r.ID, now, r.Body))
	res, err := d.client.Do(req)
	if err != nil {
		return classify(err)
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, maxResponse) // so that the connection can be used again
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		return nil
	}
	return &failure{
		reason: statusReason(res.StatusCode), text: fmt.Sprintf("it answered with status %d", res.StatusCode),
		after: retryAfter(res, now),
	}
}

func statusReason(status int) string {
	switch {
	case status >= 300 && status <= 399:
		return "redirect"
	case status >= 400 && status <= 499:
		return "status_4xx"
	case status >= 500 && status <= 599:
		return "status_5xx"
	}
	return "status_other"
}

// retryAfter is how long whoever is overloaded wants to be left alone.
func retryAfter(res *http.Response, now time.Time) time.Duration {
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	said := res.Header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(said); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(said); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// classify finds the reason in an error of the HTTP client.
func classify(err error) *failure {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL
	}
	f := &failure{reason: "connection", text: "the connection broke"}
	var (
		dns      *net.DNSError
		op       *net.OpError
		verify   *tls.CertificateVerificationError
		header   tls.RecordHeaderError
		alert    tls.AlertError
		hostname x509.HostnameError
		timeout  net.Error
	)
	switch {
	case errors.As(err, &dns):
		f.reason, f.text = "dns", "its host name cannot be resolved"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		f.reason, f.text = "timeout", "it did not answer in time"
	case errors.As(err, &verify), errors.As(err, &hostname):
		f.reason, f.text = "tls", "its certificate is not trusted"
	case errors.As(err, &header), errors.As(err, &alert), strings.Contains(err.Error(), "tls: "),
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		f.reason, f.text = "tls", "TLS could not be agreed on"
	case errors.As(err, &op) && op.Op == "dial":
		f.reason, f.text = "connect", "it cannot be reached"
	}
	return f
}
