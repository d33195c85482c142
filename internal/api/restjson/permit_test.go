package restjson

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// shelf is a service whose operations say by its Resources what they are about.
var shelf = &Service{
	Name:   "shelf",
	Denied: "AccessDeniedException",
	Resources: func(_ Caller, d Document) []string {
		var all []string
		if id := d.Text("BookId"); id != "" {
			all = append(all, "book/"+id)
		}
		books, _ := d["Books"].([]any)
		for _, b := range books {
			if id, ok := b.(string); ok {
				all = append(all, "book/"+id)
			}
		}
		return all
	},
	Operations: []Operation{
		{Name: "Get", Method: http.MethodGet, Path: "/books/{BookId}", Input: []Member{Required("BookId", String(1, 9))}},
		{Name: "Batch", Method: http.MethodPost, Path: "/batch", Input: []Member{Required("Books", List(String(1, 9), 1, 9))}},
		{Name: "Make", Method: http.MethodPost, Path: "/books", Input: []Member{Optional("Title", String(1, 9))}},
	},
}

func TestWhatAPolicyIsAsked(t *testing.T) {
	for _, c := range []struct{ name, method, path, body, want string }{
		{"one thing", http.MethodGet, "/books/a", "", "book/a"},
		{"the path counts more than the query", http.MethodGet, "/books/a?BookId=b", "", "book/a"},
		{"all of a batch", http.MethodPost, "/batch", `{"Books":["a","b"]}`, "book/a book/b"},
		{"a member of another operation", http.MethodPost, "/batch", `{"Books":["a"],"BookId":"b"}`, "book/a"},
		{"nothing in particular", http.MethodPost, "/books", `{"Title":"x"}`, "*"},
		{"nothing in particular, with a member of another operation", http.MethodPost, "/books", `{"BookId":"a"}`, "*"},
		{"what is no JSON", http.MethodPost, "/batch", `{"Books":["a"`, "*"},
		{"a name that is too long", http.MethodPost, "/batch", `{"Books":["a","` + strings.Repeat("x", maxARN) + `"]}`, "*"},
		{"too many", http.MethodPost, "/batch", `{"Books":[` + strings.Repeat(`"a",`, 2*maxResources) + `"b"]}`, strings.TrimSpace(strings.Repeat("book/a ", maxResources))},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, text, _ := strings.Cut(c.path, "?")
			query, err := url.ParseQuery(text)
			if err != nil {
				t.Fatal(err)
			}
			call, ok := shelf.Find(c.method, path, query)
			if !ok {
				t.Fatal("got no operation")
			}
			var asked []string
			may := func(action, resource string) error {
				if action != "shelf:"+call.Operation.Name {
					t.Errorf("got action %s, want that of %s", action, call.Operation.Name)
				}
				asked = append(asked, resource)
				return nil
			}
			if err := shelf.Permit(call, Caller{May: may}, call.Read(query, []byte(c.body))); err != nil {
				t.Errorf("got %v, want it permitted", err)
			}
			if want := strings.Split(c.want, " "); !slices.Equal(asked, want) {
				t.Errorf("got asked about %q, want %q", asked, want)
			}
		})
	}

	// One that is refused spoils the batch.
	call, _ := shelf.Find(http.MethodPost, "/batch", nil)
	refused := errors.New("not b")
	may := func(_, resource string) error {
		if resource == "book/b" {
			return refused
		}
		return nil
	}
	err := shelf.Permit(call, Caller{May: may}, call.Read(nil, []byte(`{"Books":["a","b","c"]}`)))
	if err == nil || err.Type != "AccessDeniedException" || err.Status != http.StatusForbidden || err.Message != "not b" {
		t.Errorf("got %v, want 403 AccessDeniedException: not b", err)
	}
}
