package sfu

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belfry.live/belfry/internal/wire/vp8"
	"github.com/pion/rtp"
)

// A receiver is a sink that keeps what it gets, as it would be on the wire.
type receiver struct {
	t       testing.TB
	full    bool
	packets []rtp.Packet
}

func (r *receiver) Send(o Outgoing) bool {
	if r.full {
		return false
	}
	b := o.Append(nil)
	o.Packet.Release()
	if got, want := o.Size(), len(b); got != want {
		r.t.Errorf("size: got %d, want %d", got, want)
	}
	var p rtp.Packet
	if err := p.Unmarshal(b); err != nil {
		r.t.Errorf("packet on the wire: %v", err)
	}
	r.packets = append(r.packets, p)
	return true
}

// numbers returns the sequence numbers and the picture ids.
func (r *receiver) numbers() (seqs, ids []int) {
	for _, p := range r.packets {
		seqs = append(seqs, int(p.SequenceNumber-r.packets[0].SequenceNumber))
		d, _, _ := vp8.ParseDescriptor(p.Payload)
		ids = append(ids, int(d.PictureID))
	}
	return seqs, ids
}

var vp8Format = Format{Codec: VP8}

func newTestSubscriber(t testing.TB, types ...PayloadType) (*Subscriber, *receiver) {
	if types == nil {
		types = []PayloadType{{Format: vp8Format, Type: 96, RTX: 97}}
	}
	r := &receiver{t: t}
	return NewSubscriber(SubscriberConfig{Sink: r, SSRC: 11, RTXSSRC: 12, PayloadTypes: types}), r
}

// A source makes VP8 packets, one to a frame unless told otherwise.
type source struct {
	pub     *Publisher
	asked   int
	seq     uint16
	ts      uint32
	picture uint16
	at      time.Time
}

func newSource(seq uint16, ts uint32, picture uint16) *source {
	s := &source{seq: seq, ts: ts, picture: picture, at: time.Unix(1000, 0)}
	s.pub = NewPublisher(PublisherConfig{AskForKeyFrame: func() { s.asked++ }})
	return s
}

type sourcePacket struct {
	header  rtp.Header
	payload []byte
	at      time.Time
}

// next makes the next frame's packet.
func (s *source) next(key bool) sourcePacket {
	s.seq++
	s.ts += 3000
	s.picture = (s.picture + 1) & 0x7fff
	s.at = s.at.Add(33 * time.Millisecond)
	tag := byte(0x11)
	if key {
		tag = 0x10
	}
	payload := []byte{0x90, 0xe0, 0x80 | byte(s.picture>>8), byte(s.picture), byte(s.picture), 0x20, tag, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1}
	return sourcePacket{rtp.Header{SequenceNumber: s.seq, Timestamp: s.ts, Marker: true, SSRC: 5}, payload, s.at}
}

func (s *source) write(list ...sourcePacket) {
	for _, p := range list {
		s.pub.Write(&p.header, p.payload, vp8Format, p.at)
	}
}

func checkSteps(t *testing.T, what string, got []int, first int) {
	t.Helper()
	for i, n := range got {
		if n != first+i {
			t.Fatalf("%s: got %v, want steps of one from %d", what, got, first)
		}
	}
}

func TestStartsAtKeyFrame(t *testing.T) {
	s := newSource(65533, 1<<32-5000, 0x7ffe)
	sub, r := newTestSubscriber(t)
	s.write(s.next(true), s.next(false))
	sub.SetTarget(Whole(s.pub))
	if s.asked == 0 {
		t.Error("a new subscriber has not asked for a key frame")
	}
	s.write(s.next(false))
	if len(r.packets) != 0 {
		t.Fatalf("before a key frame: got %d packets, want 0", len(r.packets))
	}
	s.write(s.next(true), s.next(false), s.next(false))
	seqs, ids := r.numbers()
	if len(seqs) != 3 {
		t.Fatalf("got %d packets, want 3", len(seqs))
	}
	checkSteps(t, "sequence numbers", seqs, 0)
	checkSteps(t, "picture ids", ids, ids[0])
	for i, p := range r.packets {
		if p.SSRC != 11 || p.PayloadType != 96 || !p.Marker {
			t.Errorf("packet %d: got %v, want SSRC 11, type 96, marker", i, p.Header)
		}
	}
}

