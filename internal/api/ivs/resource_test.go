package ivs

import (
	"slices"
	"testing"

	"belfry.live/belfry/internal/api/restjson"
)

// A batch is about everything that is in it, or a policy that denies one
// channel's key would be got around by asking for a list of it.
func TestResources(t *testing.T) {
	const a, b = "arn:aws:ivs:us-east-1:111111111111:channel/A", "arn:aws:ivs:us-east-1:111111111111:channel/B"
	for _, v := range []struct {
		in   restjson.Document
		want []string
	}{
		{restjson.Document{"arn": a, "recordingConfigurationArn": b}, []string{a}},
		{restjson.Document{"channelArn": a}, []string{a}},
		{restjson.Document{"resourceArn": a, "tags": map[string]any{"arn": b}}, []string{a}},
		{restjson.Document{"arns": []any{a, b, 7.0}}, []string{a, b}},
		{restjson.Document{"viewerSessions": []any{map[string]any{"channelArn": a, "viewerId": "x"}, "y", map[string]any{"channelArn": b}}}, []string{a, b}},
		{restjson.Document{"arns": "x", "viewerSessions": nil}, nil},
		{restjson.Document{"name": "x"}, nil},
	} {
		if got := resources(restjson.Caller{}, v.in); !slices.Equal(got, v.want) {
			t.Errorf("%v: got %q, want %q", v.in, got, v.want)
		}
	}
}
