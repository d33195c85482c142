package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/channel"
	"belfry.live/belfry/internal/channel/ingest"
	"belfry.live/belfry/internal/channel/playback"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/meeting/telemetry"
	"belfry.live/belfry/internal/meeting/turn"
)

func (w metricWriter) meetings(m meeting.Metrics) {
	w.gauge("meetings", "Meetings that have not ended.", float64(m.Meetings))
	w.gauge("rooms", "Meetings somebody is in.", float64(m.Rooms))
	w.gauge("signaling_connections", "Open signaling sockets, joined or not.", float64(m.Connections))
	w.gauge("peer_connections", "Media connections, up or not.", float64(m.Peers))
	w.gauge("attendees", "Attendees in meetings, by how they take part.", float64(m.Attendees-m.Audience), "kind", "attendee")
	w.gauge("attendees", "Attendees in meetings, by how they take part.", float64(m.Audience), "kind", "audience")
	w.gauge("attendees", "Attendees in meetings, by how they take part.", float64(m.Hidden), "kind", "hidden")
	w.gauge("cameras", "Cameras that are on.", float64(m.Cameras))
	w.gauge("content_shares", "Attendees that share content.", float64(m.Shares))
	w.gauge("speakers", "Attendees that are heard now.", float64(m.Speaking))
	w.gauge("data_messages_stored", "Data messages kept for who comes later.", float64(m.Stored))
	w.gauge("load_cpu_ratio", "Share of all cores that this process used in the last seconds.", m.CPU)
	w.gauge("load_sent_bits_per_second", "Media sent in the last seconds.", float64(m.Bitrate))
	closed := 0.0
	if m.Closed {
		closed = 1
	}
	w.gauge("closed_by_load", "1 while nobody new can join because of load.", closed)

	w.count("joins", "Attendees that joined.", float64(m.Joins), "kind", "new")
	w.count("joins", "Attendees that joined.", float64(m.Rejoins), "kind", "reconnected")
	w.count("joins", "Attendees that joined.", float64(m.Replaced), "kind", "from_another_device")
	w.count("drops", "Attendees whose connection was lost for good.", float64(m.Drops))
	w.count("promotions", "Attendees of replica meetings that took part in the primary.", float64(m.Promotions))
	w.count("joins_by_relay", "Joins that were told to use TURN.", float64(m.Relayed))
	w.count("unreached", "Connections whose media got nowhere.", float64(m.Unreached))
	for why, n := range m.Refusals {
		w.count("refusals", "Attendees that were not let in.", float64(n), "reason", why)
	}
	w.count("data_messages", "Data messages taken.", float64(m.Messages))
	w.count("data_messages_delivered", "Data messages handed to attendees.", float64(m.MessagesDelivered), "kind", "live")
	w.count("data_messages_delivered", "Data messages handed to attendees.", float64(m.MessagesReplayed), "kind", "stored")
	w.count("data_messages_refused", "Data messages not taken.", float64(m.MessagesThrottled), "reason", "throttled")
	w.count("data_messages_refused", "Data messages not taken.", float64(m.MessagesFlooded), "reason", "flood")
	w.count("data_messages_refused", "Data messages not taken.", float64(m.MessagesRefused), "reason", "malformed")

	s := m.Signal
	w.count("signaling_frames", "Signaling messages.", float64(s.FramesIn), "direction", "in")
	w.count("signaling_frames", "Signaling messages.", float64(s.FramesOut), "direction", "out")
	w.count("signaling_bytes", "Bytes of signaling messages.", float64(s.BytesIn), "direction", "in")
	w.count("signaling_bytes", "Bytes of signaling messages.", float64(s.BytesOut), "direction", "out")
	w.count("signaling_garbage", "Signaling messages that are no frame.", float64(s.Garbage))
	w.count("signaling_cuts", "Signaling sessions cut off.", float64(s.CutFlood), "reason", "flood")
	w.count("signaling_cuts", "Signaling sessions cut off.", float64(s.CutSlow), "reason", "slow")
	w.count("signaling_cuts", "Signaling sessions cut off.", float64(s.CutSilent), "reason", "silent")

	w.count("events_unrecorded", "Events that were not written down.", float64(m.EventsDropped), "of", "meeting")

	w.media(m)
	w.clients(m)
}

func (w metricWriter) api(s api.Stats) {
	for outcome, n := range map[string]uint64{
		"done": s.Done, "refused": s.Refused, "forbidden": s.Forbidden, "throttled": s.Throttled, "failed": s.Failed, "repeated": s.Repeated,
	} {
		w.count("api_requests", "Requests of the AWS SDKs.", float64(n), "outcome", outcome)
	}
}

