package rtc

import (
	"slices"
	"testing"
	"time"
)

func TestReceiver(t *testing.T) {
	start := time.Unix(1000, 0)
	const rtt = 100 * time.Millisecond
	r := &receiver{ssrc: 1, clock: 90000, nack: true}
	push := func(seqs ...uint16) (gap bool) {
		for _, s := range seqs {
			gap = r.push(s, uint32(s)*3000, start)
		}
		return gap
	}
	if push(65533, 65534, 65535, 0) {
		t.Error("a wrap is taken for a gap")
	}
	if !push(3) {
		t.Error("a gap is not seen")
	}
	ask := func(at time.Duration) []uint16 { return r.ask(nil, start.Add(at), rtt) }
	if got, want := ask(0), []uint16{1, 2}; !slices.Equal(got, want) {
		t.Errorf("asked for: got %v, want %v", got, want)
	}
	if got := ask(50 * time.Millisecond); len(got) != 0 {
		t.Errorf("asked again within the round trip: got %v, want none", got)
	}
	push(2)
	if got, want := ask(200*time.Millisecond), []uint16{1}; !slices.Equal(got, want) {
		t.Errorf("asked again: got %v, want %v", got, want)
	}
	rr, ok := r.report(start.Add(time.Second))
	if !ok || rr.TotalLost != 1 || rr.FractionLost != 256/7 || rr.LastSequenceNumber != 2<<16+3 {
		t.Errorf("report: got %+v, want 1 lost of 7, highest 2<<16+3", rr)
	}
	r.recovered(1)
	if got := ask(time.Second); len(got) != 0 {
		t.Errorf("asked for what was recovered: got %v", got)
	}
	push(5)
	for i := range maxAsks {
		if got := ask(time.Duration(i+2) * time.Second); len(got) != 1 {
			t.Fatalf("ask %d: got %v, want one", i, got)
		}
		if r.lost() {
			t.Fatalf("given up after %d asks, want %d", i+1, maxAsks)
		}
	}
	if got := ask(time.Hour); len(got) != 0 || !r.lost() || r.lost() {
		t.Errorf("after %d asks: got %v, want to give up once", maxAsks, got)
	}
	push(5 + maxMissing + 2)
	if got := ask(2 * time.Hour); len(got) > maxMissing || !r.lost() {
		t.Errorf("a large gap: asked for %d, want a key frame and at most %d", len(got), maxMissing)
	}
	push(30000)
	if !r.lost() || len(ask(3*time.Hour)) != 0 {
		t.Error("a leap is not taken for a new stream")
	}
	if rr, _ := r.report(start); rr.FractionLost != 0 || rr.TotalLost != 0 {
		t.Errorf("report of the new stream: got %+v, want no loss", rr)
	}
}

func TestReceiverReportsDelay(t *testing.T) {
	start := time.Unix(1000, 0)
	r := &receiver{ssrc: 1, clock: 48000}
	if _, ok := r.report(start); ok {
		t.Error("got a report before the first packet")
	}
	r.push(1, 0, start)
	r.senderReport(0x1122334455667788, start)
	rr, _ := r.report(start.Add(1500 * time.Millisecond))
	if rr.LastSenderReport != 0x33445566 || rr.Delay != 3*65536/2 {
		t.Errorf("got LSR %x, DLSR %d, want 33445566, %d", rr.LastSenderReport, rr.Delay, 3*65536/2)
	}
	// Packets of 20 ms that come 30 ms apart: the jitter goes towards 10 ms.
	at := start
	for i := range 200 {
		at = at.Add(30 * time.Millisecond)
		r.push(uint16(i+2), uint32(i+1)*960, at)
	}
	rr, _ = r.report(at)
	if rr.Jitter < 470 || rr.Jitter > 490 {
		t.Errorf("jitter: got %d, want about 480", rr.Jitter)
	}
}
