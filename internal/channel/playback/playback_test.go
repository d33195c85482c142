package playback_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/packager"
	"belfry.live/belfry/internal/channel/packager/packagertest"
	"belfry.live/belfry/internal/channel/playback"
	"belfry.live/belfry/internal/channel/ticket"
	"belfry.live/belfry/internal/store/natskv"
	"belfry.live/belfry/internal/wire/hls/hlstest"
)

const (
	account = "000000000000"
	media   = "-f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000"
	codecs  = "-c:v libx264 -preset ultrafast -tune zerolatency -threads 1 -pix_fmt yuv420p -g 60 -c:a aac -b:a 64k"
)

// A site is a channel with a real store and a real HTTP server.
type site struct {
	t       *testing.T
	service *channel.Service
	handler *playback.Handler
	server  *httptest.Server
	channel channel.Channel
	key     channel.StreamKey
}

func newSite(t *testing.T, cfg playback.Config) *site {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	tables, err := natskv.Open(t.Context(), natskv.Config{Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tables.Close)
	s := &site{t: t}
	if s.service, err = channel.New(t.Context(), channel.Config{}, tables, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.service.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	if s.channel, s.key, err = s.service.Create(t.Context(), channel.Spec{Account: account, Region: "us-east-1"}); err != nil {
		t.Fatal(err)
	}
	s.handler = playback.New(cfg, s.service, log)
	s.server = httptest.NewServer(s.handler)
	t.Cleanup(s.server.Close)
	return s
}

func (s *site) url() string {
	return s.server.URL + playback.Path("us-east-1", account, s.channel.ID)
}

func (s *site) publish() ingest.Publication {
	s.t.Helper()
	return s.publisher(s.t)
}

func (s *site) publisher(t testing.TB) ingest.Publication {
	t.Helper()
	p, err := s.service.Publish(t.Context(), s.key.Value.Reveal(), ingest.Publisher{Remote: "test", Encrypted: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// publishAll sends all events at once and leaves the publication open.
func (s *site) publishAll(events []packagertest.Event) ingest.Publication {
	s.t.Helper()
	p := s.publish()
	for _, e := range events {
		if err := e.Send(p); err != nil {
			s.t.Fatal(err)
		}
	}
	return p
}

// get loads a URL that must be there.
func get(t testing.TB, u string) []byte {
	t.Helper()
	status, _, body := fetch(t, http.MethodGet, u, nil)
	if status != http.StatusOK {
		t.Fatalf("%s: got status %d: %s", u, status, body)
	}
	return body
}

func fetch(t testing.TB, method, u string, header http.Header) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	client := &http.Client{Transport: transport}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, body
}

// transport does not decompress by itself.
var transport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}

// variants returns the URLs of the media playlists.
func variants(t testing.TB, u string) (video, audio string) {
	t.Helper()
	text := string(get(t, u))
	lines := strings.Split(strings.TrimSpace(text), "\n")
	audio = hlstest.Attributes(text, "#EXT-X-MEDIA")["URI"]
	if audio != "" {
		audio = resolve(t, u, audio)
	}
	return resolve(t, u, lines[len(lines)-1]), audio
}

func resolve(t testing.TB, base, ref string) string {
	t.Helper()
	b, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r.String()
}

// TestLive has a publisher in real time, a player of parts that follows both
// renditions by blocking reload and preload hints, and ffprobe, which plays
// the same playlists as plain HLS.
func TestLive(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 14 s")
	}
	s := newSite(t, playback.Config{})
	if status, _, _ := fetch(t, http.MethodGet, s.url(), nil); status != http.StatusNotFound {
		t.Errorf("before the stream: got status %d, want 404", status)
	}
	pub := s.publish()
	var mu sync.Mutex
	sent := map[string]packagertest.Event{} // by MD5 of the data
	arrived := map[string]time.Time{}       // likewise
	live := make(chan struct{})
	var publisher, viewers sync.WaitGroup
	publisher.Go(func() {
		err := packagertest.Live(t.Context(), "-re -itsoffset 0.1 "+strings.Replace(media, "-f lavfi -i sine", "-itsoffset 0.137 -f lavfi -i sine", 1)+" -t 14 "+codecs, func(e packagertest.Event) error {
			if e.Video != nil || e.Audio != nil {
				mu.Lock()
				sum := md5.Sum(sample(e).Data)
				sent[hex.EncodeToString(sum[:])] = e
				arrived[hex.EncodeToString(sum[:])] = time.Now()
				mu.Unlock()
			}
			if err := e.Send(pub); err != nil {
				return err
			}
			select {
			case <-live:
			default:
				if _, ok := s.service.Broadcast(s.channel.ID); ok {
					close(live)
				}
			}
			return nil
		})
		pub.Close(true)
		if err != nil {
			t.Errorf("publisher: %v", err)
		}
	})
	began := time.Now()
	select {
	case <-live:
	case <-time.After(20 * time.Second):
		t.Fatal("the channel does not become live")
	}
	t.Logf("live %v after the publisher's start", time.Since(began).Round(time.Millisecond))

	video, audio := variants(t, s.url())
	if audio == "" {
		t.Fatal("the first multivariant playlist has no sound")
	}
	report := make([]*follower, 2)
	for i, u := range []string{video, audio} {
		report[i] = &follower{t: t, url: u}
		viewers.Go(report[i].run)
	}
	viewers.Go(func() {
		time.Sleep(7 * time.Second) // plain players begin three segments from the end
		check(t, "ffprobe while live", probe(t, s.url(), "-read_intervals", "%+3"), &mu, sent)
	})
	viewers.Wait()
	publisher.Wait()
	for _, f := range report {
		slices.Sort(f.late)
		slices.Sort(f.distance)
		t.Logf("%s: %d updates, %d parts, answers %v after the part's last sample was due (median; 95 %%: %v), live edge %v behind arrival (median)",
			f.url[strings.LastIndex(f.url, "/")+1:][:5], f.player.Updates, f.parts,
			at(f.late, 0.5), at(f.late, 0.95), at(f.distance, 0.5))
		if !f.player.Last().Ended {
			t.Errorf("%s has no end", f.url)
		}
		if f.player.Hints < f.player.Updates-3 || f.parts < 50 {
			t.Errorf("%s: %d of %d hints fulfilled, %d parts", f.url, f.player.Hints, f.player.Updates, f.parts)
		}
		if l := at(f.distance, 0.5); l > 350*time.Millisecond {
			t.Errorf("%s: the newest part begins %v ago when it is loaded, want a part and a frame and little more", f.url, l)
		}
	}
	if status, _, _ := fetch(t, http.MethodGet, s.url(), nil); status != http.StatusNotFound {
		t.Errorf("after the end: got status %d, want 404", status)
	}
	after := append(probe(t, video), probe(t, audio)...)
	check(t, "ffprobe after the end", after, &mu, sent)
	if len(after) < len(sent)-20 {
		t.Errorf("after the end: got %d of %d samples", len(after), len(sent))
	}
}

func sample(e packagertest.Event) *packager.Sample {
	if e.Video != nil {
		return e.Video
	}
	return e.Audio
}

func at[T any](sorted []T, q float64) T {
	return sorted[int(q*float64(len(sorted)-1))]
}

// A follower plays one playlist as a low-latency player does.
type follower struct {
	t        *testing.T
	url      string
	player   hlstest.Player
	parts    int
	late     []time.Duration
	distance []time.Duration // from a part's first sample's arrival to having it
}

func (f *follower) run() {
	u := f.url
	for {
		if err := f.player.Update(string(get(f.t, u))); err != nil {
			f.t.Errorf("%s: %v", f.url, err)
			return
		}
		now := time.Now()
		p := f.player.Last()
		if p.Ended {
			return
		}
		last := p.Segments[len(p.Segments)-1]
		next, part := last.Sequence, len(last.Parts)
		if last.URI != "" {
			next, part = last.Sequence+1, 0
		} else if f.player.Updates > 1 {
			begin, end := last.Time, last.Time
			for _, part := range last.Parts {
				begin, end = end, end.Add(part.Duration)
			}
			f.late = append(f.late, now.Sub(end))
			f.distance = append(f.distance, now.Sub(begin))
		}
		if p.Hint != "" {
			if body := get(f.t, resolve(f.t, f.url, p.Hint)); len(body) < 8 || string(body[4:8]) != "moof" {
				f.t.Errorf("%s: got %d bytes, want a fragment", p.Hint, len(body))
			}
			f.parts++
		}
		query := "?"
		if strings.Contains(f.url, "?") {
			query = "&"
		}
		u = fmt.Sprintf("%s%s_HLS_msn=%d&_HLS_part=%d", f.url, query, next, part)
		if f.player.Updates%3 == 0 {
			u += "&_HLS_skip=YES"
		}
	}
}

// A packet is one that ffprobe got.
type packet struct {
	Stream string `json:"codec_type"`
	PTS    string `json:"pts_time"`
	Hash   string `json:"data_hash"`
}

func probe(t *testing.T, u string, args ...string) []packet {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "ffprobe", append(args, "-loglevel", "warning", "-show_packets", "-show_data_hash", "md5", "-of", "json", u)...)
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffprobe: %v: %s", err, &log)
	}
	var answer struct{ Packets []packet }
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Logf("ffprobe says: %s", &log)
	}
	return answer.Packets
}

