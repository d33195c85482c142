package meeting_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/wire/chime"
)

// canTake has the client say, ten times a second, how many bit/s it can
// receive. Another call replaces the figure.
func (g *guest) canTake(bps float32) (change func(float32)) {
	var mu sync.Mutex
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			mu.Lock()
			b := bps
			mu.Unlock()
			_ = g.media.pc.WriteRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: b}})
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	g.t.Cleanup(func() {
		close(done)
		work.Wait()
	})
	return func(to float32) {
		mu.Lock()
		defer mu.Unlock()
		bps = to
	}
}

// groups waits for a PAUSE or RESUME of a group after the mark.
func (g *guest) groups(mark int, kind chime.Frame_Type, group uint32) {
	g.t.Helper()
	got := g.next(mark, kind).GetPause().GetGroupIds()
	if !slices.Equal(got, []uint32{group}) {
		g.t.Errorf("%v: got groups %v, want %d", kind, got, group)
	}
}

// What a connection cannot take is paused, and the client is told; its sound
// goes on. In a meeting of two the other's camera is asked for less.
func TestPausedForWantOfBandwidth(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.media.say(440)
	ann.media.cameraOn = true
	ann.offer()
	ben.wait("source", func() bool { return len(ben.index.GetSources()) == 1 })
	src := ben.index.GetSources()[0]
	section := ben.watch(src.GetStreamId())
	ben.offer()
	label := "v_" + section.Mid()
	eventually(t, "video", func() bool { return ben.media.packets(label) > 10 })

	asked := make(chan float32, 1000)
	go func() {
		for {
			list, _, err := ann.media.cameraAt.Sender().ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range list {
				if r, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok {
					select {
					case asked <- r.Bitrate:
					default:
					}
				}
			}
		}
	}()
	mark := ben.mark()
	change := ben.canTake(400_000)
	eventually(t, "limit for the other's camera", func() bool {
		select {
		case bps := <-asked:
			return bps > 250_000 && bps < 400_000
		default:
			return false
		}
	})
	if ben.media.packets(label) < 10 {
		t.Error("got no video while there was room for it")
	}
	change(1)
	ben.groups(mark, chime.Frame_PAUSE, src.GetGroupId())
	n := ben.media.packets(label)
	time.Sleep(500 * time.Millisecond)
	if got := ben.media.packets(label) - n; got > 5 {
		t.Errorf("paused: got %d packets, want none", got)
	}
	eventually(t, "sound", func() bool { return ben.media.loudness(440) > 0.1 })
	mark = ben.mark()
	change(2_000_000)
	ben.groups(mark, chime.Frame_RESUME, src.GetGroupId())
	n = ben.media.packets(label)
	eventually(t, "video again", func() bool { return ben.media.packets(label) > n+10 })
	f := ben.next(ben.mark(), chime.Frame_BITRATES)
	if got := f.GetBitrates().GetServerAvailableOutgoingBitrate(); got < 300 || got > 2000 {
		t.Errorf("available bitrate: got %d kbit/s, want 300 to 2000", got)
	}
	ann.leave()
	ben.leave()
}

// A client stops and starts what it looks at by stream.
func TestClientPauses(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann, ben := h.enter(m, "Ann"), h.enter(m, "Ben")
	ann.media.cameraOn = true
	ann.offer()
	ben.wait("source", func() bool { return len(ben.index.GetSources()) == 1 })
	src := ben.index.GetSources()[0]
	section := ben.watch(src.GetStreamId())
	ben.offer()
	label := "v_" + section.Mid()
	eventually(t, "video", func() bool { return ben.media.packets(label) > 10 })
	stops := func(what string) {
		t.Helper()
		eventually(t, what, func() bool {
			n := ben.media.packets(label)
			time.Sleep(300 * time.Millisecond)
			return ben.media.packets(label) == n
		})
	}
	goesOn := func(what string) {
		t.Helper()
		n := ben.media.packets(label)
		eventually(t, what, func() bool { return ben.media.packets(label) > n+10 })
	}
	pause := func(kind chime.Frame_Type) {
		ben.send(kind, func(f *chime.Frame) { f.Pause = &chime.PauseResumeFrame{StreamIds: []uint32{src.GetStreamId(), 4711}} })
	}
	update := func(u *chime.RemoteVideoUpdateFrame) {
		ben.send(chime.Frame_REMOTE_VIDEO_UPDATE, func(f *chime.Frame) { f.RemoteVideoUpdate = u })
	}
	pause(chime.Frame_PAUSE)
	stops("pause")
	pause(chime.Frame_RESUME)
	goesOn("video after the pause")
	update(&chime.RemoteVideoUpdateFrame{RemovedVideoSubscriptionMids: []string{section.Mid(), "77"}})
	stops("end of the subscription")
	update(&chime.RemoteVideoUpdateFrame{AddedOrUpdatedVideoSubscriptions: []*chime.VideoSubscriptionConfiguration{
		{Mid: proto.String(section.Mid()), StreamId: proto.Uint32(src.GetStreamId())},
		{Mid: proto.String("78"), StreamId: proto.Uint32(src.GetStreamId())},
	}})
	goesOn("video when subscribed again")
	ann.leave()
	ben.leave()
}

// The index says what everybody can decode.
func TestCodecsOfAll(t *testing.T) {
	noLeaks(t)
	h := open(t, t.TempDir(), meeting.Config{})
	m := h.meeting()
	ann := h.enter(m, "Ann")
	ann.wait("codecs", func() bool {
		list := ann.index.GetSupportedReceiveCodecIntersection()
		return slices.Contains(list, chime.VideoCodecCapability_VP8) &&
			slices.Contains(list, chime.VideoCodecCapability_H264_CONSTRAINED_BASELINE_PROFILE) &&
			slices.Contains(list, chime.VideoCodecCapability_VP9_PROFILE_0)
	})
	ann.leave()
}
