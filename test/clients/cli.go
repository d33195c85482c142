package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// program is the aws CLI as Debian has it.
const program = "/usr/bin/aws"

// cli is the aws CLI, which runs once for every call.
type cli struct{ path string }

// CLI returns Debian's aws CLI.
func CLI(t testing.TB) Client {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("aws CLI: %v; tools/packages.sh test installs what is needed", err)
	}
	return cli{path}
}

func (cli) Name() string { return "aws CLI" }

var (
	commands = map[string]string{Meetings: "chime-sdk-meetings", Pipelines: "chime-sdk-media-pipelines", IVS: "ivs"}
	capital  = regexp.MustCompile(`([a-z])([A-Z])`)
	refused  = regexp.MustCompile(`An error occurred \((\w+)\) when calling the \w+ operation[^:]*: (.*)`)
	missing  = regexp.MustCompile(`Invalid choice|invalid choice`)
)

func (c cli) Call(ctx context.Context, s Setup, r Request) (Answer, error) {
	input, err := json.Marshal(r.Input)
	if err != nil {
		return Answer{}, err
	}
	command := strings.ToLower(capital.ReplaceAllString(r.Operation, "$1-$2"))
	args := []string{
		commands[r.Service], command, "--endpoint-url", s.Endpoint, "--region", s.Region,
		"--output", "json", "--no-cli-pager", "--cli-input-json", string(input),
	}
	if r.PageSize > 0 {
		return Answer{}, errors.New("the aws CLI puts pages together by itself")
	}
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = append(environment(), "AWS_ACCESS_KEY_ID="+s.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+s.Secret)
	if s.SessionToken != "" {
		cmd.Env = append(cmd.Env, "AWS_SESSION_TOKEN="+s.SessionToken)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if m := refused.FindStringSubmatch(stderr.String()); m != nil {
			return Answer{Error: &Error{Type: m[1], Message: m[2], Text: m[2]}}, nil
		}
		if missing.MatchString(stderr.String()) {
			return Answer{}, ErrUnknown
		}
		return Answer{}, fmt.Errorf("aws %s %s: %w: %s", commands[r.Service], command, err, &stderr)
	}
	a := Answer{Output: map[string]any{}}
	if stdout.Len() == 0 {
		return a, nil // what has no body prints nothing
	}
	return a, json.Unmarshal(stdout.Bytes(), &a.Output)
}
