package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxPolicy is how long a policy may be, in characters without the blanks
// between its parts; it is IAM's limit for a managed policy.
const MaxPolicy = 6144

// maxPolicyText limits what is read at all, in bytes.
const maxPolicyText = 64 << 10

// policyVersion is the one version of the policy language there is here.
const policyVersion = "2012-10-17"

// A Policy says which actions are allowed on which resources. Its zero value
// allows everything; one from ParsePolicy allows what its statements do.
type Policy struct {
	text       string // JSON, compact
	statements []statement
}

type statement struct {
	deny      bool
	actions   []string // patterns, in lower case
	resources []string // patterns
}

// ErrPolicy is wrapped by all errors about a policy's text.
var ErrPolicy = errors.New("the policy is wrong")

// ParsePolicy reads a policy in IAM's JSON form:
//
//	{"Version": "2012-10-17", "Statement": [
//	  {"Effect": "Allow", "Action": ["ivs:Get*", "ivs:List*"], "Resource": "*"}]}
//
// Statement, Action and Resource may be one or a list. A statement may have a
// Sid, which has no effect. Whatever else IAM knows is refused, since a
// condition that nobody checks would be a door left open. Errors wrap
// ErrPolicy and name the member.
//
// Source: AWS IAM User Guide, "Grammar of the IAM JSON policy language".
func ParsePolicy(text []byte) (Policy, error) {
	p, err := parsePolicy(text)
	if err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return p, nil
}

