package attendee

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"belfry.live/belfry/internal/wire/chime"
)

// live is the session that is connected.
func (c *Client) live() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return nil, ErrNotConnected
	}
	return c.current, nil
}

// SendData sends a data message to everybody else in the meeting. The limits
// on it are the server's.
func (c *Client) SendData(m Message) error {
	s, err := c.live()
	if err != nil {
		return err
	}
	f := chime.New(chime.Frame_DATA_MESSAGE, time.Now())
	f.DataMessage = &chime.DataMessageFrame{Messages: []*chime.DataMessagePayload{{
		Topic: &m.Topic, Data: m.Data, LifetimeMs: proto.Uint32(uint32(m.Lifetime / time.Millisecond)),
	}}}
	return s.send(context.Background(), f)
}

// dataArrived passes messages on.
func (s *session) dataArrived(list []*chime.DataMessagePayload) {
	if s.c.handler.Data == nil {
		return
	}
	for _, m := range list {
		message := Message{
			Topic: m.GetTopic(), Data: m.GetData(), Lifetime: time.Duration(m.GetLifetimeMs()) * time.Millisecond,
			SenderAttendeeID: m.GetSenderAttendeeId(), SenderExternalUserID: m.GetSenderExternalUserId(),
		}
		if ns := m.GetIngestTimeNs(); ns != 0 {
			message.Sent = time.Unix(0, ns)
		}
		s.c.handler.Data(message)
	}
}

// PauseVideo has the server send a video no more, or again. Its section stays.
func (c *Client) PauseVideo(source Source, paused bool) error {
	s, err := c.live()
	if err != nil {
		return err
	}
	section := s.peer.showing(source.GroupID)
	if section == nil {
		return fmt.Errorf("pause video: %s's is not received", source.AttendeeID)
	}
	stream, _ := section.wants()
	kind := chime.Frame_RESUME
	if paused {
		kind = chime.Frame_PAUSE
	}
	f := chime.New(kind, time.Now())
	f.Pause = &chime.PauseResumeFrame{StreamIds: []uint32{stream}}
	return s.send(context.Background(), f)
}

// serverPaused passes on which videos the server sends no more, or again.
func (s *session) serverPaused(groups []uint32, paused bool) {
	if s.peer == nil || s.c.handler.VideoPaused == nil {
		return
	}
	for _, g := range groups {
		if section := s.peer.showing(g); section != nil {
			source, _ := section.bound()
			s.c.handler.VideoPaused(source, paused)
		}
	}
}

// ErrNotPromoted says that the primary meeting did not take an attendee.
var ErrNotPromoted = errors.New("not promoted to the primary meeting")

// Promote makes an attendee of a replica meeting one of the primary meeting,
// until Demote or the end of the connection.
func (c *Client) Promote(ctx context.Context, as Credentials) error {
	s, err := c.live()
	if err != nil {
		return err
	}
	f := chime.New(chime.Frame_PRIMARY_MEETING_JOIN, time.Now())
	f.PrimaryMeetingJoin = &chime.PrimaryMeetingJoinFrame{Credentials: &chime.MeetingSessionCredentials{
		AttendeeId: &as.AttendeeID, ExternalUserId: &as.ExternalUserID, JoinToken: &as.JoinToken,
	}}
	if err := s.send(ctx, f); err != nil {
		return err
	}
	select {
	case status := <-s.promoted:
		if status != nil {
			return fmt.Errorf("%w: status %d %q", ErrNotPromoted, status.GetStatus(), status.GetDescription())
		}
		return nil
	case <-s.done:
		return ErrNotConnected
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// promotionAnswered passes the answer on to Promote; nobody waits for a second
// one.
func (s *session) promotionAnswered(f *chime.Frame) {
	status := f.GetError()
	if status.GetStatus() == 0 || status.GetStatus() == 200 {
		status = nil
	}
	select {
	case s.promoted <- status:
	default:
	}
}

// Demote ends what Promote began.
func (c *Client) Demote() error {
	s, err := c.live()
	if err != nil {
		return err
	}
	f := chime.New(chime.Frame_PRIMARY_MEETING_LEAVE, time.Now())
	f.PrimaryMeetingLeave = &chime.PrimaryMeetingLeaveFrame{}
	return s.send(context.Background(), f)
}
