package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"belfry.live/belfry/internal/event/sse"
)

// eventsAgain is how long to wait before coming back to a server that has gone.
const eventsAgain = 2 * time.Second

func eventsCommand() *cobra.Command {
	var from eventSource
	var since string
	var sources, types, resources []string
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happens to meetings, pipelines and channels",
		Long: `Print what happens to meetings, pipelines and channels, a line of JSON for each
event, until interrupted. A server that is started again is followed on, and
nothing is missed.

With --endpoint the events are those of another server, asked for with the
credentials of the environment.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"source": sources, "detail-type": types, "resource": resources}
			if since != "" {
				query.Set("since", since)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return from.follow(ctx, cmd, query)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&since, "since", "", "begin with events of then: a time, or how long ago (90m); default: from now on")
	f.StringArrayVar(&sources, "source", nil, "only of this source (aws.chime, aws.ivs); may be repeated")
	f.StringArrayVar(&types, "detail-type", nil, "only of this detail-type; may be repeated")
	f.StringArrayVar(&resources, "resource", nil, "only of the resource with this ARN or id; may be repeated")
	from.data = dataFlag(cmd)
	cmd.PersistentFlags().StringVar(&from.key, "key", "", "id of the access key to use (default: the owner's)")
	cmd.PersistentFlags().StringVar(&from.endpoint, "endpoint", "", "URL of another server")
	cmd.AddCommand(deadCommand(&from))
	return cmd
}

// follow prints events until ctx ends. Only a first request that fails is an
// error.
func (s *eventSource) follow(ctx context.Context, cmd *cobra.Command, query url.Values) error {
	lastID, asked := "", time.Now()
	for first := true; ; first = false {
		res, err := s.ask(ctx, sse.Path, query, lastID)
		if err == nil {
			err = sse.Read(res.Body, func(id string, data []byte) error {
				lastID = id
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", data)
				return err
			})
			res.Body.Close()
		} else if first && ctx.Err() == nil {
			return err
		}
		if lastID == "" && !query.Has("since") { // there was none yet
			query.Set("since", asked.UTC().Format(time.RFC3339Nano))
		}
		if ctx.Err() == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "belfry: the events broke off, trying again: %v\n", orEnd(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(eventsAgain):
		}
	}
}

func orEnd(err error) any {
	if err == nil {
		return "the server has ended them"
	}
	return err
}

func deadCommand(from *eventSource) *cobra.Command {
	return &cobra.Command{
		Use:   "dead",
		Short: "Print the events that webhooks did not take in time",
		Long: `Print the events that webhooks did not take in time, a line of JSON for each,
the oldest first: which webhook, why and when, and the event.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := json.NewEncoder(cmd.OutOrStdout())
			query := url.Values{}
			for {
				page, err := from.deadPage(cmd.Context(), query)
				if err != nil {
					return err
				}
				for _, letter := range page.DeadLetters {
					if err := out.Encode(letter); err != nil {
						return err
					}
				}
				if page.Next == 0 {
					return nil
				}
				query.Set("from", fmt.Sprint(page.Next))
			}
		},
	}
}

func (s *eventSource) deadPage(ctx context.Context, query url.Values) (page sse.DeadLetters, err error) {
	res, err := s.ask(ctx, sse.Path+"/dead", query, "")
	if err != nil {
		return page, err
	}
	defer res.Body.Close()
	err = json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxDeadPage)).Decode(&page)
	return page, err
}