func TestSwitchIsSeamless(t *testing.T) {
	one, two := newSource(100, 5000, 200), newSource(40000, 9_000_000, 7)
	two.at = one.at
	sub, r := newTestSubscriber(t)
	sub.SetTarget(Whole(one.pub))
	one.write(one.next(true), one.next(false))
	sub.SetTarget(Whole(two.pub))
	one.write(one.next(false), one.next(true)) // not wanted any more
	two.write(two.next(false))
	two.write(two.next(false))
	two.write(two.next(true), two.next(false))
	sub.SetTarget(Whole(one.pub))
	one.write(one.next(true), one.next(false))

	seqs, ids := r.numbers()
	if len(seqs) != 6 {
		t.Fatalf("got %d packets, want 6", len(seqs))
	}
	checkSteps(t, "sequence numbers", seqs, 0)
	checkSteps(t, "picture ids", ids, ids[0])
	for i := 1; i < len(r.packets); i++ {
		if step := int32(r.packets[i].Timestamp - r.packets[i-1].Timestamp); step < 90 || step > 4*3000 {
			t.Errorf("timestamp step %d: got %d, want 1 ms to 4 frames", i, step)
		}
	}
}

// The first packet of a key frame comes last: the receiver gets them all.
func TestStartIsSentAgainToUs(t *testing.T) {
	s := newSource(10, 0, 0)
	sub, r := newTestSubscriber(t)
	sub.SetTarget(Whole(s.pub))
	s.write(s.next(false))
	late := s.next(true)
	s.write(s.next(false), s.next(false))
	if len(r.packets) != 0 {
		t.Fatalf("got %d packets, want 0", len(r.packets))
	}
	s.write(late)
	seqs, ids := r.numbers()
	if len(seqs) != 3 {
		t.Fatalf("got %d packets, want 3", len(seqs))
	}
	checkSteps(t, "sequence numbers", seqs, 0)
	checkSteps(t, "picture ids", ids, ids[0])
	s.write(late)
	if got := s.pub.Stats().Duplicates; got != 1 || len(r.packets) != 3 {
		t.Errorf("the same once more: got %d duplicates and %d packets, want 1 and 3", got, len(r.packets))
	}
}

func TestLatePacketKeepsItsPlace(t *testing.T) {
	s := newSource(10, 0, 0)
	sub, r := newTestSubscriber(t)
	sub.SetTarget(Whole(s.pub))
	old := s.next(false)
	s.write(s.next(true))
	late := s.next(false)
	s.write(s.next(false))
	s.write(late, old)
	seqs, _ := r.numbers()
	if len(seqs) != 3 || seqs[1] != 2 || seqs[2] != 1 {
		t.Errorf("sequence numbers: got %v, want 0 2 1", seqs)
	}
}

func TestFullQueueWaitsForKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(10, 0, 0)
		sub, r := newTestSubscriber(t)
		sub.SetTarget(Whole(s.pub))
		s.write(s.next(true))
		time.Sleep(time.Second)
		asked := s.asked
		r.full = true
		s.write(s.next(false))
		r.full = false
		s.write(s.next(false))
		if len(r.packets) != 1 || s.asked != asked+1 {
			t.Errorf("after a drop: got %d packets and %d requests, want 1 and 1", len(r.packets), s.asked-asked)
		}
		s.write(s.next(true), s.next(false))
		seqs, ids := r.numbers()
		if len(seqs) != 3 {
			t.Fatalf("got %d packets, want 3", len(seqs))
		}
		checkSteps(t, "sequence numbers", seqs, 0)
		checkSteps(t, "picture ids", ids, ids[0])
		if got := sub.Stats().DroppedQueue; got != 1 {
			t.Errorf("dropped: got %d, want 1", got)
		}
	})
}

func TestKeyFrameRequestsAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(10, 0, 0)
		for range 100 {
			s.pub.RequestKeyFrame()
		}
		if s.asked != 1 {
			t.Fatalf("at once: got %d requests, want 1", s.asked)
		}
		for range 20 { // one second of ticks
			time.Sleep(50 * time.Millisecond)
			s.pub.Tick(time.Now())
		}
		if s.asked != 3 {
			t.Errorf("after one second without key frame: got %d requests, want 3", s.asked)
		}
		s.write(s.next(true))
		for range 20 {
			time.Sleep(50 * time.Millisecond)
			s.pub.Tick(time.Now())
		}
		if s.asked != 3 {
			t.Errorf("after a key frame: got %d requests, want 3", s.asked)
		}
	})
}

func TestResend(t *testing.T) {
	now := time.Unix(5000, 0)
	const rtt = 80 * time.Millisecond
	s := newSource(65530, 0, 0)
	sub, r := newTestSubscriber(t)
	sub.SetTarget(Whole(s.pub))
	s.write(s.next(true))
	for range 20 {
		s.write(s.next(false))
	}
	first := r.packets[7]
	r.packets = nil
	sub.Resend(first.SequenceNumber, now, rtt)
	if len(r.packets) != 1 {
		t.Fatalf("got %d packets, want 1", len(r.packets))
	}
	got := r.packets[0]
	if got.SSRC != 12 || got.PayloadType != 97 || got.Timestamp != first.Timestamp || got.Marker != first.Marker {
		t.Errorf("retransmission: got %v, want SSRC 12, type 97, the rest of %v", got.Header, first.Header)
	}
	if seq := binary.BigEndian.Uint16(got.Payload); seq != first.SequenceNumber {
		t.Errorf("original number: got %d, want %d", seq, first.SequenceNumber)
	}
	if string(got.Payload[2:]) != string(first.Payload) {
		t.Errorf("payload: got %x, want %x", got.Payload[2:], first.Payload)
	}
	sub.Resend(first.SequenceNumber, now.Add(rtt/2), rtt)
	if len(r.packets) != 1 {
		t.Error("sent again before the last one can have arrived")
	}
	for i := range 2 * maxResends {
		sub.Resend(first.SequenceNumber, now.Add(time.Duration(i+1)*rtt), rtt)
	}
	if len(r.packets) != maxResends {
		t.Errorf("asked for on and on: got %d packets, want %d", len(r.packets), maxResends)
	}
	sub.Resend(first.SequenceNumber+5000, now, rtt)
	sub.Resend(first.SequenceNumber-5000, now, rtt)
	if got := sub.Stats().MissedCache; got != 2 || len(r.packets) != maxResends {
		t.Errorf("never sent: got %d misses, %d packets, want 2, %d", got, len(r.packets), maxResends)
	}
}

func TestResendWithoutRTX(t *testing.T) {
	s := newSource(1, 0, 0)
	sub, r := newTestSubscriber(t, PayloadType{Format: vp8Format, Type: 100})
	sub.SetTarget(Whole(s.pub))
	s.write(s.next(true), s.next(false))
	sub.Resend(r.packets[0].SequenceNumber, time.Now(), 0)
	if len(r.packets) != 3 || r.packets[2].SequenceNumber != r.packets[0].SequenceNumber || r.packets[2].SSRC != 11 {
		t.Errorf("got %v, want the first packet again", r.packets)
	}
}

