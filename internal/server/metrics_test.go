package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/playback"
	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/turn"
	"belfry.live/belfry/internal/store/natskv"
)

type noEvents struct{}

func (noEvents) count(metricWriter) {}

type noRelay struct{}

func (noRelay) Stats() turn.Stats { return turn.Stats{Dropped: map[string]int64{"late": 2}} }

// metricsServer serves the metrics of real parts that have done nothing yet.
type noRequests struct{}

func (noRequests) Stats() api.Stats { return api.Stats{Throttled: 3} }

func metricsServer(t *testing.T, token string) (*httptest.Server, *meeting.Service) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	tables, err := natskv.Open(t.Context(), natskv.Config{Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tables.Close)
	meetings, err := meeting.New(t.Context(), meeting.Config{}, tables, log)
	if err != nil {
		t.Fatal(err)
	}
	channels, err := channel.New(t.Context(), channel.Config{}, tables, log)
	if err != nil {
		t.Fatal(err)
	}
	work := func(context.Context, connector.Pipeline, connector.Invitation, func(connector.Report)) error {
		return nil
	}
	connectors, err := connector.New(t.Context(), connector.Config{Work: work}, tables, hosts{meetings, ""}, log)
	if err != nil {
		t.Fatal(err)
	}
	from := metricsSources{meetings, connectors, channels, ingest.New(ingest.Config{}, channels, log), playback.New(playback.Config{}, channels, log), noRelay{}, noEvents{}, noRequests{}}
	s := httptest.NewServer(newMetrics(from, token, log))
	t.Cleanup(s.Close)
	return s, meetings
}

func TestMetricsAreWritten(t *testing.T) {
	s, meetings := metricsServer(t, "")
	if _, err := meetings.Create(t.Context(), meeting.Spec{}); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("got %d, %v, want 200:\n%s", answer.StatusCode, err, text)
	}
	for _, want := range []string{
		"\nbelfry_meetings 1\n", "\nbelfry_api_requests_total{outcome=\"throttled\"} 3\n", "\nbelfry_attendees{kind=\"audience\"} 0\n", "\nbelfry_refusals_total{reason=\"token\"} 0\n",
		"\nbelfry_turn_dropped_total{reason=\"late\"} 2\n", "\nbelfry_pipelines{status=\"InProgress\"} 0\n",
		"\nbelfry_ingest_sessions{state=\"waiting\"} 0\n", "\nprocess_resident_memory_bytes ", "\ngo_goroutines ",
		"\n# TYPE belfry_joins_total counter\n", "\nbelfry_playback_refused_total{reason=\"session\"} 0\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("got no %q in\n%s", want, text)
		}
	}
}

func TestWhoMayReadMetrics(t *testing.T) {
	const token = "0123456789abcdef"
	for _, c := range []struct {
		name, remote, host, token, header string
		want                              bool
	}{
		{"this machine", "127.0.0.1:5", "localhost:8080", "", "", true},
		{"this machine, IPv6", "[::1]:5", "[::1]:8080", "", "", true},
		{"this machine, mapped", "[::ffff:127.0.0.1]:5", "127.0.0.1", "", "", true},
		{"another", "192.0.2.1:5", "localhost:8080", "", "", false},
		{"another that forges", "192.0.2.1:5", "localhost:8080", "", "X-Forwarded-For: 127.0.0.1", false},
		{"a page by a name that leads here", "127.0.0.1:5", "evil.example:8080", "", "", false},
		{"by a proxy on this machine", "127.0.0.1:5", "localhost:8080", "", "X-Forwarded-For: 192.0.2.1", false},
		{"by another such", "127.0.0.1:5", "localhost:8080", "", "Forwarded: for=192.0.2.1", false},
		{"with the token", "192.0.2.1:5", "live.example", token, "Authorization: Bearer " + token, true},
		{"with a wrong token", "192.0.2.1:5", "live.example", token, "Authorization: Bearer " + token + "x", false},
		{"with an empty token where none is set", "192.0.2.1:5", "live.example", "", "Authorization: Bearer ", false},
		{"without the token", "192.0.2.1:5", "live.example", token, "", false},
		{"this machine, although there is a token", "127.0.0.1:5", "localhost", token, "", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			r.Header.Set(name, value)
		}
		if got := mayRead(r, c.token); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
	s, _ := metricsServer(t, token)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, header := range map[int]string{http.StatusUnauthorized: "Bearer no", http.StatusMethodNotAllowed: "Bearer " + token} {
		r.Header.Set("Authorization", header)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: got %d, want %d", header, answer.StatusCode, want)
		}
	}
}
