package clients_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"belfry.live/belfry/test/apiserver"
	"belfry.live/belfry/test/clients"
)

// TestAnswersCutOff has the server do what is asked and cut the line instead of
// answering. Every client asks again, and what it asked for is done once if the
// client says that it is the same request; boto in Debian 12 does not.
func TestAnswersCutOff(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{})
	for _, c := range clients.All(t) {
		t.Run(c.Name(), func(t *testing.T) {
			var mu sync.Mutex
			requests := map[string]int{} // by path
			var identified atomic.Bool
			cutting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				identified.Store(r.Header.Get("Amz-Sdk-Invocation-Id") != "")
				mu.Lock()
				requests[r.URL.Path]++
				n := requests[r.URL.Path]
				mu.Unlock()
				if n > 1 {
					s.API.ServeHTTP(w, r)
					return
				}
				s.API.ServeHTTP(httptest.NewRecorder(), r)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.Close()
			}))
			defer cutting.Close()
			setup := newRun(t, s, nil, c, 0).try.setup
			setup.Endpoint = cutting.URL
			before := s.Meetings.Metrics(t.Context()).Meetings
			for _, request := range []clients.Request{
				{Service: clients.Meetings, Operation: "CreateMeeting", Input: map[string]any{"MediaRegion": "us-east-1", "ExternalMeetingId": "once"}},
				{Service: clients.IVS, Operation: "CreateChannel", Input: map[string]any{"name": "once"}},
			} {
				if a, err := c.Call(t.Context(), setup, request); err != nil || a.Error != nil {
					t.Fatalf("%s: got %s (%v), want success", request.Operation, show(a), err)
				}
			}
			mu.Lock()
			m, ch := requests["/meetings"], requests["/CreateChannel"]
			mu.Unlock()
			if m != 2 || ch != 2 {
				t.Errorf("got %d and %d requests, want 2 each", m, ch)
			}
			// The clients fill in its ClientRequestToken.
			if n := s.Meetings.Metrics(t.Context()).Meetings - before; n != 1 {
				t.Errorf("got %d meetings, want 1", n)
			}
			list, err := c.Call(t.Context(), setup, clients.Request{Service: clients.IVS, Operation: "ListChannels", Input: map[string]any{}})
			if err != nil || list.Error != nil {
				t.Fatalf("got %s (%v), want success", show(list), err)
			}
			want := 1
			if c.Name() == "boto" && !identified.Load() {
				want = 2
			}
			if channels, _ := list.Output["channels"].([]any); len(channels) != want {
				t.Errorf("got %d channels, want %d", len(channels), want)
			}
		})
	}
}
