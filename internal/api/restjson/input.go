package restjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// input gathers the operation's members from path, query and body, and checks
// them against the table.
func (c Call) input(r *http.Request, body []byte) (Document, error) {
	object := map[string]any{}
	if c.Operation.hasBody() {
		var err error
		if object, err = parseObject(body); err != nil {
			return nil, err
		}
	}
	query := r.URL.Query()
	for _, m := range c.Operation.Input {
		if value, ok := c.path[m.Name]; ok {
			object[m.Name] = value
		}
		if m.Query == "" {
			continue
		}
		delete(object, m.Name)
		if query.Get(m.Query) != "" {
			object[m.Name] = fromText(m.Shape, query.Get(m.Query))
		}
	}
	return members(c.Operation.Input, "", object)
}

// fromText gives a query parameter the JSON type that its shape wants.
func fromText(s Shape, text string) any {
	if _, ok := s.(integer); ok {
		return json.Number(text)
	}
	return text
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
