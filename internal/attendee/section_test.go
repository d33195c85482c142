package attendee

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// A report may overtake the first packet of its video, and a second comes a
// second later: the handler is told of it when it can do something with it.
func TestReportBeforeTheFirstPacketIsNotLost(t *testing.T) {
	var got []string
	s := &section{handler: &Handler{
		VideoStarted: func(s Source, c Codec) { got = append(got, fmt.Sprint("started ", s.StreamID, " ", c)) },
		VideoRTP:     func(s Source, _ *rtp.Packet, _ time.Time) { got = append(got, fmt.Sprint("packet ", s.StreamID)) },
		VideoReport:  func(s Source, _ time.Time, ts uint32) { got = append(got, fmt.Sprint("report ", s.StreamID, " ", ts)) },
		VideoEnded:   func(s Source) { got = append(got, fmt.Sprint("ended ", s.StreamID)) },
	}}
	s.reported(&rtcp.SenderReport{RTPTime: 1}) // of nobody
	s.bind(Source{StreamID: 7}, true)
	s.reported(&rtcp.SenderReport{RTPTime: 2})
	s.deliver(&rtp.Packet{}, VP8, time.Now())
	s.reported(&rtcp.SenderReport{RTPTime: 3})
	s.deliver(&rtp.Packet{}, VP8, time.Now())
	s.deliver(&rtp.Packet{}, H264, time.Now()) // begins anew on the same clock
	s.bind(Source{StreamID: 8}, true)
	s.deliver(&rtp.Packet{}, VP8, time.Now())
	want := []string{
		"started 7 VP8", "report 7 2", "packet 7", "report 7 3", "packet 7", "started 7 H264", "report 7 3", "packet 7",
		"ended 7", "started 8 VP8", "packet 8",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
