package server

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"belfry.live/belfry/internal/api/chimemeetings"
	"belfry.live/belfry/internal/api/mediapipelines"
	"belfry.live/belfry/internal/config"
	"belfry.live/belfry/internal/connector"
	"belfry.live/belfry/internal/event"
	"belfry.live/belfry/internal/meeting"
	"belfry.live/belfry/internal/store/natskv"
)

// What meetings and pipelines did is in the journal, and what they did without
// one is made up for when they have it, once.
func TestMeetingsAndPipelinesAreInTheJournal(t *testing.T) {
	const account = "123456789012"
	log := slog.New(slog.DiscardHandler)
	tables, err := natskv.Open(t.Context(), natskv.Config{Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	journal, closeJournal, err := openJournal(t.Context(), config.Default().Events, tables, log)
	if err != nil {
		t.Fatal(err)
	}
	defer closeJournal()
	work := func(ctx context.Context, _ connector.Pipeline, _ connector.Invitation, report func(connector.Report)) error {
		report(connector.Live)
		<-ctx.Done()
		return nil
	}
	// run runs the services on these tables until the test has done its part.
	run := func(m meeting.Config, c connector.Config, do func(*meeting.Service, *connector.Service)) {
		t.Helper()
		meetings, err := meeting.New(t.Context(), m, tables, log)
		if err != nil {
			t.Fatal(err)
		}
		c.Work = work
		connectors, err := connector.New(t.Context(), c, tables, hosts{meetings, ""}, log)
		if err != nil {
			t.Fatal(err)
		}
		var s stages
		defer s.stop()
		s.start(t.Context(), meetings.Run)
		s.start(t.Context(), connectors.Run)
		do(meetings, connectors)
	}
	withJournal := func(do func(*meeting.Service, *connector.Service)) {
		t.Helper()
		run(meeting.Config{
			Record: chimemeetings.Recorder(journal), Recorded: chimemeetings.Recorded(journal),
			RecordedAdded: chimemeetings.RecordedAdded(journal), RecordedFor: journal.MaxAge(),
		}, connector.Config{
			Record: mediapipelines.Recorder(journal), Recorded: mediapipelines.Recorded(journal), RecordedFor: journal.MaxAge(),
		}, do)
	}
	told := func(kind, id string) (types []string) {
		for from := uint64(1); ; {
			r, ok, err := journal.At(t.Context(), "events."+account+".aws.chime."+kind+"."+id, from)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return types
			}
			types, from = append(types, r.Type), r.Sequence+1
		}
	}
	tells := func(kind, id string, want ...string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !slices.Equal(told(kind, id), want); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("got %q, want %q", told(kind, id), want)
			}
		}
	}
	all := meeting.Capabilities{Audio: meeting.SendReceive, Video: meeting.SendReceive, Content: meeting.SendReceive}
	spec := meeting.Spec{Account: account, Region: "us-east-1", MediaRegion: "eu-west-1", ExternalID: "choir"}
	var m meeting.Meeting
	var p connector.Pipeline
	run(meeting.Config{}, connector.Config{}, func(meetings *meeting.Service, connectors *connector.Service) {
		if m, err = meetings.Create(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if _, err = meetings.AddAttendee(t.Context(), m.ID, "Ann", all); err != nil {
			t.Fatal(err)
		}
		p, err = connectors.Create(t.Context(), connector.Spec{Account: account, Region: "us-east-1", MeetingID: string(m.ID)})
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); p.Status != connector.InProgress; p, err = connectors.Get(t.Context(), p.ID) {
			if err != nil || time.Now().After(end) {
				t.Fatalf("got %s, %v, want it in progress", p.Status, err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	tells("meeting", string(m.ID))
	for range 2 {
		withJournal(func(*meeting.Service, *connector.Service) {
			tells("meeting", string(m.ID), "chime:MeetingStarted", "chime:AttendeeAdded")
			tells("media-pipeline", string(p.ID), "chime:MediaPipelineInProgress")
		})
	}
	withJournal(func(meetings *meeting.Service, connectors *connector.Service) {
		if err := connectors.Delete(t.Context(), p.ID); err != nil {
			t.Error(err)
		}
		tells("media-pipeline", string(p.ID), "chime:MediaPipelineInProgress", "chime:MediaPipelineDeleted")
		if err := meetings.End(t.Context(), m.ID); err != nil {
			t.Error(err)
		}
	})
	tells("meeting", string(m.ID), "chime:MeetingStarted", "chime:AttendeeAdded", "chime:MeetingEnded")
	newest, err := chimemeetings.Recorded(journal)(t.Context())
	if err != nil || newest[m.ID] != meeting.Ended {
		t.Errorf("got %v, %v, want the end", newest, err)
	}
	r, _, err := journal.At(t.Context(), event.Subjects(account, "aws.chime"), 1)
	if e, bad := r.Envelope(); err != nil || bad != nil || e.Account != account || e.Region != "us-east-1" || e.Source != "aws.chime" {
		t.Errorf("got %+v, %v, %v", e, err, bad)
	}
}
