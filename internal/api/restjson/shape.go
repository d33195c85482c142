package restjson

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Member is one named part of an input or of a structure in it.
type Member struct {
	Name     string
	Required bool
	Query    string // the query parameter it comes in; "": path or body
	Shape    Shape
}

// Required is a member that must be there.
func Required(name string, s Shape) Member { return Member{Name: name, Required: true, Shape: s} }

// Optional is a member that may be absent or null.
func Optional(name string, s Shape) Member { return Member{Name: name, Shape: s} }

// Query is an optional member that comes as the query parameter.
func Query(parameter, name string, s Shape) Member {
	return Member{Name: name, Query: parameter, Shape: s}
}

// RequiredQuery is a member that must come as the query parameter. A shape that
// is a list takes a parameter that comes several times.
func RequiredQuery(parameter, name string, s Shape) Member {
	return Member{Name: name, Required: true, Query: parameter, Shape: s}
}

// A Shape says what a value may be. It returns the value as a Document keeps
// it, or an error that names the member, the limit and the value.
type Shape interface {
	check(name string, value any) (any, error)
	describe() Description
}

// A Text is a string of limited length.
type Text struct {
	min, max int // characters
	pattern  *regexp.Regexp
	form     string // what the pattern allows, for people
	accept   func(string) bool
	secret   bool
}

// String is a string of min to max characters.
func String(min, max int) Text { return Text{min: min, max: max} }

// Matching is t, but all of it must match the expression, which form describes
// for people: "letters, digits and -".
func (t Text) Matching(expression, form string) Text {
	t.pattern, t.form = regexp.MustCompile(`^(?:`+expression+`)$`), form
	return t
}

// Accepted is t, but accept must say yes to it; form describes what it wants.
func (t Text) Accepted(accept func(string) bool, form string) Text {
	t.accept, t.form = accept, form
	return t
}

// Secret is t, but no error shows its value.
func (t Text) Secret() Text {
	t.secret = true
	return t
}

func (t Text) check(name string, value any) (any, error) {
	s, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%s must be a string, got %s", name, kind(value))
	}
	if n := utf8.RuneCountInString(s); n < t.min || n > t.max {
		return nil, fmt.Errorf("%s must have %s, got %d%s", name, count(t.min, t.max, "character"), n, t.show(s))
	}
	if !t.Allows(s) {
		return nil, fmt.Errorf("%s must be %s%s", name, t.form, t.show(s))
	}
	return s, nil
}

// Allows says whether s has the text's form, whatever its length.
func (t Text) Allows(s string) bool {
	return (t.pattern == nil || t.pattern.MatchString(s)) && (t.accept == nil || t.accept(s))
}

// show returns the value for an error's end.
func (t Text) show(s string) string {
	const limit = 100
	switch {
	case t.secret:
		return ""
	case len(s) > limit:
		return fmt.Sprintf(": %q…", strings.ToValidUTF8(s[:limit], ""))
	}
	return fmt.Sprintf(": %q", s)
}

type choice []string

// Enum is one of the values.
func Enum(values ...string) Shape { return choice(values) }

func (c choice) check(name string, value any) (any, error) {
	s, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%s must be a string, got %s", name, kind(value))
	}
	if !slices.Contains(c, s) {
		return nil, fmt.Errorf("%s must be %s%s", name, strings.Join(c, " or "), Text{}.show(s))
	}
	return s, nil
}

type integer struct{ min, max int64 }

// Integer is a whole number from min to max.
func Integer(min, max int64) Shape { return integer{min, max} }

func (i integer) check(name string, value any) (any, error) {
	number, ok := value.(json.Number)
	if !ok {
		return nil, fmt.Errorf("%s must be a number, got %s", name, kind(value))
	}
	n, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil || n < i.min || n > i.max {
		return nil, fmt.Errorf("%s must be a whole number from %d to %d%s", name, i.min, i.max, Text{}.show(number.String()))
	}
	return n, nil
}

type instant struct{}

// Instant is a time as requests write it: a number of seconds since 1970.
func Instant() Shape { return instant{} }

// maxInstant is in the year 9999, the last that a timestamp can name.
const maxInstant = 253402300799

func (instant) check(name string, value any) (any, error) {
	number, ok := value.(json.Number)
	if !ok {
		return nil, fmt.Errorf("%s must be a number of seconds since 1970, got %s", name, kind(value))
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds > maxInstant {
		return nil, fmt.Errorf("%s must be from 0 to %d seconds since 1970%s", name, int64(maxInstant), Text{}.show(number.String()))
	}
	return seconds, nil
}

type boolean struct{}

// Boolean is true or false.
func Boolean() Shape { return boolean{} }

func (boolean) check(name string, value any) (any, error) {
	b, ok := value.(bool)
	if !ok {
		return nil, fmt.Errorf("%s must be true or false, got %s", name, kind(value))
	}
	return b, nil
}

type list struct {
	of       Shape
	min, max int
}

// List is a list of min to max items.
func List(of Shape, min, max int) Shape { return list{of, min, max} }

func (l list) check(name string, value any) (any, error) {
	items, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%s must be a list, got %s", name, kind(value))
	}
	if len(items) < l.min || len(items) > l.max {
		return nil, fmt.Errorf("%s must have %s, got %d", name, count(l.min, l.max, "item"), len(items))
	}
	clean := make([]any, len(items))
	for i, item := range items {
		var err error
		if clean[i], err = l.of.check(fmt.Sprintf("%s[%d]", name, i), item); err != nil {
			return nil, err
		}
	}
	return clean, nil
}

type mapping struct {
	key, value Text
	max        int
}

// Map is an object of at most max pairs.
func Map(key, value Text, max int) Shape { return mapping{key, value, max} }

func (m mapping) check(name string, value any) (any, error) {
	pairs, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s must be an object, got %s", name, kind(value))
	}
	if len(pairs) > m.max {
		return nil, fmt.Errorf("%s must have %s, got %d", name, count(0, m.max, "pair"), len(pairs))
	}
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		if _, err := m.key.check("a key of "+name, k); err != nil {
			return nil, err
		}
		if _, err := m.value.check(name+"."+k, pairs[k]); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

type structure []Member

// Structure is an object with the members; others are ignored.
func Structure(members ...Member) Shape { return structure(members) }

func (s structure) check(name string, value any) (any, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s must be an object, got %s", name, kind(value))
	}
	return members(s, name+".", object)
}

// members checks an object's members, in the order of the table.
func members(table []Member, prefix string, object map[string]any) (map[string]any, error) {
	clean := make(map[string]any, len(table))
	for _, m := range table {
		value := object[m.Name]
		if value == nil { // absent or null
			if m.Required {
				return nil, fmt.Errorf("%s%s is required", prefix, m.Name)
			}
			continue
		}
		var err error
		if clean[m.Name], err = m.Shape.check(prefix+m.Name, value); err != nil {
			return nil, err
		}
	}
	return clean, nil
}

// kind names a JSON value's type.
func kind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a truth value"
	case []any:
		return "a list"
	}
	return "an object"
}

// count words a range: "2 to 64 characters", "1 item".
func count(min, max int, unit string) string {
	if max != 1 {
		unit += "s"
	}
	if min == max {
		return fmt.Sprintf("%d %s", max, unit)
	}
	return fmt.Sprintf("%d to %d %s", min, max, unit)
}
