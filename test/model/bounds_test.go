package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"belfry.live/belfry/internal/api/restjson"
)

// The aws command carries whole models: they alone say how long a text or a
// list may be, from where to where a number may go, and which patterns texts
// match. Debian's is older than the other clients, so what it does not know is
// left out.

// commandModels are the models' folders below the command's data.
var commandModels = map[string]string{
	"meetings":  "chime-sdk-meetings/2021-07-15",
	"pipelines": "chime-sdk-media-pipelines/2021-07-15",
	"ivs":       "ivs/2020-07-14",
}

type commandModel struct {
	Operations map[string]struct{ Input commandMember }
	Shapes     map[string]commandShape
}

type commandMember struct{ Shape string }

type commandShape struct {
	Type    string
	Min     *float64
	Max     *float64
	Enum    []string
	Pattern string
	Members map[string]commandMember
	Member  commandMember
	Value   commandMember
}

func readCommandModel(t *testing.T, folder string) (m commandModel) {
	t.Helper()
	const data = "/usr/lib/python3/dist-packages/"
	var found []string
	for _, program := range []string{"awscli/botocore", "botocore"} {
		names, err := filepath.Glob(data + program + "/data/" + folder + "/service-2.json")
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	if len(found) == 0 {
		t.Skip("the aws command is not installed, or without its models as files")
	}
	text, err := os.ReadFile(found[0])
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// addBounds adds those of the shape and what is in it.
func (m commandModel) addBounds(f facts, about, name string) {
	s := m.Shapes[name]
	switch s.Type {
	case "structure":
		for member, of := range s.Members {
			m.addBounds(f, join(about, member), of.Shape)
		}
	case "list":
		m.addRange(f, about, s)
		m.addBounds(f, about+"[]", s.Member.Shape)
	case "map":
		if s.Max != nil {
			f.add(about, "max", number(*s.Max))
		}
		m.addBounds(f, about+"{}", s.Value.Shape)
	case "string":
		if s.Enum == nil {
			m.addRange(f, about, s)
			m.addPattern(f, about, s)
		}
	case "integer", "long":
		m.addRange(f, about, s)
	}
}

func (m commandModel) addRange(f facts, about string, s commandShape) {
	if s.Min != nil {
		f.add(about, "min", number(*s.Min))
	} else if s.Type != "integer" && s.Type != "long" && s.Pattern == "" {
		f.add(about, "min", "0")
	}
	if s.Max != nil {
		f.add(about, "max", number(*s.Max))
	}
}

// addPattern adds which probes the pattern lets pass; one that Go cannot read,
// for it looks ahead, is left out.
func (m commandModel) addPattern(f facts, about string, s commandShape) {
	pattern, err := regexp.Compile("^(?:" + s.Pattern + ")$")
	if s.Pattern == "" || err != nil || s.Min == nil && s.Max == nil {
		return
	}
	f.add(about, "takes", passing(value(s.Min, 0), value(s.Max, 1<<20), pattern.MatchString))
}

func value(bound *float64, otherwise int64) int64 {
	if bound == nil {
		return otherwise
	}
	return int64(*bound)
}

// passing tells patterns apart by texts of one character each, as many as there
// must be, and by ARNs.
func passing(low, high int64, passes func(string) bool) string {
	probes := []string{"arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl", "arn:aws:chime::1:meeting/x", "arn:aws:s3:::bucket"}
	for c := rune(' '); c <= unicode.MaxLatin1; c++ {
		probes = append(probes, strings.Repeat(string(c), int(min(max(3, low), high))))
	}
	return strings.Join(slices.DeleteFunc(probes, func(p string) bool { return !passes(p) }), " ")
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func join(about, member string) string {
	if strings.HasSuffix(about, " input") {
		return about + " " + member
	}
	return about + "." + member
}

// addOurBounds adds those of our shape and what is in it.
func addOurBounds(f facts, about string, of restjson.Shape) {
	d := restjson.Describe(of)
	switch d.Kind {
	case restjson.KindStructure:
		for _, m := range d.Members {
			addOurBounds(f, join(about, m.Name), m.Shape)
		}
		return
	case restjson.KindString:
		if d.Enum != nil {
			return
		}
		op := restjson.Operation{Input: []restjson.Member{restjson.Required("x", of)}}
		f.add(about, "takes", passing(d.Min, d.Max, func(probe string) bool {
			body, err := json.Marshal(map[string]string{"x": probe})
			if err != nil {
				return false
			}
			_, err = restjson.Call{Operation: &op}.Read(nil, body).Check(&op)
			return err == nil
		}))
	case restjson.KindList:
		addOurBounds(f, about+"[]", d.Of)
	case restjson.KindMap:
		addOurBounds(f, about+"{}", d.Of)
	case restjson.KindBoolean, restjson.KindTimestamp:
		return
	}
	f.add(about, "min", strconv.FormatInt(d.Min, 10))
	f.add(about, "max", strconv.FormatInt(d.Max, 10))
}

// TestOurBoundsAreTheModels fails where our tables allow less or more than the
// models of the aws command, if nobody said why they should.
func TestOurBoundsAreTheModels(t *testing.T) {
	mine := facts{}
	for _, s := range tables() {
		for _, op := range s.Operations {
			for _, m := range op.Input {
				addOurBounds(mine, titles[s.Title]+" "+op.Name+" input "+m.Name, m.Shape)
			}
		}
	}
	count, needed := 0, map[int]bool{}
	for service, folder := range commandModels {
		theirs, m := facts{}, readCommandModel(t, folder)
		for name, op := range m.Operations {
			m.addBounds(theirs, service+" "+name+" input", op.Input.Shape)
		}
		for about, bounds := range theirs {
			for aspect, value := range bounds {
				got, ok := mine[about][aspect]
				if !ok {
					continue // newer on one side or the other
				}
				count++
				d := difference{about, aspect, value, got}
				i := slices.IndexFunc(boundExceptions, func(e exception) bool { return e.covers("aws", d) })
				if got != value && i < 0 {
					t.Error(d)
				} else if got != value {
					needed[i] = true
				}
			}
		}
	}
	if count < 300 {
		t.Errorf("compared %d bounds, want more: the models are read wrongly", count)
	}
	for i, e := range boundExceptions {
		if !needed[i] && !t.Failed() {
			t.Errorf("the exception for %s is needed no more", e.about)
		}
	}
}
