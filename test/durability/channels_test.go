package durability

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	mediatypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines/types"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
)

type channel struct {
	arn, name, tag string
	key, value     string // ARN and value of its stream key, "" if it has none
	streamed       bool   // a pipeline was made for it
}

type pipeline struct {
	id      string
	meeting *meeting
	channel *channel
}

func (w *writer) createChannel(round string) call {
	ch := &channel{name: w.name(round, "channel"), tag: "made"}
	noted := func(arn, key, value string) {
		ch.arn, ch.key, ch.value = arn, key, value
		w.channels = append(w.channels, ch)
	}
	return call{"CreateChannel", func(ctx context.Context) error {
		out, err := w.clients.channels.CreateChannel(ctx, &ivs.CreateChannelInput{
			Name: &ch.name, Tags: map[string]string{"tag": ch.tag},
		})
		if err == nil {
			noted(aws.ToString(out.Channel.Arn), aws.ToString(out.StreamKey.Arn), aws.ToString(out.StreamKey.Value))
		}
		return err
	}, func() error {
		ctx, cancel := bounded()
		defer cancel()
		out, err := w.clients.channels.ListChannels(ctx, &ivs.ListChannelsInput{FilterByName: &ch.name})
		if err != nil || len(out.Channels) == 0 {
			return err
		}
		arn := aws.ToString(out.Channels[0].Arn)
		key, value, err := w.key(arn)
		if err == nil && key == "" {
			err = fmt.Errorf("channel %s has no stream key", ch.name)
		}
		noted(arn, key, value)
		return err
	}}
}

// key returns the channel's stream key, "" if it has none.
func (w *writer) key(channel string) (arn, value string, err error) {
	ctx, cancel := bounded()
	defer cancel()
	list, err := w.clients.channels.ListStreamKeys(ctx, &ivs.ListStreamKeysInput{ChannelArn: &channel})
	if err != nil || len(list.StreamKeys) == 0 {
		return "", "", err
	}
	if len(list.StreamKeys) > 1 {
		return "", "", fmt.Errorf("channel %s has %d stream keys", channel, len(list.StreamKeys))
	}
	out, err := w.clients.channels.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: list.StreamKeys[0].Arn})
	if err != nil {
		return "", "", err
	}
	if got := aws.ToString(out.StreamKey.ChannelArn); got != channel {
		return "", "", fmt.Errorf("the key of channel %s says it is of %s", channel, got)
	}
	return aws.ToString(out.StreamKey.Arn), aws.ToString(out.StreamKey.Value), nil
}

func (w *writer) updateChannel(round string, ch *channel) call {
	name := w.name(round, "channel")
	return call{"UpdateChannel", func(ctx context.Context) error {
		_, err := w.clients.channels.UpdateChannel(ctx, &ivs.UpdateChannelInput{Arn: &ch.arn, Name: &name})
		if err == nil {
			ch.name = name
		}
		return err
	}, func() error {
		now, err := w.channel(ch)
		if err == nil && aws.ToString(now.Name) == name {
			ch.name = name
		}
		return err // any other name, says check
	}}
}

func (w *writer) tagChannel(round string, ch *channel) call {
	tag := w.name(round, "tag")
	return call{"TagResource", func(ctx context.Context) error {
		_, err := w.clients.channels.TagResource(ctx, &ivs.TagResourceInput{ResourceArn: &ch.arn, Tags: map[string]string{"tag": tag}})
		if err == nil {
			ch.tag = tag
		}
		return err
	}, func() error {
		now, err := w.channel(ch)
		if err == nil && now.Tags["tag"] == tag {
			ch.tag = tag
		}
		return err
	}}
}

func (w *writer) channel(ch *channel) (*types.Channel, error) {
	ctx, cancel := bounded()
	defer cancel()
	out, err := w.clients.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: &ch.arn})
	if err != nil {
		return nil, err
	}
	return out.Channel, nil
}

func (w *writer) createKey(ch *channel) call {
	return call{"CreateStreamKey", func(ctx context.Context) error {
		out, err := w.clients.channels.CreateStreamKey(ctx, &ivs.CreateStreamKeyInput{ChannelArn: &ch.arn})
		if err == nil {
			ch.key, ch.value = aws.ToString(out.StreamKey.Arn), aws.ToString(out.StreamKey.Value)
		}
		return err
	}, func() (err error) {
		ch.key, ch.value, err = w.key(ch.arn)
		return err
	}}
}

