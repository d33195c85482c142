package ivs

import (
	"log/slog"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/store/natskv"
)

func TestEventsInTheJournal(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s, err := natskv.Open(t.Context(), natskv.Config{Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := s.Connect("events")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	j, err := event.Open(t.Context(), conn, event.Config{}, log)
	if err != nil {
		t.Fatal(err)
	}
	record := Recorder(j)
	told := channel.Event{
		Kind: channel.StateChange, Name: channel.TakeoverFailure, Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Code: channel.CodeMediaMismatch, Reason: "why", Channel: "abcdefghijkl",
		Owner: channel.Owner{Account: "123456789012", Region: "us-east-1"}, Title: "tower", StreamID: "st-1",
	}
	breach := told
	breach.Kind, breach.Name, breach.Code, breach.Reason = channel.LimitBreach, channel.IngestBitrate, "", ""
	breach.Breach = &channel.Breach{Limit: 8_500_000, ExceededBy: 1, Unit: "bits per second"}
	refused := breach
	refused.Name, refused.StreamID = channel.ConcurrentBroadcast, ""
	for _, c := range []struct {
		e          channel.Event
		detailType string
		detail     string
	}{
		{told, "IVS Stream State Change", `{"event_name":"Stream Takeover Failure","channel_name":"tower","stream_id":"st-1","code":"StreamTakeoverMediaMismatch","reason":"why"}`},
		{breach, "IVS Limit Breach", `{"event_name":"Ingest Bitrate","channel_name":"tower","stream_id":"st-1","limit_name":"Ingest Bitrate","limit_value":8500000,"exceeded_by":1,"limit_unit":"bits per second"}`},
		{refused, "IVS Limit Breach", `{"event_name":"Concurrent Broadcasts","channel_name":"tower","limit_name":"Concurrent Broadcasts","limit_value":8500000,"exceeded_by":1,"limit_unit":"bits per second"}`},
	} {
		last, err := j.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := record(t.Context(), c.e); err != nil {
			t.Fatal(err)
		}
		r, err := j.Next(t.Context(), event.Subjects("123456789012", "aws.ivs"), last+1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Envelope()
		if err != nil {
			t.Fatal(err)
		}
		if got.Source != "aws.ivs" || got.Account != "123456789012" || got.Region != "us-east-1" || got.DetailType != c.detailType || !got.Time.Equal(told.Time) ||
			len(got.Resources) != 1 || got.Resources[0] != "arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl" || string(got.Detail) != c.detail {
			t.Errorf("%s: got %+v with %s, want %s about the channel with %s", c.e.Name, got, got.Detail, c.detailType, c.detail)
		}
	}
	// What came to no stream says nothing of how far the channel's has come.
	latest, err := Latest(j)(t.Context())
	if err != nil || latest["abcdefghijkl"] != channel.IngestBitrate {
		t.Errorf("got %v, %v, want the breach as the channel's newest", latest, err)
	}
}
