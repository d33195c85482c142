package signal

import "belfry.live/belfry/internal/wire/chime"

// What a client may send. Honest ones send a metrics frame a second, a ping
// every ten, and bursts of data messages: an attendee may send 200 of those a
// second, 2000 at once.
const (
	frameRate  = 300 // frames/s
	frameBurst = 2500
	byteRate   = 1 << 20 // bytes/s
	byteBurst  = 8 << 20
	offerRate  = 5 // SUBSCRIBEs/s; more have to wait
	offerBurst = 20
	statRate   = 2 // CLIENT_METRIC and MEETING_SESSION_TIMING frames/s; more are left out
	statBurst  = 10

	maxOffer    = 512 << 10 // bytes of SDP
	maxSections = 64        // m= sections, and hence streams
	maxMessages = 16        // data messages in one frame; clients send one
	maxMetrics  = 128       // of one stream, and in all of them a multiple of it
)

// wellFormed says whether a subscription keeps the limits. Its offer is looked
// at apart.
func wellFormed(f *chime.SubscribeFrame) bool {
	return len(f.GetSendStreams()) <= maxSections &&
		len(f.GetReceiveStreamIds()) <= maxSections &&
		len(f.GetVideoSubscriptionConfiguration()) <= maxSections
}

// fewMetrics says whether a frame of metrics keeps the limits.
func fewMetrics(f *chime.ClientMetricFrame) bool {
	if f == nil || len(f.GetGlobalMetrics()) > maxMetrics || len(f.GetStreamMetricFrames()) > maxSections {
		return false
	}
	for _, s := range f.GetStreamMetricFrames() {
		if len(s.GetMetrics()) > maxMetrics {
			return false
		}
	}
	return true
}

// fewTimings is fewMetrics for timings.
func fewTimings(f *chime.MeetingSessionTimingFrame) bool {
	return f != nil && len(f.GetSignaling()) <= maxSections && len(f.GetRemoteAudio()) <= maxSections &&
		len(f.GetLocalAudio()) <= maxSections && len(f.GetLocalVideo()) <= maxSections && len(f.GetRemoteVideos()) <= maxSections
}
