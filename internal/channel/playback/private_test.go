package playback_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/packager/packagertest"
	"belfry.live/belfry/internal/channel/playback"
	"belfry.live/belfry/internal/wire/hls/hlstest"
)

var owner = channel.Owner{Account: account, Region: "us-east-1"}

// A privateSite is a site whose channel asks for tokens, and the key that they
// are signed with.
type privateSite struct {
	*site
	private *ecdsa.PrivateKey
	pair    channel.PlaybackKeyPair
	late    atomic.Int64 // how far the server's clock is ahead
}

func newPrivateSite(t *testing.T, cfg playback.Config) *privateSite {
	t.Helper()
	p := &privateSite{}
	cfg.MaxWait = 10 * time.Second
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(p.late.Load())) }
	p.site = newSite(t, cfg)
	var err error
	if p.channel, p.key, err = p.service.Create(t.Context(), channel.Spec{Account: owner.Account, Region: owner.Region, Authorized: true}); err != nil {
		t.Fatal(err)
	}
	if p.private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	p.pair = p.importKey(owner)
	return p
}

// importKey makes the public half known to the owner.
func (p *privateSite) importKey(owner channel.Owner) channel.PlaybackKeyPair {
	p.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&p.private.PublicKey)
	if err != nil {
		p.t.Fatal(err)
	}
	pair, err := p.service.ImportPlaybackKeyPair(p.t.Context(), owner, channel.PlaybackKeySpec{
		Material: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return pair
}

// claims are added to those that every token has.
type claims map[string]any

// token signs a token for the channel that expires in five minutes.
func (p *privateSite) token(changed claims) string {
	p.t.Helper()
	all := jwt.MapClaims{
		"aws:channel-arn": playback.ARN(owner.Region, owner.Account, p.channel.ID),
		"exp":             time.Now().Add(5 * time.Minute).Unix(),
	}
	for name, value := range changed {
		all[name] = value
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodES384, all).SignedString(p.private)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

func (p *privateSite) begin(changed claims) string { return p.url() + "?token=" + p.token(changed) }

// links returns what a playlist leads to: its own URL, as a blocking reload and
// a delta update, the initialization segment, a segment, a part, and the part
// that is not there yet.
func links(t *testing.T, playlist string) map[string]string {
	t.Helper()
	p, err := hlstest.Parse(string(get(t, playlist)))
	if err != nil {
		t.Fatal(err)
	}
	open := p.Segments[len(p.Segments)-1]
	if len(open.Parts) == 0 || p.Hint == "" {
		t.Fatalf("no open segment in %s", playlist)
	}
	in := func(uri string) string { return resolve(t, playlist, uri) }
	return map[string]string{
		"playlist":       playlist,
		"playlist later": fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", playlist, open.Sequence, len(open.Parts)),
		"delta update":   playlist + "?_HLS_skip=YES",
		"init":           in(p.Segments[0].Map),
		"segment":        in(p.Segments[0].URI),
		"part":           in(open.Parts[0].URI),
		"part later":     in(p.Hint),
	}
}

// forbidden wants the URL to be refused at once, as players know it.
func (p *privateSite) forbidden(name, u string, header http.Header) {
	p.t.Helper()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		begin := time.Now()
		status, got, body := fetch(p.t, method, u, header)
		if status != http.StatusForbidden || got.Get("Cache-Control") != "no-store" {
			p.t.Errorf("%s %s: got status %d and %d bytes, kept %q, want 403 that nobody keeps", method, name, status, len(body), got.Get("Cache-Control"))
		}
		if took := time.Since(begin); took > 5*time.Second { // a request may wait 10 s for media
			p.t.Errorf("%s %s: it took %v", method, name, took)
		}
		if method == http.MethodHead {
			continue
		}
		var refusal []struct {
			URL, Error string
			Code       string `json:"error_code"`
		}
		if err := json.Unmarshal(body, &refusal); err != nil || len(refusal) != 1 || refusal[0].Code != "playback_auth_error" || refusal[0].Error == "" ||
			refusal[0].URL != playback.Path(owner.Region, owner.Account, p.channel.ID) || got.Get("Content-Type") != "application/json" {
			p.t.Errorf("%s: got %s %.100q, want JSON with the code playback_auth_error", name, got.Get("Content-Type"), body)
		}
	}
}

// withSession puts another session, or none, into a URL below a run.
func withSession(t *testing.T, u, session string) string {
	t.Helper()
	before, after, ok := strings.Cut(u, "/~")
	if !ok {
		t.Fatalf("no session in %s", u)
	}
	_, after, _ = strings.Cut(after, "/")
	if session == "" {
		return before + "/" + after
	}
	return before + "/~" + session + "/" + after
}

func sessionOf(u string) string {
	_, after, _ := strings.Cut(u, "/~")
	session, _, _ := strings.Cut(after, "/")
	return session
}

// TestPrivateChannel asks for everything there is of a private channel, with
// the session that a token began, and with anything else.
func TestPrivateChannel(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	p.forbidden("no token, offline", p.url(), nil)
	if status, _, _ := fetch(t, http.MethodGet, p.begin(nil), nil); status != http.StatusNotFound {
		t.Errorf("offline: got status %d, want 404", status)
	}
	events := packagertest.Encode(t, media+" -t 7 "+codecs)
	cut := len(events) - 20
	pub := p.publishAll(events[:cut])
	defer pub.Close(true)

	p.forbidden("no token", p.url(), nil)
	p.forbidden("empty token", p.url()+"?token=", nil)
	p.forbidden("a broken one", p.url()+"?token=a.b.c", nil)
	p.forbidden("another channel's", p.begin(claims{"aws:channel-arn": playback.ARN(owner.Region, owner.Account, "AAAAAAAAAAAA")}), nil)
	p.forbidden("an old one", p.begin(claims{"exp": time.Now().Add(-time.Second).Unix()}), nil)
	old := p.private
	var err error
	if p.private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	p.forbidden("a stranger's", p.begin(nil), nil)
	for _, other := range []channel.Owner{{Account: account, Region: "eu-west-1"}, {Account: "111111111111", Region: owner.Region}} {
		p.importKey(other)
	}
	p.forbidden("a stranger's, who is known elsewhere", p.begin(nil), nil)
	p.private = old

	token := p.token(nil)
	begin := p.url() + "?player_version=1.2.3&token=" + token
	video, audio := variants(t, begin)
	another, _ := variants(t, p.begin(nil))
	if sessionOf(video) == "" || sessionOf(video) != sessionOf(audio) || sessionOf(video) == sessionOf(another) {
		t.Errorf("got sessions %q and %q, then %q, want one for the renditions of a request, and another the next time", sessionOf(video), sessionOf(audio), sessionOf(another))
	}
	good := links(t, video)
	forged := []byte(sessionOf(video))
	forged[20] ^= 1
	for name, u := range good {
		p.forbidden(name+" without a session", withSession(t, u, ""), nil)
		p.forbidden(name+" with a forged session", withSession(t, u, string(forged)), nil)
		p.forbidden(name+" with the token", withSession(t, u, token), nil)
		p.forbidden(name+" with the token behind", withSession(t, u, "")+"?token="+token, nil)
		p.forbidden(name+" with a public session", withSession(t, u, "")+"?s=0123456789abcdef", nil)
	}
	p.forbidden("nothing there", withSession(t, resolve(t, video, "video/999.m4s"), ""), nil)
	p.forbidden("no such run", strings.Replace(video, "/~", "x/~", 1), nil)
	p.forbidden("no such rendition", withSession(t, resolve(t, video, "subtitles.m3u8"), ""), nil)

	// The owner's key goes and the token's time too: who has begun goes on.
	if err := p.service.DeletePlaybackKeyPair(t.Context(), owner, p.pair.ID); err != nil {
		t.Fatal(err)
	}
	p.forbidden("key deleted", begin, nil)
	p.late.Store(int64(47 * time.Hour))
	var waiting sync.WaitGroup
	for name, u := range good {
		waiting.Go(func() {
			status, header, body := fetch(t, http.MethodGet, u, nil)
			if cache := header.Get("Cache-Control"); status != http.StatusOK || strings.Contains(cache, "public") {
				t.Errorf("%s: got status %d: %.100s, kept %q, want it for this viewer alone", name, status, body, cache)
			}
		})
	}
	for _, e := range events[cut:] {
		if err := e.Send(pub); err != nil {
			t.Fatal(err)
		}
	}
	waiting.Wait()
	p.late.Store(int64(49 * time.Hour))
	for name, u := range good {
		p.forbidden(name+" after two days", u, nil)
	}
	if n := p.handler.Stats(); n.Token != 2*9 || n.Session != int64(2*(6*len(good)+3)) {
		t.Errorf("got %+v, want 18 for tokens and %d for sessions", n, 2*(6*len(good)+3)) // forbidden asks twice
	}
}

// TestPrivateSessionIsOfOneChannel takes a session to another private channel.
func TestPrivateSessionIsOfOneChannel(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	events := packagertest.Encode(t, media+" -t 3 "+codecs)
	pub := p.publishAll(events)
	defer pub.Close(true)
	first, _ := variants(t, p.begin(nil))
	var err error
	if p.channel, p.key, err = p.service.Create(t.Context(), channel.Spec{Account: owner.Account, Region: owner.Region, Authorized: true}); err != nil {
		t.Fatal(err)
	}
	other := p.publishAll(events)
	defer other.Close(true)
	second, _ := variants(t, p.begin(nil))
	p.forbidden("another channel's session", withSession(t, second, sessionOf(first)), nil)
	get(t, second)
	get(t, first)
}

// TestDeletedChannel deletes a channel whose viewers have not seen its end yet.
func TestDeletedChannel(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	p.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs)).Close(true)
	begin := p.begin(nil)
	if status, _, _ := fetch(t, http.MethodGet, begin, nil); status != http.StatusNotFound {
		t.Errorf("after the end: got status %d, want 404", status)
	}
	pub := p.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs))
	video, _ := variants(t, begin)
	segment := resolve(t, video, "video/0.m4s")
	pub.Close(true)
	if err := p.service.Delete(t.Context(), p.channel.ID); err != nil {
		t.Fatal(err)
	}
	get(t, video)
	get(t, segment)
	p.forbidden("without a session", withSession(t, segment, ""), nil)
	if status, _, _ := fetch(t, http.MethodGet, begin, nil); status != http.StatusNotFound {
		t.Errorf("after the deletion: got status %d, want 404", status)
	}
}