func parsePolicy(text []byte) (Policy, error) {
	if len(text) > maxPolicyText {
		return Policy{}, fmt.Errorf("it has %d bytes, at most %d are read", len(text), maxPolicyText)
	}
	if !utf8.Valid(text) {
		return Policy{}, errors.New("it is no UTF-8")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return Policy{}, fmt.Errorf("it is no JSON: %w", err)
	}
	if n := utf8.RuneCount(compact.Bytes()); n > MaxPolicy {
		return Policy{}, fmt.Errorf("it has %d characters, at most %d are allowed", n, MaxPolicy)
	}
	list, err := members(compact.Bytes(), "", "Version", "Statement")
	if err != nil {
		return Policy{}, err
	}
	version, err := stringIn(list["Version"], "Version")
	if err != nil {
		return Policy{}, err
	}
	if version != policyVersion {
		return Policy{}, fmt.Errorf("the only Version is %q: %.100q", policyVersion, version)
	}
	statements, err := oneOrMore(list["Statement"], "Statement")
	if err != nil {
		return Policy{}, err
	}
	p := Policy{text: compact.String()}
	for i, raw := range statements {
		s, err := parseStatement(raw, fmt.Sprintf("Statement[%d]", i))
		if err != nil {
			return Policy{}, err
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

func parseStatement(raw json.RawMessage, name string) (statement, error) {
	list, err := members(raw, name, "Sid", "Effect", "Action", "Resource")
	if err != nil {
		return statement{}, err
	}
	var s statement
	if sid, ok := list["Sid"]; ok {
		if _, err := stringIn(sid, name+".Sid"); err != nil {
			return statement{}, err
		}
	}
	effect, err := stringIn(list["Effect"], name+".Effect")
	if err != nil {
		return statement{}, err
	}
	switch effect {
	case "Allow":
	case "Deny":
		s.deny = true
	default:
		return statement{}, fmt.Errorf("%s.Effect must be Allow or Deny: %.100q", name, effect)
	}
	if s.actions, err = patterns(list["Action"], name+".Action", checkAction); err != nil {
		return statement{}, err
	}
	for i, a := range s.actions {
		s.actions[i] = strings.ToLower(a)
	}
	s.resources, err = patterns(list["Resource"], name+".Resource", checkResource)
	return s, err
}

// patterns reads one pattern or a list of them.
func patterns(raw json.RawMessage, name string, check func(string) error) ([]string, error) {
	list, err := oneOrMore(raw, name)
	if err != nil {
		return nil, err
	}
	var all []string
	for i, item := range list {
		at := name
		if raw[0] == '[' {
			at = fmt.Sprintf("%s[%d]", name, i)
		}
		p, err := stringIn(item, at)
		if err == nil && strings.Contains(p, "${") {
			err = fmt.Errorf("%s must not have variables (${…}), they are not supported: %.200q", at, p)
		} else if err == nil {
			if err = check(p); err != nil {
				err = fmt.Errorf("%s %w: %.200q", at, err, p)
			}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// checkAction wants "*" or service:operation. The service is given in full,
// as IAM has it.
func checkAction(p string) error {
	if p == "*" {
		return nil
	}
	service, operation, _ := strings.Cut(p, ":")
	if service == "" || operation == "" || !all(service, isLetter, isDigit, is("-")) || !all(operation, isLetter, isDigit, is("*?")) {
		return errors.New(`must be "*" or like ivs:GetChannel, where * and ? may stand in the operation`)
	}
	return nil
}

// checkResource wants "*" or a whole ARN.
func checkResource(p string) error {
	whole := strings.Count(p, ":") >= 5 || strings.HasSuffix(p, "*")
	if p != "*" && (!strings.HasPrefix(p, "arn:") || !whole || !all(p, isVisible)) {
		return errors.New(`must be "*" or an ARN like arn:aws:ivs:us-east-1:000000000000:channel/*`)
	}
	return nil
}

// members reads a JSON object that may have the members named in known, each
// once; name is its own name.
func members(raw json.RawMessage, name string, known ...string) (map[string]json.RawMessage, error) {
	what, within := "the policy", ""
	if name != "" {
		what, within = name, name+"."
	}
	if len(raw) == 0 || raw[0] != '{' {
		return nil, fmt.Errorf("%s must be an object", what)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil { // the brace
		return nil, err
	}
	list := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		member, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("%s must be an object", what)
		}
		if !slices.Contains(known, member) {
			return nil, fmt.Errorf("%s%.100s is not supported: %s may have %s", within, member, what, strings.Join(known, ", "))
		}
		if _, twice := list[member]; twice {
			return nil, fmt.Errorf("%s%s is there twice", within, member)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		list[member] = value
	}
	return list, nil
}

// oneOrMore reads a list that is not empty; what is no list counts as its only
// item.
func oneOrMore(raw json.RawMessage, name string) ([]json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, fmt.Errorf("%s is required", name)
	}
	if raw[0] != '[' {
		return []json.RawMessage{raw}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s must not be empty", name)
	}
	return list, nil
}

// stringIn reads a string.
func stringIn(raw json.RawMessage, name string) (string, error) {
	if len(raw) == 0 {
		return "", fmt.Errorf("%s is required", name)
	}
	if raw[0] != '"' {
		return "", fmt.Errorf("%s must be a string", name)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// IsZero says whether the policy is the one that allows everything.
func (p Policy) IsZero() bool { return p.text == "" }

// Allows says whether the action (ivs:GetChannel) may be done on the resource,
// an ARN, or "*" where the action is on no resource in particular. A statement
// that denies it counts more than any that allow it.
func (p Policy) Allows(action, resource string) bool {
	if p.IsZero() {
		return true
	}
	allowed := false
	for _, s := range p.statements {
		if !s.covers(action, resource) {
			continue
		}
		if s.deny {
			return false
		}
		allowed = true
	}
	return allowed
}

// Denies says whether a statement denies the action on the resource. What is
// neither denied nor allowed may not be done either.
func (p Policy) Denies(action, resource string) bool {
	return slices.ContainsFunc(p.statements, func(s statement) bool { return s.deny && s.covers(action, resource) })
}

func (s statement) covers(action, resource string) bool {
	return slices.ContainsFunc(s.actions, func(p string) bool { return matchFold(p, action) }) &&
		slices.ContainsFunc(s.resources, func(p string) bool { return match(p, resource) })
}

// String returns the policy as JSON; that of the zero value is "".
func (p Policy) String() string { return p.text }

// MarshalJSON returns the policy as it was read; the zero value is null.
func (p Policy) MarshalJSON() ([]byte, error) {
	if p.IsZero() {
		return []byte("null"), nil
	}
	return []byte(p.text), nil
}

// UnmarshalJSON is ParsePolicy. It does not take null for the zero value: what
// is meant to be a policy must not come to allow everything.
func (p *Policy) UnmarshalJSON(text []byte) (err error) {
	*p, err = ParsePolicy(text)
	return err
}
