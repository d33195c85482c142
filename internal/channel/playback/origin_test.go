package playback_test

import (
	"net/http"
	"strings"
	"testing"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/packager/packagertest"
	"belfry.live/belfry/internal/channel/playback"
)

const (
	town  = "https://town.example"
	below = "https://www.town.example"
	away  = "https://away.example"
)

// An answer is what the origin of a request decides: the status and the
// Access-Control-Allow-Origin.
type answer struct {
	status int
	allow  string
}

func (s *site) answer(u, origin string) answer {
	s.t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	status, got, body := fetch(s.t, http.MethodGet, u, header)
	allow := got.Get("Access-Control-Allow-Origin")
	if status == http.StatusForbidden {
		if origin == "" && string(body) != "origin required\n" || origin != "" && !strings.Contains(string(body), "playback_auth_error") {
			s.t.Errorf("%s from %q: got 403 with %s", u, origin, body)
		}
		allow = "" // errors may be read by every page
	}
	if vary := got.Values("Vary"); status == http.StatusOK && (allow != "*") != strings.Contains(strings.Join(vary, ","), "Origin") {
		s.t.Errorf("%s from %q: got Vary %q beside %q", u, origin, vary, allow)
	}
	if status == http.StatusOK && got.Get("Cache-Control") == "" {
		s.t.Errorf("%s: no Cache-Control", u)
	}
	return answer{status, allow}
}

// TestOrigins has tokens and policies that allow some origins: what each
// request gets, by where it comes from. It is held against the multivariant
// playlist, and everything behind it.
func TestOrigins(t *testing.T) {
	no, open := answer{status: 403}, answer{200, "*"}
	to := func(origin string) answer { return answer{200, origin} }
	type want struct {
		from          string
		first, behind answer
	}
	cases := []struct {
		name   string
		token  claims // nil: the channel is public
		policy channel.RestrictionPolicySpec
		want   []want
	}{
		{"nothing", nil, channel.RestrictionPolicySpec{}, []want{{"", open, open}, {town, open, open}}},
		{"token", claims{"aws:access-control-allow-origin": town + "," + below}, channel.RestrictionPolicySpec{}, []want{
			{"", to(""), to("")},
			{town, to(town), to(town)},
			{below, to(below), to(below)},
			{away, no, to("")},
		}},
		{"token with a wildcard", claims{"aws:access-control-allow-origin": "https://*.town.example"}, channel.RestrictionPolicySpec{}, []want{
			{town, no, to("")},
			{below, to(below), to(below)},
		}},
		{"strict token", claims{"aws:access-control-allow-origin": town, "aws:strict-origin-enforcement": true}, channel.RestrictionPolicySpec{}, []want{
			{"", no, no},
			{town, to(town), to(town)},
			{below, no, no},
		}},
		{"token for everybody", claims{"aws:access-control-allow-origin": "*"}, channel.RestrictionPolicySpec{}, []want{
			{"", to(""), to("")},
			{away, to(away), to(away)},
		}},
		{"policy without origins", nil, channel.RestrictionPolicySpec{StrictOrigin: true}, []want{{"", open, open}, {away, open, open}}},
		{"policy", nil, channel.RestrictionPolicySpec{AllowedOrigins: []string{town}}, []want{
			{"", to(""), to("")},
			{town, to(town), to(town)},
			{away, no, to("")},
		}},
		{"strict policy", nil, channel.RestrictionPolicySpec{AllowedOrigins: []string{town, "https://*.town.example"}, StrictOrigin: true}, []want{
			{"", no, no},
			{town, to(town), to(town)},
			{below, to(below), to(below)},
			{away, no, no},
		}},
		{"token and policy", claims{"aws:access-control-allow-origin": town + "," + away}, channel.RestrictionPolicySpec{AllowedOrigins: []string{town, below}, StrictOrigin: true}, []want{
			{"", no, no},
			{town, to(town), to(town)},
			{below, no, to("")}, // the token is not strict
			{away, no, no},
		}},
	}
	events := packagertest.Encode(t, media+" -t 3 "+codecs)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newPrivateSite(t, playback.Config{})
			policy, err := p.service.CreateRestrictionPolicy(t.Context(), owner, c.policy)
			if err != nil {
				t.Fatal(err)
			}
			if p.channel, p.key, err = p.service.Create(t.Context(), channel.Spec{
				Account: owner.Account, Region: owner.Region, Authorized: c.token != nil, Policy: policy.ID,
			}); err != nil {
				t.Fatal(err)
			}
			pub := p.publishAll(events)
			defer pub.Close(true)
			begin := p.url()
			if c.token != nil {
				begin = p.begin(c.token)
			}
			behind := p.linksFrom(begin, town, below)
			for _, w := range c.want {
				if got := p.answer(begin, w.from); got != w.first {
					t.Errorf("multivariant from %q: got %v, want %v", w.from, got, w.first)
				}
				for _, u := range behind {
					if got := p.answer(u, w.from); got != w.behind {
						t.Errorf("%s from %q: got %v, want %v", u[strings.LastIndex(u, "/"):], w.from, got, w.behind)
					}
				}
			}
		})
	}
}