func TestPrivateViewers(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	pub := p.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs))
	defer pub.Close(true)
	for range 5 {
		video, audio := variants(t, p.begin(nil))
		for _, u := range []string{video, audio, video} {
			get(t, u)
		}
	}
	stream, err := p.service.Stream(t.Context(), p.channel.ID)
	if err != nil || stream.Viewers != 5 {
		t.Errorf("got %d viewers, %v, want 5", stream.Viewers, err)
	}
}

// TestTooManyWait has as many viewers waiting for media as may: nobody else can
// begin until one of them has got it.
func TestTooManyWait(t *testing.T) {
	p := newPrivateSite(t, playback.Config{MaxWaiting: 1})
	pub := p.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs))
	defer pub.Close(true)
	video, _ := variants(t, p.begin(nil))
	later := links(t, video)["part later"]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for ctx.Err() == nil { // it may be the one that finds the place taken
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, later, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if answer, err := (&http.Client{Transport: transport}).Do(r); err == nil {
				answer.Body.Close()
			}
		}
	})
	status := 0
	for end := time.Now().Add(5 * time.Second); status != http.StatusServiceUnavailable && time.Now().Before(end); {
		status, _, _ = fetch(t, http.MethodGet, p.begin(nil), nil)
	}
	if n := p.handler.Stats().Busy; status != http.StatusServiceUnavailable || n < 1 {
		t.Errorf("got status %d and %d counted, want 503 and 1", status, n)
	}
	cancel()
	waiting.Wait()
}

