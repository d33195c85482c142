package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/test/apiserver"
)

const otherAccount = "222222222222"

// newKey makes an access key while the server runs.
func newKey(t *testing.T, s *apiserver.Server, spec access.Spec) access.Key {
	t.Helper()
	k, err := access.Create(s.Keys, spec, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// with configures the AWS SDK for a key.
func with(s *apiserver.Server, k access.Key) aws.Config {
	cfg := s.AWS()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(k.ID, k.Secret.Reveal(), k.SessionToken.Reveal())
	return cfg
}

func policy(t *testing.T, text string) access.Policy {
	t.Helper()
	p, err := access.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What one account has made does not exist for another, and neither what it
// holds.
func TestAccountsDoNotSeeEachOther(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	other := newClients(with(s, newKey(t, s, access.Spec{Account: otherAccount})))

	meeting := c.newMeeting(t)
	attendee, err := c.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{MeetingId: meeting.MeetingId, ExternalUserId: aws.String("alice")})
	if err != nil {
		t.Fatal(err)
	}
	created, err := c.pipelines.CreateMediaLiveConnectorPipeline(ctx, connectorInput(aws.ToString(meeting.MeetingArn)))
	if err != nil {
		t.Fatal(err)
	}
	pipeline := created.MediaLiveConnectorPipeline.MediaPipelineId
	channel, err := c.channels.CreateChannel(ctx, &ivs.CreateChannelInput{Name: aws.String("ours")})
	if err != nil {
		t.Fatal(err)
	}
	arn := channel.Channel.Arn

	for name, call := range map[string]func() error{
		"GetMeeting": func() error {
			_, err := other.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: meeting.MeetingId})
			return err
		},
		"DeleteMeeting": func() error {
			_, err := other.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: meeting.MeetingId})
			return err
		},
		"CreateAttendee": func() error {
			_, err := other.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{MeetingId: meeting.MeetingId, ExternalUserId: aws.String("mallory")})
			return err
		},
		"GetAttendee": func() error {
			_, err := other.meetings.GetAttendee(ctx, &chimesdkmeetings.GetAttendeeInput{MeetingId: meeting.MeetingId, AttendeeId: attendee.Attendee.AttendeeId})
			return err
		},
		"ListAttendees": func() error {
			_, err := other.meetings.ListAttendees(ctx, &chimesdkmeetings.ListAttendeesInput{MeetingId: meeting.MeetingId})
			return err
		},
		"GetMediaPipeline": func() error {
			_, err := other.pipelines.GetMediaPipeline(ctx, &chimesdkmediapipelines.GetMediaPipelineInput{MediaPipelineId: pipeline})
			return err
		},
		"DeleteMediaPipeline": func() error {
			_, err := other.pipelines.DeleteMediaPipeline(ctx, &chimesdkmediapipelines.DeleteMediaPipelineInput{MediaPipelineId: pipeline})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { checkError(t, call(), http.StatusNotFound, "NotFoundException", "") })
	}
	for name, call := range map[string]func() error{
		"GetChannel": func() error {
			_, err := other.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: arn})
			return err
		},
		"DeleteChannel": func() error {
			_, err := other.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: arn})
			return err
		},
		"GetStreamKey": func() error {
			_, err := other.channels.GetStreamKey(ctx, &ivs.GetStreamKeyInput{Arn: channel.StreamKey.Arn})
			return err
		},
		"GetStream": func() error {
			_, err := other.channels.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: arn})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { checkError(t, call(), http.StatusNotFound, "ResourceNotFoundException", "") })
	}

	_, err = other.pipelines.CreateMediaLiveConnectorPipeline(ctx, connectorInput(aws.ToString(meeting.MeetingArn)))
	checkError(t, err, http.StatusBadRequest, "BadRequestException", "does not exist")

	// Lists hold one's own; a name may be taken in both accounts.
	theirs, err := other.channels.CreateChannel(ctx, &ivs.CreateChannelInput{Name: aws.String("ours")})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(theirs.Channel.Arn), "arn:aws:ivs:us-east-1:"+otherAccount+":channel/"; !strings.HasPrefix(got, want) {
		t.Errorf("got ARN %s, want it to begin with %s", got, want)
	}
	for who, c := range map[string]struct {
		clients
		channel *string
	}{"owner": {c, arn}, "other": {other, theirs.Channel.Arn}} {
		list, err := c.channels.ListChannels(ctx, &ivs.ListChannelsInput{})
		if err != nil || len(list.Channels) != 1 || aws.ToString(list.Channels[0].Arn) != aws.ToString(c.channel) {
			t.Errorf("%s: got %v (%v), want the own channel alone", who, list, err)
		}
	}
	pipelines, err := other.pipelines.ListMediaPipelines(ctx, &chimesdkmediapipelines.ListMediaPipelinesInput{})
	if err != nil || len(pipelines.MediaPipelines) != 0 {
		t.Errorf("got %v (%v), want no pipelines", pipelines, err)
	}
	own := other.newMeeting(t)
	if got, want := aws.ToString(own.MeetingArn), "arn:aws:chime:us-east-1:"+otherAccount+":meeting/"; !strings.HasPrefix(got, want) {
		t.Errorf("got ARN %s, want it to begin with %s", got, want)
	}
	// Nothing was changed by those who should not have been able to.
	if _, err := c.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: meeting.MeetingId}); err != nil {
		t.Errorf("the owner's meeting: got %v, want it there", err)
	}
	if _, err := c.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: arn}); err != nil {
		t.Errorf("the owner's channel: got %v, want it there", err)
	}
}

