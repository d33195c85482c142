package site_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/google/uuid"

	"belfry.live/belfry/internal/site"
	"belfry.live/belfry/test/apiserver"
)

func TestJoin(t *testing.T) {
	w := newWorld(t, site.Config{MediaRegion: "eu-central-1"})
	first, second, third := w.join(t), w.join(t), w.join(t)
	if first.Meeting.MeetingId != second.Meeting.MeetingId || first.Meeting.MeetingId == third.Meeting.MeetingId {
		t.Errorf("got meetings %s, %s, %s; want two in the first and one in the next",
			first.Meeting.MeetingId, second.Meeting.MeetingId, third.Meeting.MeetingId)
	}
	if first.Attendee.AttendeeId == second.Attendee.AttendeeId {
		t.Error("got the same attendee twice, want two")
	}
	if first.Meeting.MediaRegion != "eu-central-1" || uuid.Validate(first.Meeting.ExternalMeetingId) != nil ||
		!strings.HasSuffix(first.Meeting.MediaPlacement.SignalingUrl, "/control/"+first.Meeting.MeetingId) ||
		first.Meeting.MediaPlacement.AudioHostUrl == "" || first.Attendee.JoinToken == "" {
		t.Errorf("got %+v, want all that the media client needs", first)
	}
	guest := regexp.MustCompile(`^[0-9a-f]{8}#Guest [1-9][0-9]{3}$`)
	if !guest.MatchString(first.Attendee.ExternalUserId) {
		t.Errorf("got external user id %q, want a guest", first.Attendee.ExternalUserId)
	}
}

// Fifty who come at once make 25 meetings of two, over one site and over two
// that share the tables.
func TestManyJoinsAtOnce(t *testing.T) {
	w := newWorld(t, site.Config{})
	_, other := w.newSite(t, site.Config{})
	for name, urls := range map[string][]string{"one site": {w.url}, "two sites": {w.url, other}} {
		t.Run(name, func(t *testing.T) {
			const joins = 50
			var all sync.WaitGroup
			var mu sync.Mutex
			found := map[string]int{}
			for i := range joins {
				all.Go(func() {
					var j joined
					call(t, http.MethodPost, urls[i%len(urls)]+"/api/join", nil, http.StatusOK, &j)
					mu.Lock()
					defer mu.Unlock()
					found[j.Meeting.MeetingId]++
				})
			}
			all.Wait()
			if len(found) != joins/2 {
				t.Errorf("got %d meetings, want %d", len(found), joins/2)
			}
			for id, n := range found {
				if n != 2 || len(w.attendees(t, id)) != 2 {
					t.Errorf("meeting %s: got %d joins and attendees %q, want 2", id, n, w.attendees(t, id))
				}
			}
		})
	}
}

func TestSeats(t *testing.T) {
	w := newWorld(t, site.Config{Seats: 3})
	meetings := map[string]int{}
	for range 7 {
		meetings[w.join(t).Meeting.MeetingId]++
	}
	var sizes [4]int
	for _, n := range meetings {
		sizes[n]++
	}
	if sizes != [4]int{0, 1, 0, 2} {
		t.Errorf("got meetings %v, want two of three and one of one", meetings)
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t, site.Config{})
	for name, want := range map[string]string{
		"Zoë":                       "#Zoë$",
		"  Anna\t\n Maria 🎉 ":       "#Anna Maria$",
		"aws:root":                  "#aws:root$",
		"日本語":                       `#Guest \d{4}$`,
		"":                          `#Guest \d{4}$`,
		strings.Repeat("ß", 40):     "#ß{40}$",
		"<script>alert(1)</script>": `#script alert\(1\) /script$`,
		"a\x00b":                    "#a b$",
	} {
		var j joined
		call(t, http.MethodPost, w.url+"/api/join", map[string]string{"name": name}, http.StatusOK, &j)
		if got := j.Attendee.ExternalUserId; !regexp.MustCompile(`^[0-9a-f]{8}` + want).MatchString(got) {
			t.Errorf("name %q: got %q, want %s", name, got, want)
		}
	}
	says := refused(t, http.MethodPost, w.url+"/api/join", map[string]string{"name": strings.Repeat("ß", 41)}, http.StatusBadRequest)
	if want := "name must have at most 40 characters, got 41"; says != want {
		t.Errorf("got %q, want %q", says, want)
	}
}

// A meeting that has ended takes nobody any more, whoever ended it.
func TestJoinAfterTheEnd(t *testing.T) {
	w := newWorld(t, site.Config{})
	first := w.join(t)
	_, err := w.meetings.DeleteMeeting(t.Context(), &chimesdkmeetings.DeleteMeetingInput{MeetingId: aws.String(first.Meeting.MeetingId)})
	if err != nil {
		t.Fatal(err)
	}
	second, third := w.join(t), w.join(t)
	if second.Meeting.MeetingId == first.Meeting.MeetingId || second.Meeting.MeetingId != third.Meeting.MeetingId {
		t.Errorf("got %s, then %s and %s; want a new meeting for both", first.Meeting.MeetingId, second.Meeting.MeetingId, third.Meeting.MeetingId)
	}
}

// A meeting that waited too long for company takes nobody any more.
func TestLifetime(t *testing.T) {
	w := newWorld(t, site.Config{Lifetime: time.Second})
	first := w.join(t)
	time.Sleep(1100 * time.Millisecond)
	if second := w.join(t); second.Meeting.MeetingId == first.Meeting.MeetingId {
		t.Error("got the old meeting, want a new one")
	}
}

