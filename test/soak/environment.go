package main

import (
	"os"

	"belfry.live/belfry/test/running"
)

// environment tells a process how to call the server.
func environment(k running.Access, s *running.Server) []string {
	return append(os.Environ(),
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID="+k.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+k.SecretAccessKey,
		"AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS="+s.Endpoint)
}
