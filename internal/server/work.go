package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"

	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/pipeline/liveconnector"
	"belfry.live/belfry/internal/worker"
)

// KindLiveConnector names the worker of a live connector.
const KindLiveConnector = "liveconnector"

// Kinds are the workers this binary can be.
func Kinds() map[string]worker.Kind {
	return map[string]worker.Kind{KindLiveConnector: liveConnector}
}

func liveConnector(ctx context.Context, spec json.RawMessage, report func(any), log *slog.Logger) error {
	var job liveconnector.Job
	if err := json.Unmarshal(spec, &job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	return liveconnector.Run(ctx, job, func(e liveconnector.Event) { report(e) }, log)
}

// work runs live connectors in workers.
type work struct {
	ingestHost  string
	rtmp, rtmps string // where this machine reaches our own ingest
	own         string // authority of our own ingest's certificate, PEM
	trusted     string // authorities trusted for other sinks, PEM
	log         *slog.Logger
}

func newWork(cfg config.Connector, ingestHost string, d doors, authority []byte, log *slog.Logger) (*work, error) {
	var trusted bytes.Buffer
	for _, name := range cfg.TrustedCAs {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("connector.trusted_cas: %w", err)
		}
		trusted.Write(append(pem, '\n'))
	}
	return &work{
		ingestHost: ingestHost, rtmp: local(d.rtmp), rtmps: local(d.rtmps),
		own: string(authority), trusted: trusted.String(), log: log,
	}, nil
}

// run is connector.Config's Work.
func (w *work) run(ctx context.Context, p connector.Pipeline, as connector.Invitation, report func(connector.Report)) error {
	job := liveconnector.Job{
		Meeting:      p.MeetingID,
		SignalingURL: as.SignalingURL, AttendeeID: as.AttendeeID, ExternalUserID: as.ExternalUserID,
		JoinToken:  liveconnector.Secret(as.JoinToken),
		SinkURL:    liveconnector.Secret(p.SinkURL.Reveal()),
		SinkRoots:  w.trusted,
		SampleRate: p.SampleRate, Channels: p.Channels,
		SelectedAttendeeIDs: p.SelectedAttendeeIDs, SelectedExternalUserIDs: p.SelectedExternalUserIDs,
	}
	job.Width, job.Height = 1280, 720
	if p.Layout.Resolution == "FHD" {
		job.Width, job.Height = 1920, 1080
	}
	if p.Layout.Portrait {
		job.Width, job.Height = job.Height, job.Width
	}
	if addr := w.ownIngest(p.SinkURL.Reveal()); addr != "" {
		job.SinkAddress, job.SinkServerName, job.SinkRoots = addr, ownName, w.own
	}
	return worker.Run(ctx, worker.Job{Kind: KindLiveConnector, Spec: job}, func(line json.RawMessage) {
		var e liveconnector.Event
		if err := json.Unmarshal(line, &e); err != nil {
			w.log.Error("worker's event cannot be read", "connector", p.ID, "err", err)
			return
		}
		switch {
		case e.State == liveconnector.Live:
			report(connector.Live)
		case e.State == liveconnector.Lost:
			report(connector.Lost)
		case e.State == liveconnector.Ended:
			report(connector.Ended)
		case e.State == liveconnector.Failed && e.Permanent:
			report(connector.Refused)
		}
	}, w.log.With("connector", p.ID))
}

// ownIngest returns the address of our own listener if the sink is our own
// ingest. Applications build rtmps://<ingestEndpoint>:443/app/<key>, whatever
// port we listen on.
func (w *work) ownIngest(sink string) string {
	u, err := url.Parse(sink)
	if err != nil || !strings.EqualFold(u.Hostname(), w.ingestHost) {
		return ""
	}
	listener, port := w.rtmp, "1935"
	if u.Scheme == "rtmps" {
		listener, port = w.rtmps, "443"
	}
	_, ours, _ := net.SplitHostPort(listener)
	if p := u.Port(); p != "" && p != port && p != ours {
		return ""
	}
	return listener
}
