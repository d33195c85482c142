package api_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	meetingtypes "github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/test/apiserver"
)

// exchange sends the request signed with the key.
func exchange(t *testing.T, s *apiserver.Server, service *restjson.Service, op *restjson.Operation, in request, k access.Key) (int, http.Header, string) {
	t.Helper()
	target := s.URL + in.path
	if len(in.query) > 0 {
		target += "?" + in.query.Encode()
	}
	var body []byte
	if op.Method != http.MethodGet && op.Method != http.MethodDelete {
		body = in.body
	}
	r, err := http.NewRequestWithContext(t.Context(), op.Method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal(), SessionToken: k.SessionToken.Reveal()}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(hash[:]), service.SigningName, apiserver.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

// Every operation of every service asks the caller's policy.
func TestEveryOperationAsksThePolicy(t *testing.T) {
	s, _ := start(t)
	nothing := newKey(t, s, access.Spec{Name: "nothing", Policy: policy(t, `{"Version":"2012-10-17","Statement":
		{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)})
	each(t, func(t *testing.T, service *restjson.Service, op *restjson.Operation) {
		status, header, body := exchange(t, s, service, op, ask(t, op, exampleOf(t, "", op.Input, false)), nothing)
		if status != http.StatusForbidden || header.Get("X-Amzn-ErrorType") != service.Denied ||
			!strings.Contains(body, "user/nothing is not authorized to perform: "+service.Name+":"+op.Name+" on resource: ") {
			t.Errorf("got %d %s, want 403 %s", status, body, service.Denied)
		}
	})
}

// mark is in what an account has made, where it may have a text.
const mark = "only-for-the-owner"

// Every operation of every service keeps its hands off what belongs to another
// account, and does not tell about it.
func TestNoOperationReachesAnotherAccount(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	other := newKey(t, s, access.Spec{Account: otherAccount})

	in := meetingInput()
	in.ExternalMeetingId = aws.String(mark)
	in.Tags = []meetingtypes.Tag{{Key: aws.String("team"), Value: aws.String(mark)}}
	meeting, err := c.meetings.CreateMeeting(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	attendee, err := c.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{MeetingId: meeting.Meeting.MeetingId, ExternalUserId: aws.String(mark)})
	if err != nil {
		t.Fatal(err)
	}
	pipeline, err := c.pipelines.CreateMediaLiveConnectorPipeline(ctx, connectorInput(aws.ToString(meeting.Meeting.MeetingArn)))
	if err != nil {
		t.Fatal(err)
	}
	channel, err := c.channels.CreateChannel(ctx, &ivs.CreateChannelInput{Name: aws.String(mark), Tags: map[string]string{"team": mark}})
	if err != nil {
		t.Fatal(err)
	}
	restriction, err := c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{Name: aws.String(mark)})
	if err != nil {
		t.Fatal(err)
	}

	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	viewers, err := c.channels.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{
		Name: aws.String(mark), PublicKeyMaterial: aws.String(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))),
	})
	if err != nil {
		t.Fatal(err)
	}

	// What an operation is given names the owner's, wherever it can.
	ids := map[string]*string{
		"MeetingId": meeting.Meeting.MeetingId, "AttendeeId": attendee.Attendee.AttendeeId,
		"MediaPipelineId": pipeline.MediaLiveConnectorPipeline.MediaPipelineId,
	}
	names := map[string]*string{
		":channel/": channel.Channel.Arn, ":stream-key/": channel.StreamKey.Arn,
		":playback-restriction-policy/": restriction.PlaybackRestrictionPolicy.Arn, ":playback-key/": viewers.KeyPair.Arn,
		":meeting/": meeting.Meeting.MeetingArn,
	}
	var aim func(member string, value any) any
	aim = func(member string, value any) any {
		switch v := value.(type) {
		case string:
			if id, ok := ids[member]; ok {
				return *id
			}
			for kind, arn := range names {
				if strings.Contains(v, kind) {
					return *arn
				}
			}
		case []any:
			for i := range v {
				v[i] = aim(member, v[i])
			}
		case map[string]any:
			for name := range v {
				v[name] = aim(name, v[name])
			}
		}
		return value
	}
	state := func() string {
		t.Helper()
		var all []string
		for _, get := range []func() (any, error){
			func() (any, error) {
				out, err := c.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: meeting.Meeting.MeetingId})
				return out.Meeting, err
			},
			func() (any, error) {
				out, err := c.meetings.ListAttendees(ctx, &chimesdkmeetings.ListAttendeesInput{MeetingId: meeting.Meeting.MeetingId})
				return out.Attendees, err
			},
			func() (any, error) {
				out, err := c.meetings.ListTagsForResource(ctx, &chimesdkmeetings.ListTagsForResourceInput{ResourceARN: meeting.Meeting.MeetingArn})
				return out.Tags, err
			},
			func() (any, error) {
				out, err := c.pipelines.ListMediaPipelines(ctx, &chimesdkmediapipelines.ListMediaPipelinesInput{})
				return out.MediaPipelines, err
			},
			func() (any, error) {
				out, err := c.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: channel.Channel.Arn})
				return out.Channel, err
			},
			func() (any, error) {
				out, err := c.channels.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: channel.StreamKey.Arn})
				return out.StreamKey, err
			},
			func() (any, error) {
				out, err := c.channels.ListChannels(ctx, &ivs.ListChannelsInput{})
				return out.Channels, err
			},
			func() (any, error) {
				out, err := c.channels.ListPlaybackRestrictionPolicies(ctx, &ivs.ListPlaybackRestrictionPoliciesInput{})
				return out.PlaybackRestrictionPolicies, err
			},
			func() (any, error) {
				out, err := c.channels.ListPlaybackKeyPairs(ctx, &ivs.ListPlaybackKeyPairsInput{})
				return out.KeyPairs, err
			},
		} {
			out, err := get()
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(text))
		}
		return strings.Join(all, "\n")
	}
	before := state()
	if !strings.Contains(before, mark) {
		t.Fatal("the mark is not where it should be")
	}

	secrets := []string{mark, aws.ToString(channel.StreamKey.Value), aws.ToString(attendee.Attendee.JoinToken)}
	each(t, func(t *testing.T, service *restjson.Service, op *restjson.Operation) {
		input := aim("", exampleOf(t, "", op.Input, false)).(map[string]any)
		if op.Shared == "ResourceARN" && strings.Contains(service.Title, "Pipelines") {
			input["ResourceARN"] = aws.ToString(pipeline.MediaLiveConnectorPipeline.MediaPipelineArn)
		}
		status, _, body := exchange(t, s, service, op, ask(t, op, input), other)
		for _, secret := range secrets {
			if strings.Contains(body, secret) {
				t.Errorf("got %d %s, want nothing of the owner's in it", status, body)
			}
		}
		if status >= http.StatusInternalServerError {
			t.Errorf("got %d %s, want an answer", status, body)
		}
		_, isIn := input["MeetingId"]
		for _, member := range []string{"MediaPipelineId", "ResourceARN", "arn", "channelArn", "resourceArn"} {
			_, here := input[member]
			isIn = isIn || here
		}
		if isIn && status < http.StatusBadRequest {
			t.Errorf("got %d %s for what belongs to another account, want it refused", status, body)
		}
	})

	// What one makes cannot be tied to what belongs to another account.
	theirs := newClients(with(s, other))
	own, err := theirs.channels.CreateChannel(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"CreateChannel with a restriction policy": func() error {
			_, err := theirs.channels.CreateChannel(ctx, &ivs.CreateChannelInput{PlaybackRestrictionPolicyArn: restriction.PlaybackRestrictionPolicy.Arn})
			return err
		},
		"UpdateChannel with a restriction policy": func() error {
			_, err := theirs.channels.UpdateChannel(ctx, &ivs.UpdateChannelInput{Arn: own.Channel.Arn, PlaybackRestrictionPolicyArn: restriction.PlaybackRestrictionPolicy.Arn})
			return err
		},
		"CreateMeeting as a replica": func() error {
			in := meetingInput()
			in.PrimaryMeetingId = meeting.Meeting.MeetingId
			_, err := theirs.meetings.CreateMeeting(ctx, in)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			if status, ok := errors.AsType[interface {
				error
				HTTPStatusCode() int
			}](err); !ok || status.HTTPStatusCode() < 400 || status.HTTPStatusCode() > 499 {
				t.Errorf("got %v, want it refused", err)
			}
		})
	}
	if after := state(); after != before {
		t.Errorf("what the owner has was\n%s\nand is now\n%s", before, after)
	}
}

// A policy for one resource has a say in every operation on one: only those
// that make, import or list things, and those that are refused in any case, are
// about nothing in particular.
func TestEveryOperationSaysWhatItIsAbout(t *testing.T) {
	each(t, func(t *testing.T, service *restjson.Service, op *restjson.Operation) {
		in := ask(t, op, exampleOf(t, "", op.Input, false))
		call, ok := service.Find(op.Method, in.path, in.query)
		if !ok {
			t.Fatal("got no operation")
		}
		var asked []string
		caller := restjson.Caller{Account: apiserver.Account, Region: apiserver.Region, May: func(_, resource string) error {
			asked = append(asked, resource)
			return nil
		}}
		if refusal := service.Permit(call, caller, call.Read(in.query, in.body)); refusal != nil {
			t.Fatal(refusal)
		}
		general := op.Class == restjson.C
		for _, verb := range []string{"Create", "Import", "List"} {
			general = general || strings.HasPrefix(op.Name, verb)
		}
		for _, resource := range asked {
			if !strings.HasPrefix(resource, "arn:aws:") && (resource != "*" || !general) {
				t.Errorf("got %q, want an ARN", resource)
			}
		}
	})
}
