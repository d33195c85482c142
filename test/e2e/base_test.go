package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
)

// The APIs may lie below a path, all in one region: the site, which is their
// client, finds them there, and so does who asks `belfry env`. A page token is
// good after a restart.
func TestAPIsBelowAPath(t *testing.T) {
	file := filepath.Join(t.TempDir(), "belfry.toml")
	if err := os.WriteFile(file, []byte("[api]\nbase_path = \"/aws/v1\"\nignore_region = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config", file)
	if _, err := s.Join("Ann"); err != nil {
		t.Errorf("join: got %v, want the site to reach the APIs", err)
	}
	out, _, err := belfry("env", "--data", s.Data)
	if want := "export AWS_ENDPOINT_URL_IVS='" + s.Endpoint + "/aws/v1'"; err != nil || !strings.Contains(out, want) {
		t.Errorf("got %q (%v), want %q in it", out, err, want)
	}
	client := func(region string) *ivs.Client {
		cfg, err := s.AWS()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Region, cfg.BaseEndpoint = region, aws.String(s.Endpoint+"/aws/v1/")
		return ivs.NewFromConfig(cfg)
	}
	for range 2 {
		made, err := client("ap-south-1").CreateChannel(t.Context(), &ivs.CreateChannelInput{})
		if err != nil {
			t.Fatal(err)
		}
		if arn := *made.Channel.Arn; !strings.HasPrefix(arn, "arn:aws:ivs:us-east-1:") {
			t.Errorf("got %s, want it in the server's region", arn)
		}
	}
	one := aws.Int32(1)
	first, err := client("eu-west-1").ListChannels(t.Context(), &ivs.ListChannelsInput{MaxResults: one})
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.run()
	second, err := client("eu-west-1").ListChannels(t.Context(), &ivs.ListChannelsInput{MaxResults: one, NextToken: first.NextToken})
	if err != nil || len(second.Channels) != 1 || *second.Channels[0].Arn == *first.Channels[0].Arn || second.NextToken != nil {
		t.Errorf("after a restart: got %+v (%v), want the other channel and no more", second, err)
	}
}