func TestFormats(t *testing.T) {
	baseline, high := Format{H264, 0x42e0}, Format{H264, 0x6400}
	types := []PayloadType{{vp8Format, 96, 97}, {baseline, 102, 103}}
	for _, c := range []struct {
		name   string
		types  []PayloadType
		format Format
		want   int // payload type, -1: nothing is sent
	}{
		{"VP8", types, vp8Format, 96},
		{"H.264 as agreed", types, baseline, 102},
		{"H.264 of another profile", types, high, 102},
		{"codec the peer lacks", types[:1], baseline, -1},
		{"nothing agreed", []PayloadType{}, vp8Format, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			pub := NewPublisher(PublisherConfig{})
			sub, r := newTestSubscriber(t, c.types...)
			sub.types = c.types
			sub.SetTarget(Whole(pub))
			payload := []byte{0x10, 0x10}
			if c.format.Codec == H264 {
				payload = unhex(t, sps)
			}
			pub.Write(&rtp.Header{SequenceNumber: 1}, payload, c.format, time.Now())
			got := -1
			if len(r.packets) > 0 {
				got = int(r.packets[0].PayloadType)
			}
			if got != c.want {
				t.Errorf("payload type: got %d, want %d", got, c.want)
			}
		})
	}
}

// An IDR slice starts a key frame only when no parameter sets are missing in
// front of it.
func TestH264KeyFrameStart(t *testing.T) {
	format := Format{H264, 0x42e0}
	idr, slice := []byte{0x65, 1}, []byte{0x41, 1}
	type packet struct {
		seq     uint16
		ts      uint32
		payload []byte
	}
	for _, c := range []struct {
		name    string
		packets []packet
		want    int
	}{
		{"SPS first", []packet{{1, 1, slice}, {2, 2, unhex(t, sps)}, {3, 2, idr}}, 2},
		{"IDR without SPS", []packet{{1, 1, slice}, {2, 2, idr}, {3, 3, slice}}, 2},
		{"SPS comes late", []packet{{1, 1, slice}, {3, 2, idr}, {2, 2, unhex(t, sps)}}, 2},
		{"SPS is missing", []packet{{1, 1, slice}, {3, 2, idr}, {4, 3, slice}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			pub := NewPublisher(PublisherConfig{})
			sub, r := newTestSubscriber(t, PayloadType{format, 102, 0})
			pub.Write(&rtp.Header{SequenceNumber: 0}, slice, format, time.Now())
			sub.SetTarget(Whole(pub))
			for _, p := range c.packets {
				pub.Write(&rtp.Header{SequenceNumber: p.seq, Timestamp: p.ts}, p.payload, format, time.Now())
			}
			if len(r.packets) != c.want {
				t.Errorf("got %d packets, want %d", len(r.packets), c.want)
			}
		})
	}
}

func TestNewStreamOfTheSamePublisher(t *testing.T) {
	s := newSource(10, 0, 0)
	sub, r := newTestSubscriber(t)
	sub.SetTarget(Whole(s.pub))
	s.write(s.next(true), s.next(false))
	other := newSource(12, 77777, 500) // close to the old numbers, but of another SSRC
	other.at = s.at
	for _, key := range []bool{false, true, false} {
		p := other.next(key)
		p.header.SSRC = 6
		s.write(p)
	}
	seqs, ids := r.numbers()
	if len(seqs) != 4 {
		t.Fatalf("got %d packets, want 4", len(seqs))
	}
	checkSteps(t, "sequence numbers", seqs, 0)
	checkSteps(t, "picture ids", ids, ids[0])
}

func TestClosedPublisherIsSilent(t *testing.T) {
	s := newSource(10, 0, 0)
	sub, r := newTestSubscriber(t)
	sub.SetTarget(Whole(s.pub))
	s.write(s.next(true))
	s.pub.Close()
	s.write(s.next(true))
	sub.Resend(r.packets[0].SequenceNumber, time.Now(), 0)
	sub.RequestKeyFrame()
	if len(r.packets) != 1 {
		t.Errorf("got %d packets, want 1", len(r.packets))
	}
	if p := s.pub.cache; p != [cacheSize]*Packet{} {
		t.Error("packets are left in the cache")
	}
}

