package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"belfry.live/belfry/test/running"
)

// access is the server's first access key.
type access struct{ AccessKeyID, SecretAccessKey string }

func keys(s *running.Server) (access, error) {
	b, err := os.ReadFile(filepath.Join(s.Data, "keys.json"))
	if err != nil {
		return access{}, err
	}
	var list []access
	if err := json.Unmarshal(b, &list); err != nil {
		return access{}, err
	}
	if len(list) == 0 {
		return access{}, errors.New("the data folder has no access key")
	}
	return list[0], nil
}

const region = "us-east-1"

// config is how the AWS SDK calls the server.
func (k access) config(s *running.Server, web *http.Client) aws.Config {
	return aws.Config{
		HTTPClient: web,
		Region:     region, BaseEndpoint: aws.String(s.Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, ""),
	}
}

// environment has the same for a process.
func (k access) environment(s *running.Server) []string {
	return append(os.Environ(),
		"AWS_REGION="+region, "AWS_ACCESS_KEY_ID="+k.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+k.SecretAccessKey,
		"AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS="+s.Endpoint)
}
