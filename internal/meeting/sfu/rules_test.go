package sfu

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/av1"
	"belfry.live/belfry/internal/wire/vp8"
	"belfry.live/belfry/internal/wire/vp9"
	"github.com/pion/rtp"
)

var plays = flag.Uint64("plays", 8, "how often each recording is played by the rules")

// A player plays a recording to a publisher over a bad network, with numbers
// of its own.
type player struct {
	model *model
	pub   *Publisher
	seq   uint16
	ts    uint32

	newest    int    // packet delivered
	delivered []bool // by packet
	cameAt    []int  // twice the run that was shown, and one more if it was over
	held      []held
}

type held struct{ packet, at int }

const testDescriptor = 5

func newPlayer(m *model, source *Source, seq uint16, ts uint32) *player {
	return &player{
		model:     m,
		pub:       NewPublisher(PublisherConfig{Source: source, DependencyDescriptor: testDescriptor}),
		seq:       seq,
		ts:        ts,
		delivered: make([]bool, len(m.packets)),
		cameAt:    make([]int, len(m.packets)),
	}
}

func (p *player) write(t testing.TB, packet int, at time.Time) {
	c := &p.model.packets[packet]
	h := rtp.Header{
		Version:        2,
		SSRC:           1,
		SequenceNumber: c.header.SequenceNumber + p.seq,
		Timestamp:      c.header.Timestamp + p.ts,
		Marker:         c.header.Marker,
	}
	if len(c.descriptor) > 0 {
		h.ExtensionProfile = rtp.ExtensionProfileTwoByte
		h.Extension = true
		if err := h.SetExtension(testDescriptor, c.descriptor); err != nil {
			t.Fatal(err)
		}
	}
	p.delivered[packet] = true
	p.newest = max(p.newest, packet)
	p.pub.Write(&h, c.payload, p.model.format, at)
}

// step sends packet number i, or loses it, or holds it back; what was held
// back comes later or never.
func (p *player) step(t testing.TB, r *rand.Rand, i int, at time.Time, loss float64) {
	if i < len(p.model.packets) {
		switch {
		case r.Float64() >= loss:
			p.write(t, i, at)
		case r.Float64() < 0.8:
			p.held = append(p.held, held{i, i + 1 + r.IntN(30)})
		}
	}
	for j := 0; j < len(p.held); j++ {
		if h := p.held[j]; h.at <= i {
			p.write(t, h.packet, at)
			p.held = slices.Delete(p.held, j, j+1)
			j--
		}
	}
}

// An arrived packet is one the subscriber has sent.
type arrived struct {
	rtp.Packet
	out    int64 // its sequence number, extended
	of     *player
	packet int // index in the recording
	run    int
	target Target
	late   bool // a later one came before
}

// A judge takes what a subscriber sends and holds it to the rules.
type judge struct {
	t       *testing.T
	players []*player
	sub     *Subscriber
	lossy   bool
	full    bool

	packets []arrived // in the order of sending
	last    int64
	again   []rtp.Packet // retransmissions
}

func (j *judge) Send(o Outgoing) bool {
	if j.full {
		return false
	}
	o.TWCC, o.TWCCSeq = 3, uint16(len(j.packets))
	b := o.Append(nil)
	if len(b) != o.Size() {
		j.t.Errorf("size: got %d, want %d", o.Size(), len(b))
	}
	var p rtp.Packet
	if err := p.Unmarshal(b); err != nil {
		j.t.Fatalf("packet on the wire: %v", err)
	}
	if got := p.GetExtension(3); len(got) != 2 || binary.BigEndian.Uint16(got) != o.TWCCSeq {
		j.t.Errorf("transport-wide number: got %x, want %d", got, o.TWCCSeq)
	}
	if p.PayloadType == 97 {
		j.again = append(j.again, p)
		o.Packet.Release()
		return true
	}
	a := arrived{Packet: p}
	for _, of := range j.players {
		if of.pub == j.sub.shown {
			a.of = of
		}
	}
	if a.of == nil {
		j.t.Fatal("sent a packet of nobody who is shown")
	}
	a.packet = int(uint16(o.Packet.seq) - a.of.seq - a.of.model.packets[0].header.SequenceNumber)
	if j.last == 0 {
		j.last = int64(p.SequenceNumber) - 1
	}
	a.out = j.last + int64(int16(p.SequenceNumber-uint16(j.last)))
	a.late = a.packet < a.of.newest
	j.last = max(j.last, a.out)
	a.run = j.sub.history.run
	a.target = j.sub.target
	j.packets = append(j.packets, a)
	o.Packet.Release()
	return true
}

