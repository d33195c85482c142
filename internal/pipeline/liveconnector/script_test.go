package liveconnector

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"log/slog"
	"math"
	"math/rand/v2"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"belfry.live/belfry/internal/media/av"
	"belfry.live/belfry/internal/media/jitter"
	"belfry.live/belfry/internal/media/opus"
	"belfry.live/belfry/internal/pipeline/rtmpsink"
	"belfry.live/belfry/internal/wire/aac"
	"belfry.live/belfry/internal/wire/h264"
)

// The tests play a meeting to the engine: cameras and a mix as RTP with sender
// reports, in fake time, over a network that delays and loses. What comes out
// is decoded again and looked at.

type colour [3]byte // Y, U, V

var (
	red   = colour{81, 90, 240}
	blue  = colour{41, 240, 110}
	white = colour{235, 128, 128}
)

func (c colour) near(d colour) bool {
	for i := range c {
		if n := int(c[i]) - int(d[i]); n < -25 || n > 25 {
			return false
		}
	}
	return true
}

// A clip is encoded video, frame by frame at 30 Hz.
type clip struct {
	codec  av.Codec
	frames [][]byte
}

const (
	clipWidth, clipHeight = 320, 180
	flashFrames           = 3 // length of a flash
)

// newClip encodes n frames of one colour with a key frame every keys. At the
// beginning of each second it is white for a moment if flash is set.
func newClip(t *testing.T, codec av.Codec, n, keys int, c colour, flash bool) clip {
	t.Helper()
	p, err := av.NewPicture(clipWidth, clipHeight)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	var raw []byte
	out := clip{codec: codec}
	var enc *av.VideoEncoder
	if codec == av.H264 {
		enc, err = av.NewVideoEncoder(av.VideoConfig{
			Width: clipWidth, Height: clipHeight, FrameRate: 30, Bitrate: 1_000_000,
			KeyInterval: time.Duration(keys) * time.Second / 30,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
	}
	for i := range n {
		now := c
		if flash && i%30 < flashFrames {
			now = white
		}
		for y := range clipHeight {
			set(p.Y[y*p.StrideY:][:clipWidth], now[0])
			set(p.U[y/2*p.StrideUV:][:clipWidth/2], now[1])
			set(p.V[y/2*p.StrideUV:][:clipWidth/2], now[2])
		}
		p.Y[i*7%(clipWidth*20)] = byte(i) // so that no two frames are the same
		if enc == nil {
			raw = appendRaw(raw, p)
			continue
		}
		f, err := enc.Encode(p, int64(i), false)
		if err != nil {
			t.Fatal(err)
		}
		if f.KeyFrame {
			f.Data = append(bytes.Clone(enc.Header()), f.Data...)
		}
		out.frames = append(out.frames, f.Data)
	}
	if enc != nil {
		return out
	}
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p",
		"-s", fmt.Sprintf("%dx%d", clipWidth, clipHeight), "-r", "30", "-i", "-",
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-auto-alt-ref", "0",
		"-lag-in-frames", "0", "-g", fmt.Sprint(keys), "-f", "ivf", "-")
	cmd.Stdin = bytes.NewReader(raw)
	ivf, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	for ivf = ivf[32:]; len(ivf) >= 12; {
		size := binary.LittleEndian.Uint32(ivf)
		out.frames = append(out.frames, ivf[12:12+size])
		ivf = ivf[12+size:]
	}
	if len(out.frames) != n {
		t.Fatalf("got %d frames of VP8, want %d", len(out.frames), n)
	}
	return out
}

func set(row []byte, v byte) {
	for i := range row {
		row[i] = v
	}
}

func appendRaw(raw []byte, p *av.Picture) []byte {
	for y := range p.Height {
		raw = append(raw, p.Y[y*p.StrideY:][:p.Width]...)
	}
	for _, plane := range [][]byte{p.U, p.V} {
		for y := range p.Height / 2 {
			raw = append(raw, plane[y*p.StrideUV:][:p.Width/2]...)
		}
	}
	return raw
}

// A network is the way from the server to the engine.
type network struct {
	delay  time.Duration
	jitter time.Duration // 0 to this on top, by chance
	loss   float64       // share of packets
	seed   uint64
}

// A camera is one video of the meeting as the server forwards it.
type camera struct {
	clip clip
	from time.Duration // of the test's time: when it captures its first frame
	to   time.Duration // when it is switched off
	net  network
	// clock is how far the times in its sender reports are from the server's
	// (zero when the server has translated them), and reports how long after
	// the first frame they begin.
	clock   time.Duration
	reports time.Duration

	mu      sync.Mutex
	wantKey int
}

// mixLag is how long after its capture sound is mixed by the server; a
// camera's sender reports say so (the contract of lip sync).
const mixLag = 70 * time.Millisecond

// A script is what the server of a meeting sends.
type script struct {
	cameras []*camera
	tone    float64       // Hz; 0 for silence
	beep    bool          // for 100 ms at the beginning of each second
	from    time.Duration // when the mix begins
	net     network
	gap     [2]time.Duration // when nothing of the mix arrives
	drift   float64          // how much the server's clock is too fast
	reports time.Duration    // how long after from the reports of the mix begin
	restart time.Duration    // when the server starts anew: other timestamps
	slow    time.Duration    // how long each frame takes the engine on top
}

var serverEpoch = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC) // unlike the engine's clock

