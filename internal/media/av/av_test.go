package av

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// frames cuts one of the committed clips into what Decode takes. Both show
// 64x48, the left half #2060C0 and the right half #E08020, for four frames of
// which the first is a key frame.
func frames(t testing.TB, c Codec) [][]byte {
	t.Helper()
	name := "vp8.ivf"
	if c == H264 {
		name = "h264.264"
	}
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if c == H264 {
		return accessUnits(b)
	}
	return ivfFrames(b)
}

func ivfFrames(b []byte) (frames [][]byte) {
	for b = b[32:]; len(b) >= 12; {
		n := int(binary.LittleEndian.Uint32(b))
		frames = append(frames, b[12:12+n])
		b = b[12+n:]
	}
	return frames
}

// accessUnits cuts Annex B data after every slice.
func accessUnits(b []byte) (units [][]byte) {
	var unit []byte
	for i, nal := range bytes.Split(b, []byte{0, 0, 1}) {
		if i == 0 {
			continue
		}
		nal = bytes.TrimRight(nal, "\x00")
		unit = append(append(unit, 0, 0, 1), nal...)
		if kind := nal[0] & 31; kind == 1 || kind == 5 {
			units = append(units, unit)
			unit = nil
		}
	}
	return units
}

// at gives the colour at a luma position, as Y, U and V.
func at(p *Picture, x, y int) [3]int {
	c := y/2*p.StrideUV + x/2
	return [3]int{int(p.Y[y*p.StrideY+x]), int(p.U[c]), int(p.V[c])}
}

func near(got, want [3]int, within int) bool {
	for i := range got {
		if got[i]-want[i] > within || want[i]-got[i] > within {
			return false
		}
	}
	return true
}

// The clips' colours in BT.601, limited range.
var (
	left  = [3]int{91, 180, 93}
	right = [3]int{141, 72, 177}
)

func TestDecode(t *testing.T) {
	for _, c := range []Codec{VP8, H264} {
		t.Run(c.String(), func(t *testing.T) {
			d, err := NewDecoder(c)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			clip := frames(t, c)
			if len(clip) != 4 {
				t.Fatalf("got %d frames in the clip, want 4", len(clip))
			}
			var last *Picture
			for i, f := range clip {
				p, err := d.Decode(f, int64(i)*100)
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if p == nil {
					t.Fatalf("frame %d: got no picture at once", i)
				}
				if p.PTS != int64(i)*100 {
					t.Errorf("frame %d: got PTS %d, want %d", i, p.PTS, i*100)
				}
				if last != nil {
					last.Release()
				}
				last = p
			}
			d.Close() // the picture must outlive the decoder
			if last.Width != 64 || last.Height != 48 {
				t.Fatalf("got %dx%d, want 64x48", last.Width, last.Height)
			}
			if got := at(last, 10, 10); !near(got, left, 6) {
				t.Errorf("left half: got %v, want %v", got, left)
			}
			if got := at(last, 55, 40); !near(got, right, 6) {
				t.Errorf("right half: got %v, want %v", got, right)
			}
			last.Release()
			last.Release()
			if _, err := d.Decode(clip[0], 0); !errors.Is(err, ErrClosed) {
				t.Errorf("after Close: got %v, want ErrClosed", err)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	key := frames(t, VP8)[0]
	huge := bytes.Clone(key) // the size is in bytes 6 to 9 of a key frame, RFC 6386 section 9.1
	binary.LittleEndian.PutUint16(huge[6:], 16383)
	binary.LittleEndian.PutUint16(huge[8:], 16383)
	wide := bytes.Clone(key)
	binary.LittleEndian.PutUint16(wide[6:], MaxSide+2)
	binary.LittleEndian.PutUint16(wide[8:], 16)
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, ErrDamaged},
		{"too long", make([]byte, MaxFrameSize+1), ErrDamaged},
		{"inter frame first", frames(t, VP8)[1], ErrDamaged},
		{"cut short", key[:8], ErrDamaged},
		{"16383x16383", huge, ErrDamaged},
		{"4098x16", wide, ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := NewDecoder(VP8)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if _, err := d.Decode(c.data, 0); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if p, err := d.Decode(key, 0); err != nil || p == nil {
				t.Errorf("key frame after it: got %v, %v, want a picture", p, err)
			} else {
				p.Release()
			}
		})
	}
	if _, err := NewDecoder(7); !errors.Is(err, ErrFormat) {
		t.Errorf("codec 7: got %v, want ErrFormat", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range []Codec{VP8, H264} {
		var all []byte
		for _, frame := range frames(f, c) {
			all = binary.BigEndian.AppendUint16(all, uint16(len(frame)))
			all = append(all, frame...)
		}
		f.Add(c == H264, all)
	}
	f.Add(false, []byte{0, 3, 0x9d, 0x01, 0x2a})
	f.Add(true, []byte{0, 5, 0, 0, 1, 0x65, 0x88})
	f.Fuzz(func(t *testing.T, h264 bool, all []byte) {
		codec := VP8
		if h264 {
			codec = H264
		}
		d, err := NewDecoder(codec)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		small, err := NewPicture(32, 32)
		if err != nil {
			t.Fatal(err)
		}
		defer small.Release()
		for len(all) >= 2 {
			n := min(int(binary.BigEndian.Uint16(all)), len(all)-2)
			p, err := d.Decode(all[2:2+n], 0)
			all = all[2+n:]
			if err != nil || p == nil {
				continue
			}
			if p.Width > MaxSide || p.Height > MaxSide {
				t.Errorf("got %dx%d, limit %d", p.Width, p.Height, MaxSide)
			}
			if err := small.Scale(small.Bounds(), p, p.Bounds()); err != nil {
				t.Errorf("scale %v: %v", p.Bounds(), err)
			}
			p.Release()
		}
	})
}

// paint fills the rectangle with one colour.
func paint(p *Picture, r image.Rectangle, c [3]int) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			p.Y[y*p.StrideY+x] = byte(c[0])
			p.U[y/2*p.StrideUV+x/2] = byte(c[1])
			p.V[y/2*p.StrideUV+x/2] = byte(c[2])
		}
	}
}