func (a *arrived) frame() *modelFrame { return &a.of.model.frames[a.of.model.frameOf[a.packet]] }

// check holds everything that was sent to the rules. whole says that nothing
// was lost for good and the queue was never full.
func (j *judge) check(whole bool) {
	t := j.t
	j.checkAgain()
	slices.SortStableFunc(j.packets, func(a, b arrived) int { return int(a.out - b.out) })
	for i := 1; i < len(j.packets); i++ {
		if a, b := &j.packets[i-1], &j.packets[i]; a.out == b.out {
			t.Fatalf("number %d went out twice, as packets %d and %d", a.out, a.packet, b.packet)
		} else if whole && b.out != a.out+1 {
			t.Fatalf("packets %d and %d of run %d and %d: numbers %d and %d are missing between", a.packet, b.packet, a.run, b.run, a.out, b.out)
		}
	}
	for i := 0; i < len(j.packets); {
		n := i
		for n < len(j.packets) && j.packets[n].run == j.packets[i].run {
			n++
		}
		var before *arrived
		if i > 0 {
			before = &j.packets[i-1]
		}
		j.checkRun(j.packets[i:n], before, n == len(j.packets))
		i = n
	}
}

// checkAgain wants what was sent again to be what was sent.
func (j *judge) checkAgain() {
	for _, again := range j.again {
		if again.SSRC != 12 || len(again.Payload) < 2 {
			j.t.Fatalf("sent again: got %v with %d bytes, want SSRC 12 and a number", again.Header, len(again.Payload))
		}
		seq := binary.BigEndian.Uint16(again.Payload)
		i := slices.IndexFunc(j.packets, func(a arrived) bool { return a.SequenceNumber == seq })
		if i < 0 {
			continue // it came when another layer was shown, and was asked for
		}
		a := &j.packets[i]
		if again.Timestamp != a.Timestamp || again.Marker != a.Marker || !bytes.Equal(again.Payload[2:], a.Payload) ||
			!bytes.Equal(again.GetExtension(testDescriptor), a.GetExtension(testDescriptor)) {
			j.t.Fatalf("number %d (packet %d) was sent again as %v, %x, want %v, %x", seq, a.packet, again.Header, again.Payload, a.Header, a.Payload)
		}
	}
}

// checkRun checks what was sent of one publisher since a key frame.
func (j *judge) checkRun(run []arrived, before *arrived, isLast bool) {
	t := j.t
	p := run[0].of
	m := p.model
	if !run[0].frame().key || m.frames[m.frameOf[run[0].packet]].first != run[0].packet {
		t.Fatalf("run %d starts with packet %d, no start of a key frame", run[0].run, run[0].packet)
	}
	if before != nil {
		if step := int32(run[0].Timestamp - before.Timestamp); step <= 0 {
			t.Fatalf("run %d starts %d ticks after what was before", run[0].run, step)
		}
	}
	sent := make(map[int]bool) // frames with a payload
	has := make(map[int]bool)  // packets with a payload
	for i := range run {
		a := &run[i]
		if i > 0 {
			b := &run[i-1]
			if a.packet <= b.packet {
				t.Fatalf("packet %d comes after %d", a.packet, b.packet)
			}
			same := m.packets[a.packet].header.Timestamp == m.packets[b.packet].header.Timestamp
			if step := int32(a.Timestamp - b.Timestamp); step < 0 || (step == 0) != same {
				t.Fatalf("packet %d has a timestamp %d ticks after packet %d", a.packet, step, b.packet)
			}
		}
		if len(a.Payload) == 0 {
			continue
		}
		has[a.packet] = true
		sent[m.frameOf[a.packet]] = true
		f := a.frame()
		if !a.late && a.target.Publisher == p.pub && f.first == a.packet &&
			(int(f.spatial) > a.target.Spatial && m.name != "av1-l3t3-key" || int(f.temporal) > a.target.Temporal) && j.firstOfPicture(a) {
			t.Fatalf("packet %d of layers %d and %d went out with a target of %d and %d", a.packet, f.spatial, f.temporal, a.target.Spatial, a.target.Temporal)
		}
	}
	j.checkFrames(run, sent, has, isLast)
	j.checkNumbers(run, before)
	j.checkMarkers(run, sent)
}

// firstOfPicture says whether a packet is the first of its picture, so that
// the target was known when it was decided on.
func (j *judge) firstOfPicture(a *arrived) bool {
	return a.packet == 0 || a.of.model.packets[a.packet-1].header.Timestamp != a.of.model.packets[a.packet].header.Timestamp
}