// check compares what ffprobe got with what was sent: the time of every packet
// is off by the same amount.
func check(t *testing.T, name string, packets []packet, mu *sync.Mutex, sent map[string]packagertest.Event) {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	off := map[string][]time.Duration{}
	for _, p := range packets {
		e, ok := sent[strings.ToLower(strings.TrimPrefix(p.Hash, "MD5:"))]
		if !ok {
			t.Errorf("%s: a packet that was not sent: %+v", name, p)
			return
		}
		seconds, err := strconv.ParseFloat(p.PTS, 64)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		off[p.Stream] = append(off[p.Stream], time.Duration(seconds*1e9)-sample(e).PTS)
	}
	if len(off["video"]) < 60 || len(off["audio"]) < 90 {
		t.Errorf("%s: got %d pictures and %d audio frames, want 2 s of each", name, len(off["video"]), len(off["audio"]))
		return
	}
	all := slices.Concat(off["video"], off["audio"])
	mean := func(d []time.Duration) (sum time.Duration) {
		for _, v := range d {
			sum += v
		}
		return sum / time.Duration(len(d))
	}
	t.Logf("%s: %d pictures, %d audio frames; sound against picture: %v away from what was sent",
		name, len(off["video"]), len(off["audio"]), mean(off["audio"])-mean(off["video"]))
	if spread := slices.Max(all) - slices.Min(all); spread > 2*time.Millisecond { // audio timestamps are rounded to 1 ms
		t.Errorf("%s: timestamps differ by %v from those sent, want 2 ms", name, spread)
	}
	if d := (mean(off["audio"]) - mean(off["video"])).Abs(); d > time.Millisecond {
		t.Errorf("%s: sound is %v from the picture, want less than 1 ms", name, d)
	}
}