// play runs an engine in fake time over the meeting and returns what it made.
// It must run in a synctest bubble.
func (m *script) play(t *testing.T, f Format, length time.Duration) *recording {
	t.Helper()
	rec := &recording{format: f, slow: m.slow}
	e, err := NewEngine(f, rec, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var g sync.WaitGroup
	g.Go(func() { m.mix(ctx, t, e, start) })
	for _, c := range m.cameras {
		g.Go(func() { c.send(ctx, m, e, start) })
	}
	if err := e.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	cancel()
	g.Wait()
	if late := time.Since(start) - length; late > 100*time.Millisecond {
		t.Errorf("got Run's end %v late", late)
	}
	rec.counts = e.counts.read()
	rec.delay, rec.wanted = -e.sound.early.min(), e.sound.delay
	return rec
}

// until waits in fake time. False: ctx has ended.
func until(ctx context.Context, at time.Time) bool {
	select {
	case <-time.After(time.Until(at)):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// server is the server's clock at a moment of the test.
func (m *script) server(at time.Duration) time.Time {
	return serverEpoch.Add(time.Duration(float64(at) * (1 + m.drift)))
}

// A delivery is a packet or report on its way.
type delivery struct {
	at time.Time
	do func()
}

// deliver calls them all at their times.
func deliver(ctx context.Context, queue <-chan delivery) {
	var g sync.WaitGroup
	for d := range queue {
		g.Go(func() {
			if until(ctx, d.at) {
				d.do()
			}
		})
	}
	g.Wait()
}

// way says when a packet sent at a time arrives. False: never.
func (n network) way(r *rand.Rand, sent time.Time) (time.Time, bool) {
	d := n.delay
	if n.jitter > 0 {
		d += time.Duration(r.Int64N(int64(n.jitter)))
	}
	return sent.Add(d), r.Float64() >= n.loss
}

func (m *script) mix(ctx context.Context, t *testing.T, e *Engine, start time.Time) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{Channels: 2})
	if err != nil {
		t.Error(err)
		return
	}
	defer enc.Close()
	r := rand.New(rand.NewPCG(1, m.net.seed))
	queue := make(chan delivery, 100)
	var g sync.WaitGroup
	g.Go(func() { deliver(ctx, queue) })
	defer g.Wait()
	defer close(queue)

	seq, stamp := uint16(65000), uint32(math.MaxUint32-48000*2) // both wrap
	epoch := time.Duration(0)                                   // of the server's clock, another after a restart
	pcm := make([]float32, 2*960)
	for i := 0; ; i++ {
		// The server makes 20 ms at a time by its own clock.
		at := m.from + time.Duration(float64(i)*float64(20*time.Millisecond)/(1+m.drift))
		if !until(ctx, start.Add(at)) {
			return
		}
		if m.restart > 0 && at >= m.restart && epoch == 0 {
			seq, stamp, epoch = 7, 12345, 90*time.Minute
			e.RestartSound()
		}
		for k := range 960 {
			// What was said at a time is mixed mixLag later.
			x := (at - mixLag + time.Duration(float64(k)/48000*1e9)).Seconds()
			v := 0.0
			if m.tone > 0 {
				v = 0.3 * math.Sin(2*math.Pi*m.tone*x)
			}
			if m.beep && x >= 0 && math.Mod(x, 1) < 0.1 {
				v += 0.5 * math.Sin(2*math.Pi*1000*x)
			}
			pcm[2*k], pcm[2*k+1] = float32(v), float32(v)
		}
		payload := make([]byte, opus.MaxPacket)
		n, err := enc.Encode(pcm, payload)
		if err != nil {
			t.Error(err)
			return
		}
		p := jitter.Packet{Sequence: seq, Timestamp: stamp, Payload: payload[:n]}
		ntp := m.server(at).Add(epoch)
		if arrival, ok := m.net.way(r, start.Add(at)); ok && (at < m.gap[0] || at >= m.gap[1]) {
			queue <- delivery{arrival, func() {
				p.Arrival = time.Now()
				e.PushSound(p)
			}}
		}
		if at >= m.from+m.reports && i%50 == 3 {
			s := stamp
			queue <- delivery{start.Add(at + m.net.delay), func() { e.SoundReport(ntp, s) }}
		}
		seq++
		stamp += 960
	}
}

func (c *camera) send(ctx context.Context, m *script, e *Engine, start time.Time) {
	r := rand.New(rand.NewPCG(2, c.net.seed))
	if !until(ctx, start.Add(c.from+c.net.delay)) {
		return
	}
	source := e.AddSource(SourceConfig{Codec: c.clip.codec, RequestKey: func() {
		c.mu.Lock()
		c.wantKey++
		c.mu.Unlock()
	}})
	defer source.Close()
	queue := make(chan delivery, 100)
	var g sync.WaitGroup
	g.Go(func() { deliver(ctx, queue) })
	defer g.Wait()
	defer close(queue)
	var payloader rtp.Payloader = &codecs.VP8Payloader{EnablePictureID: true}
	if c.clip.codec == av.H264 {
		payloader = &codecs.H264Payloader{}
	}
	seq, first := uint16(65500), uint32(math.MaxUint32-90000*3)
	for i := 0; ; i++ {
		at := c.from + time.Duration(i)*time.Second/30
		if at >= c.to || !until(ctx, start.Add(at)) {
			return
		}
		stamp := first + uint32(i)*3000
		payloads := payloader.Payload(1100, c.clip.frames[i%len(c.clip.frames)])
		sent := start.Add(at)
		for k, payload := range payloads {
			p := jitter.Packet{Sequence: seq, Timestamp: stamp, Marker: k == len(payloads)-1, Payload: payload}
			seq++
			sent := sent.Add(time.Duration(k) * 50 * time.Microsecond) // so they keep their order
			if arrival, ok := c.net.way(r, sent); ok {
				queue <- delivery{arrival, func() {
					p.Arrival = time.Now()
					source.Push(p)
				}}
			}
		}
		if at >= c.from+c.reports && i%30 == 5 {
			ntp := m.server(at + mixLag).Add(c.clock)
			queue <- delivery{sent.Add(c.net.delay), func() { source.SenderReport(ntp, stamp) }}
		}
	}
}

// A recording is an Output that keeps everything.
type recording struct {
	format Format
	slow   time.Duration // how long WriteVideo takes
	counts reading
	delay  time.Duration // of the sound at the end, as it was
	wanted time.Duration // and as it was to be

	mu          sync.Mutex
	videoConfig h264.Config
	audioConfig aac.Config
	video       []rtmpsink.Sample
	audio       []rtmpsink.Sample
}

func (r *recording) SetVideo(c h264.Config) { r.videoConfig = c }
func (r *recording) SetAudio(c aac.Config)  { r.audioConfig = c }

func (r *recording) WriteVideo(s rtmpsink.Sample) {
	time.Sleep(r.slow)
	s.Data = bytes.Clone(s.Data)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.video = append(r.video, s)
}

func (r *recording) WriteAudio(s rtmpsink.Sample) {
	s.Data = bytes.Clone(s.Data)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.audio = append(r.audio, s)
}

// pictures decodes the video and calls f with each picture.
func (r *recording) pictures(t *testing.T, f func(at time.Duration, p *av.Picture)) {
	t.Helper()
	d, err := av.NewDecoder(av.H264)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var header []byte
	for _, nal := range append(r.videoConfig.SPS[:1:1], r.videoConfig.PPS...) {
		header = append(append(header, 0, 0, 0, 1), nal...)
	}
	for _, s := range r.video {
		unit := bytes.Clone(header)
		if !s.KeyFrame {
			unit = nil
		}
		if unit, err = h264.AppendAnnexB(unit, s.Data, 4); err != nil {
			t.Fatal(err)
		}
		p, err := d.Decode(unit, 0)
		if err != nil || p == nil {
			t.Fatalf("frame at %v does not decode: %v", s.PTS, err)
		}
		f(s.PTS, p)
		p.Release()
	}
}

// colourAt is the colour in the middle of a rectangle.
func colourAt(p *av.Picture, r image.Rectangle) colour {
	x, y := (r.Min.X+r.Max.X)/2, (r.Min.Y+r.Max.Y)/2
	i := y/2*p.StrideUV + x/2
	return colour{p.Y[y*p.StrideY+x], p.U[i], p.V[i]}
}

// sound decodes the audio with FFmpeg's own tool, to one channel. Sample i
// belongs at i/SampleRate of the output's time.
func (r *recording) sound(t *testing.T) []float32 {
	t.Helper()
	asc := r.audioConfig.Append(nil)
	var adts []byte
	for _, s := range r.audio {
		n := len(s.Data) + 7 // ISO/IEC 13818-7 section 6.2
		frequency, channels := asc[0]&7<<1|asc[1]>>7, asc[1]>>3&15
		adts = append(adts, 0xff, 0xf1, 1<<6|frequency<<2|channels>>2, channels<<6|byte(n>>11), byte(n>>3), byte(n<<5)|0x1f, 0xfc)
		adts = append(adts, s.Data...)
	}
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", "aac", "-i", "-", "-af", "pan=mono|c0=c0", "-f", "f32le", "-")
	cmd.Stdin = bytes.NewReader(adts)
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	if len(r.audio) == 0 {
		t.Fatal("got no sound")
	}
	pcm := make([]float32, int(r.audio[0].PTS*time.Duration(r.format.SampleRate)/time.Second), len(raw)/4)
	for ; len(raw) >= 4; raw = raw[4:] {
		pcm = append(pcm, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return pcm
}

// level is the root mean square of a second's part that begins at a time.
func level(pcm []float32, rate int, at, length time.Duration) float64 {
	from, to := int(at.Seconds()*float64(rate)), int((at+length).Seconds()*float64(rate))
	sum := 0.0
	for _, v := range pcm[from:to] {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(to-from))
}

// beeps are the times at which sound begins after quiet.
func beeps(pcm []float32, rate int) (at []time.Duration) {
	const step = time.Millisecond
	quiet := time.Duration(0)
	for t := time.Duration(0); t+step < timeAt(int64(len(pcm)), int64(rate)); t += step {
		if level(pcm, rate, t, step) > 0.1 {
			if quiet > 100*time.Millisecond {
				at = append(at, t)
			}
			quiet = 0
		} else {
			quiet += step
		}
	}
	return at
}