// checkFrames wants frames whole, with all they refer to.
func (j *judge) checkFrames(run []arrived, sent, has map[int]bool, isLast bool) {
	t := j.t
	m, delivered := run[0].of.model, run[0].of.delivered
	end := run[len(run)-1].packet
	inTime := make(map[int]bool) // frames of which something came in order
	for i := range run {
		if !run[i].late {
			inTime[m.frameOf[run[i].packet]] = true
		}
	}
	for i := range sent {
		f := &m.frames[i]
		for n := f.first; n <= f.last && n <= end; n++ {
			if delivered[n] && !has[n] && !j.cameTooLate(run[0].of, n, run[0].run) {
				t.Fatalf("packet %d of frame %d (packets %d to %d, layers %d and %d) did not go out, others did", n, i, f.first, f.last, f.spatial, f.temporal)
			}
		}
		for _, ref := range f.references {
			r := &m.frames[ref]
			reached := false // anything of it was there to be sent
			for n := r.first; n <= r.last; n++ {
				reached = reached || delivered[n] && !j.cameTooLate(run[0].of, n, run[0].run)
			}
			if reached && !sent[ref] && !j.unfollowed(m, inTime[i]) {
				t.Fatalf("frame %d (packets %d to %d, layers %d and %d) refers to frame %d (packets %d to %d, layers %d and %d), which did not go out",
					i, f.first, f.last, f.spatial, f.temporal, ref, r.first, r.last, r.spatial, r.temporal)
			}
		}
	}
}

// unfollowed says whether nobody could know what a frame refers to. Chromium
// says of each frame of AV1 whether one can go up to a layer there. In
// av1-l3t3 it had no time for all layers of all pictures, and then that is not
// true: a frame can refer to an older one instead of the one left out. Those
// are found out only while they come in order, and all they refer to has come.
func (j *judge) unfollowed(m *model, inTime bool) bool {
	return m.name == "av1-l3t3" && j.lossy && !inTime
}

// cameTooLate says whether a packet came after a run was over.
func (j *judge) cameTooLate(p *player, packet, run int) bool { return p.cameAt[packet] > 2*run }

// checkNumbers wants picture ids and frame numbers to go on.
func (j *judge) checkNumbers(run []arrived, before *arrived) {
	t := j.t
	m := run[0].of.model
	var in, out, last uint16
	have, lost := false, uint16(0)
	if before != nil {
		if n, ok := number(before.of.model.format.Codec, &before.Packet); ok {
			last, have = n, true
		}
	}
	for i := range run {
		a := &run[i]
		if len(a.Payload) == 0 {
			continue
		}
		n, ok := number(m.format.Codec, &a.Packet)
		was, _ := number(m.format.Codec, &rtp.Packet{Header: describedHeader(t, m.packets[a.packet].descriptor), Payload: m.packets[a.packet].payload})
		if !ok {
			continue
		}
		switch {
		case i == 0:
			if have && before.of.model.format.Codec == m.format.Codec && n != last+1 && m.format.Codec != AV1 {
				t.Fatalf("run %d starts with picture %d, want %d", a.run, n, last+1)
			}
		case m.format.Codec == VP8:
			// Pictures that were left out leave no gap; those that were lost do.
			if n-out > was-in || n-out == 0 && was != in {
				t.Fatalf("packet %d is of picture %d after %d, want a step of at most %d", a.packet, n, out, was-in)
			}
			lost += n - out
		case n-out != was-in:
			t.Fatalf("packet %d is of picture %d after %d, want a step of %d", a.packet, n, out, was-in)
		}
		in, out = was, n
	}
}