func TestHeaders(t *testing.T) {
	s := newSite(t, playback.Config{MaxWait: 50 * time.Millisecond})
	events := packagertest.Encode(t, media+" -t 7 "+codecs)
	pub := s.publishAll(events)
	defer pub.Close(true)
	video, _ := variants(t, s.url())
	p, err := hlstest.Parse(string(get(t, video)))
	if err != nil {
		t.Fatal(err)
	}
	open := p.Segments[len(p.Segments)-1]
	in := func(uri string) string { return resolve(t, video, uri) }
	elsewhere := strings.Replace(s.url(), "us-east-1", "eu-west-1", 1)
	cases := []struct {
		name, url   string
		status      int
		contentType string
		cache       string
	}{
		{"multivariant", s.url(), 200, "application/vnd.apple.mpegurl", "no-store"},
		{"playlist", video, 200, "application/vnd.apple.mpegurl", "no-store"},
		{"playlist waited for", fmt.Sprintf("%s&_HLS_msn=%d&_HLS_part=0", video, open.Sequence), 200, "application/vnd.apple.mpegurl", "public, max-age=12"},
		{"playlist that does not come", fmt.Sprintf("%s&_HLS_msn=%d", video, open.Sequence), 200, "application/vnd.apple.mpegurl", "no-store"},
		{"init", in(p.Segments[0].Map), 200, "video/mp4", "public, max-age=3600, immutable"},
		{"segment", in(p.Segments[0].URI), 200, "video/mp4", "public, max-age=3600, immutable"},
		{"part", in(open.Parts[0].URI), 200, "video/mp4", "public, max-age=3600, immutable"},
		{"part that does not come", in(p.Hint), 404, "text/plain; charset=utf-8", "no-store"},
		{"open segment", in(fmt.Sprintf("video/%d.m4s", open.Sequence)), 404, "text/plain; charset=utf-8", "no-store"},
		{"no such part", in(fmt.Sprintf("video/%d.999.m4s", open.Sequence)), 404, "text/plain; charset=utf-8", "no-store"},
		{"part of a whole segment that it has not", in("video/0.99.m4s"), 404, "text/plain; charset=utf-8", "no-store"},
		{"far segment", in("video/9999.m4s"), 404, "text/plain; charset=utf-8", "no-store"},
		{"no number", in("video/x.m4s"), 404, "text/plain; charset=utf-8", "no-store"},
		{"no such init", in("video/init9.mp4"), 404, "text/plain; charset=utf-8", "no-store"},
		{"far ahead", fmt.Sprintf("%s&_HLS_msn=%d", video, open.Sequence+3), 400, "text/plain; charset=utf-8", "no-store"},
		{"many parts ahead", fmt.Sprintf("%s&_HLS_msn=%d&_HLS_part=%d", video, open.Sequence, len(open.Parts)+20), 400, "text/plain; charset=utf-8", "no-store"},
		{"part without segment", video + "&_HLS_part=1", 400, "text/plain; charset=utf-8", "no-store"},
		{"negative", video + "&_HLS_msn=-1", 400, "text/plain; charset=utf-8", "no-store"},
		{"overflow", video + "&_HLS_msn=99999999999999999999", 400, "text/plain; charset=utf-8", "no-store"},
		{"another region", elsewhere, 404, "text/plain; charset=utf-8", "no-store"},
		{"another account", strings.Replace(s.url(), account, "111111111111", 1), 404, "text/plain; charset=utf-8", "no-store"},
		{"another channel", strings.Replace(s.url(), string(s.channel.ID), "AAAAAAAAAAAA", 1), 404, "text/plain; charset=utf-8", "no-store"},
		{"another run", strings.Replace(video, "/video.m3u8", "x/video.m3u8", 1), 404, "text/plain; charset=utf-8", "no-store"},
		{"another rendition", strings.Replace(video, "/video.m3u8", "/subtitles.m3u8", 1), 404, "text/plain; charset=utf-8", "no-store"},
		{"root", s.server.URL + playback.Root, 404, "text/plain; charset=utf-8", "no-store"},
		{"deep", in("video/a/b/c.m4s"), 404, "text/plain; charset=utf-8", "no-store"},
	}
	for _, c := range cases {
		status, header, body := fetch(t, http.MethodGet, c.url, nil)
		if status != c.status || header.Get("Content-Type") != c.contentType || header.Get("Cache-Control") != c.cache {
			t.Errorf("%s: got %d, %q, %q, want %d, %q, %q", c.name, status, header.Get("Content-Type"), header.Get("Cache-Control"), c.status, c.contentType, c.cache)
		}
		if header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: no CORS header", c.name)
		}
		headStatus, headHeader, headBody := fetch(t, http.MethodHead, c.url, nil)
		if headStatus != status || headHeader.Get("Content-Type") != header.Get("Content-Type") || len(headBody) != 0 {
			t.Errorf("%s: HEAD: got %d, %q and %d bytes, want as GET and none", c.name, headStatus, headHeader.Get("Content-Type"), len(headBody))
		}
		if status == 200 && headHeader.Get("Content-Length") != strconv.Itoa(len(body)) && c.name != "multivariant" {
			t.Errorf("%s: HEAD: got length %s, want %d", c.name, headHeader.Get("Content-Length"), len(body))
		}
	}
	for method, want := range map[string]int{"OPTIONS": 204, "POST": 405, "PUT": 405, "DELETE": 405} {
		if status, header, _ := fetch(t, method, video, nil); status != want || header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: got status %d, want %d", method, status, want)
		}
	}

	plain := get(t, video)
	for accept, packed := range map[string]bool{"gzip": true, "deflate, gzip;q=1.0, *": true, "gzip;q=0": false, "br": false} {
		_, header, body := fetch(t, http.MethodGet, video, http.Header{"Accept-Encoding": {accept}})
		if got := header.Get("Content-Encoding") == "gzip"; got != packed {
			t.Errorf("Accept-Encoding %q: got gzip %v, want %v", accept, got, packed)
		}
		if packed {
			r, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(body, plain) {
			t.Errorf("Accept-Encoding %q: got another playlist", accept)
		}
	}
}

