package meeting_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/telemetry"
)

func TestClientEvents(t *testing.T) {
	h := open(t, t.TempDir(), meeting.Config{})
	m, over := h.meeting(), h.meeting()
	ann, late := h.attendee(m, "Ann"), h.attendee(over, "Late")
	const one = `{"metadata": {"sdkName": "x"}, "events": [{"type": "Meet", "v": 1, "payloads": [{"name": "meetingStartSucceeded", "ts": 1}]}]}`
	wantErr(t, "end", h.End(t.Context(), over.ID), nil)
	post := func(method, path, bearer, body string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://elsewhere.example")
		r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	url := func(m meeting.Meeting) string { return "/client-events/" + string(m.ID) }
	token := ann.JoinToken.Reveal()
	for _, c := range []struct {
		name, path, bearer, body string
		want                     int
	}{
		{"one", url(m), token, one, 200},
		{"of a share", url(m), token + "#content", one, 200},
		{"of one relayed", url(m), token + ".relay", one, 200},
		{"beacon", url(m) + "?beacon=1", "", `{"authorization": "` + token + `",` + one[1:], 200},
		{"of a meeting just over", url(over), late.JoinToken.Reveal(), one, 200},
		{"another meeting's token", url(m), late.JoinToken.Reveal(), one, 403},
		{"of no meeting", "/client-events/" + string(ann.ID), token, one, 403},
		{"no token", url(m), "", one, 403},
		{"no JSON", url(m), token, "hello", 400},
		{"too long", url(m), token, strings.Repeat(" ", telemetry.MaxBody+1), 413},
	} {
		answer := post(http.MethodPost, c.path, c.bearer, c.body)
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != c.want || string(text) != "{}" {
			t.Errorf("%s: got %d %q, %v, want %d {}", c.name, answer.StatusCode, text, err, c.want)
		}
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s: got allowed origin %q, want any", c.name, got)
		}
	}
	ask := post(http.MethodOptions, url(m), "", "")
	if ask.StatusCode/100 != 2 || ask.Header.Get("Access-Control-Allow-Origin") != "*" || ask.Header.Get("Access-Control-Allow-Methods") != "POST" ||
		ask.Header.Get("Access-Control-Allow-Headers") != "authorization, content-type" {
		t.Errorf("preflight: got %d %v, want leave to post", ask.StatusCode, ask.Header)
	}
	got := h.Metrics(t.Context())
	if n := got.Client.Counts[telemetry.Count{Name: "events", Label: "name", Value: "meetingStartSucceeded"}]; n != 5 || got.EventBodies != 5 || got.EventBodiesRefused != 5 {
		t.Errorf("got %d events, %d bodies and %d refused, want 5 of each", n, got.EventBodies, got.EventBodiesRefused)
	}
}