func (w metricWriter) media(m meeting.Metrics) {
	x := m.Media
	w.count("audio_packets", "Audio packets of attendees.", float64(x.AudioReceived), "event", "received")
	w.count("audio_packets", "Audio packets of attendees.", float64(x.AudioLost), "event", "lost")
	w.count("audio_packets", "Audio packets of attendees.", float64(x.AudioRecovered), "event", "recovered")
	w.count("audio_packets", "Audio packets of attendees.", float64(x.AudioSent), "event", "sent")
	w.count("audio_packets", "Audio packets of attendees.", float64(x.AudioDropped), "event", "dropped")
	w.count("video_packets", "Video packets forwarded.", float64(x.VideoSent), "event", "sent")
	w.count("video_packets", "Video packets forwarded.", float64(x.VideoResent), "event", "resent")
	w.count("video_packets", "Video packets forwarded.", float64(x.VideoDropped), "event", "dropped")
	w.count("video_packets", "Video packets forwarded.", float64(x.VideoMissed), "event", "asked_too_late")
	w.count("video_unsupported", "Key frames in a codec that the client did not agree to.", float64(x.Unsupported))
	w.count("media_writes_failed", "Packets that the network did not take.", float64(x.WriteFailed))
	for why, n := range x.Dropped {
		w.count("media_unused", "Packets of attendees that were not used.", float64(n), "reason", why)
	}
	w.gauge("media_flows", "Media connections.", float64(m.Port.Flows))
	w.gauge("media_tcp", "Media connections over TCP.", float64(m.Port.TCP))
	for why, n := range m.Port.Dropped {
		w.count("media_port_dropped", "Datagrams and connections that were not used.", float64(n), "reason", why)
	}
	w.count("mix_ticks", "Frames of 20 ms mixed, over all meetings.", float64(m.Mix.Ticks), "how", "all")
	w.count("mix_ticks", "Frames of 20 ms mixed, over all meetings.", float64(m.Mix.Late), "how", "late")
	w.count("mix_ticks", "Frames of 20 ms mixed, over all meetings.", float64(m.Mix.Skipped), "how", "skipped")
	w.count("mix_encoded", "Opus packets encoded.", float64(m.Mix.Encoded))
	w.count("mix_busy_seconds", "Time spent in mixing.", m.Mix.Busy.Seconds())
	w.count("mix_packets", "Opus packets decoded.", float64(x.Decoded), "event", "decoded")
	w.count("mix_packets", "Opus packets decoded.", float64(x.Broken), "event", "broken")
	w.count("mix_packets", "Opus packets decoded.", float64(x.Repaired), "event", "repaired")
	w.count("mix_samples", "Samples (48 kHz) that were made up or left out.", float64(x.Concealed), "event", "concealed")
	w.count("mix_samples", "Samples (48 kHz) that were made up or left out.", float64(x.Skipped), "event", "skipped")
}

// clients writes what clients say of themselves.
func (w metricWriter) clients(m meeting.Metrics) {
	w.count("client_event_bodies", "Posts of client events.", float64(m.EventBodies), "taken", "yes")
	w.count("client_event_bodies", "Posts of client events.", float64(m.EventBodiesRefused), "taken", "no")
	for c, n := range m.Client.Counts {
		if c.Label == "" {
			w.count("client_"+c.Name, "Said by clients.", float64(n))
		} else {
			w.count("client_"+c.Name, "Said by clients.", float64(n), c.Label, c.Value)
		}
	}
	for _, h := range m.Client.Histograms {
		w.histogram(h)
	}
}

func (w metricWriter) histogram(h telemetry.Histogram) {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var sum uint64
	for i, bound := range h.Bounds {
		sum += h.Counts[i]
		buckets[bound] = sum
	}
	sum += h.Counts[len(h.Bounds)]
	w.out <- prometheus.MustNewConstHistogram(prometheus.NewDesc("belfry_client_"+h.Name, h.Help, nil, nil), sum, h.Sum, buckets)
}

func (w metricWriter) turn(s turn.Stats) {
	w.gauge("turn_allocations", "TURN allocations.", float64(s.Allocations))
	w.count("turn_allocations_made", "TURN allocations made.", float64(s.Made))
	w.count("turn_bytes", "Bytes relayed.", float64(s.UpBytes), "direction", "up")
	w.count("turn_bytes", "Bytes relayed.", float64(s.DownBytes), "direction", "down")
	w.count("turn_refused", "TURN requests refused.", float64(s.WrongKey), "reason", "wrong_key")
	w.count("turn_refused", "TURN requests refused.", float64(s.Forbidden), "reason", "foreign_peer")
	w.count("turn_refused", "TURN requests refused.", float64(s.Quota), "reason", "quota")
	for why, n := range s.Dropped {
		w.count("turn_dropped", "TURN messages and data not used.", float64(n), "reason", why)
	}
}

func (w metricWriter) playback(p playback.Stats) {
	for _, refused := range []struct {
		reason string
		n      int64
	}{
		{"token", p.Token},
		{"token_used", p.Used},
		{"session", p.Session},
		{"revoked", p.Revoked},
		{"origin", p.Origin},
		{"resolution", p.Resolution},
		{"busy", p.Busy},
	} {
		w.count("playback_refused", "Requests of viewers that were not let in.", float64(refused.n), "reason", refused.reason)
	}
}

func (w metricWriter) channels(c channel.Stats, in ingest.Stats) {
	w.gauge("channels_live", "Channels that are live.", float64(c.Live))
	w.gauge("broadcasts", "Broadcasts that viewers may load.", float64(c.Broadcasts))
	w.gauge("broadcast_samples_unused", "Samples of these broadcasts that were not used.", float64(c.NoKeyFrame), "reason", "no_key_frame")
	w.gauge("broadcast_samples_unused", "Samples of these broadcasts that were not used.", float64(c.OutOfTime), "reason", "out_of_time")
	w.gauge("broadcast_samples_unused", "Samples of these broadcasts that were not used.", float64(c.AudioTooOld), "reason", "audio_ran_ahead")
	w.count("events_unrecorded", "Events that were not written down.", float64(c.EventsDropped), "of", "channel")
	w.gauge("ingest_sessions", "RTMP sessions.", float64(in.Publishing), "state", "publishing")
	w.gauge("ingest_sessions", "RTMP sessions.", float64(in.Sessions-in.Publishing), "state", "waiting")
	w.count("ingest_refused", "RTMP sessions refused.", float64(in.RefusedFull), "reason", "full")
	w.count("ingest_refused", "RTMP sessions refused.", float64(in.RefusedKey), "reason", "key")
	w.count("ingest_refused", "RTMP sessions refused.", float64(in.RefusedElse), "reason", "other")
	w.count("ingest_ignored", "RTMP media messages without use.", float64(in.Ignored))
}