func describedHeader(t testing.TB, descriptor []byte) (h rtp.Header) {
	if len(descriptor) > 0 {
		h.Extension, h.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
		if err := h.SetExtension(testDescriptor, descriptor); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// number returns the picture id or frame number of a packet.
func number(c Codec, p *rtp.Packet) (uint16, bool) {
	switch c {
	case VP8:
		d, _, err := vp8.ParseDescriptor(p.Payload)
		return d.PictureID, err == nil
	case VP9:
		d, _, err := vp9.ParseDescriptor(p.Payload, new(vp9.Structure))
		return d.PictureID, err == nil
	case AV1:
		d := p.GetExtension(testDescriptor)
		return av1.FrameNumber(d), len(d) > 0
	}
	return 0, false
}

// checkMarkers wants a marker at the end of each picture and nowhere else.
func (j *judge) checkMarkers(run []arrived, sent map[int]bool) {
	m := run[0].of.model
	for i := range run {
		a := &run[i]
		if len(a.Payload) == 0 {
			continue
		}
		ends := true // as far as is known
		for k := i + 1; k < len(run); k++ {
			if b := &run[k]; len(b.Payload) > 0 {
				ends = m.packets[b.packet].header.Timestamp != m.packets[a.packet].header.Timestamp
				break
			}
		}
		f := a.frame()
		switch {
		case a.Marker && !ends:
			j.t.Fatalf("packet %d has the marker, though its picture goes on", a.packet)
		case !a.Marker && ends && f.last == a.packet && i < len(run)-1 && !j.unfollowed(m, false):
			// Unless what would have ended the picture was lost, or Chromium
			// itself has left that layer out, or something it refers to.
			n, whole := a.packet, true
			if up := m.frameOf[n] + 1; up < len(m.frames) && m.frames[up].timestamp == f.timestamp &&
				(m.frames[up].spatial > f.spatial+1 || slices.ContainsFunc(m.frames[up].references, func(ref int) bool { return !sent[ref] })) {
				continue
			}
			for ; n+1 < len(m.packets) && m.packets[n+1].header.Timestamp == m.packets[a.packet].header.Timestamp; n++ {
				whole = whole && a.of.delivered[n+1] && !j.cameTooLate(a.of, n+1, a.run)
			}
			whole = whole && m.packets[n].header.Marker
			if whole {
				j.t.Fatalf("packet %d ends its picture without the marker", a.packet)
			}
		}
	}
}

// Whatever is lost, late, left out and switched, what goes out can be decoded
// by the rules of its codec.
func TestRules(t *testing.T) {
	for _, c := range models {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(t, c.name, c.format)
			for seed := range *plays {
				for _, loss := range []float64{0, 0.05, 0.2} {
					t.Run(fmt.Sprintf("%d/%v", seed, loss), func(t *testing.T) { playByTheRules(t, m, seed, loss) })
				}
			}
		})
	}
}

func playByTheRules(t *testing.T, m *model, seed uint64, loss float64) {
	r := rand.New(rand.NewPCG(seed, uint64(loss*100)))
	source := new(Source)
	j := &judge{t: t, lossy: loss > 0}
	j.players = []*player{
		newPlayer(m, source, uint16(r.Uint32()), r.Uint32()),
		newPlayer(m, source, uint16(r.Uint32()), r.Uint32()),
		newPlayer(m, nil, uint16(r.Uint32()), r.Uint32()),
	}
	j.sub = NewSubscriber(SubscriberConfig{
		Sink: j, SSRC: 11, RTXSSRC: 12, DependencyDescriptor: testDescriptor,
		PayloadTypes: []PayloadType{{m.format, 96, 97}},
	})
	start := time.Unix(5000, 0)
	first := m.packets[0].header.Timestamp
	choose := func() {
		pub := j.players[r.IntN(len(j.players))].pub
		if r.IntN(3) > 0 && j.sub.target.Publisher != nil {
			pub = j.sub.target.Publisher
		}
		target := Target{pub, r.IntN(4), r.IntN(4)}
		if r.IntN(4) == 0 {
			target = Whole(pub)
		}
		j.sub.SetTarget(target)
	}
	choose()
	stalls := loss > 0.1 // of the peer's queue
	for i := range len(m.packets) + 40 {
		at := start.Add(time.Duration(i) * time.Millisecond)
		if i < len(m.packets) {
			at = start.Add(ticksToDuration(int64(m.packets[i].header.Timestamp - first)))
		} else if len(j.packets) > 0 {
			at = start.Add(ticksToDuration(int64(m.packets[len(m.packets)-1].header.Timestamp-first)) + time.Second)
		}
		if r.IntN(25) == 0 {
			choose()
		}
		j.full = stalls && r.IntN(60) == 0
		if len(j.packets) > 0 {
			seq := uint16(j.last - int64(r.IntN(100)))
			j.sub.Resend(seq, at, 0)
		}
		for _, p := range j.players {
			if i%40 == 5 {
				p.pub.SenderReport(at.Add(-time.Minute), first+p.ts+uint32(durationToTicks(at.Sub(start))))
			}
			was := slices.Clone(p.delivered)
			p.step(t, r, i, at, loss)
			for n := range was {
				if p.delivered[n] && !was[n] {
					p.cameAt[n] = 2 * j.sub.history.run
					if j.sub.shown != p.pub {
						p.cameAt[n]++
					}
				}
			}
		}
	}
	if len(j.packets) > 0 {
		j.check(loss == 0)
	}
}
