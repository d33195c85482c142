package durability

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings/types"
)

type meeting struct {
	id, external, token string
	attendees           []*attendee
	streamed            bool // a pipeline was made for it
}

type attendee struct {
	id, external, joinToken string
	audio                   types.MediaCapabilities
}

func (m *meeting) add(a types.Attendee) {
	if m.named(aws.ToString(a.ExternalUserId)) == nil {
		m.attendees = append(m.attendees, &attendee{
			id: aws.ToString(a.AttendeeId), external: aws.ToString(a.ExternalUserId), joinToken: aws.ToString(a.JoinToken),
			audio: a.Capabilities.Audio,
		})
	}
}

func (m *meeting) named(external string) *attendee {
	i := slices.IndexFunc(m.attendees, func(a *attendee) bool { return a.external == external })
	if i < 0 {
		return nil
	}
	return m.attendees[i]
}

// again is how a call that may be repeated is settled: repeated, it must
// succeed and answer as if it was the first.
func again(do func(context.Context) error) func() error {
	return func() error {
		ctx, cancel := bounded()
		defer cancel()
		return do(ctx)
	}
}

func (w *writer) createMeeting(round string, people int) call {
	m := &meeting{external: w.name(round, "meeting"), token: w.name(round, "token")}
	if people == 0 {
		do := func(ctx context.Context) error {
			out, err := w.clients.meetings.CreateMeeting(ctx, &chimesdkmeetings.CreateMeetingInput{
				ClientRequestToken: &m.token, MediaRegion: aws.String("us-east-1"), ExternalMeetingId: &m.external,
			})
			if err == nil {
				m.id = aws.ToString(out.Meeting.MeetingId)
				w.meetings = append(w.meetings, m)
			}
			return err
		}
		return call{"CreateMeeting", do, again(do)}
	}
	var first []types.CreateAttendeeRequestItem
	for range people {
		first = append(first, types.CreateAttendeeRequestItem{ExternalUserId: aws.String(w.name(round, "person"))})
	}
	do := func(ctx context.Context) error {
		out, err := w.clients.meetings.CreateMeetingWithAttendees(ctx, &chimesdkmeetings.CreateMeetingWithAttendeesInput{
			ClientRequestToken: &m.token, MediaRegion: aws.String("us-east-1"), ExternalMeetingId: &m.external, Attendees: first,
		})
		if err != nil {
			return err
		}
		m.id = aws.ToString(out.Meeting.MeetingId)
		for _, a := range out.Attendees {
			m.add(a)
		}
		if len(m.attendees) != people || len(out.Errors) > 0 {
			return fmt.Errorf("got %d of %d attendees, and %d errors", len(m.attendees), people, len(out.Errors))
		}
		w.meetings = append(w.meetings, m)
		return nil
	}
	return call{"CreateMeetingWithAttendees", do, again(do)}
}

func (w *writer) deleteMeeting(m *meeting) call {
	noted := func() {
		w.meetings = slices.DeleteFunc(w.meetings, func(o *meeting) bool { return o == m })
		w.ended = append(w.ended, m.id)
	}
	do := func(ctx context.Context) error {
		if _, err := w.clients.meetings.DeleteMeeting(ctx, &chimesdkmeetings.DeleteMeetingInput{MeetingId: &m.id}); err != nil {
			return err
		}
		noted()
		w.gone = append(w.gone, func() error {
			ctx, cancel := bounded()
			defer cancel()
			_, err := w.clients.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: &m.id})
			return wantAbsent("meeting "+m.external, err)
		})
		return nil
	}
	return call{"DeleteMeeting", do, func() error {
		ctx, cancel := bounded()
		defer cancel()
		_, err := w.clients.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: &m.id})
		if notFound(err) {
			noted()
			return nil
		}
		return err // still there: with all its attendees, says check
	}}
}

func (w *writer) createAttendee(round string, m *meeting) call {
	external := w.name(round, "person")
	do := func(ctx context.Context) error {
		out, err := w.clients.meetings.CreateAttendee(ctx, &chimesdkmeetings.CreateAttendeeInput{MeetingId: &m.id, ExternalUserId: &external})
		if err == nil {
			m.add(*out.Attendee)
		}
		return err
	}
	return call{"CreateAttendee", do, again(do)}
}

