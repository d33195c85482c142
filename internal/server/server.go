// Package server builds the parts of belfry, joins them, and starts and stops
// them in order. Settings come in; what goes out is a running server.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/api/chimemeetings"
	"belfry.live/belfry/internal/api/ivs"
	"belfry.live/belfry/internal/api/mediapipelines"
	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/playback"
	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/rtc"
	"belfry.live/belfry/internal/server/tlsport"
	"belfry.live/belfry/internal/store/natskv"
	"belfry.live/belfry/web"
)

// Limits of the HTTP port. Handlers that answer for long set their own.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	headerLimit   = 32 << 10
	lastRequests  = time.Second // for requests under way when the server stops

	// fullMeeting is how many attendees AWS lets a meeting have; a larger
	// max_attendees lets it have more.
	fullMeeting = 250
)

// Run serves until ctx ends and everything has stopped.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	folder, err := OpenFolder(cfg.Data)
	if err != nil {
		return err
	}
	defer folder.Close()
	keys, err := access.Open(folder.file(keysFile), log)
	if err != nil {
		return err
	}
	doors, err := open(cfg)
	if err != nil {
		return err
	}
	defer doors.Close()
	public, err := publicURL(cfg, doors)
	if err != nil {
		return err
	}
	ingestHost := cfg.IngestHost
	if ingestHost == "" {
		ingestHost = public.Hostname()
	}
	turnSecret, err := openTURNSecret(folder.file(turnFile))
	if err != nil {
		return err
	}
	pageSecret, err := openSecret(folder.file(pagesFile))
	if err != nil {
		return fmt.Errorf("secret of page tokens: %w", err)
	}
	transport, err := rtc.NewTransport(rtc.Config{Addr: cfg.Media, PublicAddresses: cfg.PublicAddresses}, log)
	if err != nil {
		return addressError("media", cfg.Media, err)
	}
	defer transport.Close()
	media := transport.Port()
	discover := &discovery{server: cfg.STUNServer, configured: cfg.PublicAddresses, set: media.SetPublicAddresses, log: log}
	if cfg.STUNServer != "" {
		discover.once(ctx)
	}
	candidates := udpCandidates(media, log)
	certificates, err := openCertificates(cfg, folder, certificateNames(ingestHost, public, candidates), log)
	if err != nil {
		return err
	}
	secure := secureRelay(doors.tls, public, cfg.PublicURL != "" || cfg.ACMEDomain != "", candidates)
	relay := newRelay(media, turnSecret, secure, log)
	tables, err := natskv.Open(ctx, natskv.Config{Dir: folder.file(natsFolder)}, log)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	defer tables.Close()
	journal, closeJournal, err := openJournal(ctx, cfg.Events, tables, log)
	if err != nil {
		return err
	}
	defer closeJournal()

	channels, err := channel.New(ctx, channel.Config{
		Account: cfg.Account, MaxChannels: cfg.Channel.MaxChannels,
		MaxPlaybackKeys: cfg.Channel.MaxPlaybackKeys, MaxRestrictionPolicies: cfg.Channel.MaxRestrictionPolicies,
		MaxRevocations: cfg.Channel.MaxRevocations, StreamKeys: cfg.Channel.StreamKeys,
		MaxStreams: cfg.Channel.MaxStreams, MaxViewers: cfg.Channel.MaxViewers, MaxStream: cfg.Channel.MaxStream.Duration,
		NoIngestLimits: !cfg.Channel.IngestLimits, KeepSessions: cfg.Channel.KeepSessions.Duration,
		Record: ivs.Recorder(journal), Latest: ivs.Latest(journal),
	}, tables, log)
	if err != nil {
		return err
	}
	meetings, err := meeting.New(ctx, meeting.Config{
		Transport: transport, Account: cfg.Account, EmptyTimeout: cfg.Meeting.EmptyTimeout.Duration.Duration,
		MaxAge: cfg.Meeting.MaxAge.Duration.Duration, MaxMeetings: cfg.Meeting.MaxMeetings,
		MaxConnected: cfg.Meeting.MaxAttendees, MaxAttendees: max(cfg.Meeting.MaxAttendees, fullMeeting),
		MaxCameras: cfg.Meeting.MaxCameras, MaxShares: cfg.Meeting.MaxShares, MaxReplicas: cfg.Meeting.MaxReplicas,
		Limits: meetingLimits(cfg.Limits),
		Relay:  relay, RelayPolicy: relayPolicy(cfg.Relay),
		Record: chimemeetings.Recorder(journal), Recorded: chimemeetings.Recorded(journal), RecordedFor: journal.MaxAge(),
		RecordedAdded: chimemeetings.RecordedAdded(journal),
	}, tables, log)
	if err != nil {
		return err
	}
	work, err := newWork(cfg.Connector, ingestHost, doors, certificates.authority, log)
	if err != nil {
		return err
	}
	connectors, err := connector.New(ctx, connector.Config{
		Account: cfg.Account, MaxPipelines: cfg.Connector.MaxPipelines, Work: work.run,
		Record: mediapipelines.Recorder(journal), Recorded: mediapipelines.Recorded(journal), RecordedFor: journal.MaxAge(),
	}, tables, hosts{meetings, "ws://" + local(doors.http)}, log)
	if err != nil {
		return err
	}
	endpoint := "http://" + local(doors.http)
	apis, err := url.JoinPath(endpoint, cfg.API.BasePath)
	if err != nil {
		return err
	}
	application, err := newSite(ctx, cfg, apis, keys, tables, log)
	if err != nil {
		return err
	}
	var ready atomic.Bool
	desk := ingest.New(ingest.Config{}, channels, log)
	viewers := playback.New(playback.Config{}, channels, log)
	awsAPI := api.New(api.Config{
		Account: cfg.Account, PublicURL: public, IngestEndpoint: ingestHost, MediaAddress: transport.Addr().String(),
		BasePath: cfg.API.BasePath, TrustProxy: cfg.API.TrustProxy, Region: onlyRegion(cfg),
		Throttling: api.Throttling(cfg.API.Throttling), PageSecret: &pageSecret,
	}, keys, meetings, connectors, channels, log)
	tellers, err := newTellers(ctx, cfg.Events, journal, tables, awsAPI, certificates.config, log)
	if err != nil {
		return err
	}
	defer tellers.Close()
	front := fronts{
		api:      awsAPI,
		events:   tellers.clients,
		meeting:  meetings.Handler(),
		metrics:  newMetrics(metricsSources{meetings, connectors, channels, desk, viewers, relay, tellers, awsAPI}, cfg.Metrics.Token, log),
		playback: viewers,
		site:     application,
		web:      web.Handler(),
		ready:    ready.Load,
	}

	// Each stage runs until it is told to stop, and they are told in the order
	// in which media flow: first those who bring requests and pipelines, then
	// the meetings they come from, then the channels they end in.
	var stages stages
	defer stages.stop()
	stages.start(ctx, tellers.runs()...)
	stages.start(ctx,
		channels.Run,
		func(ctx context.Context) error { return desk.Serve(ctx, doors.rtmp, false) },
		func(ctx context.Context) error {
			return desk.Serve(ctx, tls.NewListener(doors.rtmps, certificates.config), true)
		},
	)
	relayed := []net.Listener{media.TURNListener()}
	entrances := []func(context.Context) error{
		connectors.Run, application.Run, tellers.clients.Run,
		func(ctx context.Context) error { return serveHTTP(ctx, doors.http, front, log) },
	}
	if doors.tls != nil {
		port := tlsport.New(doors.tls, withChallenges(certificates.config), tlsport.Limits{}, log)
		relayed = append(relayed, port.TURN())
		stages.start(ctx, port.Run, func(ctx context.Context) error { return desk.Serve(ctx, port.RTMPS(), true) })
		entrances = append(entrances, func(ctx context.Context) error { return serveHTTP(ctx, port.HTTP(), front, log) })
	}
	if certificates.acme != nil {
		entrances = append(entrances, certificates.acme.run)
	}
	if cfg.STUNServer != "" {
		entrances = append(entrances, discover.run)
	}
	stages.start(ctx, func(ctx context.Context) error { return relay.Run(ctx, media.TURN(), relayed...) })
	stages.start(ctx, meetings.Run)
	stages.start(ctx, entrances...)

	running := Running{Process: os.Getpid(), Endpoint: endpoint, API: apis, Region: cfg.Region}
	if err := writeJSON(folder.file(runningFile), running); err != nil {
		return err
	}
	ready.Store(true)
	listening := []any{
		"http", doors.http.Addr(), "rtmp", doors.rtmp.Addr(), "rtmps", doors.rtmps.Addr(), "media", transport.Addr(), "data", folder.path,
	}
	if doors.tls != nil {
		listening = append(listening, "tls", doors.tls.Addr())
	}
	if tellers.feed != nil {
		listening = append(listening, "nats", tellers.feed.Addr())
	}
	log.Info("belfry is ready at "+public.String(), listening...)
	err = stages.wait(ctx)
	ready.Store(false)
	log.Info("belfry is stopping")
	return err
}

