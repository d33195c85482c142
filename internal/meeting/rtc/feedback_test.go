package rtc

import (
	"testing"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// A reportsConn keeps the sender reports that are sent.
type reportsConn struct {
	t       *testing.T
	cipher  cipherPair
	reports map[uint32][]*rtcp.SenderReport
}

func (c *reportsConn) Wake() {}

func (c *reportsConn) Write(b []byte) error {
	plain, err := c.cipher.rtcp.DecryptRTCP(nil, b, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	list, err := rtcp.Unmarshal(plain)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, pkt := range list {
		if sr, ok := pkt.(*rtcp.SenderReport); ok {
			c.reports[sr.SSRC] = append(c.reports[sr.SSRC], sr)
		}
	}
	return nil
}

// A client can put picture and sound in step as soon as a report has come that
// is right, so that goes out when it is due and not at the next second.
func TestReportsGoOutWhenTheyAreNews(t *testing.T) {
	p := newPublishingPeer(t)
	keys := func() cipherPair {
		c, err := newCiphers(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfile(dtls.SRTP_AEAD_AES_128_GCM))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	conn := &reportsConn{t: t, cipher: keys(), reports: make(map[uint32][]*rtcp.SenderReport)}
	p.out.open(conn, keys())
	var video uint32
	for _, r := range p.receives {
		r.subscriber.SetTarget(sfu.Whole(p.video.publish(p.video.layers[0])))
		video = r.ssrc
	}

	now := time.Unix(1_700_000_000, 0)
	f := newFeedback(p)
	want := func(what string, ssrc uint32, more int) {
		t.Helper()
		before := len(conn.reports[ssrc])
		now = now.Add(50 * time.Millisecond)
		f.tick(now)
		if got := len(conn.reports[ssrc]) - before; got != more {
			t.Errorf("%s: got %d reports, want %d", what, got, more)
		}
	}
	want("before all", video, 0)
	f.lastReport = now // the next second is far

	if err := p.WriteAudio(AudioFrame{Payload: []byte{0xf8, 0xff, 0xfe}, Time: now}); err != nil {
		t.Fatal(err)
	}
	want("the mix begins", p.out.audioSSRC, 1)
	want("the mix goes on", p.out.audioSSRC, 0)

	key := []byte{0x90, 0x80, 0x80, 0x01, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1}
	p.takeRTP(&rtp.Header{PayloadType: 120, SSRC: 2, SequenceNumber: 7, Timestamp: 5000, Marker: true}, key, now)
	want("the video begins", video, 1)
	want("the video goes on", video, 0)

	p.takeRTCP(marshal(t, &rtcp.SenderReport{SSRC: 2, NTPTime: toNTP(now.Add(-time.Hour)), RTPTime: 5000 + 90*50}), now)
	want("the publisher's clock is known, its offset is not", video, 0)
	p.SetClockOffset(time.Hour + 80*time.Millisecond)
	want("the offset is known", video, 1)
	p.SetClockOffset(time.Hour + 85*time.Millisecond)
	want("the offset is about the same", video, 0)
	p.SetClockOffset(time.Hour + 120*time.Millisecond)
	want("the offset is another", video, 1)
	want("it stays", video, 0)

	now = f.lastReport.Add(reportInterval)
	want("a second later", video, 1)
	if n := len(conn.reports[p.out.audioSSRC]); n != 2 {
		t.Errorf("a second later: got %d reports of the mix, want 2", n)
	}
}

func marshal(t *testing.T, list ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
