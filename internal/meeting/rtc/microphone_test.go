package rtc

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/red"
	"github.com/pion/rtp"
)

// newSpeaker returns a peer without a network whose client sends redundant
// audio, and what of it was passed on.
func newSpeaker(t *testing.T) (*Peer, *[]rtp.Packet) {
	t.Helper()
	text, err := os.ReadFile("testdata/offers/chromium-red-stereo.sdp")
	if err != nil {
		t.Fatal(err)
	}
	p := newSDPPeer()
	p.notes = newNotifier()
	var heard []rtp.Packet
	p.ev.Audio = func(p *rtp.Packet, level uint8, _ time.Time) {
		if level != 30 {
			t.Errorf("level of %d: got %d, want 30", p.SequenceNumber, level)
		}
		heard = append(heard, rtp.Packet{Header: p.Header.Clone(), Payload: slices.Clone(p.Payload)})
	}
	if _, _, err := p.answerTo(string(text), false, nil); err != nil {
		t.Fatal(err)
	}
	return p, &heard
}

// say lets a packet come in with its frame and as many before it as it has
// room for.
func say(t *testing.T, p *Peer, n uint32, redundant int) {
	t.Helper()
	var blocks []red.Block
	for d := redundant; d >= 0; d-- {
		blocks = append(blocks, red.Block{Type: 111, Offset: uint16(d) * 960, Payload: []byte{byte(n) - byte(d)}})
	}
	payload, err := red.Append(nil, blocks)
	if err != nil {
		t.Fatal(err)
	}
	speak(p, 63, 1, n, payload)
}

// speak lets the nth packet of a stream come in.
func speak(p *Peer, typ uint8, ssrc, n uint32, payload []byte) {
	h := rtp.Header{Version: 2, PayloadType: typ, SSRC: ssrc, SequenceNumber: uint16(n), Timestamp: n * 960}
	_ = h.SetExtension(1, []byte{0x80 | 30})
	p.takeRTP(&h, payload, time.Unix(1000, 0))
}

// Frames that were lost come out of the packets after them, in their place,
// with their own numbers.
func TestRedundantAudioFillsGaps(t *testing.T) {
	p, heard := newSpeaker(t)
	const wrap = 1 << 16
	say(t, p, wrap-3, 2)
	say(t, p, wrap-2, 0)
	say(t, p, wrap+1, 2) // wrap-1 and wrap are in it
	say(t, p, wrap+2, 1)
	speak(p, 111, 1, wrap+3, []byte{3}) // plain in between
	say(t, p, wrap+6, 2)
	say(t, p, wrap+9, 1) // wrap+7 is lost for good
	var seqs []uint16
	for _, h := range *heard {
		seqs = append(seqs, h.SequenceNumber)
		n := uint32(h.SequenceNumber)
		if n < 100 {
			n += wrap
		}
		if h.Timestamp != n*960 || h.SSRC != 1 || h.PayloadType != 111 || len(h.Payload) != 1 || h.Payload[0] != byte(n) {
			t.Errorf("frame %d: got timestamp %d, SSRC %d, type %d, payload %v", n, h.Timestamp, h.SSRC, h.PayloadType, h.Payload)
		}
	}
	if want := []uint16{65533, 65534, 65535, 0, 1, 2, 3, 4, 5, 6, 8, 9}; !slices.Equal(seqs, want) {
		t.Errorf("frames: got %v, want %v", seqs, want)
	}
	// The report says what the network lost, for the client to send more or
	// less of what is redundant.
	if _, lost := p.in.audio.counts(); lost != 6 || p.in.recovered.Load() != 5 {
		t.Errorf("got %d lost, %d recovered, want 6, 5", lost, p.in.recovered.Load())
	}
}

func TestRedundantAudioThatIsNone(t *testing.T) {
	p, heard := newSpeaker(t)
	for i, payload := range [][]byte{
		{0x80 | 111, 0, 0},                    // ends in its header
		{0x80 | 111, 0, 0, 200, 111, 1, 2, 3}, // a block longer than the packet
		{96, 1, 2, 3},                         // not Opus
		{0x80 | 63, 0, 4, 1, 111, 1, 2},       // redundant in itself
		slices.Repeat([]byte{0x80 | 111, 0, 4, 1}, 300),
	} {
		speak(p, 63, 1, uint32(i), payload)
	}
	if len(*heard) != 0 {
		t.Errorf("got %d frames, want 0", len(*heard))
	}
	if got := p.in.dropped[dropBadRED].Load(); got != 5 {
		t.Errorf("dropped: got %d, want 5", got)
	}
	say(t, p, 100, 0)
	if len(*heard) != 1 {
		t.Errorf("a good one after them: got %d frames, want 1", len(*heard))
	}
}

