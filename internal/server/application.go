package server

import (
	"context"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/site"
	"belfry.live/belfry/internal/store"
)

// newSite makes the application behind the site, a client of this server's own
// APIs at the endpoint. It signs with the owner's key of the moment.
func newSite(ctx context.Context, cfg config.Config, endpoint string, keys *access.Book, tables store.Tables, log *slog.Logger) (*site.Site, error) {
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
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			owner := keys.Owner()
			return aws.Credentials{AccessKeyID: owner.ID, SecretAccessKey: owner.Secret.Reveal()}, nil
		}),
	}, tables, log)
}
