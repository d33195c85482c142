package network

import (
	"testing"
	"time"
)

// One packet in five is lost, each way.
func TestLoss(t *testing.T) {
	l := newLab(t)
	w := l.impair(fault{loss: 0.2, delay: 10 * time.Millisecond})
	l.serve("http://" + serverIP + ":8080")
	m := l.attendees("--count", "2", "--publish", "2", "--subscribe", "1", "--duration", "8s")
	if m.Joined != 2 || m.Videos != 2 || m.Reconnects != 0 {
		t.Errorf("got %d joined, %d videos, %d reconnections, want two attendees who see each other", m.Joined, m.Videos, m.Reconnects)
	}
	// What is lost of a video is sent again; nothing is of the sound.
	if want := 2 * 30 * m.Seconds; float64(m.VideoFrames) < 0.7*want {
		t.Errorf("got %d whole frames, want most of %.0f", m.VideoFrames, want)
	}
	if want := 2 * 50 * m.Seconds; float64(m.AudioPackets) < 0.5*want {
		t.Errorf("got %d audio packets, want about 80 %% of %.0f", m.AudioPackets, want)
	}
	if m.AudioLost < 20 || w.lost.Load() == 0 {
		t.Errorf("got %d audio packets lost, %d frames on the wire: the wire loses nothing", m.AudioLost, w.lost.Load())
	}
}

func TestJitterAndReordering(t *testing.T) {
	l := newLab(t)
	w := l.impair(fault{delay: 40 * time.Millisecond, jitter: 60 * time.Millisecond})
	l.serve("http://" + serverIP + ":8080")
	m := l.attendees("--count", "2", "--publish", "2", "--subscribe", "1", "--duration", "8s")
	if m.Joined != 2 || m.Videos != 2 || m.Reconnects != 0 {
		t.Errorf("got %d joined, %d videos, %d reconnections, want two attendees who see each other", m.Joined, m.Videos, m.Reconnects)
	}
	if m.AudioLost > 10 {
		t.Errorf("got %d audio packets lost, want none: they come late, but they come", m.AudioLost)
	}
	if want := 2 * 30 * m.Seconds; float64(m.VideoFrames) < 0.7*want {
		t.Errorf("got %d whole frames, want most of %.0f", m.VideoFrames, want)
	}
	if w.swapped.Load() < 100 {
		t.Errorf("got %d frames swapped, want many", w.swapped.Load())
	}
}

// Two attendees watch each other through 300 kbit/s, a third of what their
// cameras send: what comes of the pictures must leave the sound its place.
func TestNarrow(t *testing.T) {
	l := newLab(t)
	l.impair(fault{delay: 20 * time.Millisecond, rate: "300kbit"})
	l.serve("http://" + serverIP + ":8080")
	m := l.attendees("--count", "2", "--publish", "2", "--subscribe", "1", "--simulcast", "--adaptation", "--duration", "12s")
	if m.Joined != 2 || m.Reconnects != 0 {
		t.Errorf("got %d joined, %d reconnections, want both in, who stay", m.Joined, m.Reconnects)
	}
	if want := 2 * 50 * m.Seconds; float64(m.AudioPackets) < 0.5*want || float64(m.AudioLost) > 0.25*want {
		t.Errorf("got %d audio packets, %d lost, want most of %.0f", m.AudioPackets, m.AudioLost, want)
	}
	if m.VideoMbps > 0.3 {
		t.Errorf("got %.2f Mbit/s of video through 0.3", m.VideoMbps)
	}
}
