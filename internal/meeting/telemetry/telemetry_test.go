package telemetry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting/telemetry"
	"belfry.live/belfry/internal/wire/chime"
)

// Numbers of metrics, from the schema.
const (
	stunRTT     = 7
	freezeCount = 90
)

func metric(kind uint32, value float64) *chime.Metric {
	return &chime.Metric{Type: &kind, Value: &value}
}

func find(t *testing.T, s telemetry.Snapshot, name string) telemetry.Histogram {
	t.Helper()
	i := slices.IndexFunc(s.Histograms, func(h telemetry.Histogram) bool { return h.Name == name })
	if i < 0 {
		t.Fatalf("got no histogram %s in %v", name, s)
	}
	return s.Histograms[i]
}

func TestMetrics(t *testing.T) {
	var tally telemetry.Tally
	for _, rtt := range []float64{9, 10, 11, 250, 60_000, math.NaN(), -1, math.Inf(1), 1e300} {
		tally.Metrics(&chime.ClientMetricFrame{
			GlobalMetrics: []*chime.Metric{metric(stunRTT, rtt), metric(9999, 1)},
			StreamMetricFrames: []*chime.StreamMetricFrame{{Metrics: []*chime.Metric{
				metric(freezeCount, 2), metric(freezeCount, 1e18),
			}}},
		})
	}
	s := tally.Snapshot()
	h := find(t, s, "rtt_seconds")
	if want := []uint64{2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1}; !slices.Equal(h.Counts, want) || math.Abs(h.Sum-60.28) > 1e-9 {
		t.Errorf("round trips: got %v, sum %v, want %v, sum 60.28", h.Counts, h.Sum, want)
	}
	for c, want := range map[telemetry.Count]uint64{{Name: "metric_frames"}: 9, {Name: "freezes"}: 18, {Name: "implausible"}: 4} {
		if got := s.Counts[c]; got != want {
			t.Errorf("%v: got %d, want %d", c, got, want)
		}
	}
	tally.Metrics(nil)
	tally.Metrics(&chime.ClientMetricFrame{GlobalMetrics: []*chime.Metric{nil}})
}

func TestTiming(t *testing.T) {
	var tally telemetry.Tally
	tally.Timing(&chime.MeetingSessionTimingFrame{
		Signaling: []*chime.MeetingSessionSignalingTiming{
			{StartMs: proto.Int64(1000), JoinAckReceivedMs: proto.Int64(1090), IceConnectedMs: proto.Int64(1400)},
			{StartMs: proto.Int64(1000), TimedOut: proto.Bool(true)},
			{StartMs: proto.Int64(math.MaxInt64), IceConnectedMs: proto.Int64(math.MinInt64)},
		},
		RemoteVideos: []*chime.MeetingSessionRemoteVideoTiming{{AddedMs: proto.Int64(1), FirstFrameRenderedMs: proto.Int64(301)}},
	})
	s := tally.Snapshot()
	for name, sum := range map[string]float64{"join_signaling_seconds": .09, "join_connected_seconds": .4, "first_picture_seconds": .3} {
		if h := find(t, s, name); math.Abs(h.Sum-sum) > 1e-9 {
			t.Errorf("%s: got sum %v, want %v", name, h.Sum, sum)
		}
	}
	if got := s.Counts[telemetry.Count{Name: "start_timeouts", Label: "phase", Value: "signaling"}]; got != 1 {
		t.Errorf("timeouts: got %d, want 1", got)
	}
}

func TestEvents(t *testing.T) {
	var tally telemetry.Tally
	e, err := telemetry.ParseEvents([]byte(`{"metadata": {"sdkName": "x"}, "authorization": "t", "events": [
		{"type": "Meet", "v": 1, "payloads": [{"name": "meetingEnded", "ts": 1}, {"name": "<script>", "more": {}}]},
		{"type": "Meet", "v": 1, "payloads": [{"name": "meetingEnded"}]}, {}]}`))
	if err != nil || e.Authorization != "t" {
		t.Fatalf("got %v, %v, want authorization t", e, err)
	}
	tally.Events(e)
	want := map[telemetry.Count]uint64{{"events", "name", "meetingEnded"}: 2, {"events", "name", "other"}: 1}
	if got := tally.Snapshot().Counts; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, body := range map[string]string{
		"nothing": "", "no object": "[]", "no JSON": "{", "too long": strings.Repeat(" ", telemetry.MaxBody+1),
		"too many":          `{"events": [` + strings.Repeat("{},", 200) + "{}]}",
		"too many payloads": `{"events": [{"payloads": [` + strings.Repeat("{},", 10) + "{}]}]}",
	} {
		if _, err := telemetry.ParseEvents([]byte(body)); !errors.Is(err, telemetry.ErrEvents) {
			t.Errorf("%s: got %v, want %v", name, err, telemetry.ErrEvents)
		}
	}
}

// However many names clients make up, what is kept stays small.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"events": [{"payloads": [{"name": "meetingEnded"}]}]}`))
	f.Add([]byte(`{"authorization": 3}`))
	f.Add([]byte(`{"events": [{"payloads": [{"name": "a"}, {"name": "b"}]}], "events": []}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var tally telemetry.Tally
		e, err := telemetry.ParseEvents(body)
		if (err == nil) && !json.Valid(body) {
			t.Errorf("got no error for what is no JSON: %q", body)
		}
		tally.Events(e)
		for c := range tally.Snapshot().Counts {
			if len(c.Value) > 40 {
				t.Errorf("got a count by the name %q", c.Value)
			}
		}
	})
}