func (w *writer) createAttendees(round string, m *meeting) call {
	var all []types.CreateAttendeeRequestItem
	for range 2 + w.random.IntN(10) {
		all = append(all, types.CreateAttendeeRequestItem{ExternalUserId: aws.String(w.name(round, "person"))})
	}
	do := func(ctx context.Context) error {
		out, err := w.clients.meetings.BatchCreateAttendee(ctx, &chimesdkmeetings.BatchCreateAttendeeInput{MeetingId: &m.id, Attendees: all})
		if err != nil {
			return err
		}
		if len(out.Errors) > 0 || len(out.Attendees) != len(all) {
			return fmt.Errorf("got %d of %d attendees, and %d errors", len(out.Attendees), len(all), len(out.Errors))
		}
		for _, a := range out.Attendees {
			m.add(a)
		}
		return nil
	}
	return call{"BatchCreateAttendee", do, func() error {
		// All or none, and then all.
		there, err := w.list(m)
		if err != nil {
			return err
		}
		n := 0
		for _, item := range all {
			if slices.ContainsFunc(there, func(a types.Attendee) bool { return aws.ToString(a.ExternalUserId) == *item.ExternalUserId }) {
				n++
			}
		}
		if n != 0 && n != len(all) {
			return fmt.Errorf("%d of %d attendees are there", n, len(all))
		}
		return again(do)()
	}}
}

func (w *writer) deleteAttendee(m *meeting) call {
	a := m.attendees[w.random.IntN(len(m.attendees))]
	noted := func() {
		m.attendees = slices.DeleteFunc(m.attendees, func(o *attendee) bool { return o == a })
	}
	get := func() error {
		ctx, cancel := bounded()
		defer cancel()
		_, err := w.clients.meetings.GetAttendee(ctx, &chimesdkmeetings.GetAttendeeInput{MeetingId: &m.id, AttendeeId: &a.id})
		return err
	}
	do := func(ctx context.Context) error {
		_, err := w.clients.meetings.DeleteAttendee(ctx, &chimesdkmeetings.DeleteAttendeeInput{MeetingId: &m.id, AttendeeId: &a.id})
		if err == nil {
			noted()
			w.gone = append(w.gone, func() error { return wantAbsent("attendee "+a.external, get()) })
		}
		return err
	}
	return call{"DeleteAttendee", do, func() error {
		err := get()
		if notFound(err) {
			noted()
			return nil
		}
		return err
	}}
}

func (w *writer) updateAttendee(m *meeting) call {
	a := m.attendees[w.random.IntN(len(m.attendees))]
	want := types.MediaCapabilitiesReceive
	if a.audio == want {
		want = types.MediaCapabilitiesSendReceive
	}
	do := func(ctx context.Context) error {
		_, err := w.clients.meetings.UpdateAttendeeCapabilities(ctx, &chimesdkmeetings.UpdateAttendeeCapabilitiesInput{
			MeetingId: &m.id, AttendeeId: &a.id,
			Capabilities: &types.AttendeeCapabilities{Audio: want, Video: types.MediaCapabilitiesReceive, Content: types.MediaCapabilitiesNone},
		})
		if err == nil {
			a.audio = want
		}
		return err
	}
	return call{"UpdateAttendeeCapabilities", do, again(do)}
}

func (w *writer) list(m *meeting) (all []types.Attendee, err error) {
	ctx, cancel := bounded()
	defer cancel()
	for pages := chimesdkmeetings.NewListAttendeesPaginator(w.clients.meetings, &chimesdkmeetings.ListAttendeesInput{MeetingId: &m.id}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range page.Attendees {
			if !strings.HasPrefix(aws.ToString(a.ExternalUserId), "aws:") { // a pipeline's
				all = append(all, a)
			}
		}
	}
	return all, nil
}

func (w *writer) checkMeeting(m *meeting) error {
	ctx, cancel := bounded()
	defer cancel()
	out, err := w.clients.meetings.GetMeeting(ctx, &chimesdkmeetings.GetMeetingInput{MeetingId: &m.id})
	if err != nil {
		return err
	}
	if got := aws.ToString(out.Meeting.ExternalMeetingId); got != m.external {
		return fmt.Errorf("got external id %s, want %s", got, m.external)
	}
	all, err := w.list(m)
	if err != nil {
		return err
	}
	got, want := map[string]string{}, map[string]string{}
	for _, a := range all {
		got[aws.ToString(a.AttendeeId)] = fmt.Sprint(aws.ToString(a.ExternalUserId), a.Capabilities.Audio, aws.ToString(a.JoinToken))
	}
	for _, a := range m.attendees {
		want[a.id] = fmt.Sprint(a.external, a.audio, a.joinToken)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("got %d attendees, want %d: %s", len(got), len(want), difference(got, want))
	}
	return nil
}