// TestSegmentIsItsParts loads a segment whole and in parts.
func TestSegmentIsItsParts(t *testing.T) {
	s := newSite(t, playback.Config{})
	pub := s.publishAll(packagertest.Encode(t, media+" -t 7 "+codecs))
	defer pub.Close(true)
	video, audio := variants(t, s.url())
	for _, u := range []string{video, audio} {
		p, err := hlstest.Parse(string(get(t, u)))
		if err != nil {
			t.Fatal(err)
		}
		for _, segment := range p.Segments {
			if segment.URI == "" {
				continue
			}
			if len(segment.Parts) < 9 {
				t.Errorf("segment %s: got %d parts, want about 10", segment.URI, len(segment.Parts))
			}
			var parts []byte
			for _, part := range segment.Parts {
				parts = append(parts, get(t, resolve(t, u, part.URI))...)
			}
			if whole := get(t, resolve(t, u, segment.URI)); !bytes.Equal(whole, parts) {
				t.Errorf("segment %s: its parts are something else", segment.URI)
			}
		}
	}
}

func TestViewers(t *testing.T) {
	s := newSite(t, playback.Config{})
	pub := s.publishAll(packagertest.Encode(t, media+" -t 3 "+codecs))
	defer pub.Close(true)
	for range 5 {
		video, audio := variants(t, s.url())
		for _, u := range []string{video, audio, video} {
			get(t, u)
		}
	}
	stream, err := s.service.Stream(t.Context(), s.channel.ID)
	if err != nil || stream.Viewers != 5 {
		t.Errorf("got %d viewers, %v, want 5", stream.Viewers, err)
	}
}