func meetingLimits(l config.Limits) meeting.Limits {
	return meeting.Limits{
		Attendees: l.Attendees, Connections: l.Connections, Videos: l.Videos, JoinsPerSecond: l.JoinsPerSecond,
		CPU: float64(l.CPUPercent) / 100, Bitrate: l.Mbps * 1_000_000,
	}
}

// doors are the TCP listeners; tls is nil if there is none.
type doors struct{ http, rtmp, rtmps, tls net.Listener }

func open(cfg config.Config) (d doors, err error) {
	for _, door := range []struct {
		listener      *net.Listener
		setting, addr string
	}{{&d.http, "http", cfg.HTTP}, {&d.rtmp, "rtmp", cfg.RTMP}, {&d.rtmps, "rtmps", cfg.RTMPS}, {&d.tls, "tls", cfg.TLS}} {
		if door.setting == "tls" && door.addr == "" {
			continue
		}
		if *door.listener, err = listen(door.setting, door.addr); err != nil {
			d.Close()
			return doors{}, err
		}
	}
	return d, nil
}

// Close closes those that are open; closing twice is harmless.
func (d doors) Close() {
	for _, l := range []net.Listener{d.http, d.rtmp, d.rtmps, d.tls} {
		if l != nil {
			l.Close()
		}
	}
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerLimit,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	var g errgroup.Group
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		// Viewers wait for parts that will not come: their requests are cut
		// when the others had time to finish.
		last, stop := context.WithTimeout(requests, lastRequests)
		defer stop()
		if srv.Shutdown(last) != nil {
			cut()
			srv.Close()
		}
		return nil
	})
	return g.Wait()
}

// onlyRegion is the region that everything is in; "": that of each caller.
func onlyRegion(cfg config.Config) string {
	if cfg.API.IgnoreRegion {
		return cfg.Region
	}
	return ""
}