// What the sender report says about a video, so that it is in step with the
// mix.
func TestReportTimes(t *testing.T) {
	server := time.Unix(1_700_000_000, 0)
	s := newSource(1, 0, 0)
	s.at = server
	sub, r := newTestSubscriber(t)
	sub.SetTarget(Whole(s.pub))
	if _, ok := sub.Report(server); ok {
		t.Error("got a report before the first packet")
	}
	s.write(s.next(true))
	sent := r.packets[0].Timestamp

	check := func(what string, now time.Time, want time.Duration) {
		t.Helper()
		rep, ok := sub.Report(now)
		if !ok {
			t.Fatalf("%s: no report", what)
		}
		if got := ticksToDuration(int64(int32(rep.Timestamp - sent))); (got - want).Abs() > time.Millisecond {
			t.Errorf("%s: the report is %v after the first packet, want %v", what, got, want)
		}
	}
	// By arrival: the packet was made when it came.
	check("by arrival", s.at.Add(500*time.Millisecond), 500*time.Millisecond)

	// The publisher's clock is an hour off; the packet was made 70 ms before
	// it came, and the mixer plays audio of that moment 100 ms after it was
	// made.
	made := s.at.Add(-70 * time.Millisecond)
	s.pub.SenderReport(made.Add(-time.Hour), s.ts)
	check("without offset", s.at.Add(500*time.Millisecond), 500*time.Millisecond)
	s.pub.SetClockOffset(time.Hour + 100*time.Millisecond)
	check("by report", made.Add(100*time.Millisecond), 0)
	check("by report, later", made.Add(2100*time.Millisecond), 2*time.Second)
}

func TestStats(t *testing.T) {
	s := newSource(1, 0, 0)
	s.pub.Tick(s.at)
	for i := range 30 {
		s.write(s.next(i == 0))
	}
	s.pub.Tick(s.at.Add(10 * time.Millisecond))
	st := s.pub.Stats()
	if st.FrameRate < 29 || st.FrameRate > 31 || st.Bitrate < 16*8*29 || st.Bitrate > 16*8*31 || st.Width != 640 || st.Height != 360 || st.KeyFrames != 1 {
		t.Errorf("got %+v, want 30 frames/s of 16 bytes, 640x360, one key frame", st)
	}
	s.pub.Tick(s.at.Add(2 * time.Second))
	if st := s.pub.Stats(); st.Bitrate != 0 || st.FrameRate != 0 {
		t.Errorf("after silence: got %+v, want 0 bit/s", st)
	}
	s.pub.Write(&rtp.Header{SequenceNumber: 500}, make([]byte, MaxPayload+1), vp8Format, s.at)
	if got := s.pub.Stats().TooLong; got != 1 {
		t.Errorf("too long: got %d, want 1", got)
	}
}

type discard struct{ buf []byte }

func (d *discard) Send(o Outgoing) bool {
	d.buf = o.Append(d.buf[:0])
	o.Packet.Release()
	return true
}

func TestForwardAllocatesNothing(t *testing.T) {
	s := newSource(1, 0, 0)
	for range 10 {
		sub := NewSubscriber(SubscriberConfig{Sink: &discard{}, SSRC: 1, PayloadTypes: []PayloadType{{vp8Format, 96, 97}}})
		sub.SetTarget(Whole(s.pub))
	}
	first := s.next(true)
	s.write(first)
	payload := make([]byte, 1100)
	copy(payload, s.next(false).payload)
	h := first.header
	write := func() {
		h.SequenceNumber++
		h.Timestamp += 1000
		s.pub.Write(&h, payload, vp8Format, s.at)
	}
	for range 2 * cacheSize {
		write()
	}
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("Write allocates %v times per packet, want 0", n)
	}
}

func BenchmarkForward(b *testing.B) {
	s := newSource(1, 0, 0)
	for range 10 {
		sub := NewSubscriber(SubscriberConfig{Sink: &discard{}, SSRC: 1, PayloadTypes: []PayloadType{{vp8Format, 96, 97}}})
		sub.SetTarget(Whole(s.pub))
	}
	first := s.next(true)
	s.write(first)
	payload := make([]byte, 1100)
	copy(payload, s.next(false).payload)
	h := first.header
	for b.Loop() {
		h.SequenceNumber++
		s.pub.Write(&h, payload, vp8Format, s.at)
	}
}

// sps is 640x360, constrained baseline, level 3.1.
const sps = "6742e01fda0280bfe5c044000003000400000300f03c60ca80"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
