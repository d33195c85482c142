package api_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
)

// Recording checks everything and then says that there is none.
func TestRecordingConfigurations(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	bucket := func(name string) *types.DestinationConfiguration {
		return &types.DestinationConfiguration{S3: &types.S3DestinationConfiguration{BucketName: aws.String(name)}}
	}
	for _, v := range []struct {
		name string
		in   ivs.CreateRecordingConfigurationInput
		says string
	}{
		{"all is well", ivs.CreateRecordingConfigurationInput{DestinationConfiguration: bucket("recordings")}, "recording is not available on this server"},
		{"no destination", ivs.CreateRecordingConfigurationInput{DestinationConfiguration: &types.DestinationConfiguration{}}, "destinationConfiguration.s3 is required"},
		{"bucket", ivs.CreateRecordingConfigurationInput{DestinationConfiguration: bucket("Recordings")}, "bucketName must be lower-case"},
		{"window", ivs.CreateRecordingConfigurationInput{DestinationConfiguration: bucket("recordings"), RecordingReconnectWindowSeconds: 301}, "from 0 to 300"},
		{"interval", ivs.CreateRecordingConfigurationInput{
			DestinationConfiguration: bucket("recordings"), ThumbnailConfiguration: &types.ThumbnailConfiguration{TargetIntervalSeconds: aws.Int64(61)},
		}, "from 1 to 60"},
		{"thumbnails that are off", ivs.CreateRecordingConfigurationInput{
			DestinationConfiguration: bucket("recordings"), ThumbnailConfiguration: &types.ThumbnailConfiguration{RecordingMode: "DISABLED", Resolution: "HD"},
		}, "DISABLED"},
		{"renditions", ivs.CreateRecordingConfigurationInput{
			DestinationConfiguration: bucket("recordings"), RenditionConfiguration: &types.RenditionConfiguration{RenditionSelection: "CUSTOM"},
		}, "1 item or more"},
	} {
		t.Run(v.name, func(t *testing.T) {
			_, err := c.channels.CreateRecordingConfiguration(ctx, &v.in)
			checkError(t, err, http.StatusBadRequest, "ValidationException", v.says)
		})
	}
	if out, err := c.channels.ListRecordingConfigurations(ctx, &ivs.ListRecordingConfigurationsInput{}); err != nil || out.RecordingConfigurations == nil || len(out.RecordingConfigurations) != 0 {
		t.Errorf("got %+v, %v, want an empty list", out, err)
	}
	arn := aws.String("arn:aws:ivs:us-east-1:123456789012:recording-configuration/abcdefghijkl")
	for _, err := range []error{
		second(c.channels.GetRecordingConfiguration(ctx, &ivs.GetRecordingConfigurationInput{Arn: arn})),
		second(c.channels.DeleteRecordingConfiguration(ctx, &ivs.DeleteRecordingConfigurationInput{Arn: arn})),
	} {
		as[*types.ResourceNotFoundException](t, err)
		checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "recording configuration not found")
	}
}

// Nothing here inserts advertisements, and no client tries again.
func TestAdvertisements(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	arn := aws.String("arn:aws:ivs:us-east-1:123456789012:ad-configuration/abcdefghijkl")
	ch, _ := c.newChannel(t, &ivs.CreateChannelInput{})
	playback := []types.MediaTailorPlaybackConfiguration{{
		PlaybackConfigurationArn: aws.String("arn:aws:mediatailor:us-east-1:123456789012:playbackConfiguration/x"),
	}}
	_, err := c.channels.CreateAdConfiguration(ctx, &ivs.CreateAdConfigurationInput{MediaTailorPlaybackConfigurations: playback})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "ad insertion is not available on this server")
	_, err = c.channels.InsertAdBreak(ctx, &ivs.InsertAdBreakInput{ChannelArn: ch.Arn, DurationSeconds: aws.Int32(30)})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "ad insertion is not available on this server")
	_, err = c.channels.GetAdConfiguration(ctx, &ivs.GetAdConfigurationInput{Arn: arn})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "not found")
	_, err = c.channels.DeleteAdConfiguration(ctx, &ivs.DeleteAdConfigurationInput{Arn: arn})
	checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "not found")
	if out, err := c.channels.ListAdConfigurations(ctx, &ivs.ListAdConfigurationsInput{}); err != nil || len(out.AdConfigurations) != 0 {
		t.Errorf("got %+v, %v, want an empty list", out, err)
	}
	// The Go client does not know this one yet.
	res, body := send(t, s, "ivs", http.MethodPost, "/UpdateAdConfiguration", `{"arn":"`+*arn+`"}`, nil)
	if res.StatusCode != http.StatusNotFound || res.Header.Get("X-Amzn-ErrorType") != "ResourceNotFoundException" {
		t.Errorf("UpdateAdConfiguration: got %d %s %s, want 404 ResourceNotFoundException", res.StatusCode, res.Header.Get("X-Amzn-ErrorType"), body)
	}
}
