package rtc

import (
	"maps"
	"slices"
	"time"

	"belfry.live/belfry/internal/meeting/sfu"
	"github.com/pion/rtcp"
)

const (
	twccInterval   = 100 * time.Millisecond // what browsers expect
	reportInterval = time.Second
	// reportSlip is how far a stream may be from where its last report said,
	// for it to wait for the next.
	reportSlip = 10 * time.Millisecond
)

// A feedback sends the RTCP that time asks for. It is touched by the port's
// sender alone, every 50 ms.
type feedback struct {
	peer       *Peer
	lastTWCC   time.Time
	lastReport time.Time
	reported   map[uint32]reported // by SSRC, what was said last
	seqs       []uint16
	reports    []sfu.Report

	plan        *plan // whose subscribers are in the list
	subscribers []*sfu.Subscriber
}

// reported is what a sender report said of a stream.
type reported struct {
	at        time.Time
	timestamp uint32
}

func newFeedback(p *Peer) feedback { return feedback{peer: p, reported: make(map[uint32]reported)} }

// holds says whether one who goes on from the report still is where r is.
func (last reported) holds(r sfu.Report, now time.Time) bool {
	went := int64(int32(r.Timestamp - last.timestamp))
	should := int64(now.Sub(last.at)) * int64(r.ClockRate) / int64(time.Second)
	slip := int64(reportSlip) * int64(r.ClockRate) / int64(time.Second)
	return went-should <= slip && should-went <= slip
}

func (f *feedback) tick(now time.Time) {
	p := f.peer
	in := &p.in
	var twccPackets []rtcp.Packet
	in.mu.Lock()
	if in.heard && now.Sub(f.lastTWCC) >= twccInterval {
		f.lastTWCC, in.heard = now, false
		twccPackets = in.twcc.BuildFeedbackPacket()
	}
	in.mu.Unlock()

	for _, pkt := range twccPackets {
		p.sendRTCP(pkt)
	}
	for i := 0; ; i++ {
		d, ok := p.video.due(i, f.seqs, now)
		if !ok {
			break
		}
		if f.seqs = d.seqs; len(f.seqs) > 0 {
			p.sendNACK(d.ssrc, f.seqs)
		}
		if d.publisher == nil {
			continue
		}
		if d.lost {
			d.publisher.RequestKeyFrame()
		}
		d.publisher.Tick(now)
	}
	p.band.tick(p.in.rtt(), now)
	if video, again, ok := p.band.room(); ok {
		p.out.bound(video, again)
	}
	p.sendUplinkLimit(now)
	f.report(now)
}

// report sends sender and receiver reports: all of them once a second, and one
// at once of a stream that is new or that is not any more where its last report
// has it, as when the publisher's own clock gets known. No client can put audio
// and video in step before.
func (f *feedback) report(now time.Time) {
	all := now.Sub(f.lastReport) >= reportInterval
	var packets []rtcp.Packet
	for _, r := range f.senderReports(now) {
		if last, ok := f.reported[r.SSRC]; all || !ok || !last.holds(r, now) {
			f.reported[r.SSRC] = reported{now, r.Timestamp}
			packets = append(packets, &rtcp.SenderReport{
				SSRC:        r.SSRC,
				NTPTime:     toNTP(now),
				RTPTime:     r.Timestamp,
				PacketCount: r.Packets,
				OctetCount:  r.Octets,
			})
		}
	}
	if all {
		f.lastReport = now
		packets = f.peer.addReceiverReports(packets, now)
	}
	if len(packets) == 0 {
		return
	}
	f.peer.sendRTCP(append(packets, f.peer.sourceDescription())...)
}

// senderReports returns what is to be said of all that is sent, valid until
// the next call.
func (f *feedback) senderReports(now time.Time) []sfu.Report {
	if plan := f.peer.plan.Load(); plan != f.plan {
		f.plan = plan
		f.subscribers = slices.AppendSeq(f.subscribers[:0], maps.Values(plan.subscribers))
	}
	f.reports = f.reports[:0]
	if r, ok := f.peer.out.mixReport(now); ok {
		f.reports = append(f.reports, r)
	}
	for _, s := range f.subscribers {
		if r, ok := s.Report(now); ok {
			f.reports = append(f.reports, r)
		}
	}
	return f.reports
}

// addReceiverReports adds what was received of the client to the first sender
// report, or in a report of its own.
func (p *Peer) addReceiverReports(packets []rtcp.Packet, now time.Time) []rtcp.Packet {
	var blocks []rtcp.ReceptionReport
	blocks = p.in.audio.report(blocks, now)
	blocks = p.video.report(blocks, now)
	if len(blocks) == 0 {
		return packets
	}
	if len(packets) > 0 {
		packets[0].(*rtcp.SenderReport).Reports = blocks
		return packets
	}
	return append(packets, &rtcp.ReceiverReport{SSRC: p.out.audioSSRC, Reports: blocks})
}

func (p *Peer) sourceDescription() rtcp.Packet {
	return &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: p.out.audioSSRC,
		Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: p.writer.cname}},
	}}}
}

func (p *Peer) sendNACK(ssrc uint32, seqs []uint16) {
	p.sendRTCP(&rtcp.TransportLayerNack{
		SenderSSRC: p.out.audioSSRC,
		MediaSSRC:  ssrc,
		Nacks:      rtcp.NackPairsFromSequenceNumbers(seqs),
	})
}
