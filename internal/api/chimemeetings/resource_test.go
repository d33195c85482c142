package chimemeetings

import (
	"slices"
	"testing"

	"belfry.live/belfry/internal/api/restjson"
)

// A policy that denies one meeting must not be got around by writing its name
// in another way.
func TestResources(t *testing.T) {
	const id, arn = "ab5f23a6-34e4-4edc-8419-1c68be5c4413", "arn:aws:chime:eu-west-2:111111111111:meeting/ab5f23a6-34e4-4edc-8419-1c68be5c4413"
	c := restjson.Caller{Account: "111111111111", Region: "eu-west-2"}
	for _, v := range []struct {
		in   restjson.Document
		want []string
	}{
		{restjson.Document{"MeetingId": id}, []string{arn}},
		{restjson.Document{"MeetingId": "AB5F23A6-34E4-4EDC-8419-1C68BE5C4413", "AttendeeId": "x"}, []string{arn}},
		{restjson.Document{"ResourceARN": arn}, []string{arn}},
		{restjson.Document{"ResourceARN": "arn:aws:chime::111111111111:meeting:" + id}, []string{arn}},
		{restjson.Document{"ResourceARN": "arn:aws:chime::999999999999:meeting/" + id}, []string{arn}},
		{restjson.Document{"ResourceARN": "arn:aws:ivs:::channel/x"}, []string{"arn:aws:ivs:::channel/x"}},
		{restjson.Document{"MeetingId": 7.0}, nil},
		{restjson.Document{"ExternalMeetingId": "x"}, nil},
	} {
		if got := resources(c, v.in); !slices.Equal(got, v.want) {
			t.Errorf("%v: got %q, want %q", v.in, got, v.want)
		}
	}
}