func TestPolicies(t *testing.T) {
	s, c := start(t)
	ctx := t.Context()
	first, err := c.channels.CreateChannel(ctx, &ivs.CreateChannelInput{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.channels.CreateChannel(ctx, &ivs.CreateChannelInput{})
	if err != nil {
		t.Fatal(err)
	}
	meeting := c.newMeeting(t)
	get := func(c clients, arn *string) error {
		_, err := c.channels.GetChannel(ctx, &ivs.GetChannelInput{Arn: arn})
		return err
	}

	reader := newClients(with(s, newKey(t, s, access.Spec{Name: "reader", Policy: policy(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ivs:get*","ivs:List*"],"Resource":"*"}]}`)})))
	if err := get(reader, first.Channel.Arn); err != nil {
		t.Errorf("reader: got %v, want the channel", err)
	}
	_, err = reader.channels.DeleteChannel(ctx, &ivs.DeleteChannelInput{Arn: first.Channel.Arn})
	checkError(t, err, http.StatusForbidden, "AccessDeniedException",
		"User: arn:aws:iam::"+apiserver.Account+":user/reader is not authorized to perform: ivs:DeleteChannel on resource: "+aws.ToString(first.Channel.Arn))
	_, err = reader.channels.CreateChannel(ctx, &ivs.CreateChannelInput{})
	checkError(t, err, http.StatusForbidden, "AccessDeniedException", "ivs:CreateChannel on resource: *")
	_, err = reader.meetings.CreateMeeting(ctx, meetingInput())
	checkError(t, err, http.StatusForbidden, "ForbiddenException", "chime:CreateMeeting on resource: *")
	_, err = reader.pipelines.ListMediaPipelines(ctx, nil)
	checkError(t, err, http.StatusForbidden, "ForbiddenException", "chime:ListMediaPipelines")

	one := newKey(t, s, access.Spec{Policy: policy(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"*","Resource":["`+aws.ToString(first.Channel.Arn)+`","`+aws.ToString(meeting.MeetingArn)+`"]},
		{"Effect":"Deny","Action":"chime:DeleteMeeting","Resource":"*"}]}`)})
	holder := newClients(with(s, one))
	if err := get(holder, first.Channel.Arn); err != nil {
		t.Errorf("one channel: got %v, want it", err)
	}
	checkError(t, get(holder, second.Channel.Arn), http.StatusForbidden, "AccessDeniedException", "user/"+one.ID+" is not authorized")
	_, err = holder.channels.ListChannels(ctx, nil)
	checkError(t, err, http.StatusForbidden, "AccessDeniedException", "because no statement of its policy allows that")
	if _, err := holder.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: meeting.MeetingId}); err != nil {
		t.Errorf("one meeting: got %v, want it", err)
	}
	_, err = holder.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: meeting.MeetingId})
	checkError(t, err, http.StatusForbidden, "ForbiddenException", "with an explicit deny in its policy")
}

func TestTemporaryKeys(t *testing.T) {
	s, _ := start(t)
	k := newKey(t, s, access.Spec{TTL: time.Hour})
	newClients(with(s, k)).newMeeting(t)

	for name, c := range map[string]struct{ token, says string }{
		"without its token":    {"", "must come as X-Amz-Security-Token"},
		"with another's token": {newKey(t, s, access.Spec{TTL: time.Hour}).SessionToken.Reveal(), "not that of access key " + k.ID},
		"with part of it":      {k.SessionToken.Reveal()[1:], "not that of access key " + k.ID},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := k
			wrong.SessionToken = access.NewSecret(c.token)
			_, err := newClients(with(s, wrong)).meetings.CreateMeeting(t.Context(), meetingInput())
			checkError(t, err, http.StatusForbidden, "UnrecognizedClientException", c.says)
			_, err = newClients(with(s, wrong)).channels.CreateChannel(t.Context(), nil)
			checkError(t, err, http.StatusForbidden, "UnrecognizedClientException", c.says)
		})
	}

	old, err := access.Create(s.Keys, access.Spec{TTL: time.Hour}, time.Now().Add(-time.Hour-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	_, err = newClients(with(s, old)).meetings.CreateMeeting(t.Context(), meetingInput())
	checkError(t, err, http.StatusForbidden, "ExpiredTokenException", "was good until "+old.Expires.Format("2006-01-02T15:04:05Z"))
	_, err = newClients(with(s, old)).channels.CreateChannel(t.Context(), nil)
	checkError(t, err, http.StatusForbidden, "ExpiredTokenException", "the server has ")

	// Whoever does not know the secret is not told what else is wrong.
	old.Secret = access.NewSecret("wrong")
	_, err = newClients(with(s, old)).channels.CreateChannel(t.Context(), nil)
	checkError(t, err, http.StatusForbidden, "InvalidSignatureException", "does not match")
}

// A key for good has no session token: one that is left over in the environment
// is said to be in the way.
func TestForeignSessionToken(t *testing.T) {
	s, _ := start(t)
	cfg := s.AWS()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(apiserver.AccessKeyID, apiserver.Secret, "left//over+token==")
	c := newClients(cfg)
	_, err := c.meetings.CreateMeeting(t.Context(), meetingInput())
	checkError(t, err, http.StatusForbidden, "UnrecognizedClientException", "has no session token; take X-Amz-Security-Token (AWS_SESSION_TOKEN) away")
	_, err = c.channels.CreateChannel(t.Context(), nil)
	checkError(t, err, http.StatusForbidden, "UnrecognizedClientException", "has no session token")
}

// A call that begins a second after the revocation is refused.
func TestRevocation(t *testing.T) {
	s, _ := start(t)
	k := newKey(t, s, access.Spec{})
	c := newClients(with(s, k))
	if _, err := c.channels.ListChannels(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := access.Revoke(s.Keys, k.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	for {
		begun := time.Now()
		_, err := c.channels.ListChannels(t.Context(), nil)
		if err != nil {
			checkError(t, err, http.StatusForbidden, "UnrecognizedClientException", k.ID)
			return
		}
		if after := begun.Sub(revoked); after > time.Second {
			t.Fatalf("got an answer %v after the revocation, want none after 1 s", after)
		}
	}
}

func TestCallersOfKeys(t *testing.T) {
	s, _ := start(t)
	full := newKey(t, s, access.Spec{Account: otherAccount})
	named := newKey(t, s, access.Spec{Name: "ci"})
	nothing := policy(t, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
	restricted := newKey(t, s, access.Spec{Account: otherAccount, Policy: nothing, TTL: time.Hour})
	for _, c := range []struct {
		key                access.Key
		account, arn, user string
	}{
		{full, otherAccount, "arn:aws:iam::" + otherAccount + ":root", otherAccount},
		{named, apiserver.Account, "arn:aws:iam::" + apiserver.Account + ":user/ci", named.ID},
		{restricted, otherAccount, "arn:aws:iam::" + otherAccount + ":user/" + restricted.ID, restricted.ID},
	} {
		who, err := sts.NewFromConfig(with(s, c.key)).GetCallerIdentity(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if aws.ToString(who.Account) != c.account || aws.ToString(who.Arn) != c.arn || aws.ToString(who.UserId) != c.user {
			t.Errorf("got %s, %s, %s; want %s, %s, %s",
				aws.ToString(who.Account), aws.ToString(who.Arn), aws.ToString(who.UserId), c.account, c.arn, c.user)
		}
	}
}