func newPicture(t testing.TB, w, h int) *Picture {
	t.Helper()
	p, err := NewPicture(w, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	return p
}

func TestScale(t *testing.T) {
	red, blue, grey := [3]int{81, 90, 240}, [3]int{41, 240, 110}, [3]int{16, 128, 128}
	src := newPicture(t, 64, 64)
	paint(src, image.Rect(0, 0, 32, 64), red)
	paint(src, image.Rect(32, 0, 64, 64), blue)
	dst := newPicture(t, 128, 96)
	paint(dst, dst.Bounds(), grey)
	if err := dst.Scale(image.Rect(20, 10, 52, 42), src, image.Rect(32, 0, 64, 64)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		x, y int
		want [3]int
	}{
		{20, 10, blue},
		{51, 41, blue},
		{19, 10, grey},
		{20, 9, grey},
		{52, 41, grey},
		{51, 42, grey},
		{0, 0, grey},
		{127, 95, grey},
	} {
		got := at(dst, c.x, c.y)
		if got[0] != c.want[0] {
			t.Errorf("at %d,%d: got %v, want %v", c.x, c.y, got, c.want)
		}
	}
	for _, c := range []struct {
		name     string
		to, from image.Rectangle
	}{
		{"beyond the target", image.Rect(100, 0, 130, 20), src.Bounds()},
		{"beyond the source", image.Rect(0, 0, 20, 20), image.Rect(0, 0, 66, 64)},
		{"odd", image.Rect(1, 0, 21, 20), src.Bounds()},
		{"negative", image.Rect(-2, 0, 20, 20), src.Bounds()},
		{"empty", image.Rectangle{}, src.Bounds()},
	} {
		if err := dst.Scale(c.to, src, c.from); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", c.name, err)
		}
	}
	if _, err := NewPicture(63, 64); !errors.Is(err, ErrFormat) {
		t.Errorf("odd width: got %v, want ErrFormat", err)
	}
}

