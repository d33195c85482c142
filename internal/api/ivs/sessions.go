package ivs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) sessionOperations() []restjson.Operation {
	stream := restjson.String(26, 26).Matching(`st-[a-zA-Z0-9]+`, "a stream's id")
	return []restjson.Operation{
		post(restjson.B, "GetStreamSession", append(one("channelArn", "channel"), restjson.Optional("streamId", stream)),
			restjson.Do(s.getStreamSession), notFound),
		post(restjson.B, "ListStreamSessions", paged(100, one("channelArn", "channel")...), restjson.Do(s.listStreamSessions), notFound),
	}
}

type (
	streamSessionInput struct {
		ChannelARN string `json:"channelArn"`
		StreamID   string `json:"streamId"`
	}

	listStreamSessionsInput struct {
		ChannelARN string `json:"channelArn"`
		pageInput
	}

	streamSessionSummary struct {
		StreamID      string         `json:"streamId"`
		StartTime     restjson.Time  `json:"startTime"`
		EndTime       *restjson.Time `json:"endTime,omitempty"`
		HasErrorEvent bool           `json:"hasErrorEvent"`
	}

	streamSession struct {
		StreamID               string                `json:"streamId"`
		StartTime              restjson.Time         `json:"startTime"`
		EndTime                *restjson.Time        `json:"endTime,omitempty"`
		Channel                channelShape          `json:"channel"`
		IngestConfiguration    *ingestConfiguration  `json:"ingestConfiguration,omitempty"`
		IngestConfigurations   *ingestConfigurations `json:"ingestConfigurations,omitempty"`
		RecordingConfiguration *recordingShape       `json:"recordingConfiguration,omitempty"`
		TruncatedEvents        []streamEvent         `json:"truncatedEvents"`
	}

	ingestConfiguration struct {
		Video *videoConfiguration `json:"video,omitempty"`
		Audio *audioConfiguration `json:"audio,omitempty"`
	}

	ingestConfigurations struct {
		VideoConfigurations []videoConfiguration `json:"videoConfigurations"`
		AudioConfigurations []audioConfiguration `json:"audioConfigurations"`
	}

	videoConfiguration struct {
		AVCProfile      string `json:"avcProfile,omitempty"`
		AVCLevel        string `json:"avcLevel,omitempty"`
		Codec           string `json:"codec,omitempty"`
		Encoder         string `json:"encoder,omitempty"`
		TargetBitrate   int    `json:"targetBitrate,omitempty"`
		TargetFramerate int    `json:"targetFramerate,omitempty"`
		VideoHeight     int    `json:"videoHeight,omitempty"`
		VideoWidth      int    `json:"videoWidth,omitempty"`
		Level           string `json:"level,omitempty"`
		Track           string `json:"track,omitempty"`
		Profile         string `json:"profile,omitempty"`
	}

	audioConfiguration struct {
		Codec         string `json:"codec,omitempty"`
		TargetBitrate int    `json:"targetBitrate,omitempty"`
		SampleRate    int    `json:"sampleRate,omitempty"`
		Channels      int    `json:"channels,omitempty"`
		Track         string `json:"track,omitempty"`
	}

	streamEvent struct {
		Name      string        `json:"name"`
		Type      string        `json:"type"`
		EventTime restjson.Time `json:"eventTime"`
		Code      string        `json:"code,omitempty"`
	}

	streamSessionOutput struct {
		StreamSession streamSession `json:"streamSession"`
	}

	listStreamSessionsOutput struct {
		StreamSessions []streamSessionSummary `json:"streamSessions"`
		NextToken      string                 `json:"nextToken,omitempty"`
	}
)

// channelID takes a channel's id out of its ARN; the channel may be gone.
func channelID(c restjson.Caller, name string) (channel.ID, error) {
	id, ok := idIn(c, "channel", name)
	if !ok {
		return "", fmt.Errorf("%w: %s in %s", channel.ErrNotFound, name, c.Region)
	}
	return channel.ID(id), nil
}

func (s *service) getStreamSession(ctx context.Context, c restjson.Caller, in streamSessionInput) (streamSessionOutput, error) {
	id, err := channelID(c, in.ChannelARN)
	if err != nil {
		return streamSessionOutput{}, err
	}
	session, err := s.channels.Session(ctx, owner(c), id, in.StreamID)
	if err != nil {
		return streamSessionOutput{}, fmt.Errorf("%w: %s %s", err, in.ChannelARN, in.StreamID)
	}
	return streamSessionOutput{s.shapeSession(session)}, nil
}

