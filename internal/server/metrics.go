package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/playback"
	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/turn"
)

// metricsTimeout bounds one reading of all the parts.
const metricsTimeout = 5 * time.Second

// metricsSources are the parts that count.
type metricsSources struct {
	meetings interface {
		Metrics(ctx context.Context) meeting.Metrics
	}
	connectors interface {
		Count() map[connector.Status]int
		EventsDropped() uint64
	}
	channels interface{ Stats() channel.Stats }
	ingest   interface{ Stats() ingest.Stats }
	playback interface{ Stats() playback.Stats }
	relay    interface{ Stats() turn.Stats }
	events   interface{ count(w metricWriter) }
	api      interface{ Stats() api.Stats }
}

// newMetrics serves GET /metrics in Prometheus's text format: to this machine,
// and to whoever has the token, if there is one.
func newMetrics(from metricsSources, token string, log *slog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
		&exporter{from},
	)
	text := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !mayRead(r, token):
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "metrics are for this machine, or for a bearer token that is set as metrics.token", http.StatusUnauthorized)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
		default:
			text.ServeHTTP(w, r)
		}
	})
}

// mayRead says whether the request is of this machine or has the token. A
// proxy on this machine hands on requests of others: it says so, and names a
// host that is not this one.
func mayRead(r *http.Request, token string) bool {
	said, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if ok && token != "" {
		a, b := sha256.Sum256([]byte(said)), sha256.Sum256([]byte(token))
		return subtle.ConstantTimeCompare(a[:], b[:]) == 1
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && remote.Addr().Unmap().IsLoopback() && isLoopbackHost(r.Host)
}

func isLoopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// An exporter reads the parts when it is asked. What it counts does not know
// of Prometheus, and no label's values are of a client's choosing.
type exporter struct {
	from metricsSources
}

// Describe describes nothing: what there is turns out when it is read.
func (*exporter) Describe(chan<- *prometheus.Desc) {}

// Collect reads all the parts.
func (e *exporter) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsTimeout)
	defer cancel()
	w := metricWriter{out}
	w.meetings(e.from.meetings.Metrics(ctx))
	w.turn(e.from.relay.Stats())
	w.channels(e.from.channels.Stats(), e.from.ingest.Stats())
	w.playback(e.from.playback.Stats())
	e.from.events.count(w)
	w.api(e.from.api.Stats())
	for status, n := range e.from.connectors.Count() {
		w.gauge("pipelines", "Media pipelines by status.", float64(n), "status", string(status))
	}
	w.count("events_unrecorded", "Events that were not written down.", float64(e.from.connectors.EventsDropped()), "of", "pipeline")
}

// A metricWriter makes metrics, all of whose names begin with belfry_.
type metricWriter struct{ out chan<- prometheus.Metric }

func (w metricWriter) gauge(name, help string, value float64, label ...string) {
	w.metric(prometheus.GaugeValue, name, help, value, label)
}

func (w metricWriter) count(name, help string, value float64, label ...string) {
	w.metric(prometheus.CounterValue, name+"_total", help, value, label)
}

// metric writes one; label is names, each followed by its value.
func (w metricWriter) metric(kind prometheus.ValueType, name, help string, value float64, label []string) {
	var names, values []string
	for ; len(label) > 0; label = label[2:] {
		names, values = append(names, label[0]), append(values, label[1])
	}
	w.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("belfry_"+name, help, names, nil), kind, value, values...)
}
