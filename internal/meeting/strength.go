package meeting

import (
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// How good a client's connection is, as clients are told.
const (
	noSignal = iota
	weakSignal
	fullSignal
)

// From which losses, of a hundred packets, and round trips on a signal is weak
// or gone.
const (
	weakLoss = 5
	goneLoss = 25
	weakRTT  = 600 * time.Millisecond
	goneRTT  = 2 * time.Second
)

// A strength is what is known of one client's connection.
type strength struct {
	known          bool
	level          uint32
	received, lost int64 // audio packets at the last measurement
}

// measure takes the counts so far and says whether the level changed. Clients
// send audio all the time, so one from which nothing comes any more is badly
// off; one that pauses by agreement (DTX) still sends a few packets a second.
func (s *strength) measure(received, lost int64, rtt time.Duration) (changed bool) {
	got, missed := received-s.received, max(lost-s.lost, 0)
	s.received, s.lost = received, lost
	if !s.known {
		s.known, s.level = true, fullSignal
		return false // counts from before are no measurement
	}
	level := uint32(fullSignal)
	switch {
	case got == 0 && received > 0, missed > 0 && missed*100 >= (got+missed)*goneLoss, rtt >= goneRTT:
		level = noSignal
	case missed > 0 && missed*100 >= (got+missed)*weakLoss, rtt >= weakRTT:
		level = weakSignal
	}
	changed = level != s.level
	s.level = level
	return changed
}

// measureStrength measures all connections and, when one has changed, tells
// everybody of those that are not at their best: who is not listed is.
func (r *room) measureStrength() {
	changed := false
	var recovered *seat
	var states []*chime.AudioAttendeeState
	for _, s := range r.seats {
		peer := s.peer.Load()
		if !s.present || s.hidden || s.share || peer == nil {
			continue
		}
		stats := peer.Stats()
		if s.strength.measure(stats.AudioReceived, stats.AudioLost, stats.RTT) {
			changed = true
			recovered = s
		}
		if s.strength.known && s.strength.level < fullSignal {
			states = append(states, signalStrength(s))
		}
	}
	if !changed {
		return
	}
	if len(states) == 0 { // somebody must be listed for the others to be at their best
		states = append(states, signalStrength(recovered))
	}
	f := chime.New(chime.Frame_AUDIO_METADATA, time.Now())
	f.AudioMetadata = &chime.AudioMetadataFrame{AttendeeStates: states}
	r.tellPresent(f, nil)
}

func signalStrength(s *seat) *chime.AudioAttendeeState {
	return &chime.AudioAttendeeState{AudioStreamId: proto.Uint32(s.streamID), SignalStrength: proto.Uint32(s.strength.level)}
}
