package ivs

import (
	"cmp"
	"context"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

func (s *service) recordingOperations() []restjson.Operation {
	renditions := []string{"SD", "HD", "FULL_HD", "LOWEST_RESOLUTION"}
	arn := one("arn", "recording-configuration")
	return []restjson.Operation{
		at(3, gap("it checks everything and then refuses: recording is not available",
			post(restjson.B, "CreateRecordingConfiguration", []restjson.Member{
				restjson.Optional("name", name),
				restjson.Required("destinationConfiguration", restjson.Structure(
					restjson.Optional("s3", restjson.Structure(
						restjson.Required("bucketName", restjson.String(3, 63).Matching(`[a-z0-9-.]+`, "lower-case letters, digits, - and .")),
					)),
				)),
				restjson.Optional("tags", tags),
				restjson.Optional("thumbnailConfiguration", restjson.Structure(
					restjson.Optional("recordingMode", restjson.Enum("DISABLED", "INTERVAL")),
					restjson.Optional("targetIntervalSeconds", restjson.Integer(1, 60)),
					restjson.Optional("resolution", restjson.Enum(renditions...)),
					restjson.Optional("storage", restjson.List(restjson.Enum("SEQUENTIAL", "LATEST"), 0, 2)),
				)),
				restjson.Optional("recordingReconnectWindowSeconds", restjson.Integer(0, 300)),
				restjson.Optional("renditionConfiguration", restjson.Structure(
					restjson.Optional("renditionSelection", restjson.Enum("ALL", "NONE", "CUSTOM")),
					restjson.Optional("renditions", restjson.List(restjson.Enum(renditions...), 0, len(renditions))),
				)),
			}, restjson.Do(s.createRecording), internal, pending, conflict, quotaExceeded))),
		at(3, post(restjson.B, "GetRecordingConfiguration", arn, restjson.Do(s.getRecording), notFound, internal)),
		at(3, post(restjson.B, "ListRecordingConfigurations", paged(100), restjson.Do(s.listRecordings), internal)),
		at(3, without(post(restjson.B, "DeleteRecordingConfiguration", arn, restjson.Act(s.deleteRecording), notFound, internal, conflict))),
	}
}

type (
	createRecordingInput struct {
		Name                            string
		DestinationConfiguration        destination
		Tags                            map[string]string
		ThumbnailConfiguration          *thumbnails
		RecordingReconnectWindowSeconds int
		RenditionConfiguration          renditions
	}

	destination struct {
		S3 *s3Destination `json:"s3"`
	}

	s3Destination struct {
		BucketName string `json:"bucketName"`
	}

	thumbnails struct {
		RecordingMode         string   `json:"recordingMode,omitempty"`
		TargetIntervalSeconds int      `json:"targetIntervalSeconds,omitempty"`
		Resolution            string   `json:"resolution,omitempty"`
		Storage               []string `json:"storage,omitempty"`
	}

	renditions struct {
		RenditionSelection string   `json:"renditionSelection"`
		Renditions         []string `json:"renditions"`
	}

	recordingSummary struct {
		ARN                      string                 `json:"arn"`
		Name                     string                 `json:"name"`
		DestinationConfiguration destination            `json:"destinationConfiguration"`
		State                    channel.RecordingState `json:"state"`
		Tags                     map[string]string      `json:"tags"`
	}

	recordingShape struct {
		recordingSummary
		ThumbnailConfiguration          thumbnails `json:"thumbnailConfiguration"`
		RecordingReconnectWindowSeconds int        `json:"recordingReconnectWindowSeconds"`
		RenditionConfiguration          renditions `json:"renditionConfiguration"`
	}

	recordingOutput struct {
		RecordingConfiguration recordingShape `json:"recordingConfiguration"`
	}

	listRecordingsOutput struct {
		RecordingConfigurations []recordingSummary `json:"recordingConfigurations"`
		NextToken               string             `json:"nextToken,omitempty"`
	}
)

// spec fills in AWS's defaults.
func (in createRecordingInput) spec() (channel.RecordingSpec, error) {
	if in.DestinationConfiguration.S3 == nil {
		return channel.RecordingSpec{}, invalid("destinationConfiguration.s3 is required")
	}
	t := thumbnails{RecordingMode: "INTERVAL"}
	if in.ThumbnailConfiguration != nil {
		t = *in.ThumbnailConfiguration
		t.RecordingMode = cmp.Or(t.RecordingMode, "INTERVAL")
	}
	if t.RecordingMode == "INTERVAL" {
		t.TargetIntervalSeconds = cmp.Or(t.TargetIntervalSeconds, 60)
		if t.Storage == nil {
			t.Storage = []string{"SEQUENTIAL"}
		}
	}
	return channel.RecordingSpec{
		Name:            in.Name,
		Bucket:          in.DestinationConfiguration.S3.BucketName,
		ReconnectWindow: in.RecordingReconnectWindowSeconds,
		Thumbnails:      channel.Thumbnails{Mode: t.RecordingMode, Interval: t.TargetIntervalSeconds, Resolution: t.Resolution, Storage: t.Storage},
		Renditions: channel.Renditions{
			Selection: cmp.Or(in.RenditionConfiguration.RenditionSelection, "ALL"), List: in.RenditionConfiguration.Renditions,
		},
		Tags: in.Tags,
	}, nil
}

func (s *service) createRecording(ctx context.Context, c restjson.Caller, in createRecordingInput) (recordingOutput, error) {
	spec, err := in.spec()
	if err != nil {
		return recordingOutput{}, err
	}
	made, err := s.channels.CreateRecording(ctx, owner(c), spec)
	if err != nil {
		return recordingOutput{}, err
	}
	return recordingOutput{shapeRecording(made)}, nil
}

// findRecording returns the recording configuration with the ARN.
func (s *service) findRecording(c restjson.Caller, name string) (channel.RecordingConfiguration, error) {
	return lookUp(c, "recording-configuration", name, channel.ErrRecordingNotFound, func(id channel.RecordingID) (channel.RecordingConfiguration, error) {
		return s.channels.Recording(owner(c), id)
	})
}

func (s *service) getRecording(_ context.Context, c restjson.Caller, in arnInput) (recordingOutput, error) {
	found, err := s.findRecording(c, in.ARN)
	if err != nil {
		return recordingOutput{}, err
	}
	return recordingOutput{shapeRecording(found)}, nil
}

func (s *service) listRecordings(_ context.Context, c restjson.Caller, in pageInput) (listRecordingsOutput, error) {
	page, next, err := page(c, "recording configurations", s.channels.Recordings(owner(c)),
		func(r channel.RecordingConfiguration) string { return string(r.ID) }, in, manyPages)
	if err != nil {
		return listRecordingsOutput{}, err
	}
	out := listRecordingsOutput{RecordingConfigurations: []recordingSummary{}, NextToken: next}
	for _, r := range page {
		out.RecordingConfigurations = append(out.RecordingConfigurations, shapeRecording(r).recordingSummary)
	}
	return out, nil
}

func (s *service) deleteRecording(ctx context.Context, c restjson.Caller, in arnInput) error {
	found, err := s.findRecording(c, in.ARN)
	if err != nil {
		return err
	}
	return s.channels.DeleteRecording(ctx, owner(c), found.ID)
}

func shapeRecording(r channel.RecordingConfiguration) recordingShape {
	return recordingShape{
		recordingSummary: recordingSummary{
			ARN:                      arn(r.Owner, "recording-configuration", string(r.ID)),
			Name:                     r.Name,
			DestinationConfiguration: destination{&s3Destination{r.Bucket}},
			State:                    r.State,
			Tags:                     notNil(r.Tags),
		},
		ThumbnailConfiguration:          thumbnails{r.Thumbnails.Mode, r.Thumbnails.Interval, r.Thumbnails.Resolution, r.Thumbnails.Storage},
		RecordingReconnectWindowSeconds: r.ReconnectWindow,
		RenditionConfiguration:          renditions{r.Renditions.Selection, append([]string{}, r.Renditions.List...)},
	}
}