// linksFrom returns what is behind a multivariant playlist, loaded from the
// first of the origins that may: a playlist, an initialization segment, a part.
func (p *privateSite) linksFrom(begin string, origins ...string) []string {
	p.t.Helper()
	for _, origin := range origins {
		header := http.Header{"Origin": {origin}}
		status, _, body := fetch(p.t, http.MethodGet, begin, header)
		if status != http.StatusOK {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(body)), "\n")
		playlist := resolve(p.t, begin, lines[len(lines)-1])
		return []string{playlist, resolve(p.t, playlist, "video/init0.mp4"), resolve(p.t, playlist, "video/0.m4s"), resolve(p.t, playlist, "video/0.0.m4s")}
	}
	p.t.Fatalf("none of %v can begin", origins)
	return nil
}

// TestPolicyChanges changes a policy under viewers who are watching.
func TestPolicyChanges(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	policy, err := p.service.CreateRestrictionPolicy(t.Context(), owner, channel.RestrictionPolicySpec{})
	if err != nil {
		t.Fatal(err)
	}
	if p.channel, p.key, err = p.service.Create(t.Context(), channel.Spec{Account: owner.Account, Region: owner.Region, Policy: policy.ID}); err != nil {
		t.Fatal(err)
	}
	pub := p.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs))
	defer pub.Close(true)
	behind := p.linksFrom(p.url(), town)
	expect := func(name string, want answer) {
		t.Helper()
		for _, u := range append(behind, p.url()) {
			if got := p.answer(u, away); got != want {
				t.Errorf("%s: %s: got %v, want %v", name, u, got, want)
			}
		}
	}
	change := func(c channel.RestrictionPolicyChange) {
		t.Helper()
		if _, err := p.service.UpdateRestrictionPolicy(t.Context(), owner, policy.ID, c); err != nil {
			t.Fatal(err)
		}
	}
	expect("at first", answer{200, "*"})
	origins, strict := []string{town}, true
	change(channel.RestrictionPolicyChange{AllowedOrigins: &origins, StrictOrigin: &strict})
	expect("closed", answer{status: 403})
	origins = []string{town, away}
	change(channel.RestrictionPolicyChange{AllowedOrigins: &origins})
	expect("opened", answer{200, away})
	if _, header, _ := fetch(t, http.MethodGet, behind[2], http.Header{"Origin": {away}}); header.Get("Cache-Control") != "private, max-age=3600, immutable" {
		t.Errorf("got Cache-Control %q: a shared cache would give it to everybody", header.Get("Cache-Control"))
	}
	origins = nil
	change(channel.RestrictionPolicyChange{AllowedOrigins: &origins})
	expect("open again", answer{200, "*"})
}

// TestChannelBecomesPrivate changes who may watch while there are viewers.
func TestChannelBecomesPrivate(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	pub := p.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs))
	defer pub.Close(true)
	authorize := func(yes bool) {
		t.Helper()
		if _, err := p.service.Update(t.Context(), owner, p.channel.ID, func(s *channel.Spec) error {
			s.Authorized = yes
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	authorize(false)
	public, _ := variants(t, p.url())
	if strings.Contains(public, "~") || !strings.Contains(public, "?s=") {
		t.Errorf("a public channel has the link %s", public)
	}
	segment := resolve(t, public, "video/0.m4s")
	get(t, segment)
	authorize(true)
	for name, u := range map[string]string{"multivariant": p.url(), "playlist": public, "segment": segment} {
		p.forbidden(name, u, nil)
	}
	private, _ := variants(t, p.begin(nil))
	authorize(false)
	for _, u := range []string{p.url(), p.begin(nil), public, segment, private, resolve(t, private, "video/0.m4s")} {
		get(t, u)
	}
}
