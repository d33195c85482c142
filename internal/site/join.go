package site

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	crypto "crypto/rand"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"github.com/google/uuid"
)

const (
	maxName   = 40 // characters of a display name
	joinLimit = 15 * time.Second
	undoLimit = 15 * time.Second
)

// joined is what the media client needs, as the SDK returned it.
type joined struct {
	Meeting  *types.Meeting
	Attendee *types.Attendee
}

// join puts the caller into a meeting.
func (s *Site) join(r *http.Request) (any, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := readBody(r, &in); err != nil {
		return nil, err
	}
	if n := utf8.RuneCountInString(in.Name); n > maxName {
		return nil, &failure{status: http.StatusBadRequest, cause: fmt.Sprintf("name must have at most %d characters, got %d", maxName, n)}
	}
	ctx, cancel := context.WithTimeout(r.Context(), joinLimit)
	defer cancel()
	userID := externalUserID(in.Name)
	for {
		seat, err := s.lobby.take(ctx)
		if err != nil {
			return nil, explain("find a seat", err)
		}
		j, err := s.enter(ctx, seat, userID)
		if err == nil {
			return j, nil
		}
		if errors.Is(err, errEnded) {
			continue // the lobby does not have it any more
		}
		s.leave(ctx, seat, j)
		return nil, err
	}
}

var errEnded = errors.New("the meeting has ended")

// enter makes the caller an attendee of the opening's meeting, and makes the
// meeting if need be. It returns errEnded if the meeting was there and is not
// any more; the opening is then discarded. On another error the result holds
// the meeting, if it came so far.
func (s *Site) enter(ctx context.Context, seat opening, userID string) (joined, error) {
	var j joined
	if seat.MeetingID == "" {
		made, err := s.createMeeting(ctx, seat)
		if err != nil {
			return j, explain("create meeting", err)
		}
		j.Meeting = made
		if err := s.lobby.settle(ctx, seat.Token, aws.ToString(made.MeetingId)); err != nil {
			return j, explain("remember the meeting", err)
		}
	} else {
		found, err := s.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String(seat.MeetingID)})
		if err != nil {
			return j, s.discardEnded(ctx, seat.MeetingID, explain("get meeting", err), err)
		}
		j.Meeting = found.Meeting
	}
	id := aws.ToString(j.Meeting.MeetingId)
	made, err := s.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{
		MeetingId: aws.String(id), ExternalUserId: aws.String(userID),
	})
	if err != nil {
		return j, s.discardEnded(ctx, id, explain("create attendee", err), err)
	}
	j.Attendee = made.Attendee
	return j, nil
}

// createMeeting makes the opening's meeting, or finds it if another joiner of
// the same opening was faster.
func (s *Site) createMeeting(ctx context.Context, seat opening) (*types.Meeting, error) {
	for {
		made, err := s.meetings.CreateMeeting(ctx, &chimesdkmeetings.CreateMeetingInput{
			ClientRequestToken: aws.String(seat.Token),
			ExternalMeetingId:  aws.String(seat.ExternalID),
			MediaRegion:        aws.String(s.cfg.MediaRegion),
		})
		if err == nil {
			return made.Meeting, nil
		}
		if _, simultaneous := errors.AsType[*types.ConflictException](err); !simultaneous {
			return nil, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// discardEnded takes the meeting out of the lobby and returns errEnded if err
// says that it has ended, and the failure if it says anything else.
func (s *Site) discardEnded(ctx context.Context, meetingID string, f *failure, err error) error {
	if !isGone(err) {
		return f
	}
	if err := s.lobby.discard(ctx, meetingID); err != nil {
		return explain("forget a meeting that has ended", err)
	}
	return errEnded
}

// leave undoes what a failed join did.
func (s *Site) leave(ctx context.Context, seat opening, j joined) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	empty, err := s.lobby.giveBack(ctx, seat)
	if err == nil && empty && j.Meeting != nil {
		_, err = s.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: j.Meeting.MeetingId})
	}
	if err != nil && !isGone(err) {
		s.log.Warn("cannot undo a join that failed; its seat stays taken until the meeting ends", "err", err)
	}
}

// end ends a meeting for everybody, its stream too.
func (s *Site) end(r *http.Request) (any, error) {
	var in struct {
		MeetingID string `json:"meetingId"`
	}
	if err := readBody(r, &in); err != nil {
		return nil, err
	}
	if err := checkID("meetingId", in.MeetingID); err != nil {
		return nil, err
	}
	_, endErr := s.meetings.DeleteMeeting(r.Context(), &chimesdkmeetings.DeleteMeetingInput{MeetingId: aws.String(in.MeetingID)})
	if endErr != nil && !isGone(endErr) {
		return nil, explain("delete meeting", endErr)
	}
	if err := s.lobby.discard(r.Context(), in.MeetingID); err != nil {
		return nil, explain("forget the meeting", err)
	}
	if err := s.stopBroadcast(r.Context(), in.MeetingID); err != nil {
		s.log.Warn("the meeting has ended, but its stream is not cleared up yet", "meeting", in.MeetingID, "err", err)
	}
	if endErr != nil {
		return nil, noSuchMeeting(in.MeetingID)
	}
	return in, nil
}

func noSuchMeeting(id string) *failure {
	return &failure{status: http.StatusNotFound, cause: "there is no meeting " + id}
}

// checkID wants a UUID, which is what the services name their things by.
func checkID(member, id string) error {
	if len(id) != 36 || uuid.Validate(id) != nil {
		return &failure{status: http.StatusBadRequest, cause: fmt.Sprintf("%s must be a UUID, got %.100q", member, id)}
	}
	return nil
}

// notAllowed is what an ExternalUserId must not hold.
var notAllowed = regexp.MustCompile("[^-_&@+=,(){}\\[\\]/«».:|'\"#a-zA-Z0-9À-ÿ ]+")

// externalUserID returns an id nobody else has, with the name in it for the
// others to see: "1a2b3c4d#Zoë". Characters that the services do not take in
// such ids are left out.
func externalUserID(name string) string {
	var unique [4]byte
	_, _ = crypto.Read(unique[:]) // never fails
	name = strings.Join(strings.Fields(notAllowed.ReplaceAllString(name, " ")), " ")
	if name == "" {
		name = fmt.Sprintf("Guest %d", 1000+rand.N(9000))
	}
	return hex.EncodeToString(unique[:]) + "#" + name
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
