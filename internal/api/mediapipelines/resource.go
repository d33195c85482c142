package mediapipelines

import (
	"fmt"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
)

// resources is the pipeline that an operation is about, or what else its ARN
// names.
func resources(c restjson.Caller, d restjson.Document) []string {
	var all []string
	for _, member := range []string{"MediaPipelineId", "ResourceARN"} {
		if name := d.Text(member); name != "" {
			all = append(all, canonical(c, name))
		}
	}
	return all
}

// canonical writes a pipeline's id or ARN as this server does: clients may
// leave out the region, policies know one form alone.
func canonical(c restjson.Caller, name string) string {
	id := name
	if strings.HasPrefix(name, "arn:") {
		var ok bool
		if _, id, ok = parseARN(name, "media-pipeline"); !ok {
			return name
		}
	}
	return fmt.Sprintf("arn:aws:chime:%s:%s:media-pipeline/%s", c.Region, c.Account, strings.ToLower(id))
}
