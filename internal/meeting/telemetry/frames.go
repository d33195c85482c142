package telemetry

import "belfry.live/belfry/internal/wire/chime"

// The numbers of the metrics that are looked at; there are some hundred more.
const (
	receiveBandwidth  = 4  // bit/s
	stunRTT           = 7  // ms
	micLoss           = 11 // percent, as all losses
	speakerLoss       = 15
	speakerBuffer     = 20 // ms
	videoSentLoss     = 31
	videoReceivedLoss = 38
	videoDecoded      = 41 // frames/s
	freezeCount       = 90 // a second
)

var (
	seconds   = []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 15}
	ratios    = []float64{0, .005, .01, .02, .05, .1, .2, .5}
	frames    = []float64{1, 5, 10, 15, 20, 25, 30, 60}
	bandwidth = []float64{100e3, 300e3, 600e3, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6}
)

// metrics are those of CLIENT_METRIC that are kept. A client sends them every
// second: of its connection once, of a stream once for each.
var metrics = map[uint32]*scale{
	stunRTT: {"rtt_seconds", "Round trips, as clients measure them.", seconds, 1e-3},
	micLoss: {
		"uplink_audio_loss_ratio", "Share of clients' own audio packets that did not arrive.", ratios, 1e-2,
	},
	speakerLoss: {
		"downlink_audio_loss_ratio", "Share of audio packets that clients miss.", ratios, 1e-2,
	},
	videoSentLoss: {
		"uplink_video_loss_ratio", "Share of clients' own video packets that did not arrive.", ratios, 1e-2,
	},
	videoReceivedLoss: {
		"downlink_video_loss_ratio", "Share of video packets that clients miss.", ratios, 1e-2,
	},
	speakerBuffer: {
		"audio_buffer_seconds", "How long audio waits in clients until it is played.", seconds, 1e-3,
	},
	videoDecoded: {
		"decoded_frames_per_second", "Pictures a second of received video.", frames, 1,
	},
	receiveBandwidth: {
		"receive_bandwidth_bits_per_second", "What clients believe to be able to receive.", bandwidth, 1,
	},
}

// most freezes that one client can have seen since the last frame.
const mostFreezes = 100

// Metrics adds what a client measured in the last second.
func (t *Tally) Metrics(f *chime.ClientMetricFrame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(Count{Name: "metric_frames"}, 1)
	for _, m := range f.GetGlobalMetrics() {
		t.metric(m)
	}
	for _, s := range f.GetStreamMetricFrames() {
		for _, m := range s.GetMetrics() {
			t.metric(m)
		}
	}
}

func (t *Tally) metric(m *chime.Metric) {
	if s := metrics[m.GetType()]; s != nil {
		t.observe(s, m.GetValue())
	}
	if m.GetType() == freezeCount {
		if n := m.GetValue(); n >= 1 && n <= mostFreezes {
			t.count(Count{Name: "freezes"}, uint64(n))
		}
	}
}

var (
	signalingTime = &scale{"join_signaling_seconds", "From the client's start to JOIN_ACK.", seconds, 1e-3}
	connectTime   = &scale{"join_connected_seconds", "From the client's start, or an offer's, to connected media.", seconds, 1e-3}
	answerTime    = &scale{"answer_seconds", "From a client's offer to its answer.", seconds, 1e-3}
	audioTime     = &scale{"first_audio_seconds", "From the audio track to its first packet.", seconds, 1e-3}
	pictureTime   = &scale{"first_picture_seconds", "From a video track to its first picture.", seconds, 1e-3}
	ownAudioTime  = &scale{"first_own_audio_seconds", "From the microphone to its first packet.", seconds, 1e-3}
	ownVideoTime  = &scale{"first_own_picture_seconds", "From the camera to its first picture on the wire.", seconds, 1e-3}
)

// Timing adds how long a client took to start, or to follow a change.
func (t *Tally) Timing(f *chime.MeetingSessionTimingFrame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range f.GetSignaling() {
		t.span(signalingTime, s.StartMs, s.JoinAckReceivedMs)
		t.span(connectTime, s.StartMs, s.IceConnectedMs)
		t.span(answerTime, s.SubscribeSentMs, s.SubscribeAckMs)
		t.timedOut("signaling", s.GetTimedOut())
	}
	for _, s := range f.GetRemoteAudio() {
		t.span(audioTime, s.AddedMs, s.FirstPacketReceivedMs)
		t.timedOut("remote_audio", s.GetTimedOut())
	}
	for _, s := range f.GetLocalAudio() {
		t.span(ownAudioTime, s.AddedMs, s.FirstPacketSentMs)
		t.timedOut("local_audio", s.GetTimedOut())
	}
	for _, s := range f.GetLocalVideo() {
		t.span(ownVideoTime, s.AddedMs, s.FirstFrameSentMs)
		t.timedOut("local_video", s.GetTimedOut())
	}
	for _, s := range f.GetRemoteVideos() {
		t.span(pictureTime, s.AddedMs, s.FirstFrameRenderedMs)
		t.timedOut("remote_video", s.GetTimedOut())
	}
}

func (t *Tally) span(s *scale, from, to *int64) {
	if from != nil && to != nil {
		t.observe(s, float64(*to)-float64(*from))
	}
}

func (t *Tally) timedOut(phase string, yes bool) {
	if yes {
		t.count(Count{"start_timeouts", "phase", phase}, 1)
	}
}
