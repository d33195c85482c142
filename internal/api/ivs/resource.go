package ivs

import "belfry.live/belfry/internal/api/restjson"

// resources are the ARNs that an operation is about. They come as they are
// meant: one that is written in another way names nothing.
func resources(_ restjson.Caller, d restjson.Document) []string {
	var all []string
	for _, member := range []string{"arn", "channelArn", "resourceArn"} {
		if arn := d.Text(member); arn != "" {
			all = append(all, arn)
		}
	}
	for _, arn := range items(d, "arns") {
		if s, ok := arn.(string); ok {
			all = append(all, s)
		}
	}
	for _, session := range items(d, "viewerSessions") {
		if object, ok := session.(map[string]any); ok {
			all = append(all, restjson.Document(object).Text("channelArn"))
		}
	}
	return all
}

// items is a member that is a list, as it came.
func items(d restjson.Document, member string) []any {
	list, _ := d[member].([]any)
	return list
}
