// Package apiserver runs the AWS-shaped APIs for tests: the real handler over
// the real services and store, on a port of its own, with a real RTMPS ingest.
// Only the live connector's worker is a stand-in: no attendee joins the
// meeting; instead ffmpeg publishes a test picture to the pipeline's sink.
package apiserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/store/natskv"
)

// The server's names and its first access key.
const (
	Account        = "123456789012"
	Region         = "us-east-1"
	IngestEndpoint = "ingest.example.com"
	MediaAddress   = "media.example.com:3478"
	AccessKeyID    = "AKIDEXAMPLE"
	Secret         = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// Config changes what a server is like; its zero value is good.
type Config struct {
	BasePath       string
	TrustProxy     bool
	OnlyRegion     string           // "": the one that each caller signs for
	Throttling     api.Throttling   // "": none
	StreamKeys     int              // of one channel; 0: 1
	IngestEndpoint string           // "": the constant of that name, which leads to the server's own ingest
	Now            func() time.Time // of the API alone
	// Ahead turns on what is complete but for the media: recording
	// configurations, and capture and concatenation pipelines, whose workers do
	// nothing until they are stopped.
	Ahead bool
}

// A Server is a running one.
type Server struct {
	URL        string
	IngestAddr string // host:port of the RTMPS ingest
	API        *api.API
	Keys       string // file of access keys, for package access
	Tables     *natskv.Store
	Meetings   *meeting.Service
	Connectors *connector.Service
	Channels   *channel.Service

	keys *access.Book
	log  *slog.Logger
}

// invitations lets pipelines into meetings, as far as a record goes.
type invitations struct{ meetings *meeting.Service }

func (i invitations) Find(ctx context.Context, account, meetingID string) (connector.Meeting, error) {
	m, err := i.meetings.Lookup(ctx, meeting.ID(meetingID))
	if err != nil || m.Account != account {
		return connector.Meeting{}, fmt.Errorf("%w: %s", connector.ErrMeetingNotFound, meetingID)
	}
	return connector.Meeting{ExternalID: m.ExternalID, MediaRegion: m.MediaRegion}, nil
}

func (i invitations) Invite(ctx context.Context, account, meetingID, externalUserID string) (connector.Invitation, error) {
	all := meeting.Capabilities{Audio: meeting.Receive, Video: meeting.Receive, Content: meeting.None}
	m, err := i.meetings.Lookup(ctx, meeting.ID(meetingID))
	if err == nil && m.Account != account {
		err = meeting.ErrNotFound
	}
	var a meeting.Attendee
	if err == nil {
		a, err = i.meetings.AddAttendee(ctx, m.ID, externalUserID, all)
	}
	if err != nil {
		return connector.Invitation{}, fmt.Errorf("%w: %s", connector.ErrMeetingNotFound, meetingID)
	}
	return connector.Invitation{AttendeeID: string(a.ID), ExternalUserID: externalUserID, JoinToken: a.JoinToken.Reveal()}, nil
}

// Start runs a server until the test ends.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, stop := context.WithCancel(context.Background())
	tables, err := natskv.Open(ctx, natskv.Config{Dir: t.TempDir()}, log)
	must(t, err)
	t.Cleanup(tables.Close)
	s := &Server{Tables: tables, Keys: filepath.Join(t.TempDir(), "keys.json"), log: log}
	must(t, os.WriteFile(s.Keys, []byte(`[{"accessKeyId":"`+AccessKeyID+`","secretAccessKey":"`+Secret+`"}]`), 0o600))
	s.keys, err = access.Open(s.Keys, log)
	must(t, err)

	s.Meetings, err = meeting.New(ctx, meeting.Config{}, tables, log)
	must(t, err)
	s.Channels, err = channel.New(ctx, channel.Config{
		StreamKeys: cfg.StreamKeys, Recording: cfg.Ahead,
		CheckBucket: func(context.Context, string) error { return nil },
	}, tables, log)
	must(t, err)
	s.IngestAddr = startIngest(ctx, t, s.Channels, log)
	work := connector.Config{Work: s.worker}
	if cfg.Ahead {
		work.Capture, work.Concatenate = idle, idle
	}
	s.Connectors, err = connector.New(ctx, work, tables, invitations{s.Meetings}, log)
	must(t, err)

	var running []chan error
	for _, run := range []func(context.Context) error{s.Meetings.Run, s.Channels.Run, s.Connectors.Run} {
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		running = append(running, done)
	}
	t.Cleanup(func() {
		stop()
		for _, done := range running {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})

	s.serve(t, cfg)
	return s
}

// Also answers for the same services under another address, with APIs that
// have settings of their own.
func (s *Server) Also(t testing.TB, cfg Config) *Server {
	t.Helper()
	other := *s
	other.serve(t, cfg)
	return &other
}

func (s *Server) serve(t testing.TB, cfg Config) {
	t.Helper()
	http := httptest.NewUnstartedServer(nil)
	s.URL = "http://" + http.Listener.Addr().String()
	public, err := url.Parse(s.URL)
	must(t, err)
	s.API = api.New(api.Config{
		Account: Account, PublicURL: public, IngestEndpoint: cmp.Or(cfg.IngestEndpoint, IngestEndpoint), MediaAddress: MediaAddress,
		BasePath: cfg.BasePath, TrustProxy: cfg.TrustProxy, Region: cfg.OnlyRegion, Now: cfg.Now,
		Throttling: cmp.Or(cfg.Throttling, api.Unthrottled), Strict: true,
	}, s.keys, s.Meetings, s.Connectors, s.Channels, s.log)
	http.Config.Handler = s.API
	http.Start()
	t.Cleanup(http.Close)
}

// AWS configures the AWS SDK for the server.
func (s *Server) AWS() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(s.URL),
		Credentials:  credentials.NewStaticCredentialsProvider(AccessKeyID, Secret, ""),
	}
}
