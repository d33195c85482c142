package server

import (
	"context"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/site"
	"belfry.live/belfry/internal/store"
)

// newSite makes the application behind the site, a client of this server's own
// APIs at the endpoint.
func newSite(ctx context.Context, cfg config.Config, endpoint string, owner Key, tables store.Tables, log *slog.Logger) (*site.Site, error) {
	return site.New(ctx, site.Config{
		Seats:          cfg.Site.Seats,
		Lifetime:       cfg.Site.Lifetime.Duration,
		LatencyMode:    cfg.Site.LatencyMode,
		Resolution:     cfg.Site.Resolution,
		LiveTimeout:    cfg.Site.LiveTimeout.Duration,
		AllowedOrigins: cfg.Site.AllowedOrigins,
	}, aws.Config{
		Region:       cfg.Region,
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider(owner.ID, owner.Secret, ""),
	}, tables, log)
}
