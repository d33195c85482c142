package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/event/webhook"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/natskv"
)

const (
	account = "111122223333"
	secret  = "a secret of some length"
)

// A place is a data folder with the journal and the table.
type place struct {
	journal *event.Journal
	table   store.Table
	close   func()
}

func open(t testing.TB, dir string, cfg event.Config) place {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := natskv.Open(t.Context(), natskv.Config{Dir: filepath.Join(dir, "nats")}, log)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.Connect("events")
	if err != nil {
		t.Fatal(err)
	}
	p := place{close: sync.OnceFunc(func() { conn.Close(); s.Close() })}
	t.Cleanup(p.close)
	if p.journal, err = event.Open(t.Context(), conn, cfg, log); err != nil {
		t.Fatal(err)
	}
	if p.table, err = s.Table(t.Context(), "webhooks", store.TableConfig{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// deliver runs the webhooks; stop ends them.
func (p place) deliver(t testing.TB, cfg webhook.Config, log *slog.Logger) (d *webhook.Deliveries, stop func()) {
	t.Helper()
	d, err := webhook.New(cfg, p.journal, p.table, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	waitFor(t, "all webhooks to begin", func() bool {
		records, err := p.table.List(t.Context(), "")
		begun := slices.DeleteFunc(records, func(r store.Record) bool { return !strings.HasSuffix(r.Key, ".cursor") })
		return err == nil && len(begun) == len(cfg.Webhooks)
	})
	return d, stop
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

func (p place) append(t testing.TB, events ...event.Event) {
	t.Helper()
	if err := p.journal.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

func meetingEvent(account, meeting string, n int) event.Event {
	e, err := event.New(account, "eu-central-1", "aws.chime", "Chime Meeting State Change", map[string]any{"n": n, "meetingId": meeting})
	if err != nil {
		panic(err)
	}
	e.Kind, e.Subject, e.Type = "meeting", meeting, "chime:AttendeeJoined"
	return e
}

// A post is what a receiver got.
type post struct {
	id, meeting string
	n           int
}

// A receiver takes posts; answer says with which status.
type receiver struct {
	*httptest.Server
	got    chan post
	answer func(post) int
}

func receive(t testing.TB, answer func(post) int) *receiver {
	t.Helper()
	r := &receiver{got: make(chan post, 10000), answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body struct {
		ID     string
		Detail struct {
			N         int
			MeetingID string
		}
	}
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p := post{body.ID, body.Detail.MeetingID, body.Detail.N}
	status := http.StatusNoContent
	if r.answer != nil {
		status = r.answer(p)
	}
	if status <= 299 {
		r.got <- p
	}
	w.WriteHeader(status)
}

// next returns the next post that was taken.
func (r *receiver) next(t testing.TB) post {
	t.Helper()
	select {
	case p := <-r.got:
		return p
	case <-time.After(20 * time.Second):
		t.Fatal("no post within 20 s")
		panic("unreachable")
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func one(url string) webhook.Config {
	return webhook.Config{Webhooks: []webhook.Webhook{{URL: url, Secret: secret}}}
}

// What is posted is the envelope, signed as Standard Webhooks says.
func TestPost(t *testing.T) {
	for _, c := range []struct{ name, secret, key string }{
		{"text", secret, secret},
		{"base64", "whsec_" + base64.StdEncoding.EncodeToString([]byte("sixteen bytes, and more")), "sixteen bytes, and more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			type request struct {
				*http.Request
				body []byte
			}
			got := make(chan request, 1)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got <- request{r, body}
			}))
			defer srv.Close()
			p := open(t, t.TempDir(), event.Config{})
			p.deliver(t, webhook.Config{Webhooks: []webhook.Webhook{{URL: strings.Replace(srv.URL, "//", "//user:pass@", 1) + "/hook?x=y", Secret: c.secret}}}, quiet())
			e := meetingEvent(account, "m", 1)
			p.append(t, e)
			r := <-got
			id, at := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
			if id != e.ID {
				t.Errorf("got id %q, want %q", id, e.ID)
			}
			seconds, err := strconv.ParseInt(at, 10, 64)
			if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
				t.Errorf("got timestamp %q, want the present", at)
			}
			// As the specification writes it, without our own Sign.
			mac := hmac.New(sha256.New, []byte(c.key))
			fmt.Fprintf(mac, "%s.%s.%s", id, at, r.body)
			if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("Webhook-Signature") != want {
				t.Errorf("got signature %q, want %q", r.Header.Get("Webhook-Signature"), want)
			}
			user, pass, _ := r.BasicAuth()
			if r.Method != http.MethodPost || r.URL.Path != "/hook" || r.URL.RawQuery != "x=y" || user != "user" || pass != "pass" ||
				r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %s %s with %v", r.Method, r.URL, r.Header)
			}
			stored, err := p.journal.Next(t.Context(), event.Subjects(account, ""), 0)
			if err != nil || string(r.body) != string(stored.Body) {
				t.Errorf("got body %s, want %s", r.body, stored.Body)
			}
		})
	}
}

// While one meeting's event is refused its later ones wait, and those of others
// do not.
func TestOrder(t *testing.T) {
	var mu sync.Mutex
	refusals := 0
	othersDone := make(chan struct{})
	r := receive(t, func(p post) int {
		mu.Lock()
		defer mu.Unlock()
		if p.meeting != "bad" {
			return http.StatusOK
		}
		select {
		case <-othersDone:
			if refusals >= 2 {
				return http.StatusOK
			}
		default:
		}
		refusals++
		return http.StatusInternalServerError
	})
	p := open(t, t.TempDir(), event.Config{})
	d, _ := p.deliver(t, one(r.URL), quiet())
	const each = 10
	for n := range each {
		p.append(t, meetingEvent(account, "bad", n), meetingEvent(account, "a", n), meetingEvent(account, "b", n))
	}
	next := map[string]int{}
	check := func(p post) {
		t.Helper()
		if p.n != next[p.meeting] {
			t.Fatalf("got event %d of %s, want %d", p.n, p.meeting, next[p.meeting])
		}
		next[p.meeting]++
	}
	for range 2 * each {
		check(r.next(t))
	}
	if next["bad"] != 0 {
		t.Errorf("got %d events of the meeting that is refused", next["bad"])
	}
	close(othersDone)
	for range each {
		check(r.next(t))
	}
	waitFor(t, "nothing to wait", func() bool { return d.Stats()[0].Waiting == 0 })
	s := d.Stats()[0]
	if s.Delivered != 3*each || s.Dead != 0 || s.Lost != 0 || s.Failed["status_5xx"] != uint64(refusals) || s.Retries != uint64(refusals) {
		t.Errorf("got %+v", s)
	}
}

// What was not delivered when the server stopped is delivered after it starts
// again, and nothing else.
func TestRestart(t *testing.T) {
	var mu sync.Mutex
	down := false
	r := receive(t, func(post) int {
		mu.Lock()
		defer mu.Unlock()
		if down {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	set := func(d bool) { mu.Lock(); defer mu.Unlock(); down = d }
	dir := t.TempDir()
	p := open(t, dir, event.Config{})
	p.append(t, meetingEvent(account, "m0", -1)) // before there was a webhook
	d, stop := p.deliver(t, one(r.URL), quiet())
	const meetings, each = 5, 6
	round := func(n int) {
		for m := range meetings {
			p.append(t, meetingEvent(account, fmt.Sprint("m", m), n))
		}
	}
	next := map[string]int{}
	take := func(n int) {
		t.Helper()
		for range n {
			got := r.next(t)
			if got.n != next[got.meeting] {
				t.Fatalf("got event %d of %s, want %d", got.n, got.meeting, next[got.meeting])
			}
			next[got.meeting]++
		}
	}
	round(0)
	round(1)
	take(2 * meetings)
	set(true)
	round(2)
	waitFor(t, "all to rest", func() bool { return d.Stats()[0].Resting == meetings })
	round(3)
	stop()
	round(4) // while no webhook runs
	p.close()

	p = open(t, dir, event.Config{})
	set(false)
	d, stop = p.deliver(t, one(r.URL), quiet())
	round(5)
	take((each - 2) * meetings)
	waitFor(t, "nothing to wait", func() bool { return d.Stats()[0].Waiting == 0 })
	stop()
	p.close()

	p = open(t, dir, event.Config{})
	d, stop = p.deliver(t, one(r.URL), quiet())
	round(each)
	take(meetings)
	waitFor(t, "nothing to wait", func() bool { return d.Stats()[0].Waiting == 0 })
	if s := d.Stats()[0]; s.Tries != meetings {
		t.Errorf("got %d tries after the last start, want %d", s.Tries, meetings)
	}
	stop()
	records, err := p.table.List(t.Context(), "")
	if err != nil || len(records) != 1 {
		t.Errorf("got state %v, %v, want the cursor alone", records, err)
	}
}

// A webhook that is taken out leaves nothing behind, and begins anew when it
// comes back.
func TestFormerWebhook(t *testing.T) {
	r := receive(t, nil)
	p := open(t, t.TempDir(), event.Config{})
	_, stop := p.deliver(t, one(r.URL), quiet())
	stop()
	_, stop = p.deliver(t, webhook.Config{}, quiet())
	p.append(t, meetingEvent(account, "m", 1))
	stop()
	if records, err := p.table.List(t.Context(), ""); err != nil || len(records) != 0 {
		t.Errorf("got state %v, %v, want none", records, err)
	}
	p.deliver(t, one(r.URL), quiet())
	p.append(t, meetingEvent(account, "m", 2))
	if got := r.next(t); got.n != 2 {
		t.Errorf("got event %d, want 2", got.n)
	}
}

func TestWhoGetsWhat(t *testing.T) {
	const arn, other = "arn:aws:sqs:eu-central-1:111122223333:q", "999900001111"
	hooks := map[string]webhook.Webhook{
		"everything": {},
		"account":    {Account: account},
		"types":      {DetailTypes: []string{"IVS Stream State Change", "IVS Limit Breach"}},
		"arn":        {Account: account, ARN: arn},
	}
	want := map[string][]int{"everything": {1, 2, 3, 4}, "account": {1, 3, 4}, "types": {4}, "arn": {3}}
	got := map[string]*receiver{}
	var cfg webhook.Config
	for name, w := range hooks {
		got[name] = receive(t, nil)
		w.Name, w.URL, w.Secret = name, got[name].URL, secret
		cfg.Webhooks = append(cfg.Webhooks, w)
	}
	p := open(t, t.TempDir(), event.Config{})
	d, _ := p.deliver(t, cfg, quiet())
	asked, stream := meetingEvent(account, "m", 3), meetingEvent(account, "m", 4)
	asked.Notify = []string{"arn:aws:sns:eu-central-1:111122223333:t", arn}
	stream.DetailType = "IVS Stream State Change"
	p.append(t, meetingEvent(account, "m", 1), meetingEvent(other, "m", 2), asked, stream)
	for _, s := range d.Stats() {
		waitFor(t, s.Webhook, func() bool {
			for _, s2 := range d.Stats() {
				if s2.Webhook == s.Webhook {
					return s2.Delivered >= uint64(len(want[s.Webhook]))
				}
			}
			return false
		})
		close(got[s.Webhook].got)
		var numbers []int
		for p := range got[s.Webhook].got {
			numbers = append(numbers, p.n)
		}
		slices.Sort(numbers) // of two accounts' meetings
		if !slices.Equal(numbers, want[s.Webhook]) {
			t.Errorf("%s: got events %v, want %v", s.Webhook, numbers, want[s.Webhook])
		}
	}
}

// What is refused for good becomes a dead letter, and the next event goes out.
func TestDeadLetter(t *testing.T) {
	r := receive(t, func(p post) int {
		if p.n == 0 {
			return http.StatusTeapot
		}
		return http.StatusOK
	})
	p := open(t, t.TempDir(), event.Config{})
	cfg := one(r.URL)
	cfg.RetryFor = 1500 * time.Millisecond
	d, _ := p.deliver(t, cfg, quiet())
	dead := meetingEvent(account, "m", 0)
	p.append(t, dead, meetingEvent(account, "m", 1))
	if got := r.next(t); got.n != 1 {
		t.Errorf("got event %d, want 1", got.n)
	}
	letters, err := p.journal.Dead(t.Context(), account, 0, 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("got %v, %v, want one dead letter", letters, err)
	}
	l := letters[0]
	if l.Webhook != "1" || l.Reason != "it answered with status 418" || l.Attempts < 2 || !strings.Contains(string(l.Event), dead.ID) {
		t.Errorf("got %+v", l)
	}
	waitFor(t, "the count", func() bool { return d.Stats()[0].Delivered == 1 })
	if s := d.Stats()[0]; s.Dead != 1 || s.Failed["status_4xx"] != uint64(l.Attempts) || s.Tries != uint64(l.Attempts)+1 {
		t.Errorf("got %+v, want %d failures", s, l.Attempts)
	}
}

// Failures are counted by reason, and neither the log nor the dead letter shows
// a secret.
func TestReasons(t *testing.T) {
	elsewhere := receive(t, nil)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := receive(t, nil)
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	handle := func(f http.HandlerFunc) string {
		srv := httptest.NewServer(f)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	release := make(chan struct{})
	defer close(release)
	for _, c := range []struct{ want, url string }{
		{"dns", "http://u:s3cret@nobody.invalid/?t=s3cret"},
		{"connect", "http://u:s3cret@" + closed.Addr().String() + "/?t=s3cret"},
		{"tls", untrusted.URL + "/?t=s3cret"},
		{"tls", strings.Replace(plain.URL, "http:", "https:", 1) + "/?t=s3cret"},
		{"status_5xx", handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }) + "/?t=s3cret"},
		{"status_4xx", handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }) + "/?t=s3cret"},
		{"redirect", handle(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}) + "/?t=s3cret"},
		{"timeout", handle(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}) + "/?t=s3cret"},
		{"connection", handle(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		}) + "/?t=s3cret"},
	} {
		t.Run(c.want, func(t *testing.T) {
			var said lockedBuffer
			p := open(t, t.TempDir(), event.Config{})
			cfg := one(c.url)
			cfg.RetryFor, cfg.Timeout = time.Millisecond, time.Second
			d, stop := p.deliver(t, cfg, slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})))
			p.append(t, meetingEvent(account, "m", 1))
			waitFor(t, "the dead letter", func() bool { return d.Stats()[0].Dead == 1 })
			stop()
			if s := d.Stats()[0]; s.Failed[c.want] != 1 {
				t.Errorf("got %v, want one of %s", s.Failed, c.want)
			}
			letters, err := p.journal.Dead(t.Context(), account, 0, 10)
			if err != nil || len(letters) != 1 {
				t.Fatalf("got %v, %v, want one dead letter", letters, err)
			}
			for _, text := range []string{said.String(), fmt.Sprintf("%+v", letters), fmt.Sprintf("%v %+v", cfg, cfg)} {
				if strings.Contains(text, "s3cret") || strings.Contains(text, secret) {
					t.Errorf("got %q, want no secret in it", text)
				}
			}
			if !strings.Contains(said.String(), letters[0].Reason) {
				t.Errorf("got the log %q, want the reason %q in it", said.String(), letters[0].Reason)
			}
		})
	}
	if len(elsewhere.got) != 0 {
		t.Error("a redirect was followed")
	}
}