// TestSlowAndAborting has viewers that stop reading and viewers that go away in
// the middle, while one player goes on; nothing of them is left.
func TestSlowAndAborting(t *testing.T) {
	s := newSite(t, playback.Config{MaxWaiting: 50, WriteTimeout: 200 * time.Millisecond})
	events := packagertest.Encode(t, media+" -t 6 "+codecs+" -b:v 20M -minrate 20M -bufsize 2M -x264-params nal-hrd=cbr")
	pub := s.publish()
	defer pub.Close(true)
	half := len(events) / 2
	for _, e := range events[:half] {
		if err := e.Send(pub); err != nil {
			t.Fatal(err)
		}
	}
	video, _ := variants(t, s.url())
	p, err := hlstest.Parse(string(get(t, video)))
	if err != nil {
		t.Fatal(err)
	}
	open := p.Segments[len(p.Segments)-1]

	// Slow: asks for a segment, never reads it.
	var slow []*http.Response
	for range 5 {
		answer, err := (&http.Client{Transport: narrow}).Get(resolve(t, video, p.Segments[0].URI))
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, answer)
	}
	// Waiting: 40 that will be served, 100 that go away.
	var waiting sync.WaitGroup
	next := fmt.Sprintf("%s&_HLS_msn=%d&_HLS_part=%d", video, open.Sequence, len(open.Parts))
	served := make(chan int, 40)
	ctx, cancel := context.WithCancel(t.Context())
	for range cap(served) {
		waiting.Go(func() {
			status, _, _ := fetch(t, http.MethodGet, next, nil)
			served <- status
		})
	}
	for range 100 {
		waiting.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, next, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if answer, err := (&http.Client{Transport: transport}).Do(r); err == nil {
				answer.Body.Close() // 503: too many wait
			}
		})
	}
	time.Sleep(300 * time.Millisecond) // they are all there
	cancel()
	begin := time.Now()
	for _, e := range events[half:] {
		if err := e.Send(pub); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("publishing took %v while viewers were slow", took)
	}
	waiting.Wait()
	close(served)
	ok := 0
	for status := range served {
		switch status {
		case http.StatusOK:
			ok++
		case http.StatusServiceUnavailable:
		default:
			t.Errorf("a waiting viewer got status %d", status)
		}
	}
	if ok == 0 {
		t.Error("no waiting viewer was served")
	}
	// The slow ones have read nothing, and hold nothing up any more.
	deadline := time.Now().Add(5 * time.Second)
	for left := handlers(); left != ""; left = handlers() {
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %s", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, answer := range slow {
		answer.Body.Close()
	}
}

// narrow lets the kernel take little before somebody reads.
var narrow = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		err = conn.(*net.TCPConn).SetReadBuffer(4096)
	}
	return conn, err
}}

// handlers returns the stacks of requests that are being served.
func handlers() string {
	buf := make([]byte, 1<<20)
	var found []string
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "playback.(*Handler)") {
			found = append(found, stack)
		}
	}
	return strings.Join(found, "\n\n")
}

