package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An operation is what a source knows of one: a client, or our own table.
type operation struct {
	Method string         `json:"method"`
	URI    string         `json:"uri"`
	Status int            `json:"status"` // 0: the source does not say
	Errors map[string]int `json:"errors"` // with their status; 0: the source does not say
	Input  *shape         `json:"input"`
	Output *shape         `json:"output"`
}

// A shape is what a value is.
type shape struct {
	Kind    string   `json:"kind"`
	Enum    []string `json:"enum"`    // sorted; nil: none, or the source does not say
	Of      *shape   `json:"of"`      // of a list or map
	Members []member `json:"members"` // of a structure
}

type member struct {
	Name     string `json:"name"`
	Required bool   `json:"required"`
	In       string `json:"in"` // path, query NAME, header NAME, body
	Shape    *shape `json:"shape"`
}

// anything is the kind of what a table passes on as it came, or never gives.
const anything = "any"

// Services by our short names.
type services map[string]map[string]operation

// Facts are what can be said of services, one by one: what it is about, as
// "ivs CreateChannel input tags", then the aspect, then the value.
type facts map[string]map[string]string

func (f facts) add(about, aspect, value string) {
	if f[about] == nil {
		f[about] = map[string]string{}
	}
	f[about][aspect] = value
}

// factsOf takes the services apart.
func factsOf(all services) facts {
	f := facts{}
	for service, operations := range all {
		for name, op := range operations {
			about := service + " " + name
			f.add(about, "method", op.Method)
			f.add(about, "uri", op.URI)
			if op.Status != 0 {
				f.add(about, "status", strconv.Itoa(op.Status))
			}
			for kind, status := range op.Errors {
				f.add(about+" error "+kind, "is", "there")
				if status != 0 {
					f.add(about+" error "+kind, "status", strconv.Itoa(status))
				}
			}
			f.addMembers(about+" input ", op.Input)
			if op.Output != nil && op.Output.Kind == anything {
				f.add(about+" output", "kind", anything)
			}
			f.addMembers(about+" output ", op.Output)
		}
	}
	return f
}

func (f facts) addMembers(prefix string, s *shape) {
	if s == nil {
		return
	}
	for _, m := range s.Members {
		if strings.HasPrefix(m.In, "header ") {
			continue // of answers: CORS and caching, which every answer has or none
		}
		about := prefix + m.Name
		f.add(about, "in", m.In)
		f.add(about, "required", strconv.FormatBool(m.Required))
		f.addShape(about, m.Shape)
	}
}

func (f facts) addShape(about string, s *shape) {
	f.add(about, "kind", s.Kind)
	if s.Enum != nil {
		f.add(about, "enum", strings.Join(s.Enum, " "))
	}
	switch s.Kind {
	case "list":
		f.addShape(about+"[]", s.Of)
	case "map":
		f.addShape(about+"{}", s.Of)
	case "structure":
		f.addMembers(about+".", s)
	}
}

// A difference is a fact on which a source and our table disagree.
type difference struct {
	about, aspect, theirs, ours string // "" for what is missing
}

func (d difference) String() string {
	say := func(value string) string {
		if value == "" {
			return "nothing"
		}
		return fmt.Sprintf("%.300q", value)
	}
	return d.about + ": " + d.aspect + ": got " + say(d.ours) + ", want " + say(d.theirs)
}

// within says whether ok holds for something that the thing is part of.
func within(about string, ok func(whole string) bool) bool {
	for i, c := range about {
		if strings.ContainsRune(" .[{", c) && ok(about[:i]) {
			return true
		}
	}
	return false
}

// missing says whether the one has a thing that the other has not.
func missing(one, other facts, about string) bool {
	_, ok := one[about]
	_, too := other[about]
	return ok && !too
}

