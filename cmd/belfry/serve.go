package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/server"
)

func serveCommand() *cobra.Command {
	var file string
	flags := map[string]func(*config.Config) *string{
		"data":       func(c *config.Config) *string { return &c.Data },
		"http":       func(c *config.Config) *string { return &c.HTTP },
		"rtmp":       func(c *config.Config) *string { return &c.RTMP },
		"rtmps":      func(c *config.Config) *string { return &c.RTMPS },
		"media":      func(c *config.Config) *string { return &c.Media },
		"tls":        func(c *config.Config) *string { return &c.TLS },
		"public-url": func(c *config.Config) *string { return &c.PublicURL },
		"log-level":  func(c *config.Config) *string { return &c.Log.Level },
	}
	about := map[string]string{
		"data":       "folder that holds everything to be kept",
		"http":       "address of site, APIs, signaling and playback",
		"rtmp":       "address of RTMP ingest",
		"rtmps":      "address of RTMPS ingest",
		"media":      "address of WebRTC media and TURN, UDP and TCP",
		"tls":        "address of HTTPS, RTMPS and TURN over TLS, all on one port (default: none)",
		"public-url": "URL under which browsers reach the server (default: localhost and the port)",
		"log-level":  "debug, info, warn or error",
	}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: meetings, live connectors, channels, the APIs and the site.

Media and TURN share one port (--media, UDP and TCP). With --tls another one
answers HTTPS, RTMPS and TURN over TLS: browsers on other machines need it.

Settings come from the file given with --config, then from the environment
(BELFRY_HTTP, BELFRY_SITE_SEATS, …), then from the flags below, each over the
one before. "belfry config" prints the file with all settings and defaults.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file, os.Environ())
			if err != nil {
				return err
			}
			for name, field := range flags {
				if f := cmd.Flags().Lookup(name); f.Changed {
					*field(&cfg) = f.Value.String()
				}
			}
			if err := cfg.Check(); err != nil {
				return fmt.Errorf("the settings are wrong:\n%w", err)
			}
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			return server.Run(ctx, cfg, newLog(cfg.Log))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (TOML)")
	defaults := config.Default()
	for name, field := range flags {
		cmd.Flags().String(name, *field(&defaults), about[name])
	}
	return cmd
}

func newLog(cfg config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		panic("belfry: unchecked log level " + cfg.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
