package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/media/opus"
)

// A recording is some seconds of a live stream, taken from its playlist as a
// plain player does, and decoded.
type recording struct {
	pictures   [][]byte  // rgb24, pictureWidth x pictureHeight
	times      []float64 // of the pictures, seconds: a busy connector skips some
	sound      []float32
	audioStart float64 // seconds
}

const pictureWidth, pictureHeight = 32, 18

func watch(t *testing.T, url string, length time.Duration) recording {
	t.Helper()
	file := filepath.Join(t.TempDir(), "watched.mp4")
	seconds := strconv.FormatFloat(length.Seconds(), 'f', -1, 64)
	ffmpeg(t, "-i", url, "-t", seconds, "-c", "copy", file)
	var r recording
	raw := ffmpeg(t, "-i", file, "-vsync", "passthrough", "-vf", "scale=32:18:flags=area", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
	for size := 3 * pictureWidth * pictureHeight; len(raw) >= size; raw = raw[size:] {
		r.pictures = append(r.pictures, raw[:size])
	}
	raw = ffmpeg(t, "-i", file, "-ac", "1", "-ar", strconv.Itoa(opus.SampleRate), "-f", "f32le", "-")
	for ; len(raw) >= 4; raw = raw[4:] {
		r.sound = append(r.sound, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	r.times = probe(t, "-select_streams", "v", "-show_entries", "frame=pts_time", file)
	if len(r.times) != len(r.pictures) {
		t.Fatalf("got %d pictures with %d times", len(r.pictures), len(r.times))
	}
	r.audioStart = probe(t, "-select_streams", "a", "-show_entries", "stream=start_time", file)[0]
	return r
}

// probe gives the numbers that ffprobe prints.
func probe(t *testing.T, args ...string) (numbers []float64) {
	t.Helper()
	out, err := exec.Command("ffprobe", append([]string{"-v", "error", "-of", "csv=p=0"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(out)) {
		n, err := strconv.ParseFloat(strings.Trim(f, ","), 64)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) == 0 {
		t.Fatalf("ffprobe %s prints nothing", strings.Join(args, " "))
	}
	return numbers
}

func ffmpeg(t *testing.T, args ...string) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("ffmpeg", append([]string{"-hide_banner", "-loglevel", "error", "-y"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, &errs)
	}
	return out.Bytes()
}

// colour is the mean colour around a place of the picture, given as fractions.
func (r recording) colour(picture int, x, y float64) (rgb [3]int) {
	p := r.pictures[picture]
	n := 0
	for dy := -1; dy <= 1; dy++ {
		for dx := -1; dx <= 1; dx++ {
			i := 3 * ((int(y*pictureHeight)+dy)*pictureWidth + int(x*pictureWidth) + dx)
			for c := range rgb {
				rgb[c] += int(p[i+c])
			}
			n++
		}
	}
	for c := range rgb {
		rgb[c] /= n
	}
	return rgb
}

func near(a, b [3]int) bool {
	for c := range a {
		if d := a[c] - b[c]; d < -40 || d > 40 {
			return false
		}
	}
	return true
}

// offsets says by how much each beep comes after its flash.
func (r recording) offsets() (found []time.Duration) {
	var flashes, beeps []float64
	dark := true
	for i := range r.pictures {
		c := r.colour(i, 0.5, 0.5)
		if bright := c[0] > 128; bright && dark {
			flashes = append(flashes, r.times[i])
		}
		dark = c[0] < 64
	}
	const block = 48 // 1 ms
	quiet := 0
	for i := 0; i+block <= len(r.sound); i += block {
		var sum float64
		for _, x := range r.sound[i : i+block] {
			sum += float64(x) * float64(x)
		}
		if loud := math.Sqrt(sum/block) > 0.05; loud {
			if quiet > 500 {
				beeps = append(beeps, r.audioStart+float64(i)/opus.SampleRate)
			}
			quiet = 0
		} else {
			quiet++
		}
	}
	for _, f := range flashes {
		best := math.Inf(1)
		for _, b := range beeps {
			if math.Abs(b-f) < math.Abs(best) {
				best = b - f
			}
		}
		if math.Abs(best) < 0.9 {
			found = append(found, time.Duration(best*float64(time.Second)))
		}
	}
	return found
}

// started is what /api/stream answers.
type started struct {
	MediaPipelineID string `json:"mediaPipelineId"`
	PlaybackURL     string `json:"playbackUrl"`
}

func (s server) stream(meetingID, target string) started {
	s.t.Helper()
	var answer started
	body := map[string]string{"meetingId": meetingID}
	if target != "" {
		body["streamTarget"] = target
	}
	if status, text := s.post("/api/stream", body, &answer); status != http.StatusOK {
		s.t.Fatalf("/api/stream answered %d: %s", status, text)
	}
	return answer
}

// isLive asks the server how the meeting's stream is.
func (s server) isLive(meetingID string) bool {
	s.t.Helper()
	resp, err := http.Get(s.Endpoint + "/api/stream?meetingId=" + meetingID)
	if err != nil {
		return false // the server is being restarted
	}
	defer resp.Body.Close()
	var st struct{ State string }
	return json.NewDecoder(resp.Body).Decode(&st) == nil && st.State == "live"
}

// lastPart names the newest part of the stream's video, "" if there is none.
func lastPart(playbackURL string) string {
	playlist := get(playbackURL)
	for _, line := range strings.Split(playlist, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		base := playbackURL[:strings.LastIndexByte(playbackURL, '/')+1]
		media := get(base + line)
		i := strings.LastIndex(media, "#EXT-X-PART:")
		if i < 0 {
			return ""
		}
		part, _, _ := strings.Cut(media[i:], "\n")
		return part
	}
	return ""
}

func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return b.String()
}