func (w *writer) deleteKey(ch *channel) call {
	key := ch.key
	return call{"DeleteStreamKey", func(ctx context.Context) error {
		_, err := w.clients.channels.DeleteStreamKey(ctx, &ivs.DeleteStreamKeyInput{Arn: &key})
		if err == nil {
			ch.key, ch.value = "", ""
			w.gone = append(w.gone, w.keyIsGone(key))
		}
		return err
	}, func() error {
		now, value, err := w.key(ch.arn)
		if err == nil && now != "" && (now != key || value != ch.value) {
			return fmt.Errorf("key %s became %s", key, now)
		}
		ch.key = now
		if now == "" {
			ch.value = ""
		}
		return err
	}}
}

func (w *writer) keyIsGone(key string) func() error {
	return func() error {
		if key == "" {
			return nil
		}
		ctx, cancel := bounded()
		defer cancel()
		_, err := w.clients.channels.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: &key})
		return wantAbsent("stream key "+key, err)
	}
}

func (w *writer) deleteChannel(ch *channel) call {
	noted := func() {
		w.channels = slices.DeleteFunc(w.channels, func(o *channel) bool { return o == ch })
		w.gone = append(w.gone, w.keyIsGone(ch.key), func() error {
			_, err := w.channel(ch)
			return wantAbsent("channel "+ch.name, err)
		})
	}
	return call{"DeleteChannel", func(ctx context.Context) error {
		_, err := w.clients.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: &ch.arn})
		if err == nil {
			noted()
		}
		return err
	}, func() error {
		_, err := w.channel(ch)
		if notFound(err) {
			noted()
			return nil
		}
		return err
	}}
}

func (w *writer) checkChannel(ch *channel) error {
	now, err := w.channel(ch)
	if err != nil {
		return err
	}
	if name, tag := aws.ToString(now.Name), now.Tags["tag"]; name != ch.name || tag != ch.tag {
		return fmt.Errorf("got name %s and tag %s, want %s and %s", name, tag, ch.name, ch.tag)
	}
	key, value, err := w.key(ch.arn)
	if err != nil {
		return err
	}
	if key != ch.key || value != ch.value {
		return fmt.Errorf("got stream key %q, want %q (the same value: %v)", key, ch.key, value == ch.value)
	}
	return nil
}

func (w *writer) createPipeline(round string, m *meeting, ch *channel) call {
	m.streamed, ch.streamed = true, true
	token := w.name(round, "token")
	arn := "arn:aws:chime::000000000000:meeting:" + m.id
	// The server knows its own ingest host and dials it wherever it listens.
	sink := "rtmps://localhost:443/app/" + ch.value
	do := func(ctx context.Context) error {
		out, err := w.clients.pipelines.CreateMediaLiveConnectorPipeline(ctx, &chimesdkmediapipelines.CreateMediaLiveConnectorPipelineInput{
			ClientRequestToken: &token,
			Sources: []mediatypes.LiveConnectorSourceConfiguration{{
				SourceType: mediatypes.LiveConnectorSourceTypeChimeSdkMeeting,
				ChimeSdkMeetingLiveConnectorConfiguration: &mediatypes.ChimeSdkMeetingLiveConnectorConfiguration{
					Arn: &arn, MuxType: mediatypes.LiveConnectorMuxTypeAudioWithCompositedVideo,
					CompositedVideo: &mediatypes.CompositedVideoArtifactsConfiguration{
						GridViewConfiguration: &mediatypes.GridViewConfiguration{ContentShareLayout: mediatypes.ContentShareLayoutOptionPresenterOnly},
					},
				},
			}},
			Sinks: []mediatypes.LiveConnectorSinkConfiguration{{
				SinkType: mediatypes.LiveConnectorSinkTypeRtmp,
				RTMPConfiguration: &mediatypes.LiveConnectorRTMPConfiguration{
					Url: &sink, AudioChannels: mediatypes.AudioChannelsOptionStereo, AudioSampleRate: aws.String("48000"),
				},
			}},
		})
		if err == nil {
			w.pipeline = &pipeline{aws.ToString(out.MediaLiveConnectorPipeline.MediaPipelineId), m, ch}
		}
		return err
	}
	return call{"CreateMediaLiveConnectorPipeline", do, again(do)}
}

func (w *writer) deletePipeline() call {
	p := w.pipeline
	return call{"DeleteMediaPipeline", func(ctx context.Context) error {
		_, err := w.clients.pipelines.DeleteMediaPipeline(ctx, &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: &p.id})
		if err == nil {
			w.pipeline = nil
		}
		return err
	}, func() error {
		ctx, cancel := bounded()
		defer cancel()
		out, err := w.clients.pipelines.GetMediaPipeline(ctx, &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: &p.id})
		if notFound(err) || err == nil && out.MediaPipeline.MediaLiveConnectorPipeline.Status == mediatypes.MediaPipelineStatusStopping {
			w.pipeline, err = nil, nil
		}
		return err
	}}
}
