package clients_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// names are what a scenario has learned so far: $name in a text of an input or
// a pattern. $token is a new UUID each time, in an input.
type names map[string]string

var variable = regexp.MustCompile(`\$\{?([a-zA-Z0-9]+)\}?`)

// fill puts values for the names in a text.
func (n names) fill(text string) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		name := variable.FindStringSubmatch(found)[1]
		if name == "token" {
			return uuid.NewString()
		}
		if value, ok := n[name]; ok {
			return value
		}
		return found
	})
}

// object reads an input and fills it.
func (n names) object(text string) (map[string]any, error) {
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return nil, fmt.Errorf("%w in %s", err, text)
	}
	return n.fillAll(o).(map[string]any), nil
}

func (n names) fillAll(value any) any {
	switch v := value.(type) {
	case string:
		return n.fill(v)
	case []any:
		for i := range v {
			v[i] = n.fillAll(v[i])
		}
	case map[string]any:
		filled := map[string]any{}
		for k, member := range v {
			filled[n.fill(k)] = n.fillAll(member)
		}
		return filled
	}
	return value
}

// match says in what got differs from the pattern. An object may have more
// members than its pattern; a member that is null in the pattern must be
// absent. A text that begins with ~ is a regular expression. A text that is a
// new name alone learns its value.
func (n names) match(pattern, got any) error {
	n.learn(pattern, got)
	return n.compare(pattern, got, "the output")
}

// learn gives values to the names that are new.
func (n names) learn(pattern, got any) {
	switch want := pattern.(type) {
	case map[string]any:
		object, _ := got.(map[string]any)
		for name, member := range want {
			n.learn(member, object[n.fill(name)])
		}
	case []any:
		list, _ := got.([]any)
		for i := range min(len(want), len(list)) {
			n.learn(want[i], list[i])
		}
	case string:
		m := variable.FindStringSubmatch(want)
		if text, ok := got.(string); ok && text != "" && m != nil && m[0] == want && n[m[1]] == "" {
			n[m[1]] = text
		}
	}
}

func (n names) compare(pattern, got any, at string) error {
	switch want := pattern.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: got %v, want an object", at, show(got))
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if err := n.compare(want[name], object[n.fill(name)], at+"."+name); err != nil {
				return err
			}
		}
		return nil
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("%s: got %s, want a list of %d", at, show(got), len(want))
		}
		for i := range want {
			if err := n.compare(want[i], list[i], fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	case string:
		want = n.fill(want)
		if expression, ok := strings.CutPrefix(want, "~"); ok {
			text, ok := got.(string)
			if !ok || !regexp.MustCompile("^(?:"+expression+")$").MatchString(text) {
				return fmt.Errorf("%s: got %s, want something like %s", at, show(got), expression)
			}
			return nil
		}
		pattern = want
	}
	if !reflect.DeepEqual(pattern, got) {
		return fmt.Errorf("%s: got %s, want %s", at, show(got), show(pattern))
	}
	return nil
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, got string
		fits         bool
	}{
		{`{"a": 1}`, `{"a": 1, "b": 2}`, true},
		{`{"a": 1}`, `{"a": 2}`, false},
		{`{"a": 1}`, `{}`, false},
		{`{"a": null}`, `{}`, true},
		{`{"a": null}`, `{"a": ""}`, false},
		{`["x", "$new"]`, `["x", "y"]`, true},
		{`["x"]`, `["x", "y"]`, false},
		{`["$new", "$new"]`, `["x", "y"]`, false},
		{`["$new", "$new"]`, `["x", "x"]`, true},
		{`{"a": "$new"}`, `{}`, false},
		{`"~a+"`, `"aaa"`, true},
		{`"~a+"`, `"aaab"`, false},
		{`"${known}s"`, `"values"`, true},
		{`"$known"`, `"other"`, false},
		{`{}`, `null`, false},
	} {
		var pattern, got any
		if json.Unmarshal([]byte(c.pattern), &pattern) != nil || json.Unmarshal([]byte(c.got), &got) != nil {
			t.Fatal(c)
		}
		if err := (names{"known": "value"}).match(pattern, got); (err == nil) != c.fits {
			t.Errorf("%s with %s: got %v, want it to fit: %t", c.pattern, c.got, err, c.fits)
		}
	}
}
