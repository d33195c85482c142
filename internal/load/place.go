package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
	"golang.org/x/sync/errgroup"
)

const (
	maxBatch     = 100 // attendees per BatchCreateAttendee
	clearTimeout = 30 * time.Second
	clearAtOnce  = 8
)

// A place is the meeting, and the attendees made for it.
type place struct {
	api          *chimesdkmeetings.Client
	id           string
	own          bool // made for the occasion
	signalingURL string
	prefix       string // of the external user ids
	attendees    []types.Attendee
}

// enter finds or makes the meeting and makes the attendees. After an error
// nothing is left.
func enter(ctx context.Context, cfg Config) (_ *place, err error) {
	p := &place{
		api: chimesdkmeetings.NewFromConfig(cfg.AWS), id: cfg.MeetingID,
		prefix: fmt.Sprintf("load-%06x-", rand.Uint32()>>8),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.clear())
		}
	}()
	if err := p.find(ctx, cfg.AWS.Region); err != nil {
		return nil, err
	}
	for n := 0; n < cfg.Count; {
		var batch []types.CreateAttendeeRequestItem
		for ; n < cfg.Count && len(batch) < maxBatch; n++ {
			batch = append(batch, types.CreateAttendeeRequestItem{ExternalUserId: aws.String(p.name(n))})
		}
		out, err := p.api.BatchCreateAttendee(ctx, &chimesdkmeetings.BatchCreateAttendeeInput{MeetingId: &p.id, Attendees: batch})
		if err != nil {
			return nil, fmt.Errorf("create attendees: %w", err)
		}
		p.attendees = append(p.attendees, out.Attendees...)
		if len(out.Errors) > 0 {
			e := out.Errors[0]
			return nil, fmt.Errorf("create attendees: %d refused: %s: %s", len(out.Errors), aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage))
		}
	}
	slices.SortFunc(p.attendees, func(a, b types.Attendee) int { return p.number(*a.ExternalUserId) - p.number(*b.ExternalUserId) })
	return p, nil
}

func (p *place) find(ctx context.Context, region string) error {
	var m *types.Meeting
	if p.id != "" {
		out, err := p.api.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: &p.id})
		if err != nil {
			return fmt.Errorf("find the meeting: %w", err)
		}
		m = out.Meeting
	} else {
		out, err := p.api.CreateMeeting(ctx, &chimesdkmeetings.CreateMeetingInput{
			ClientRequestToken: aws.String(p.prefix + strconv.FormatInt(time.Now().UnixNano(), 36)),
			ExternalMeetingId:  aws.String(strings.TrimSuffix(p.prefix, "-")), MediaRegion: &region,
		})
		if err != nil {
			return fmt.Errorf("create a meeting: %w", err)
		}
		m, p.own = out.Meeting, true
		p.id = aws.ToString(m.MeetingId)
	}
	if m.MediaPlacement == nil || aws.ToString(m.MediaPlacement.SignalingUrl) == "" {
		return errors.New("find the meeting: the answer does not say where it takes place")
	}
	p.signalingURL = *m.MediaPlacement.SignalingUrl
	return nil
}

// name is the external user id of the n-th attendee, number its inverse; -1
// for others.
func (p *place) name(n int) string { return fmt.Sprintf("%s%04d", p.prefix, n) }

func (p *place) number(name string) int {
	digits, ok := strings.CutPrefix(name, p.prefix)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return -1
	}
	return n
}

// clear removes what was made.
func (p *place) clear() error {
	ctx, cancel := context.WithTimeout(context.Background(), clearTimeout)
	defer cancel()
	if p.own {
		if _, err := p.api.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: &p.id}); err != nil {
			return fmt.Errorf("end the meeting: %w", err)
		}
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(clearAtOnce)
	for _, a := range p.attendees {
		g.Go(func() error {
			_, err := p.api.DeleteAttendee(ctx, &chimesdkmeetings.DeleteAttendeeInput{MeetingId: &p.id, AttendeeId: a.AttendeeId})
			var gone *types.NotFoundException
			if err != nil && !errors.As(err, &gone) {
				return fmt.Errorf("remove attendees: %w", err)
			}
			return nil
		})
	}
	return g.Wait()
}
