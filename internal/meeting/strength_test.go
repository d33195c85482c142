package meeting

import (
	"testing"
	"time"
)

// One without a microphone has nothing to be judged by.
func TestSignalStrengthWithoutAudio(t *testing.T) {
	var s strength
	for range 3 {
		if s.measure(0, 0, time.Millisecond) || s.level != fullSignal {
			t.Errorf("got %d, want %d", s.level, fullSignal)
		}
	}
}

func TestSignalStrength(t *testing.T) {
	var s strength
	if s.measure(1000, 900, time.Second) || s.level != fullSignal {
		t.Errorf("at first: got %d, want %d and no change", s.level, fullSignal)
	}
	received, lost := int64(1000), int64(900)
	for i, c := range []struct {
		got, missed int64
		rtt         time.Duration
		want        uint32
	}{
		{100, 0, 20 * time.Millisecond, fullSignal},
		{96, 4, 20 * time.Millisecond, fullSignal},
		{95, 5, 20 * time.Millisecond, weakSignal},
		{76, 24, 20 * time.Millisecond, weakSignal},
		{75, 25, 20 * time.Millisecond, noSignal},
		{0, 0, 20 * time.Millisecond, noSignal},      // nothing comes
		{5, 0, 20 * time.Millisecond, fullSignal},    // pauses by agreement
		{100, -4, 20 * time.Millisecond, fullSignal}, // what was lost came late
		{100, 0, 700 * time.Millisecond, weakSignal},
		{100, 0, 3 * time.Second, noSignal},
	} {
		before := s.level
		received, lost = received+c.got, lost+c.missed
		changed := s.measure(received, lost, c.rtt)
		if s.level != c.want || changed != (before != c.want) {
			t.Errorf("step %d: got %d, changed %t, want %d after %d", i, s.level, changed, c.want, before)
		}
	}
}
