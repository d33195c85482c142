package chimemeetings

import (
	"fmt"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
)

// resources is the meeting that an operation is about, whose attendees count as
// a part of it.
func resources(c restjson.Caller, d restjson.Document) []string {
	var all []string
	if id := d.Text("MeetingId"); id != "" {
		all = append(all, meetingARN(c, id))
	}
	if arn := d.Text("ResourceARN"); arn != "" {
		all = append(all, canonical(c, arn))
	}
	return all
}

// meetingARN names a meeting of the caller's.
func meetingARN(c restjson.Caller, id string) string {
	return fmt.Sprintf("arn:aws:chime:%s:%s:meeting/%s", c.Region, c.Account, strings.ToLower(id))
}

// canonical writes a meeting's ARN as this server does. Clients may leave out
// the region, or write meeting:<id>; policies know one form alone.
func canonical(c restjson.Caller, arn string) string {
	for _, kind := range []string{":meeting/", ":meeting:"} {
		if _, id, ok := strings.Cut(arn, kind); ok {
			return meetingARN(c, id)
		}
	}
	return arn
}
