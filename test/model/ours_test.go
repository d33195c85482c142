package model

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/api/restjson"
)

// titles are our services under the names that this package has for them.
var titles = map[string]string{
	"Amazon Chime SDK Meetings":                               "meetings",
	"Amazon Chime SDK Media Pipelines":                        "pipelines",
	"Amazon Interactive Video Service, low-latency streaming": "ivs",
}

func tables() []*restjson.Service {
	return api.New(api.Config{PublicURL: &url.URL{Scheme: "http", Host: "localhost"}}, nil, nil, nil, nil,
		slog.New(slog.NewTextHandler(io.Discard, nil))).Services()
}

// ours describes the tables that the server routes by.
func ours(t *testing.T) services {
	t.Helper()
	all := services{}
	for _, s := range tables() {
		name, ok := titles[s.Title]
		if !ok {
			t.Fatalf("%s is no service that clients are known for", s.Title)
		}
		all[name] = map[string]operation{}
		for i := range s.Operations {
			op := &s.Operations[i]
			if _, twice := all[name][op.Name]; twice {
				t.Errorf("%s has %s twice", s.Title, op.Name)
			}
			uri := op.Path
			if op.Query != "" {
				uri += "?operation=" + op.Query
			}
			errors := map[string]int{}
			for _, kind := range slices.Concat(s.Common, op.Errors) {
				errors[kind] = s.Types[kind]
			}
			all[name][op.Name] = operation{
				Method: op.Method, URI: uri, Status: op.Status, Errors: errors,
				Input: inputOf(op), Output: outputOf(t, op),
			}
		}
	}
	return all
}

func inputOf(op *restjson.Operation) *shape {
	s := &shape{Kind: "structure"}
	for _, m := range op.Input {
		in := "body"
		switch {
		case m.Query != "":
			in = "query " + m.Query
		case strings.Contains(op.Path, "{"+m.Name+"}"):
			in = "path"
		}
		s.Members = append(s.Members, member{m.Name, m.Required, in, shapeOf(m.Shape)})
	}
	return s
}

func shapeOf(described restjson.Shape) *shape {
	d := restjson.Describe(described)
	s := &shape{Kind: string(d.Kind)}
	if d.Enum != nil {
		s.Enum = slices.Sorted(slices.Values(d.Enum))
	}
	if d.Of != nil {
		s.Of = shapeOf(d.Of)
	}
	for _, m := range d.Members {
		s.Members = append(s.Members, member{m.Name, m.Required, "body", shapeOf(m.Shape)})
	}
	return s
}

// outputOf describes what the operation answers with, as package encoding/json
// writes it. An operation that is refused writes nothing: what it would answer
// is not compared.
func outputOf(t *testing.T, op *restjson.Operation) *shape {
	switch {
	case op.Do.Refusal() != nil:
		return &shape{Kind: anything}
	case op.Do.Output() == nil:
		return nil
	}
	return typeOf(t, op.Name, op.Do.Output())
}

var (
	timeType = reflect.TypeFor[restjson.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// typeOf describes a type. A raw message, which was a member of a checked
// input, is anything.
func typeOf(t *testing.T, about string, of reflect.Type) *shape {
	t.Helper()
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch {
	case of == timeType:
		return &shape{Kind: "timestamp"}
	case of == rawType:
		return &shape{Kind: anything}
	}
	switch of.Kind() {
	case reflect.String:
		return &shape{Kind: "string"}
	case reflect.Bool:
		return &shape{Kind: "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
		return &shape{Kind: "number"}
	case reflect.Slice:
		return &shape{Kind: "list", Of: typeOf(t, about+"[]", of.Elem())}
	case reflect.Map:
		return &shape{Kind: "map", Of: typeOf(t, about+"{}", of.Elem())}
	case reflect.Struct:
		return &shape{Kind: "structure", Members: fieldsOf(t, about, of)}
	}
	t.Errorf("%s: a %v is nothing that a client reads", about, of)
	return &shape{Kind: fmt.Sprint(of)}
}

func fieldsOf(t *testing.T, about string, of reflect.Type) []member {
	t.Helper()
	var all []member
	for _, f := range reflect.VisibleFields(of) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" || len(f.Index) > 1 && shadowed(of, f) || !f.IsExported() || name == "-" {
			continue // what is embedded stands among the fields itself
		}
		if name == "" {
			name = f.Name
		}
		// What is always written counts as required; more than that is allowed.
		always := !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero")
		all = append(all, member{name, always, "body", typeOf(t, about+"."+name, f.Type)})
	}
	return all
}

// shadowed says whether the embedded field is hidden by one nearer.
func shadowed(of reflect.Type, f reflect.StructField) bool {
	found, ok := of.FieldByName(f.Name)
	return !ok || !slices.Equal(found.Index, f.Index)
}
