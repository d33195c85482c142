package load

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"belfry.live/belfry/internal/attendee"
)

// film gives the packets of so many frames of a recording, from its beginning
// on, as they are sent.
func film(t *testing.T, codec attendee.Codec, frames int) [][]*rtp.Packet {
	t.Helper()
	c, err := video("mid", codec)
	if err != nil {
		t.Fatal(err)
	}
	var payloader rtp.Payloader = &codecs.VP8Payloader{EnablePictureID: true}
	if codec == attendee.H264 {
		payloader = &codecs.H264Payloader{}
	}
	sequence := uint16(65530)
	var list [][]*rtp.Packet
	for i := range frames {
		parts := payloader.Payload(1100, c.Frames[i%len(c.Frames)].Data)
		var packets []*rtp.Packet
		for j, part := range parts {
			packets = append(packets, &rtp.Packet{
				Header:  rtp.Header{SequenceNumber: sequence, Timestamp: uint32(i) * 3000, Marker: j == len(parts)-1},
				Payload: part,
			})
			sequence++
		}
		list = append(list, packets)
	}
	return list
}

const frameTime = time.Second / frameRate

func TestEyeSees(t *testing.T) {
	for _, codec := range []attendee.Codec{attendee.VP8, attendee.H264} {
		t.Run(codec.String(), func(t *testing.T) {
			frames := film(t, codec, 180)
			start := time.Now()
			at := func(i int) time.Time { return start.Add(time.Duration(i) * frameTime) }
			play := func(e *eye, from, to int, lose func(i, j int) bool) {
				for i := from; i < to; i++ {
					for j, p := range frames[i] {
						if !lose(i, j) {
							e.watch(p, at(i))
						}
					}
				}
			}
			never := func(int, int) bool { return false }

			e := newEye(codec)
			play(e, 0, 180, never)
			if got := e.finish(at(180)); got.Frames != 180 || got.KeyFrames != 2 || got.Lost != 0 || got.Freezes != 0 {
				t.Errorf("all there: got %+v, want 180 frames, 2 of them key frames", got)
			}

			// A frame is lost: those after it are of no use until the next
			// key frame, at 90.
			e = newEye(codec)
			play(e, 0, 180, func(i, _ int) bool { return i == 60 })
			if got := e.finish(at(180)); got.Frames != 150 || got.Lost != len(frames[60]) || got.Freezes != 1 ||
				(got.Frozen-31*frameTime).Abs() > time.Millisecond {
				t.Errorf("frame 60 lost: got %+v, want 150 frames, %d lost, a freeze of 31 frames", got, len(frames[60]))
			}

			// What comes late, but in time, is as if it had never been lost.
			e = newEye(codec)
			play(e, 0, 62, func(i, j int) bool { return i == 60 && j == 0 })
			e.watch(frames[60][0], at(62))
			e.watch(frames[60][0], at(62)) // twice
			play(e, 62, 180, never)
			if got := e.finish(at(180)); got.Frames != 180 || got.Lost != 0 || got.Freezes != 0 {
				t.Errorf("one packet late: got %+v, want 180 frames", got)
			}

			// The picture stops.
			e = newEye(codec)
			play(e, 0, 60, never)
			if got := e.finish(at(59).Add(2 * time.Second)); got.Freezes != 1 || got.Frozen != 2*time.Second {
				t.Errorf("stopped: got %+v, want a freeze of 2 s", got)
			}

			// Without a key frame there is nothing to see, and one is asked
			// for, now and then.
			e = newEye(codec)
			asked := 0
			for i := 1; i < 61; i++ {
				for _, p := range frames[i] {
					if e.watch(p, at(i)) {
						asked++
					}
				}
			}
			if got := e.finish(at(61)); got.Frames != 0 || asked != 4 {
				t.Errorf("no key frame: got %d frames, asked %d times, want none, 4 times in 2 s", got.Frames, asked)
			}
		})
	}
}

func TestEyeTakesNoMemory(t *testing.T) {
	frames := film(t, attendee.VP8, 90)
	e := newEye(attendee.VP8)
	now := time.Now()
	i := 0
	if n := testing.AllocsPerRun(80, func() {
		for _, p := range frames[i] {
			e.watch(p, now)
		}
		i++
	}); n != 0 {
		t.Errorf("got %v allocations per frame, want none", n)
	}
}