func TestSingleUse(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	once := p.begin(claims{"aws:single-use-uuid": "66a4cbdb-f6f8-42f8-a6d1-bb9c0e20e0b0"})
	if status, _, _ := fetch(t, http.MethodGet, once, nil); status != http.StatusNotFound {
		t.Errorf("offline: got status %d, want 404", status) // and it is not used up
	}
	pub := p.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs))
	defer pub.Close(true)
	if status, _, _ := fetch(t, http.MethodHead, once, nil); status != http.StatusOK {
		t.Errorf("HEAD: got status %d, want 200", status) // nor by this
	}
	var using sync.WaitGroup
	var good atomic.Int32
	for range 8 {
		using.Go(func() {
			switch status, _, body := fetch(t, http.MethodGet, once, nil); status {
			case http.StatusOK:
				good.Add(1)
			case http.StatusForbidden:
			default:
				t.Errorf("got status %d: %s", status, body)
			}
		})
	}
	using.Wait()
	if n := good.Load(); n != 1 {
		t.Errorf("the token began %d sessions, want 1", n)
	}
	status, _, body := fetch(t, http.MethodGet, once, nil)
	if status != http.StatusForbidden || !strings.Contains(string(body), "used before") {
		t.Errorf("again: got status %d: %s", status, body)
	}
	variants(t, p.begin(claims{"aws:single-use-uuid": "00000000-0000-4000-8000-000000000000"}))
	if status, _, _ := fetch(t, http.MethodGet, p.begin(claims{
		"aws:single-use-uuid": "11111111-0000-4000-8000-000000000000", "exp": time.Now().Add(time.Hour).Unix(),
	}), nil); status != http.StatusForbidden {
		t.Errorf("for an hour: got status %d, want 403", status)
	}
}

