package restjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
)

// An Input is what a request brought, gathered but not checked.
type Input struct {
	document Document
	err      error // with the body
}

// Read gathers the operation's members from path, query and body.
func (c Call) Read(query url.Values, body []byte) Input {
	in := Input{document: Document{}}
	if c.Operation.hasBody() {
		object, err := parseObject(body)
		if err != nil {
			in.err = err
		} else {
			in.document = object
		}
	}
	for _, m := range c.Operation.Input {
		if value, ok := c.path[m.Name]; ok {
			in.document[m.Name] = value
		}
		if m.Query == "" {
			continue
		}
		delete(in.document, m.Name)
		if query.Get(m.Query) != "" || len(query[m.Query]) > 1 {
			in.document[m.Name] = fromText(m.Shape, query[m.Query])
		}
	}
	return in
}

// IsOwned says whether the request is the service's, where others have the same
// route.
func (c Call) IsOwned(s *Service, in Input) bool {
	return c.Operation.Shared == "" || s.Owns == nil || s.Owns(in.document.Text(c.Operation.Shared))
}

// Check holds the input against the operation's table. Its error names the
// member, the limit and the value.
func (in Input) Check(op *Operation) (Document, error) {
	if in.err != nil {
		return nil, in.err
	}
	return members(op.Input, "", in.document)
}

// fromText gives a query parameter, which may come several times, the JSON type
// that its shape wants.
func fromText(s Shape, texts []string) any {
	switch s := s.(type) {
	case integer:
		return json.Number(texts[0])
	case boolean:
		if b, ok := map[string]bool{"true": true, "false": false}[texts[0]]; ok {
			return b
		}
	case list:
		items := make([]any, len(texts))
		for i, text := range texts {
			items[i] = fromText(s.of, []string{text})
		}
		return items
	}
	return texts[0]
}

// parseObject reads a body, which must be one JSON object or nothing at all.
func parseObject(body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, errors.New("the body is not JSON: " + err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body goes on after its JSON object")
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the body must be a JSON object, got " + kind(value))
	}
	return object, nil
}
