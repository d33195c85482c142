package running

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Access is the server's first access key.
type Access struct{ AccessKeyID, SecretAccessKey string }

// Access reads the key from the data folder.
func (s *Server) Access() (Access, error) {
	b, err := os.ReadFile(filepath.Join(s.Data, "keys.json"))
	if err != nil {
		return Access{}, err
	}
	var list []Access
	if err := json.Unmarshal(b, &list); err != nil {
		return Access{}, err
	}
	if len(list) == 0 {
		return Access{}, errors.New("the data folder has no access key")
	}
	return list[0], nil
}

// AWS is how the AWS SDK calls the server with its first access key.
func (s *Server) AWS() (aws.Config, error) {
	k, err := s.Access()
	if err != nil {
		return aws.Config{}, err
	}
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(s.Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, ""),
	}, nil
}
