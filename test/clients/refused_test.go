package clients_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/test/apiserver"
	"belfry.live/belfry/test/clients"
)

// ask is a call that changes nothing, of each service.
var ask = []clients.Request{
	{Service: clients.Meetings, Operation: "GetMeeting", Input: map[string]any{"MeetingId": noMeeting}},
	{Service: clients.Pipelines, Operation: "ListMediaPipelines", Input: map[string]any{}},
	{Service: clients.IVS, Operation: "ListChannels", Input: map[string]any{}},
}

// TestWhoIsRefused has the clients sign wrongly. Each asks once, and says why
// it was refused.
func TestWhoIsRefused(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{})
	plain := newFront(t, s.API, "")
	create := func(ttl time.Duration, at time.Time) access.Key {
		key, err := access.Create(s.Keys, access.Spec{TTL: ttl}, at)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	temporary, expired := create(time.Hour, time.Now()), create(time.Minute, time.Now().Add(-time.Hour))
	cases := []struct{ name, key, secret, token, kind, says string }{
		{"unknown key", "AKIASOMEBODYELSE", "x", "", "UnrecognizedClientException", "AKIASOMEBODYELSE"},
		{"wrong secret", apiserver.AccessKeyID, wrongSecret, "", "InvalidSignatureException", "does not match"},
		{"token left over", apiserver.AccessKeyID, apiserver.Secret, "left//over+token==", "UnrecognizedClientException", "AWS_SESSION_TOKEN"},
		{"token forgotten", temporary.ID, temporary.Secret.Reveal(), "", "UnrecognizedClientException", "temporary"},
		{"token of another", temporary.ID, temporary.Secret.Reveal(), expired.SessionToken.Reveal(), "UnrecognizedClientException", "is not that of"},
		{"expired", expired.ID, expired.Secret.Reveal(), expired.SessionToken.Reveal(), "ExpiredTokenException", "expired"},
	}
	for _, c := range clients.All(t) {
		for _, who := range cases {
			t.Run(c.Name()+"/"+who.name, func(t *testing.T) {
				y := try{front: plain, setup: clients.Setup{
					Region: apiserver.Region, AccessKeyID: who.key, Secret: who.secret, SessionToken: who.token,
				}}
				for _, request := range ask {
					a, err := y.call(t.Context(), c, request)
					if err != nil || a.Error == nil || a.Error.Type != who.kind || a.Status != http.StatusForbidden ||
						a.Error.Modelled || !strings.Contains(a.Error.Message, who.says) || a.RequestID == "" {
						t.Errorf("%s: got %s (%v), want 403 %s saying %q", request.Operation, show(a), err, who.kind, who.says)
					}
				}
			})
		}
	}
}

// TestClocks has servers whose clock is not the clients': up to 5 minutes
// nobody notices, and beyond that the Go and JavaScript clients correct their
// own (see TestMatrix) while boto's users are told what time it is.
func TestClocks(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{})
	for _, off := range []time.Duration{-4 * time.Minute, 4 * time.Minute, -skew, skew} {
		other := s.Also(t, apiserver.Config{Now: func() time.Time { return time.Now().Add(off) }})
		y := try{front: newFront(t, other.API, ""), setup: clients.Setup{
			Region: apiserver.Region, AccessKeyID: apiserver.AccessKeyID, Secret: apiserver.Secret,
		}}
		for _, c := range clients.All(t) {
			t.Run(c.Name()+"/"+off.String(), func(t *testing.T) {
				request := ask[2]
				if off.Abs() < 5*time.Minute {
					if a, err := y.call(t.Context(), c, request); err != nil || a.Error != nil {
						t.Errorf("got %s (%v), want success at once", show(a), err)
					}
					return
				}
				if c.Name() != "boto" {
					y := y
					y.learns = true
					if a, err := y.call(t.Context(), c, request); err != nil || a.Error != nil {
						t.Errorf("got %s (%v), want success in the end", show(a), err)
					}
					return
				}
				now := time.Now().Add(off).UTC().Format("2006-01-02T15:")
				a, err := y.call(t.Context(), c, request)
				if err != nil || a.Error == nil || a.Error.Type != "InvalidSignatureException" ||
					!strings.Contains(a.Error.Message, now) && !strings.Contains(a.Error.Message, strings.NewReplacer("-", "", ":", "").Replace(now)) {
					t.Errorf("got %s (%v), want InvalidSignatureException that tells the server's time, %s", show(a), err, now)
				}
			})
		}
	}
}

// TestWhereErrorsSay pins where each language's users find what an error says.
func TestWhereErrorsSay(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{})
	setup := clients.Setup{Endpoint: s.URL, Region: apiserver.Region, AccessKeyID: apiserver.AccessKeyID, Secret: apiserver.Secret}
	requests := []clients.Request{
		{Service: clients.Meetings, Operation: "GetMeeting", Input: map[string]any{"MeetingId": noMeeting}},
		{Service: clients.Pipelines, Operation: "GetMediaPipeline", Input: map[string]any{"MediaPipelineId": noMeeting}},
		{Service: clients.IVS, Operation: "GetChannel", Input: map[string]any{"arn": "arn:aws:ivs:us-east-1:" + apiserver.Account + ":channel/abcdefghijkl"}},
	}
	for _, c := range append(clients.All(t), clients.CLI(t)) {
		for _, request := range requests {
			t.Run(c.Name()+"/"+request.Service, func(t *testing.T) {
				a, err := c.Call(t.Context(), setup, request)
				if err != nil || a.Error == nil {
					t.Fatalf("got %s (%v), want an error", show(a), err)
				}
				// The Go client for IVS has the text in the field ExceptionMessage.
				elsewhere := c.Name() == "Go" && request.Service == clients.IVS
				if says := strings.Contains(a.Error.Message, "not found"); says == elsewhere {
					t.Errorf("got the message %q, want it to say something: %t", a.Error.Message, !elsewhere)
				}
				if !strings.Contains(a.Error.Text, "not found") {
					t.Errorf("got %q anywhere, want it to say what was not found", a.Error.Text)
				}
			})
		}
	}
}
