package sfu

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

var capture = flag.Bool("capture", false, "have Chromium write testdata/*.rtp anew")

const (
	descriptorURI = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

	// captureLength is how many packets of a stream are kept, captureFront how
	// much of the payload of each, as no more is looked at, and captureKeys
	// after how many another key frame is asked for.
	captureLength = 310
	captureFront  = 32
	captureKeys   = 60
)

// captures are the streams that are kept: codec, scalability mode, and whether
// with dependency descriptors.
var captures = []struct {
	name, codec, mode string
	descriptor        bool
}{
	{"vp8-l1t3", "video/VP8", "L1T3", false},
	{"vp9-l3t3", "video/VP9", "L3T3", false},
	{"vp9-l3t3-key", "video/VP9", "L3T3_KEY", false},
	{"vp9-l1t3", "video/VP9", "L1T3", false},
	{"av1-l1t3", "video/AV1", "L1T3", true},
	{"av1-l3t3", "video/AV1", "L3T3", true},
	{"av1-l3t3-key", "video/AV1", "L3T3_KEY", true},
	{"av1-l1t1", "video/AV1", "L1T1", false},
}

// TestCapture writes what Chromium sends into testdata: one line for each
// packet, with sequence number, timestamp, marker, dependency descriptor and
// the front of the payload.
func TestCapture(t *testing.T) {
	if !*capture {
		t.Skip("writes test data, with -capture only")
	}
	for _, c := range captures {
		t.Run(c.name, func(t *testing.T) {
			packets := record(t, c.codec, c.mode, c.descriptor)
			var b strings.Builder
			for _, p := range packets {
				marker := 0
				if p.header.Marker {
					marker = 1
				}
				fmt.Fprintf(&b, "%d %d %d %s %s\n", p.header.SequenceNumber, p.header.Timestamp, marker, dash(p.descriptor), dash(p.payload))
			}
			if err := os.WriteFile(filepath.Join("testdata", c.name+".rtp"), []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func dash(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

// A captured packet is one of testdata.
type captured struct {
	header     rtp.Header
	descriptor []byte
	payload    []byte // the front
}

// recorded reads a file of testdata.
func recorded(t testing.TB, name string) []captured {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".rtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []captured
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var p captured
		var marker int
		var descriptor, payload string
		if _, err := fmt.Sscan(lines.Text(), &p.header.SequenceNumber, &p.header.Timestamp, &marker, &descriptor, &payload); err != nil {
			t.Fatalf("%s: line %d: %v", name, len(list)+1, err)
		}
		p.header.Marker = marker == 1
		p.descriptor, p.payload = unhex(t, strings.Trim(descriptor, "-")), unhex(t, strings.Trim(payload, "-"))
		list = append(list, p)
	}
	return list
}

const capturePage = `<!doctype html><script>
async function run(codec, mode, descriptor) {
	const canvas = document.createElement('canvas');
	canvas.width = 960; canvas.height = 540; // the smallest with three layers of VP9
	const g = canvas.getContext('2d');
	let n = 0;
	setInterval(() => { g.fillStyle = 'hsl(' + (n++ * 3) + ',60%,50%)'; g.fillRect(0, 0, 960, 540); g.fillStyle = '#fff'; g.fillRect(n % 900, 100, 40, 40);
		for (let i = 0; i < 150; i++) { g.fillStyle = 'hsl(' + 360 * Math.random() + ',60%,50%)'; g.fillRect(960 * Math.random(), 540 * Math.random(), 9, 9); } }, 33);
	const [track] = canvas.captureStream(30).getVideoTracks();
	const pc = new RTCPeerConnection();
	const tr = pc.addTransceiver(track, {direction: 'sendonly', sendEncodings: [{maxBitrate: 1500000}]});
	tr.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter(c => c.mimeType === codec && (codec !== 'video/VP9' || c.sdpFmtpLine === 'profile-id=0') || c.mimeType === 'video/rtx'));
	if (tr.getHeaderExtensionsToNegotiate) {
		const list = tr.getHeaderExtensionsToNegotiate();
		for (const e of list) if (e.uri.includes('dependency-descriptor')) e.direction = descriptor ? 'sendrecv' : 'stopped';
		tr.setHeaderExtensionsToNegotiate(list);
	}
	await pc.setLocalDescription(await pc.createOffer());
	await new Promise(r => { if (pc.iceGatheringState === 'complete') r(); pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && r(); });
	const answer = await (await fetch('/offer', {method: 'POST', body: JSON.stringify(pc.localDescription)})).json();
	const fast = ';x-google-start-bitrate=1500;x-google-min-bitrate=1200';
	answer.sdp = answer.sdp.replace(/a=rtpmap:(\d+) (VP9|AV1)[^]*?\r\n(a=fmtp:\1 [^\r]*)?/g, (line, pt, name, fmtp) => fmtp ? line + fast : line + 'a=fmtp:' + pt + ' ' + fast.slice(1) + '\r\n');
	await pc.setRemoteDescription(answer);
	const p = tr.sender.getParameters();
	p.encodings[0].scalabilityMode = mode;
	p.degradationPreference = 'maintain-resolution';
	await tr.sender.setParameters(p);
}
const q = new URLSearchParams(location.search);
run(q.get('codec'), q.get('mode'), q.get('descriptor') === 'true').catch(e => fetch('/failed', {method: 'POST', body: String(e)}));
</script>`

// inOrder sorts packets that Chromium has sent again, only to find out how much
// it can send, to their first copies.
func inOrder(list []captured) []captured {
	first := list[0].header.SequenceNumber
	at := func(p captured) int16 { return int16(p.header.SequenceNumber - first) }
	slices.SortStableFunc(list, func(a, b captured) int { return int(at(a)) - int(at(b)) })
	list = slices.CompactFunc(list, func(a, b captured) bool { return at(a) == at(b) })
	return slices.DeleteFunc(list, func(p captured) bool { return at(p) < 0 })
}

// record has Chromium send one stream, with another key frame in it.
func record(t *testing.T, codec, mode string, descriptor bool) []captured {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	engine := new(webrtc.MediaEngine)
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: descriptorURI}, webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	interceptors := new(interceptor.Registry) // feedback lets the bitrate rise
	if err := webrtc.RegisterDefaultInterceptors(engine, interceptors); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(interceptors)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	done := make(chan []captured)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		var id uint8
		for _, e := range receiver.GetParameters().HeaderExtensions {
			if e.URI == descriptorURI {
				id = uint8(e.ID)
			}
		}
		ask := func() {
			_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
		}
		// The mode counts from the next key frame on.
		time.Sleep(4 * time.Second)
		ask()
		began := time.Now()
		var list []captured
		for len(list) < captureLength {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if time.Since(began) < time.Second/2 {
				continue
			}
			list = append(list, captured{p.Header.Clone(), p.GetExtension(id), p.Payload[:min(len(p.Payload), captureFront)]})
			if len(list)%captureKeys == captureKeys/2 {
				ask()
			}
		}
		select {
		case done <- inOrder(list):
		case <-ctx.Done():
		}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, capturePage) })
	mux.HandleFunc("POST /failed", func(_ http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1000)
		n, _ := r.Body.Read(b)
		t.Errorf("page: %s", b[:n])
		cancel()
	})
	mux.HandleFunc("POST /offer", func(w http.ResponseWriter, r *http.Request) {
		var offer webrtc.SessionDescription
		if err := json.NewDecoder(r.Body).Decode(&offer); err != nil {
			t.Error(err)
			return
		}
		gathered := webrtc.GatheringCompletePromise(pc)
		if err := pc.SetRemoteDescription(offer); err != nil {
			t.Error(err)
			return
		}
		answer, err := pc.CreateAnswer(nil)
		if err == nil {
			err = pc.SetLocalDescription(answer)
		}
		if err != nil {
			t.Error(err)
			return
		}
		<-gathered
		_ = json.NewEncoder(w).Encode(pc.LocalDescription())
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
		"--disable-features=WebRtcHideLocalIpsWithMdns", "--enable-experimental-web-platform-features",
		fmt.Sprintf("%s/?codec=%s&mode=%s&descriptor=%t", server.URL, codec, mode, descriptor))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	select {
	case list := <-done:
		return list
	case <-ctx.Done():
		t.Fatal("no packets in time")
		return nil
	}
}