func TestEncodeVideo(t *testing.T) {
	enc, err := NewVideoEncoder(VideoConfig{
		Width: 320, Height: 180, FrameRate: 30, Bitrate: 500_000, KeyInterval: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	header := enc.Header()
	// Annex B: SPS with High profile (100), then PPS.
	if i := bytes.Index(header, []byte{0, 0, 1, 0x67, 100}); i < 0 {
		t.Errorf("got header %x, want a High profile SPS in it", header)
	}
	if i := bytes.Index(header, []byte{0, 0, 1, 0x68}); i < 0 {
		t.Errorf("got header %x, want a PPS in it", header)
	}
	dec, err := NewDecoder(H264)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()

	red, blue := [3]int{81, 90, 240}, [3]int{41, 240, 110}
	p := newPicture(t, 320, 180)
	var keys []int64
	for n := int64(0); n < 200; n++ {
		if n > 70 && n < 75 || n >= 118 && n < 123 {
			continue // an overloaded sender leaves frames out
		}
		paint(p, p.Bounds(), red)
		paint(p, image.Rect(int(n), 40, int(n)+40, 140), blue)
		out, err := enc.Encode(p, n, n == 45)
		if err != nil {
			t.Fatal(err)
		}
		if out.Number != n {
			t.Errorf("got number %d, want %d", out.Number, n)
		}
		data := out.Data
		if out.KeyFrame {
			keys = append(keys, n)
			data = append(bytes.Clone(header), data...)
		}
		back, err := dec.Decode(data, n)
		if err != nil || back == nil {
			t.Fatalf("frame %d does not decode: %v, %v", n, back, err)
		}
		if got := at(back, int(n)+20, 90); !near(got, blue, 12) {
			t.Errorf("frame %d: got %v in the box, want %v", n, got, blue)
		}
		if got := at(back, 300, 10); !near(got, red, 12) {
			t.Errorf("frame %d: got %v outside, want %v", n, got, red)
		}
		back.Release()
	}
	want := []int64{0, 45, 60, 123, 180}
	if len(keys) != len(want) {
		t.Fatalf("got key frames %v, want %v", keys, want)
	}
	for i := range want {
		if keys[i] != want[i] {
			t.Fatalf("got key frames %v, want %v", keys, want)
		}
	}
}

func TestVideoBitrate(t *testing.T) {
	const bitrate = 600_000
	enc, err := NewVideoEncoder(VideoConfig{
		Width: 320, Height: 180, FrameRate: 30, Bitrate: bitrate, KeyInterval: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	p := newPicture(t, 320, 180)
	paint(p, p.Bounds(), [3]int{81, 90, 240})
	seed, bits := uint32(1), 0
	for n := int64(0); n < 150; n++ {
		for i := range p.Y { // noise: far more than the rate can carry
			seed = seed*1664525 + 1013904223
			p.Y[i] = byte(64 + seed>>25)
		}
		out, err := enc.Encode(p, n, false)
		if err != nil {
			t.Fatal(err)
		}
		bits += 8 * len(out.Data)
	}
	// Five seconds may use the buffer of one second on top.
	if limit := bitrate * 6 * 11 / 10; bits > limit {
		t.Errorf("got %d bits in 5 s, want at most %d", bits, limit)
	}
}

// TestAudioDelay plays a click and looks for it in what FFmpeg's own tool
// decodes: exactly where AudioPacket.Start says.
func TestAudioDelay(t *testing.T) {
	for _, cfg := range []AudioConfig{
		{SampleRate: 48000, Channels: 2, Bitrate: 128_000},
		{SampleRate: 44100, Channels: 1, Bitrate: 96_000},
	} {
		enc, err := NewAudioEncoder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
		if enc.FrameSize() != 1024 || enc.Priming() != 1024 {
			t.Errorf("got frame size %d and priming %d, want 1024 and 1024", enc.FrameSize(), enc.Priming())
		}
		const click = 20_000 // sample number
		var adts []byte
		first, count, given := int64(0), 0, 0
		for given < 40*1024 {
			in := make([]float32, 1024*cfg.Channels)
			for i := range 1024 {
				if d := given + i - click; d >= 0 && d < 32 {
					for c := range cfg.Channels {
						in[i*cfg.Channels+c] = float32(0.9 * math.Sin(float64(d)*math.Pi/8))
					}
				}
			}
			given += 1024
			p, ok, err := enc.Encode(in)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				continue
			}
			if count == 0 {
				first = p.Start
			}
			if want := first + int64(count)*1024; p.Start != want {
				t.Errorf("packet %d: got start %d, want %d", count, p.Start, want)
			}
			count++
			adts = append(adts, adtsHeader(enc.Header(), len(p.Data))...)
			adts = append(adts, p.Data...)
		}
		if first != -1024 {
			t.Errorf("got first start %d, want -1024", first)
		}
		cmd := exec.Command("ffmpeg", "-v", "error", "-f", "aac", "-i", "-", "-f", "f32le", "-ac", "1", "-")
		cmd.Stdin = bytes.NewReader(adts)
		raw, err := cmd.Output()
		if err != nil {
			t.Fatalf("ffmpeg: %v", err)
		}
		var peak float32
		where := 0
		for i := 0; i+4 <= len(raw); i += 4 {
			v := math.Float32frombits(binary.LittleEndian.Uint32(raw[i:]))
			if v > peak {
				peak, where = v, i/4
			}
		}
		got := int64(where) + first
		if got < click || got > click+32 {
			t.Errorf("%+v: got the click at sample %d, want %d to %d", cfg, got, click, click+32)
		}
	}
}

// adtsHeader builds the 7 bytes of ISO/IEC 13818-7 section 6.2 from an
// AudioSpecificConfig.
func adtsHeader(asc []byte, size int) []byte {
	frequency := asc[0]&7<<1 | asc[1]>>7
	channels := asc[1] >> 3 & 15
	n := size + 7
	return []byte{
		0xff, 0xf1,
		1<<6 | frequency<<2 | channels>>2,
		channels<<6 | byte(n>>11),
		byte(n >> 3),
		byte(n<<5) | 0x1f,
		0xfc,
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	SetLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer SetLogger(nil)
	d, err := NewDecoder(H264)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 100 {
		_, _ = d.Decode([]byte{0, 0, 1, 0x65, 0x88, 0x80, 0x10}, 0)
	}
	lines := strings.Count(out.String(), "\n")
	if lines < 1 || lines > 3*linesPerSecond {
		t.Errorf("got %d lines, want 1 to %d:\n%s", lines, 3*linesPerSecond, &out)
	}
	if !strings.Contains(out.String(), "h264") {
		t.Errorf("got %s, want the decoder named", &out)
	}
}

func TestEncodersRefuse(t *testing.T) {
	for _, cfg := range []VideoConfig{
		{Width: 321, Height: 180, FrameRate: 30, Bitrate: 500_000, KeyInterval: time.Second},
		{Width: 320, Height: 180, Bitrate: 500_000, KeyInterval: time.Second},
		{Width: 320, Height: 180, FrameRate: 30, KeyInterval: time.Second},
		{Width: 320, Height: 180, FrameRate: 30, Bitrate: 500_000},
	} {
		if e, err := NewVideoEncoder(cfg); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v: got %v, %v, want ErrFormat", cfg, e, err)
		}
	}
	for _, cfg := range []AudioConfig{
		{SampleRate: 8000, Channels: 1, Bitrate: 64_000},
		{SampleRate: 48000, Channels: 3, Bitrate: 64_000},
		{SampleRate: 48000, Channels: 1},
	} {
		if e, err := NewAudioEncoder(cfg); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v: got %v, %v, want ErrFormat", cfg, e, err)
		}
	}
}

// TestFullRange: white is 255 in the clip and must be 235 on a canvas.
func TestFullRange(t *testing.T) {
	b, err := os.ReadFile("testdata/full-range.264")
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDecoder(H264)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := d.Decode(b, 0)
	if err != nil || p == nil {
		t.Fatalf("got %v, %v", p, err)
	}
	defer p.Release()
	if got, want := at(p, 16, 16), [3]int{255, 128, 128}; !near(got, want, 2) {
		t.Fatalf("decoded: got %v, want %v", got, want)
	}
	canvas := newPicture(t, 64, 64)
	paint(canvas, canvas.Bounds(), [3]int{16, 128, 128})
	if err := canvas.Scale(image.Rect(16, 16, 48, 48), p, p.Bounds()); err != nil {
		t.Fatal(err)
	}
	if got, want := at(canvas, 32, 32), [3]int{235, 128, 128}; !near(got, want, 2) {
		t.Errorf("scaled: got %v, want %v", got, want)
	}
	if got, want := at(canvas, 8, 8), [3]int{16, 128, 128}; got != want {
		t.Errorf("beside it: got %v, want %v", got, want)
	}
}

// TestStillPictureIsCheap: what does not move needs no bits.
func TestStillPictureIsCheap(t *testing.T) {
	enc, err := NewVideoEncoder(VideoConfig{
		Width: 320, Height: 180, FrameRate: 30, Bitrate: 2_000_000, KeyInterval: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	p := newPicture(t, 320, 180)
	paint(p, p.Bounds(), [3]int{60, 128, 128})
	for i := range p.Y { // a gradient with a little noise, like the slate
		p.Y[i] = byte(40 + i/p.StrideY/4 + i*7919%3)
	}
	bits := 0
	for n := int64(0); n < 300; n++ {
		out, err := enc.Encode(p, n, false)
		if err != nil {
			t.Fatal(err)
		}
		bits += 8 * len(out.Data)
	}
	if bits > 10*200_000 {
		t.Errorf("got %d bit/s, want 200000 at most", bits/10)
	}
}