// The microphone's SSRC changes in the life of a session, but two streams at
// once are no conversation.
func TestMicrophoneHasOneStream(t *testing.T) {
	p, heard := newSpeaker(t)
	plan := *p.plan.Load()
	plan.audioSSRC = 7
	p.plan.Store(&plan)
	now := time.Unix(1000, 0)
	from := func(ssrc uint32, seq uint16) {
		h := rtp.Header{Version: 2, PayloadType: 111, SSRC: ssrc, SequenceNumber: seq}
		_ = h.SetExtension(1, []byte{30})
		p.takeRTP(&h, []byte{1}, now)
	}
	from(1, 1)
	for i := range uint16(1000) {
		from(uint32(2000+int(i)), i)
	}
	if len(*heard) != 1 || p.in.dropped[dropOtherSSRC].Load() != 1000 {
		t.Errorf("others at the same time: got %d frames, want 1", len(*heard))
	}
	now = now.Add(ssrcSilence)
	from(2, 1)
	from(7, 1) // the one the offer declares takes the place at once
	from(2, 2)
	if len(*heard) != 3 || (*heard)[1].SSRC != 2 || (*heard)[2].SSRC != 7 {
		t.Errorf("got %d frames, want those of 1, 2 and 7", len(*heard))
	}
}

// What an audio section is answered with.
func TestAudioAnswers(t *testing.T) {
	const opus = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n"
	for _, c := range []struct {
		name, offer string
		want        []string
		stereo      bool
	}{
		{"plain", opus, []string{"SAVPF 111\r", "a=fmtp:111 minptime=10;useinbandfec=1\r"}, false},
		{"speech", opus + "a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=40000\r\n", []string{"a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=40000\r"}, false},
		{"stereo music", opus + "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1;maxaveragebitrate=128000\r\n", []string{"a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1;maxaveragebitrate=128000\r"}, true},
		{"Firefox: receives stereo, sends what it has", opus + "a=fmtp:111 maxplaybackrate=48000;stereo=1;useinbandfec=1\r\n", []string{"a=fmtp:111 minptime=10;useinbandfec=1;sprop-stereo=1\r"}, true},
		{"DTX", opus + "a=fmtp:111 usedtx=1\r\n", []string{"a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r"}, false},
		{"strange bitrates", opus + "a=fmtp:111 maxaveragebitrate=1\r\n", []string{"a=fmtp:111 minptime=10;useinbandfec=1\r"}, false},
		{"not a number", opus + "a=fmtp:111 maxaveragebitrate=9e9;stereo=yes\r\n", []string{"a=fmtp:111 minptime=10;useinbandfec=1\r"}, false},
		{
			"redundant first", "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n",
			[]string{"SAVPF 63 111\r", "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r"},
			false,
		},
		{
			"redundant last, many blocks", "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111/111/111\r\n",
			[]string{"SAVPF 111 63\r", "a=fmtp:63 111/111/111/111\r"},
			false,
		},
		{
			"redundant something else", "m=audio 9 UDP/TLS/RTP/SAVPF 63 111 0\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 0/0\r\n",
			[]string{"SAVPF 111\r"},
			false,
		},
		{
			"redundant without parameters", "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\n",
			[]string{"SAVPF 111\r"},
			false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(shortOffer, opus) {
				t.Fatal("the offer has another audio section")
			}
			p := newSDPPeer()
			a, _, err := p.answerTo(strings.Replace(shortOffer, opus, c.offer, 1), false, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(a.SDP, want) {
					t.Errorf("got:\n%s\nwant %q in it", a.SDP, want)
				}
			}
			if got := p.Stereo(); got != c.stereo {
				t.Errorf("stereo: got %v, want %v", got, c.stereo)
			}
			if got := p.out.audioType.Load(); got != 111 {
				t.Errorf("type of the mix: got %d, want 111", got)
			}
		})
	}
}