func TestViewerRevocation(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	pub := p.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs))
	defer pub.Close(true)
	of := func(viewer string, version int64) string {
		return p.begin(claims{"aws:viewer-id": viewer, "aws:viewer-session-version": version})
	}
	bob0, _ := variants(t, p.begin(claims{"aws:viewer-id": "bob"}))
	bob1, bobAudio := variants(t, of("bob", 1))
	bob2, _ := variants(t, of("bob", 2))
	eve, _ := variants(t, of("eve", 0))
	nobody, _ := variants(t, p.begin(nil))
	ended := links(t, bob1)
	if err := p.service.RevokeViewer(t.Context(), p.channel.ID, "bob", 1); err != nil {
		t.Fatal(err)
	}
	for name, u := range ended {
		p.forbidden("bob's "+name, u, nil)
	}
	p.forbidden("bob's sound", bobAudio, nil)
	p.forbidden("bob without a version", bob0, nil)
	p.forbidden("a new session of version 1", of("bob", 1), nil)
	for name, u := range map[string]string{"version 2": bob2, "eve": eve, "nobody": nobody, "a new version": of("bob", 3)} {
		if status, _, body := fetch(t, http.MethodGet, u, nil); status != http.StatusOK {
			t.Errorf("%s: got status %d: %s", name, status, body)
		}
	}
}

