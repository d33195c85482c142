package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/attendee"
	"belfry.live/belfry/internal/attendee/link"
	"belfry.live/belfry/internal/load"
)

// errSomeFailed makes the exit code say so; the table has said the rest.
var errSomeFailed = errors.New("not all attendees got in and stayed")

func attendeeCommand() *cobra.Command {
	cfg := load.Config{}
	var codec, transport, endpoint string
	var asJSON, verbose, quiet bool
	cmd := &cobra.Command{
		Use:   "attendee",
		Short: "Bring attendees into a meeting and measure what reaches them",
		Long: `Bring attendees into a meeting, without browsers, and measure what reaches
them: a load test of a running server.

Attendees are created through the meetings API with the credentials of the
environment, and removed at the end:

  eval "$(belfry env)"
  belfry attendee --count 100 --publish 10 --subscribe 9 --duration 60s

The first --publish of them send a recorded camera and microphone. Without
--meeting they meet in a new meeting, which is ended afterwards. Progress goes
to standard error, the result to standard output. The exit code is 0 only if
everybody got in and stayed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.AWS, err = awsFromEnvironment(endpoint); err != nil {
				return err
			}
			if cfg.TLS, err = authorities(os.Getenv("AWS_CA_BUNDLE")); err != nil {
				return err
			}
			if err := choose(&cfg, codec, transport); err != nil {
				return err
			}
			if !quiet {
				cfg.Progress = cmd.ErrOrStderr()
			}
			if verbose {
				cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelDebug}))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // the second one ends the program at once
			result, err := load.Run(ctx, cfg)
			if result != nil {
				err = errors.Join(err, show(cmd, result, asJSON))
			}
			if err == nil && result.Failed > 0 {
				err = errSomeFailed
			}
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&cfg.MeetingID, "meeting", "", "id of the meeting (default: a new one)")
	f.IntVar(&cfg.Count, "count", 1, "attendees")
	f.IntVar(&cfg.Publish, "publish", 0, "attendees who send camera and microphone")
	f.IntVar(&cfg.Subscribe, "subscribe", 0, "videos that each attendee receives")
	f.IntVar(&cfg.Speaking, "speaking", 0, "of those who publish, how many speak (default: all)")
	f.DurationVar(&cfg.Duration, "duration", time.Minute, "time to measure, from when everybody is in")
	f.StringVar(&codec, "codec", "vp8", "of the cameras: vp8, h264 or none")
	f.BoolVar(&cfg.Simulcast, "simulcast", false, "send three layers of each camera")
	f.BoolVar(&cfg.Adaptation, "adaptation", false, "have the server choose layers by the network")
	f.BoolVar(&cfg.QuietMicrophones, "quiet-microphones", false, "have the others send silence, as muted browsers do")
	f.Float64Var(&cfg.JoinRate, "join-rate", 20, "attendees that set out per second")
	f.StringVar(&transport, "transport", "auto", "of the media: auto, udp or tcp")
	f.StringVar(&endpoint, "endpoint", "", "URL of the meetings API (default: from the environment)")
	f.BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	f.BoolVar(&quiet, "quiet", false, "show no progress")
	f.BoolVar(&verbose, "verbose", false, "log what each attendee goes through")
	return cmd
}

// choose reads the choices that are words.
func choose(cfg *load.Config, codec, transport string) error {
	switch codec {
	case "vp8":
		cfg.Codec = attendee.VP8
	case "h264":
		cfg.Codec = attendee.H264
	case "none":
		cfg.AudioOnly = true
	default:
		return fmt.Errorf("--codec %s: there are vp8, h264 and none", codec)
	}
	switch transport {
	case "auto":
	case "udp":
		cfg.Protocols = link.UDP
	case "tcp":
		cfg.Protocols = link.TCP
	default:
		return fmt.Errorf("--transport %s: there are auto, udp and tcp", transport)
	}
	return nil
}

func show(cmd *cobra.Command, r *load.Result, asJSON bool) error {
	if !asJSON {
		return r.Table(cmd.OutOrStdout())
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// authorities are those of a PEM file, for a server whose certificate the
// machine does not trust; nil: the machine's own.
func authorities(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %s holds no certificate", file)
	}
	return &tls.Config{RootCAs: pool}, nil
}

// awsFromEnvironment is what the AWS SDKs' environment variables say of the
// meetings API.
func awsFromEnvironment(endpoint string) (aws.Config, error) {
	endpoint = cmp.Or(endpoint, os.Getenv("AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS"), os.Getenv("AWS_ENDPOINT_URL"))
	key, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	var missing []string
	if endpoint == "" {
		missing = append(missing, "AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS")
	}
	if key == "" {
		missing = append(missing, "AWS_ACCESS_KEY_ID")
	}
	if secret == "" {
		missing = append(missing, "AWS_SECRET_ACCESS_KEY")
	}
	if len(missing) > 0 {
		return aws.Config{}, fmt.Errorf("the environment does not say %s: run eval \"$(belfry env)\" first", strings.Join(missing, ", "))
	}
	return aws.Config{
		Region:       cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider(key, secret, os.Getenv("AWS_SESSION_TOKEN")),
	}, nil
}
