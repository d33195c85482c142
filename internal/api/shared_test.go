package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"belfry.live/belfry/internal/api/restjson"
)

// Both Chime services have the same three requests for tags: the ARN says whose
// they are.
func TestSharedRoutes(t *testing.T) {
	service := func(title, mark string) *restjson.Service {
		s := &restjson.Service{Title: title, Operations: []restjson.Operation{
			{
				Name: "ListTagsForResource", Method: http.MethodGet, Path: "/tags", Shared: "ResourceARN",
				Input: []restjson.Member{restjson.RequiredQuery("arn", "ResourceARN", restjson.String(1, 99))},
			},
			{
				Name: "TagResource", Method: http.MethodPost, Path: "/tags", Query: "tag-resource", Shared: "ResourceARN",
				Input: []restjson.Member{restjson.Required("ResourceARN", restjson.String(1, 99))},
			},
		}}
		if mark != "" {
			s.Owns = func(arn string) bool { return strings.Contains(arn, mark) }
		}
		return s
	}
	a := &API{services: []*restjson.Service{service("meetings", ":meeting/"), service("pipelines", ":media-")}}
	for _, c := range []struct{ method, target, body, want string }{
		{http.MethodGet, "/tags?arn=arn%3Aaws%3Achime%3A%3A1%3Ameeting%2Fx", "", "meetings"},
		{http.MethodGet, "/tags?arn=arn:aws:chime::1:media-pipeline/x", "", "pipelines"},
		{http.MethodPost, "//tags?operation=tag-resource", `{"ResourceARN":"arn:aws:chime::1:meeting/x"}`, "meetings"},
		{http.MethodPost, "/tags?operation=tag-resource", `{"ResourceARN":"arn:aws:chime::1:media-pipeline/x"}`, "pipelines"},
		{http.MethodPost, "/tags?operation=tag-resource", `{"ResourceARN":7}`, "meetings"}, // which says what is wrong
		{http.MethodPost, "/tags?operation=tag-resource", `{`, "meetings"},
		{http.MethodGet, "/tags", "", "meetings"},
	} {
		found, query := a.find(httptest.NewRequest(c.method, c.target, nil))
		if len(found) != 2 {
			t.Errorf("%s %s: got %d services, want 2", c.method, c.target, len(found))
			continue
		}
		if s, call, _ := choose(found, query, []byte(c.body)); s.Title != c.want || call.Operation.Method != c.method {
			t.Errorf("%s %s %s: got %s, want %s", c.method, c.target, c.body, s.Title, c.want)
		}
	}
	if found, _ := a.find(httptest.NewRequest(http.MethodPost, "/tags?operation=other", nil)); len(found) != 0 {
		t.Errorf("of another operation: got %d services, want none", len(found))
	}
}