// TestMaximumResolution has a picture that is larger than what the token lets
// the viewer see.
func TestMaximumResolution(t *testing.T) {
	p := newPrivateSite(t, playback.Config{})
	const large = "-f lavfi -i testsrc2=size=720x1280:rate=30" // 720 lines, on end
	sound := strings.TrimPrefix(media, "-f lavfi -i testsrc2=size=320x180:rate=30 ")
	pub := p.publishAll(packagertest.Encode(t, large+" "+sound+" -t 3 "+codecs))
	for _, allowed := range []string{"HD", "FULL_HD"} {
		video, audio := variants(t, p.begin(claims{"aws:maximum-resolution": allowed}))
		if !strings.HasSuffix(video, "/video.m3u8") || audio == "" {
			t.Errorf("%s: got %s and %s, want picture and sound", allowed, video, audio)
		}
		links(t, video)
	}
	only, more := variants(t, p.begin(claims{"aws:maximum-resolution": "SD"}))
	if !strings.HasSuffix(only, "/audio.m3u8") || more != "" {
		t.Errorf("SD: got %s and %q, want the sound alone", only, more)
	}
	get(t, only)
	all, _ := variants(t, p.begin(nil))
	for name, u := range links(t, all) {
		p.forbidden("SD: "+name, withSession(t, u, sessionOf(only)), nil)
	}
	pub.Close(true)

	pub = p.publish()
	defer pub.Close(true)
	ctx, cancel := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	publishing.Go(func() { // until the test has seen enough
		_ = packagertest.Live(ctx, "-re "+large+" -t 20 "+codecs, func(e packagertest.Event) error { return e.Send(pub) })
	})
	defer publishing.Wait()
	defer cancel()
	awaitPlayable(t, p)
	p.forbidden("SD, and no sound", p.begin(claims{"aws:maximum-resolution": "SD"}), nil)
	variants(t, p.begin(claims{"aws:maximum-resolution": "HD"}))
}

// awaitPlayable waits until the channel without sound is live: it takes as long
// as sound may be late.
func awaitPlayable(t *testing.T, p *privateSite) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, ok := p.service.Broadcast(p.channel.ID); ok {
			return
		}
	}
	t.Fatal("the channel does not become live")
}

// TestPrivatePlayback plays a private channel to its end as viewers do: with
// ffprobe as plain HLS, and part by part.
func TestPrivatePlayback(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 9 s")
	}
	p := newPrivateSite(t, playback.Config{})
	pub := p.publish()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var publisher, viewers sync.WaitGroup
	sent := 0
	publisher.Go(func() {
		err := packagertest.Live(ctx, "-re "+media+" -t 9 "+codecs, func(e packagertest.Event) error {
			if e.Video != nil {
				sent++
			}
			return e.Send(pub)
		})
		pub.Close(true)
		if err != nil {
			t.Errorf("publisher: %v", err)
		}
	})
	awaitPlayable(t, p)
	// As AWS's own sample signs it: the expiry is in milliseconds.
	begin := p.begin(claims{
		"exp": time.Now().Add(time.Hour).UnixMilli(), "aws:access-control-allow-origin": "*",
		"aws:strict-origin-enforcement": false, "aws:maximum-resolution": "FULL_HD",
	})
	video, audio := variants(t, begin)
	followers := []*follower{{t: t, url: video}, {t: t, url: audio}}
	for _, f := range followers {
		viewers.Go(f.run)
	}
	var packets []packet
	viewers.Go(func() { packets = probe(t, begin) })
	viewers.Wait()
	publisher.Wait()
	for _, f := range followers {
		if !f.player.Last().Ended || f.parts < 25 {
			t.Errorf("%s: got %d parts and the end %v, want them all", f.url, f.parts, f.player.Last().Ended)
		}
	}
	pictures, sounds := 0, 0
	for _, packet := range packets {
		if packet.Stream == "video" {
			pictures++
		} else {
			sounds++
		}
	}
	if pictures < sent-20 || sounds < 300 {
		t.Errorf("ffprobe got %d of %d pictures and %d audio frames of about 420", pictures, sent, sounds)
	}
}
