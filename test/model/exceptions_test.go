package model

import "path"

// An exception is a difference that is meant.
type exception struct {
	client string // "": of both
	about  string // a pattern of package path
	aspect string // "": any
	why    string
}

func (e exception) covers(client string, d difference) bool {
	matched, err := path.Match(e.about, d.about)
	return err == nil && matched && (e.client == "" || e.client == client) && (e.aspect == "" || e.aspect == d.aspect)
}

var exceptions = []exception{
	{
		"Go", "ivs UpdateAdConfiguration*", "is",
		"the operation is newer than this client",
	},
	{
		"Go", "ivs *postRollConfiguration*", "is",
		"the member is newer than this client",
	},
	{
		"JavaScript", "meetings CreateMeeting* input ClientRequestToken", "required",
		"the client fills it in, so it calls it optional; the model requires it",
	},
	{
		"", "ivs *Channel input preset", "enum",
		`"" is taken as well, as none: what GetChannel answered can be sent back`,
	},
	{
		"", "ivs *Resource error AccessDeniedException", "is",
		"the model leaves it out for tags alone; a policy here can forbid them as well",
	},
	{
		"", "pipelines * input *AudioSampleRate", "enum",
		"the model has a pattern of two alternatives instead",
	},
	{
		"", "pipelines * input *CompositedVideo.CanvasOrientation", "is",
		"an example in AWS's guide has it here, one level above its place in the model",
	},
}

// boundExceptions are differences from the aws command's models, which are
// older.
var boundExceptions = []exception{
	{
		"", "ivs *Resource input resourceArn", "takes",
		"the model's pattern has room for one letter where the resource's type stands; it is a slip",
	},
	{
		"", "ivs *RecordingConfiguration input arn", "min",
		"the model's pattern takes no empty text either",
	},
	{
		"", "ivs CreateRecordingConfiguration input thumbnailConfiguration.targetIntervalSeconds", "min",
		"it was 5 and is 1 now",
	},
	{
		"", "pipelines * input Tag*", "max",
		"it was 50 and is 200 now",
	},
}
