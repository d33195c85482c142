package mediapipelines

import (
	"strings"
	"testing"

	"belfry.live/belfry/internal/api/restjson"
)

const arnID = "5ae2a1d8-6b0c-4d0e-9f3c-2f7e4b0d2713"

func TestARNs(t *testing.T) {
	ann := restjson.Caller{Account: "123456789012", Region: "us-east-1"}
	for _, v := range []struct {
		arn      string
		is, ours bool
	}{
		{"arn:aws:chime:us-east-1:123456789012:media-pipeline/" + arnID, true, true},
		{"arn:aws:chime:us-east-1:123456789012:media-pipeline/" + strings.ToUpper(arnID), true, true},
		{"arn:aws:chime::123456789012:media-pipeline:" + arnID, true, true},
		{"arn:aws:chime:eu-west-1:123456789012:media-pipeline/" + arnID, true, false},
		{"arn:aws:chime::999999999999:media-pipeline/" + arnID, true, false},
		{"arn:aws:chime:::media-pipeline/" + arnID, true, false},
		{"arn:aws:chime:us-east-1:123456789012:meeting/" + arnID, false, false},
		{"arn:aws:ivs:us-east-1:123456789012:media-pipeline/" + arnID, false, false},
		{"arn:aws:chime:us-east-1:123456789012:media-pipeline/" + arnID + "/x", false, false},
		{"arn:aws:chime:us-east-1:123456789012:media-pipeline/", false, false},
		{"arn:aws:chime", false, false},
		{"", false, false},
	} {
		at, id, ok := parseARN(v.arn, "media-pipeline")
		if ok != v.is || ok && id != arnID || at.isOf(ann) != v.ours {
			t.Errorf("%s: got %q in %+v, %v, want %v, ours %v", v.arn, id, at, ok, v.is, v.ours)
		}
	}
}

func FuzzARN(f *testing.F) {
	f.Add("arn:aws:chime:us-east-1:123456789012:meeting/" + arnID)
	f.Add("arn:aws:chime::1:meeting:" + arnID)
	f.Add("arn:aws:chime::1:media-pipeline/" + arnID)
	f.Add("::::::")
	f.Fuzz(func(t *testing.T, arn string) {
		if id, ok := parseMeetingARN(arn); ok && (!uuid.Allows(id) || id != strings.ToLower(id) || !strings.HasPrefix(arn, "arn:")) {
			t.Errorf("%q: got id %q", arn, id)
		}
		if isBucket(arn) && !strings.HasPrefix(arn, "arn:aws:s3:::") {
			t.Errorf("%q: got a bucket", arn)
		}
	})
}
