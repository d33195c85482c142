package meeting

import (
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// A rosterEntry is what is told of somebody present. It is stored in marks.
type rosterEntry struct {
	StreamID       uint32
	AttendeeID     AttendeeID
	ExternalUserID string
	Muted          bool
}

func (s *seat) entry() rosterEntry {
	return rosterEntry{s.streamID, s.attendee.ID, s.attendee.ExternalUserID, s.muted}
}

// Clients read an entry by which fields are there; see the schema.

func (e rosterEntry) presence() *chime.AudioStreamIdInfo {
	return &chime.AudioStreamIdInfo{
		AudioStreamId:  proto.Uint32(e.StreamID),
		AttendeeId:     proto.String(string(e.AttendeeID)),
		ExternalUserId: proto.String(e.ExternalUserID),
		Muted:          proto.Bool(e.Muted),
	}
}

func muteChange(streamID uint32, muted bool) *chime.AudioStreamIdInfo {
	return &chime.AudioStreamIdInfo{AudioStreamId: proto.Uint32(streamID), Muted: proto.Bool(muted)}
}

// departure has no muted field: any, even false, would make it a mute change.
func departure(streamID uint32, dropped bool) *chime.AudioStreamIdInfo {
	i := &chime.AudioStreamIdInfo{AudioStreamId: proto.Uint32(streamID)}
	if dropped {
		i.Dropped = proto.Bool(true)
	}
	return i
}

func rosterFrame(streams ...*chime.AudioStreamIdInfo) *chime.Frame {
	f := chime.New(chime.Frame_AUDIO_STREAM_ID_INFO, time.Now())
	f.AudioStreamIdInfo = &chime.AudioStreamIdInfoFrame{Streams: streams}
	return f
}

// tellPresent sends a frame to everybody who follows the roster, but one. A
// share's connection does not: it has nobody to show it to.
func (r *room) tellPresent(f *chime.Frame, but *seat) {
	if r.ending || r.stopping {
		return // everybody is being told to go
	}
	message := chime.Append(nil, f)
	for _, s := range r.seats {
		if s.present && s != but && !s.share {
			s.session.Send(message)
		}
	}
}

// arrived puts s into the roster: its media is connected. It is told of all,
// itself included, and all are told of it.
func (r *room) arrived(s *seat) {
	if s.out {
		return
	}
	s.present = true
	r.came(s)
	s.enterMix()
	r.learnWay(s)
	if !s.hidden {
		r.appear(s, s)
	}
	s.send(rosterFrame(r.presences()...))
}

// appear gives s its entry in the roster and tells everybody but one. What
// they knew of its connection before goes in the same frame, after the new
// entry.
func (r *room) appear(s, but *seat) {
	s.streamID, s.muteTold = r.next(), s.muted
	news := []*chime.AudioStreamIdInfo{s.entry().presence()}
	if old := r.awaited[s.attendee.ID]; old != nil {
		delete(r.awaited, s.attendee.ID)
		news = append(news, departure(old.StreamID, false))
	}
	r.changed = true
	r.tellPresent(rosterFrame(news...), but)
}

// roster returns who is present, and who is taken to be.
func (r *room) roster() []rosterEntry {
	var all []rosterEntry
	for _, s := range r.seats {
		if s.present && !s.hidden {
			all = append(all, s.entry())
		}
	}
	for _, a := range r.awaited {
		all = append(all, a.rosterEntry)
	}
	return all
}

func (r *room) presences() []*chime.AudioStreamIdInfo {
	var all []*chime.AudioStreamIdInfo
	for _, e := range r.roster() {
		all = append(all, e.presence())
	}
	return all
}

func (r *room) announceLeave(streamID uint32, dropped bool) {
	r.changed = true
	r.tellPresent(rosterFrame(departure(streamID, dropped)), nil)
}

// forgetAwaited takes out of the roster whom nobody will replace any more.
func (r *room) forgetAwaited(id AttendeeID) {
	if e, ok := r.awaited[id]; ok {
		delete(r.awaited, id)
		r.announceLeave(e.StreamID, true)
		r.went(id, true)
	}
}

// setMuted follows the microphone and tells everybody, s included. One that
// is switched in quick succession is told of at the next tick: a client must
// not make the room send to all at its own pace.
func (r *room) setMuted(s *seat, muted bool) {
	if s.muted == muted || s.out {
		return
	}
	s.muted = muted
	s.applySound()
	if now := time.Now(); now.Sub(s.muteToldAt) >= tickEvery {
		r.tellMuted(s, now)
	}
}

func (r *room) tellMuted(s *seat, now time.Time) {
	s.muteTold, s.muteToldAt = s.muted, now
	if s.present && !s.hidden {
		r.changed = true
		r.tellPresent(rosterFrame(muteChange(s.streamID, s.muted)), nil)
	}
}

// sendVolumes tells who speaks and how loud. Who is not listed is silent, so
// when the last one falls silent one more frame says that.
func (r *room) sendVolumes() {
	r.levels = r.mixer.Levels(r.levels[:0])
	var states []*chime.AudioAttendeeState
	for _, l := range r.levels {
		s := r.seats[AttendeeID(l.ID)]
		if s == nil || !s.present || s.hidden {
			continue
		}
		states = append(states, volume(s.streamID, l.DBFS))
	}
	switch {
	case len(states) > 0:
		r.speaking = states[0].GetAudioStreamId()
	case r.speaking != 0:
		states = append(states, volume(r.speaking, silence))
		r.speaking = 0
	default:
		return
	}
	f := chime.New(chime.Frame_AUDIO_METADATA, time.Now())
	f.AudioMetadata = &chime.AudioMetadataFrame{AttendeeStates: states}
	r.tellPresent(f, nil)
}

// silence is the volume of no sound, in -dBFS.
const silence = 127

func volume(streamID uint32, dbfs int) *chime.AudioAttendeeState {
	return &chime.AudioAttendeeState{AudioStreamId: proto.Uint32(streamID), Volume: proto.Uint32(uint32(dbfs))}
}