func (s *service) listStreamSessions(ctx context.Context, c restjson.Caller, in listStreamSessionsInput) (listStreamSessionsOutput, error) {
	id, err := channelID(c, in.ChannelARN)
	if err != nil {
		return listStreamSessionsOutput{}, err
	}
	all, err := s.channels.Sessions(ctx, owner(c), id)
	if err != nil {
		return listStreamSessionsOutput{}, fmt.Errorf("%w: %s", err, in.ChannelARN)
	}
	page, next, err := page(c, "stream sessions of "+string(id), all, newestFirst, in.pageInput, manyPages)
	if err != nil {
		return listStreamSessionsOutput{}, err
	}
	out := listStreamSessionsOutput{StreamSessions: []streamSessionSummary{}, NextToken: next}
	for _, session := range page {
		out.StreamSessions = append(out.StreamSessions, streamSessionSummary{
			StreamID: session.StreamID, StartTime: startTime(session), EndTime: timeIfAny(session.Ended), HasErrorEvent: session.Failed,
		})
	}
	return out, nil
}

func newestFirst(session channel.Session) string {
	return fmt.Sprintf("%019d %s", math.MaxInt64-session.Created.UnixMilli(), session.StreamID)
}

// startTime is when the session went live, or that it began if it never did.
func startTime(session channel.Session) restjson.Time {
	if session.Started.IsZero() {
		return restjson.Time(session.Created)
	}
	return restjson.Time(session.Started)
}

func timeIfAny(t time.Time) *restjson.Time {
	if t.IsZero() {
		return nil
	}
	there := restjson.Time(t)
	return &there
}

func (s *service) shapeSession(session channel.Session) streamSession {
	out := streamSession{
		StreamID:        session.StreamID,
		StartTime:       startTime(session),
		EndTime:         timeIfAny(session.Ended),
		Channel:         s.shape(session.Channel),
		TruncatedEvents: []streamEvent{},
	}
	for _, e := range slices.Backward(session.Events) {
		out.TruncatedEvents = append(out.TruncatedEvents, streamEvent{e.Name, string(e.Kind), restjson.Time(e.Time), e.Code})
	}
	out.IngestConfiguration, out.IngestConfigurations = shapeIngest(session.Ingest)
	return out
}

// shapeIngest says the same twice, as AWS does: the former is for clients that
// know of one track alone.
func shapeIngest(in channel.Ingest) (*ingestConfiguration, *ingestConfigurations) {
	if in.VideoCodec == "" && in.AudioCodec == "" {
		return nil, nil
	}
	const track = "Track0"
	first := &ingestConfiguration{}
	all := &ingestConfigurations{VideoConfigurations: []videoConfiguration{}, AudioConfigurations: []audioConfiguration{}}
	if in.VideoCodec != "" {
		level := fmt.Sprintf("%d.%d", in.VideoLevel/10, in.VideoLevel%10)
		video := videoConfiguration{
			Codec: codec(in.VideoCodec), Encoder: in.Encoder, TargetBitrate: in.VideoBitrate,
			TargetFramerate: int(math.Round(in.FrameRate)), VideoHeight: in.Height, VideoWidth: in.Width,
			Level: level, Track: track, Profile: avcProfile(in.VideoProfile),
		}
		all.VideoConfigurations = append(all.VideoConfigurations, video)
		video.AVCProfile, video.AVCLevel = video.Profile, video.Level
		first.Video = &video
	}
	if in.AudioCodec != "" {
		audio := audioConfiguration{
			Codec: in.AudioCodec, TargetBitrate: in.AudioBitrate, SampleRate: in.SampleRate, Channels: in.Sounds, Track: track,
		}
		all.AudioConfigurations = append(all.AudioConfigurations, audio)
		first.Audio = &audio
	}
	return first, all
}

// codec writes the digits of avc1.4d401f as AWS does.
func codec(text string) string {
	name, digits, _ := strings.Cut(text, ".")
	return name + "." + strings.ToUpper(digits)
}

// avcProfile names a profile_idc of H.264 (table A-1 and annex A).
func avcProfile(idc uint8) string {
	switch idc {
	case 66:
		return "Baseline"
	case 77:
		return "Main"
	case 88:
		return "Extended"
	case 100:
		return "High"
	case 110:
		return "High 10"
	case 122:
		return "High 4:2:2"
	case 244:
		return "High 4:4:4 Predictive"
	}
	return fmt.Sprint(idc)
}