// An answer is not read to its end if it has none.
func TestEndlessAnswer(t *testing.T) {
	var sent sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent.Add(1)
		defer sent.Done()
		for block := make([]byte, 32<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	p := open(t, t.TempDir(), event.Config{})
	cfg := one(srv.URL)
	cfg.Timeout = time.Hour
	d, _ := p.deliver(t, cfg, quiet())
	p.append(t, meetingEvent(account, "m", 1))
	waitFor(t, "the delivery", func() bool { return d.Stats()[0].Delivered == 1 })
	sent.Wait() // ends because the connection is closed
}

// Events that the journal had to forget before they were delivered are counted:
// here there are 8 MB, of which it holds 2 on disk and 4 in memory.
func TestForgottenEvents(t *testing.T) {
	var mu sync.Mutex
	refuse := true
	r := receive(t, func(post) int {
		mu.Lock()
		defer mu.Unlock()
		if refuse {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	p := open(t, t.TempDir(), event.Config{MaxBytes: 2 << 20})
	d, _ := p.deliver(t, one(r.URL), quiet())
	p.append(t, meetingEvent(account, "m", 0))
	waitFor(t, "it to rest", func() bool { return d.Stats()[0].Resting == 1 })
	for n := range 40 {
		e := meetingEvent(account, "m", n+1)
		e.Detail = fmt.Appendf(nil, `{"n":%d,"meetingId":"m","x":%q}`, n+1, strings.Repeat("x", 200<<10))
		p.append(t, e)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	first := r.next(t)
	if first.n < 10 {
		t.Errorf("got event %d, want one of those that fit the journal", first.n)
	}
	for n := first.n + 1; n <= 40; n++ {
		if got := r.next(t); got.n != n {
			t.Errorf("got event %d, want %d", got.n, n)
		}
	}
	if s := d.Stats()[0]; s.Lost == 0 {
		t.Errorf("got %+v, want the loss counted", s)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	for _, w := range []webhook.Webhook{
		{URL: "http://u:s3cret@x", Secret: "s3cret"},
		{URL: "http://u:s3cret@x", Secret: "whsec_s3cret!"},
		{URL: "http://u:s3cret@x", Secret: "whsec_c2hvcnQ="},
		{URL: "ftp://u:s3cret@x", Secret: secret},
		{URL: "://u:s3cret@x", Secret: secret},
	} {
		_, err := webhook.New(webhook.Config{Webhooks: []webhook.Webhook{w}}, nil, nil, quiet())
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v, want an error without a secret", err)
		}
	}
}

// Two webhooks must not share their state: those for the same URL, account and
// ARN need names.
func TestTwoOfTheSame(t *testing.T) {
	same := webhook.Webhook{URL: "http://x.example", Secret: secret}
	other := same
	other.DetailTypes = []string{"IVS Limit Breach"}
	cfg := webhook.Config{Webhooks: []webhook.Webhook{same, other}}
	if _, err := webhook.New(cfg, nil, nil, quiet()); err == nil || !strings.Contains(err.Error(), "webhooks 1 and 2") {
		t.Errorf("got %v, want an error that names both", err)
	}
	cfg.Webhooks[1].Name = "limits"
	if _, err := webhook.New(cfg, nil, nil, quiet()); err != nil {
		t.Errorf("with a name: got %v, want nil", err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