// compare returns how ours differs from theirs. On what one of them does not
// know of a thing that both have they cannot differ, but for the enum of an
// input: that a table does not have one is a mistake.
func compare(theirs, ours facts) []difference {
	var all []difference
	for about, aspects := range theirs {
		if within(about, func(whole string) bool { return ours[whole]["kind"] == anything || missing(theirs, ours, whole) }) {
			continue // said of the whole, if there is something to say
		}
		mine, ok := ours[about]
		if !ok {
			all = append(all, difference{about: about, aspect: "is", theirs: "there"})
			continue
		}
		for aspect, value := range aspects {
			got, known := mine[aspect]
			if !known && (aspect != "enum" || !strings.Contains(about, " input ")) {
				continue
			}
			moreThanAsked := aspect == "required" && got == "true" && strings.Contains(about, " output ")
			if got != value && got != anything && !moreThanAsked {
				all = append(all, difference{about, aspect, value, got})
			}
		}
		if value, ok := mine["enum"]; ok && aspects["enum"] == "" {
			all = append(all, difference{about, "enum", "", value})
		}
	}
	for about := range ours {
		if _, ok := theirs[about]; !ok && !strings.HasSuffix(about, " output") && !within(about, func(whole string) bool { return missing(ours, theirs, whole) }) {
			all = append(all, difference{about: about, aspect: "is", ours: "there"})
		}
	}
	slices.SortFunc(all, func(a, b difference) int { return strings.Compare(a.about+a.aspect, b.about+b.aspect) })
	return all
}

// What is said of a difference is what a row's writer needs to mend it.
func TestCompare(t *testing.T) {
	text := func(values ...string) *shape { return &shape{Kind: "string", Enum: values} }
	source := func(change func(*operation)) facts {
		op := operation{
			Method: "POST", URI: "/x", Status: 200, Errors: map[string]int{"NotFoundException": 404},
			Input: &shape{Kind: "structure", Members: []member{
				{"A", true, "body", text()},
				{"B", false, "query b", &shape{Kind: "list", Of: text("x", "y")}},
			}},
			Output: &shape{Kind: "structure", Members: []member{{"C", true, "body", &shape{Kind: "number"}}}},
		}
		if change != nil {
			change(&op)
		}
		return factsOf(services{"s": {"Do": op}})
	}
	for _, c := range []struct {
		name   string
		change func(*operation)
		want   []string
	}{
		{"nothing", func(*operation) {}, nil},
		{"method", func(op *operation) { op.Method = "PUT" }, []string{`s Do: method: got "PUT", want "POST"`}},
		{"URI", func(op *operation) { op.URI = "/y" }, []string{`s Do: uri: got "/y", want "/x"`}},
		{"status", func(op *operation) { op.Status = 204 }, []string{`s Do: status: got "204", want "200"`}},
		{"a status that nobody knows", func(op *operation) { op.Status = 0 }, nil},
		{"error", func(op *operation) { op.Errors = map[string]int{"ConflictException": 409} }, []string{
			`s Do error ConflictException: is: got "there", want nothing`, `s Do error NotFoundException: is: got nothing, want "there"`,
		}},
		{"error's status", func(op *operation) { op.Errors = map[string]int{"NotFoundException": 400} }, []string{
			`s Do error NotFoundException: status: got "400", want "404"`,
		}},
		{"required", func(op *operation) { op.Input.Members[0].Required = false }, []string{`s Do input A: required: got "false", want "true"`}},
		{"place", func(op *operation) { op.Input.Members[1].In = "body" }, []string{`s Do input B: in: got "body", want "query b"`}},
		{"kind", func(op *operation) { op.Input.Members[0].Shape = &shape{Kind: "number"} }, []string{`s Do input A: kind: got "number", want "string"`}},
		{"enum", func(op *operation) { op.Input.Members[1].Shape.Of = text("x") }, []string{`s Do input B[]: enum: got "x", want "x y"`}},
		{"no enum", func(op *operation) { op.Input.Members[1].Shape.Of = text() }, []string{`s Do input B[]: enum: got nothing, want "x y"`}},
		{"an enum", func(op *operation) { op.Input.Members[0].Shape = text("x") }, []string{`s Do input A: enum: got "x", want nothing`}},
		{"a member less", func(op *operation) { op.Input.Members = op.Input.Members[:1] }, []string{`s Do input B: is: got nothing, want "there"`}},
		{"a member more", func(op *operation) {
			op.Input.Members = append(op.Input.Members, member{"D", false, "body", &shape{Kind: "map", Of: text()}})
		}, []string{`s Do input D: is: got "there", want nothing`}},
		{"an answer's member left out at times", func(op *operation) { op.Output.Members[0].Required = false }, []string{`s Do output C: required: got "false", want "true"`}},
		{"no answer", func(op *operation) { op.Output = nil }, []string{`s Do output C: is: got nothing, want "there"`}},
		{"an answer passed on", func(op *operation) { op.Output = &shape{Kind: anything} }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, d := range compare(source(nil), source(c.change)) {
				got = append(got, d.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := compare(source(nil), facts{}); len(got) != 1 || got[0].about != "s Do" {
		t.Errorf("without the operation: got %v, want that alone", got)
	}
}
