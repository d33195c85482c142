package restjson

import (
	"encoding/base64"
	"strings"
	"testing"
)

func letters() []string { return []string{"d", "b", "a", "c", "e"} }

func self(s string) string { return s }

var owner = Caller{Account: "123456789012", Region: "us-east-1", pages: NewPages([32]byte{1})}

func page(items []string, c Caller, list, token string, size int) ([]string, string, error) {
	return Page(c, list, Sorted(items, self), token, size)
}

func TestPage(t *testing.T) {
	var got []string
	token := ""
	for range 3 {
		items, next, err := page(letters(), owner, "letters", token, 2)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join(items, ""))
		token = next
	}
	if want := "ab cd e"; strings.Join(got, " ") != want || token != "" {
		t.Errorf("got pages %q and token %q, want %q and none", got, token, want)
	}
	if items, next, err := page(nil, owner, "letters", "", 2); len(items) != 0 || next != "" || err != nil {
		t.Errorf("of nothing: got %q %q (%v), want nothing", items, next, err)
	}
}

// Between two pages, items come and go.
func TestPageGoesOnWhereItWas(t *testing.T) {
	_, token, _ := page(letters(), owner, "letters", "", 2)
	for items, want := range map[string]string{"ade": "de", "abcde": "cd", "0abc": "c", "ab": ""} {
		got, _, err := page(strings.Split(items, ""), owner, "letters", token, 2)
		if err != nil || strings.Join(got, "") != want {
			t.Errorf("of %s after b: got %q (%v), want %q", items, got, err, want)
		}
	}
}

// A token is good for the list it came from, and does not tell what it holds.
func TestPageTokens(t *testing.T) {
	_, token, _ := page([]string{"top secret 1", "top secret 2"}, owner, "letters", "", 1)
	if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || strings.Contains(string(raw), "secret") {
		t.Errorf("got token %q (%v), want one that does not tell the position", token, err)
	}
	_, token, _ = page(letters(), owner, "letters", "", 2)
	with := func(change func(*Caller)) Caller {
		c := owner
		change(&c)
		return c
	}
	flipped := []byte(token)
	flipped[len(flipped)/2] ^= 1
	for _, v := range []struct {
		name   string
		caller Caller
		list   string
		token  string
	}{
		{"made up", owner, "letters", "x"},
		{"no base64", owner, "letters", "!"},
		{"longer", owner, "letters", token + "xx"},
		{"shorter", owner, "letters", token[:len(token)-4]},
		{"changed", owner, "letters", string(flipped)},
		{"of another list", owner, "numbers", token},
		{"of another account", with(func(c *Caller) { c.Account = "000000000000" }), "letters", token},
		{"of another region", with(func(c *Caller) { c.Region = "eu-west-1" }), "letters", token},
		{"of another server", with(func(c *Caller) { c.pages = newPages() }), "letters", token},
	} {
		if _, _, err := page(letters(), v.caller, v.list, v.token, 2); err == nil || !strings.Contains(err.Error(), v.token) {
			t.Errorf("%s: got %v, want an error that names the token", v.name, err)
		}
	}
	again := with(func(c *Caller) { c.pages = NewPages([32]byte{1}) })
	if items, _, err := page(letters(), again, "letters", token, 2); err != nil || strings.Join(items, "") != "cd" {
		t.Errorf("after a restart: got %q (%v), want cd", items, err)
	}
}

func TestPageNamesTheMember(t *testing.T) {
	s := &Service{Invalid: "BadRequestException"}
	op := &Operation{Input: []Member{Optional("nextToken", String(0, 9))}}
	_, _, err := page(letters(), owner, "letters", "x", 2)
	if got := s.answer(op, err); got.Type != "BadRequestException" || !strings.HasPrefix(got.Message, "nextToken: ") {
		t.Errorf("got %v, want BadRequestException that names nextToken", got)
	}
}

func TestLongestPosition(t *testing.T) {
	if token := owner.pages.seal("x", strings.Repeat("x", maxPosition)); len(token) > 1024 {
		t.Errorf("got a token of %d characters, want 1024 at most", len(token))
	}
}