// A seat that was taken in vain is given back, and the meeting of nobody ends.
func TestJoinFails(t *testing.T) {
	noAttendees := &failing{match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/attendees") }}
	w := newWorld(t, site.Config{}, noAttendees.install)
	noAttendees.on.Store(true)
	says := refused(t, http.MethodPost, w.url+"/api/join", nil, http.StatusServiceUnavailable)
	if !strings.HasPrefix(says, "create attendee: ") {
		t.Errorf("got %q, want it to name the step", says)
	}
	noAttendees.on.Store(false)
	first := w.join(t)

	noAttendees.on.Store(true)
	refused(t, http.MethodPost, w.url+"/api/join", nil, http.StatusServiceUnavailable)
	noAttendees.on.Store(false)
	if second := w.join(t); second.Meeting.MeetingId != first.Meeting.MeetingId {
		t.Error("got another meeting, want the seat that was given back")
	}
	if n := noAttendees.seen("DELETE", "/meetings/"); n != 1 {
		t.Errorf("got %d meetings deleted, want 1: that of nobody", n)
	}
}

func TestEnd(t *testing.T) {
	w := newWorld(t, site.Config{})
	first := w.join(t)
	id := first.Meeting.MeetingId
	call(t, http.MethodPost, w.url+"/api/end", map[string]string{"meetingId": id}, http.StatusOK, nil)
	_, err := w.meetings.GetMeeting(t.Context(), &chimesdkmeetings.GetMeetingInput{MeetingId: aws.String(id)})
	if err == nil {
		t.Error("got the meeting, want it to have ended")
	}
	if second := w.join(t); second.Meeting.MeetingId == id {
		t.Error("got the ended meeting, want a new one")
	}
	says := refused(t, http.MethodPost, w.url+"/api/end", map[string]string{"meetingId": id}, http.StatusNotFound)
	if says != "there is no meeting "+id {
		t.Errorf("got %q, want it to name the meeting", says)
	}
	refused(t, http.MethodPost, w.url+"/api/end", map[string]string{"meetingId": "x"}, http.StatusBadRequest)
	refused(t, http.MethodPost, w.url+"/api/end", nil, http.StatusBadRequest)
}

func TestServicesAreAway(t *testing.T) {
	w := newWorld(t, site.Config{}, func(c *aws.Config) { c.BaseEndpoint = aws.String("http://127.0.0.1:1") })
	if says := refused(t, http.MethodPost, w.url+"/api/join", nil, http.StatusServiceUnavailable); !strings.HasPrefix(says, "create meeting: ") {
		t.Errorf("got %q, want it to name the step", says)
	}
	refused(t, http.MethodPost, w.url+"/api/end", map[string]string{"meetingId": uuid.NewString()}, http.StatusServiceUnavailable)
	refused(t, http.MethodPost, w.url+"/api/stream", map[string]string{"meetingId": uuid.NewString()}, http.StatusServiceUnavailable)

	_, locked := w.newSite(t, site.Config{}, func(c *aws.Config) {
		c.Credentials = credentials.NewStaticCredentialsProvider(apiserver.AccessKeyID, "another secret", "")
	})
	says := refused(t, http.MethodPost, locked+"/api/join", nil, http.StatusServiceUnavailable)
	if !strings.Contains(says, "create meeting: InvalidSignatureException: ") {
		t.Errorf("got %q, want it to name the step and the cause", says)
	}
}

func TestRequests(t *testing.T) {
	w := newWorld(t, site.Config{})
	refused(t, http.MethodGet, w.url+"/api/join", nil, http.StatusMethodNotAllowed)
	refused(t, http.MethodDelete, w.url+"/api/stream", nil, http.StatusMethodNotAllowed)
	refused(t, http.MethodGet, w.url+"/api/nothing", nil, http.StatusNotFound)
	refused(t, http.MethodPost, w.url+"/api/join", []string{"x"}, http.StatusBadRequest)
	refused(t, http.MethodPost, w.url+"/api/join", map[string]string{"x": strings.Repeat("x", 17<<10)}, http.StatusRequestEntityTooLarge)
	call(t, http.MethodPost, w.url+"/api/join/", map[string]string{}, http.StatusOK, nil)

	res, err := http.Post(w.url+"/api/join", "text/plain", strings.NewReader("{"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Error string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusBadRequest || answer.Error == "" {
		t.Errorf("half a body: got %s %q (%v), want 400 and an error", res.Status, answer.Error, err)
	}
}

func TestOrigins(t *testing.T) {
	w := newWorld(t, site.Config{})
	only, err := site.New(t.Context(), site.Config{AllowedOrigins: []string{"https://a.example"}}, w.server.AWS(), w.server.Tables, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name    string
		handler http.Handler
		origin  string
		want    string
	}{
		{"any", w.site, "https://b.example", "*"},
		{"allowed", only, "https://a.example", "https://a.example"},
		{"not allowed", only, "https://b.example", ""},
		{"none", only, "", ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodOptions, "/api/stream", nil)
			if v.origin != "" {
				r.Header.Set("Origin", v.origin)
			}
			r.Header.Set("Access-Control-Request-Method", "POST")
			rec := httptest.NewRecorder()
			v.handler.ServeHTTP(rec, r)
			h := rec.Header()
			if got := h.Get("Access-Control-Allow-Origin"); rec.Code != http.StatusNoContent || got != v.want {
				t.Errorf("got %d and origin %q, want %d and %q", rec.Code, got, http.StatusNoContent, v.want)
			}
			if methods := h.Get("Access-Control-Allow-Methods"); (methods == "GET, POST, OPTIONS") != (v.want != "") {
				t.Errorf("got methods %q", methods)
			}
			if headers := h.Get("Access-Control-Allow-Headers"); (headers == "Content-Type") != (v.want != "") {
				t.Errorf("got headers %q", headers)
			}
		})
	}
}
