package clients_test

import (
	"net/http"
	"net/http/httptest"
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
			var requests atomic.Int32
			var identified atomic.Bool
			cutting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				identified.Store(r.Header.Get("Amz-Sdk-Invocation-Id") != "")
				if requests.Add(1) > 1 {
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
			made, err := c.Call(t.Context(), setup, clients.Request{Service: clients.IVS, Operation: "CreateChannel", Input: map[string]any{"name": "once"}})
			if err != nil || made.Error != nil {
				t.Fatalf("got %s (%v), want success", show(made), err)
			}
			if n := requests.Load(); n != 2 {
				t.Errorf("got %d requests, want 2", n)
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