func FuzzPath(f *testing.F) {
	name := playback.Name("us-east-1", account, "abcdefghijkl")
	for _, path := range []string{name + ".m3u8", name + "/run/video.m3u8", name + "/run/video/1.2.m4s", name + "/run/audio/init0.mp4", name + "/run/~AAAA/video.m3u8", name + "/run/~/video/1.m4s", "", "///", name + "/run/video/-1.m4s"} {
		f.Add(path, "5", "3", "YES")
	}
	service, broadcast := fuzzChannels(f)
	h := playback.New(playback.Config{MaxWait: time.Millisecond}, service, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, path, msn, part, skip string) {
		path = strings.ReplaceAll(path, "run", broadcast)
		w := httptest.NewRecorder()
		query := url.Values{"_HLS_msn": {msn}, "_HLS_part": {part}, "_HLS_skip": {skip}}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: playback.Root + path, RawQuery: query.Encode()}
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 404:
		default:
			t.Errorf("%q: got status %d", path, w.Code)
		}
	})
}

// FuzzPrivate asks a private channel for anything, without a token or a session
// that it made: it gives nothing.
func FuzzPrivate(f *testing.F) {
	name := playback.Name("us-east-1", account, "abcdefghijkl")
	session := strings.Repeat("AAAA", 15)
	for _, path := range []string{name + ".m3u8", name + "/run/video.m3u8", name + "/run/~" + session + "/video.m3u8", name + "/run/~" + session + "/video/1.2.m4s", name + "/run/audio/init0.mp4", name + "/~" + session + "/run/video.m3u8"} {
		f.Add(path, "s=0123456789abcdef", "https://town.example")
	}
	f.Add(name+".m3u8", "token=eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.", "")
	service, broadcast := fuzzChannels(f)
	only := service.(onlyChannel)
	only.rules.Authorized, only.rules.Origins = true, "https://town.example"
	h := playback.New(playback.Config{MaxWait: time.Millisecond}, only, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, path, query, origin string) {
		path = strings.ReplaceAll(path, "run", broadcast)
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: playback.Root + path, RawQuery: query}
		r.Header.Set("Origin", origin)
		h.ServeHTTP(w, r)
		if w.Code != 403 && w.Code != 404 {
			t.Errorf("%q, %q: got status %d", path, query, w.Code)
		}
	})
}

// onlyChannel is one channel with one broadcast.
type onlyChannel struct {
	b     *channel.Broadcast
	rules channel.Rules
}

func (c onlyChannel) Broadcast(id channel.ID) (*channel.Broadcast, bool) {
	return c.b, id == c.b.Channel
}

func (c onlyChannel) BroadcastRun(id channel.ID, run string) (*channel.Broadcast, bool) {
	return c.b, id == c.b.Channel && run == c.b.Run
}

func (c onlyChannel) Rules(id channel.ID) (channel.Rules, bool) {
	return c.rules, id == c.b.Channel
}

func (onlyChannel) PlaybackKeys(channel.Owner) []ticket.PublicKey { return nil }

func (onlyChannel) Revoked(channel.ID, ticket.Viewer, int64) bool { return false }

func (onlyChannel) UseOnce(context.Context, channel.ID, string) error { return nil }

func fuzzChannels(f *testing.F) (playback.Channels, string) {
	f.Helper()
	b := &channel.Broadcast{Channel: "abcdefghijkl", Run: "thisrun", Packager: packager.New(packager.Config{}, slog.New(slog.DiscardHandler))}
	b.Begin()
	now := time.Now()
	for _, e := range packagertest.Encode(f, media+" -t 3 "+codecs) {
		if err := e.Send(clocked{b.Packager, now}); err != nil {
			f.Fatal(err)
		}
	}
	return onlyChannel{b, channel.Rules{Owner: channel.Owner{Account: account, Region: "us-east-1"}}}, b.Run
}

// clocked gives samples the time of their arrival.
type clocked struct {
	*packager.Packager
	now time.Time
}

func (c clocked) WriteVideo(s packager.Sample) error {
	return c.Packager.WriteVideo(c.now.Add(s.DTS), s)
}

func (c clocked) WriteAudio(s packager.Sample) error {
	return c.Packager.WriteAudio(c.now.Add(s.DTS), s)
}
