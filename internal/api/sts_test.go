package api_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"belfry.live/belfry/test/apiserver"
)

// Applications ask for their account before they write an ARN.
func TestCallerIdentity(t *testing.T) {
	s, _ := start(t)
	who, err := sts.NewFromConfig(s.AWS()).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(who.Arn), "arn:aws:iam::"+apiserver.Account+":root"; got != want || aws.ToString(who.Account) != apiserver.Account || aws.ToString(who.UserId) == "" {
		t.Errorf("got %s of account %s, want %s of %s", got, aws.ToString(who.Account), want, apiserver.Account)
	}
}

func TestCallerIdentityRefusals(t *testing.T) {
	s, _ := start(t)
	cfg := s.AWS()
	client := sts.NewFromConfig(cfg)
	code := func(err error) string {
		e, ok := errors.AsType[smithy.APIError](err)
		if !ok {
			return fmt.Sprint("no answer: ", err)
		}
		return e.ErrorCode()
	}
	_, err := client.GetSessionToken(t.Context(), nil)
	if got := code(err); got != "InvalidAction" {
		t.Errorf("another operation: got %s, want InvalidAction", got)
	}
	cfg.Credentials = credentials.NewStaticCredentialsProvider(apiserver.AccessKeyID, "wrong", "")
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
	if got := code(err); got != "InvalidSignatureException" {
		t.Errorf("wrong secret: got %s, want InvalidSignatureException", got)
	}
	unsigned, err := http.Post(s.URL, "application/x-www-form-urlencoded", strings.NewReader("Action=GetCallerIdentity"))
	if err != nil {
		t.Fatal(err)
	}
	defer unsigned.Body.Close()
	text, err := io.ReadAll(unsigned.Body)
	if err != nil || unsigned.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "<Code>MissingAuthenticationTokenException</Code>") {
		t.Errorf("unsigned: got %d %s, want 403", unsigned.StatusCode, text)
	}
}
