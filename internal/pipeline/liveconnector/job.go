// Package liveconnector is what runs in a live connector's worker: it joins a
// meeting as an attendee, decodes everybody's video, composes one picture,
// takes the meeting's mixed sound, encodes both, and publishes them to an RTMP
// sink. A Job comes in; Events go out while it runs.
//
// Time is what it is most about. The output's clock begins at zero when the
// job begins, with a slate and silence, and never stops or jumps, whatever the
// meeting does. The meeting's sound leads it: see sound. Pictures are put
// beside the sound they belong to by RTCP sender reports: see Source.
package liveconnector

import (
	"fmt"
	"log/slog"

	"belfry.live/belfry/internal/pipeline/rtmpsink"
)

// A Secret is a string that prints as something else. JSON carries it whole.
type Secret string

// String keeps the secret.
func (Secret) String() string { return "(secret)" }

// GoString keeps the secret from %#v.
func (Secret) GoString() string { return "(secret)" }

// LogValue keeps the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }

// A Job says which meeting goes where and in what form.
type Job struct {
	Meeting string `json:"meeting"` // its ID, for the log

	SignalingURL   string `json:"signalingUrl"`
	AttendeeID     string `json:"attendeeId"`
	ExternalUserID string `json:"externalUserId"`
	JoinToken      Secret `json:"joinToken"`

	SinkURL Secret `json:"sinkUrl"` // rtmp:// or rtmps://, its last element a stream key
	// SinkAddress is dialled instead of the URL's host when the sink is our
	// own ingest, and SinkServerName expected in its certificate, which one of
	// SinkRoots (PEM) may have signed. All may be empty.
	SinkAddress    string `json:"sinkAddress,omitempty"`
	SinkServerName string `json:"sinkServerName,omitempty"`
	SinkRoots      string `json:"sinkRoots,omitempty"`

	Width        int `json:"width"`        // pixels
	Height       int `json:"height"`       // pixels
	SampleRate   int `json:"sampleRate"`   // 44100 or 48000 Hz
	Channels     int `json:"channels"`     // 1 or 2
	VideoBitrate int `json:"videoBitrate"` // bits per second; 0: by the size
	AudioBitrate int `json:"audioBitrate"` // bits per second; 0: by the channels

	// Whose video is shown; both empty: everybody's.
	SelectedAttendeeIDs     []string `json:"selectedAttendeeIds,omitempty"`
	SelectedExternalUserIDs []string `json:"selectedExternalUserIds,omitempty"`
}

// format checks what the engine is to make and fills in the bit rates.
func (j Job) format() (Format, error) {
	f := Format{
		Width: j.Width, Height: j.Height, VideoBitrate: j.VideoBitrate,
		SampleRate: j.SampleRate, Channels: j.Channels, AudioBitrate: j.AudioBitrate,
	}
	long, short := max(j.Width, j.Height), min(j.Width, j.Height)
	switch {
	case long == 1280 && short == 720:
		f.VideoBitrate = orElse(f.VideoBitrate, 2_500_000)
	case long == 1920 && short == 1080:
		f.VideoBitrate = orElse(f.VideoBitrate, 4_500_000)
	default:
		return Format{}, fmt.Errorf("job has a picture of %dx%d, want 1280x720 or 1920x1080, upright or not", j.Width, j.Height)
	}
	if j.SampleRate != 44100 && j.SampleRate != 48000 {
		return Format{}, fmt.Errorf("job has a sample rate of %d Hz, want 44100 or 48000", j.SampleRate)
	}
	if j.Channels != 1 && j.Channels != 2 {
		return Format{}, fmt.Errorf("job has %d channels of sound, want 1 or 2", j.Channels)
	}
	f.AudioBitrate = orElse(f.AudioBitrate, 64_000*f.Channels)
	return f, nil
}

// sink says where to publish the format.
func (j Job) sink(f Format) (rtmpsink.Config, error) {
	url, err := rtmpsink.ParseURL(string(j.SinkURL))
	if err != nil {
		return rtmpsink.Config{}, err
	}
	cfg := rtmpsink.Config{
		URL:        url,
		DialAddr:   j.SinkAddress,
		ServerName: j.SinkServerName,
		Metadata: rtmpsink.Metadata{
			Width: f.Width, Height: f.Height, FrameRate: frameRate,
			VideoBitrate: f.VideoBitrate, AudioBitrate: f.AudioBitrate,
			AudioSampleRate: f.SampleRate, AudioChannels: f.Channels,
			KeyFrameInterval: keyInterval.Seconds(),
			Encoder:          "Belfry",
		},
	}
	if j.SinkRoots != "" {
		if cfg.RootCAs, err = rtmpsink.ExtraRoots([]byte(j.SinkRoots)); err != nil {
			return rtmpsink.Config{}, fmt.Errorf("roots for the sink's certificate: %w", err)
		}
	}
	return cfg, nil
}

func orElse(n, other int) int {
	if n == 0 {
		return other
	}
	return n
}

// A State is where a job is.
type State string

// The states. A job begins by Joining and ends with Ended or Failed unless it
// was stopped; between them it goes from Live to Lost and back.
const (
	Joining State = "joining"
	Live    State = "live"   // the sink takes the stream
	Lost    State = "lost"   // the sink does not; it is being tried again
	Ended   State = "ended"  // the meeting has ended, or the attendee was removed
	Failed  State = "failed" // it is no use to go on
)

// An Event says that a job has come to a state.
type Event struct {
	State State  `json:"state"`
	Cause string `json:"cause,omitempty"` // for people, when Lost, Ended or Failed; no secrets
	// Permanent says of Failed that another try would fail alike.
	Permanent bool `json:"permanent,omitempty"`
}
