package restjson

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
)

// A Handler does what an operation is for.
type Handler struct {
	decode func(Document) (input any, err error)
	// call gets what decode returned. Its output is nil for an empty body.
	call   func(ctx context.Context, c Caller, input any) (output any, err error)
	output reflect.Type // of a success; nil: none
	refuse *Error       // all it ever answers
}

// Output is the type of what a success answers with, as package encoding/json
// writes it; nil: its body is empty.
func (h Handler) Output() reflect.Type { return h.output }

// Refusal is the error that a handler made by Refuse answers with; nil: it does
// more than that.
func (h Handler) Refusal() *Error { return h.refuse }

// Decode turns an input that passed its table into the handler's own. It fails
// where the table and that type do not go together.
func (h Handler) Decode(d Document) (any, error) { return h.decode(d) }

// do decodes the input and does what the operation is for.
func (h Handler) do(ctx context.Context, c Caller, d Document) (output any, err error) {
	input, err := h.decode(d)
	if err != nil {
		return nil, err
	}
	return h.call(ctx, c, input)
}

// Do makes a handler of a function with an input of its own type, to whose
// fields the members are decoded as package encoding/json does it.
func Do[In, Out any](f func(context.Context, Caller, In) (Out, error)) Handler {
	call := func(ctx context.Context, c Caller, input any) (any, error) {
		out, err := f(ctx, c, input.(In))
		if err != nil {
			return nil, err
		}
		return out, nil
	}
	return Handler{decode: decode[In], call: call, output: reflect.TypeFor[Out]()}
}

// Act makes a handler of a function that answers with an empty body.
func Act[In any](f func(context.Context, Caller, In) error) Handler {
	return Handler{decode: decode[In], call: func(ctx context.Context, c Caller, input any) (any, error) {
		return nil, f(ctx, c, input.(In))
	}}
}

// Refuse makes a handler that answers every well-formed request with the error.
func Refuse(status int, kind, format string, args ...any) Handler {
	refusal := Errorf(status, kind, format, args...)
	return Handler{
		decode: decode[struct{}],
		call:   func(context.Context, Caller, any) (any, error) { return nil, refusal },
		refuse: refusal,
	}
}

// A Document is an input: what came in path, query and body. Past its table,
// objects are map[string]any with known members only, none of them null.
type Document map[string]any

// Text is the member's value; "" if it is absent or no string.
func (d Document) Text(member string) string {
	s, _ := d[member].(string)
	return s
}

// only is the part of the document that the members make up.
func (d Document) only(list []Member) Document {
	part := Document{}
	for _, m := range list {
		if value, ok := d[m.Name]; ok {
			part[m.Name] = value
		}
	}
	return part
}

func decode[In any](d Document) (any, error) {
	var in In
	text, err := json.Marshal(d)
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		return nil, fmt.Errorf("the operation's table and its input type differ: %w", err)
	}
	return in, nil
}
