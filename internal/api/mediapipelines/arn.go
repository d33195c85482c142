package mediapipelines

import (
	"fmt"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/connector"
)

// parseMeetingARN returns the id of the meeting in any form that applications
// write: with and without a region, with a slash or a colon before the id.
//
//	arn:aws:chime:[region]:<account>:meeting[/:]<id>
//
// Applications write their own account into it, or none, so whatever it says of
// that is taken; whose the meeting is, is found out when it is looked up.
func parseMeetingARN(arn string) (id string, ok bool) {
	_, id, ok = parseARN(arn, "meeting")
	return id, ok
}

// parseARN takes apart an ARN of the Chime services.
func parseARN(arn, kind string) (at place, id string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "chime" {
		return place{}, "", false
	}
	at = place{region: parts[3], account: parts[4]}
	for _, prefix := range []string{kind + "/", kind + ":"} {
		if id, ok := strings.CutPrefix(parts[5], prefix); ok && uuid.Allows(id) {
			return at, strings.ToLower(id), true
		}
	}
	return place{}, "", false
}

// A place is where an ARN says that its resource is.
type place struct{ region, account string }

// isOf says whether the caller's resources are there. An ARN may leave out the
// region.
func (p place) isOf(c restjson.Caller) bool {
	return p.account == c.Account && (p.region == "" || p.region == c.Region)
}

// pipelineARN names a pipeline as this server does.
func pipelineARN(p connector.Pipeline) string {
	return fmt.Sprintf("arn:aws:chime:%s:%s:media-pipeline/%s", p.Region, p.Account, p.ID)
}
