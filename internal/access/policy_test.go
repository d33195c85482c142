package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

const channelARN = "arn:aws:ivs:us-east-1:111111111111:channel/AbCdEfGhIjKl"

// allow is a policy of one statement.
func allow(action, resource string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":%s,"Resource":%s}}`, action, resource)
}

func mustParse(t testing.TB, text string) Policy {
	t.Helper()
	p, err := ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAllows(t *testing.T) {
	list := `{"Version":"2012-10-17","Statement":[
		{"Sid":"Read","Effect":"Allow","Action":["ivs:Get*","ivs:List*"],"Resource":"*"},
		{"Effect":"Deny","Action":"ivs:*","Resource":"arn:aws:ivs:*:*:channel/Ab*"},
		{"Effect":"Allow","Action":"ivs:DeleteChannel","Resource":["` + channelARN + `","arn:aws:ivs:us-east-1:111111111111:channel/X*"]}]}`
	for _, c := range []struct {
		name, policy, action, resource string
		want                           bool
	}{
		{"everything", allow(`"*"`, `"*"`), "chime:CreateMeeting", "*", true},
		{"a service", allow(`"chime:*"`, `"*"`), "chime:CreateMeeting", "*", true},
		{"another service", allow(`"chime:*"`, `"*"`), "ivs:CreateChannel", "*", false},
		{"letters of another case", allow(`"IVS:createCHANNEL"`, `"*"`), "ivs:CreateChannel", "*", true},
		{"one character", allow(`"ivs:GetStrea?"`, `"*"`), "ivs:GetStream", channelARN, true},
		{"not two characters", allow(`"ivs:GetStrea?"`, `"*"`), "ivs:GetStreams", channelARN, false},
		{"the beginning of an action is not it", allow(`"ivs:Get"`, `"*"`), "ivs:GetStream", channelARN, false},
		{"a resource", allow(`"*"`, `"`+channelARN+`"`), "ivs:GetChannel", channelARN, true},
		{"another resource", allow(`"*"`, `"`+channelARN+`"`), "ivs:GetChannel", channelARN + "x", false},
		{"case counts in resources", allow(`"*"`, `"`+channelARN+`"`), "ivs:GetChannel", strings.ToLower(channelARN), false},
		{"resources of any region", allow(`"*"`, `"arn:aws:ivs:*:111111111111:channel/*"`), "ivs:GetChannel", channelARN, true},
		{"resources of another account", allow(`"*"`, `"arn:aws:ivs:*:222222222222:channel/*"`), "ivs:GetChannel", channelARN, false},
		{"an action on no resource needs *", allow(`"*"`, `"arn:aws:ivs:*"`), "ivs:ListChannels", "*", false},
		{"list: allowed by the first", list, "ivs:GetChannel", "arn:aws:ivs:us-east-1:111111111111:channel/Z", true},
		{"list: allowed by the last", list, "ivs:DeleteChannel", "arn:aws:ivs:us-east-1:111111111111:channel/X1", true},
		{"list: denied and allowed before", list, "ivs:GetChannel", channelARN, false},
		{"list: denied and allowed after", list, "ivs:DeleteChannel", channelARN, false},
		{"list: not spoken of", list, "ivs:CreateChannel", "*", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := mustParse(t, c.policy).Allows(c.action, c.resource); got != c.want {
				t.Errorf("%s on %s: got %t, want %t", c.action, c.resource, got, c.want)
			}
		})
	}
	p := mustParse(t, list)
	if !p.Denies("ivs:DeleteChannel", channelARN) || p.Denies("ivs:CreateChannel", "*") {
		t.Error("got the wrong actions denied, want those of the Deny statement alone")
	}
	if !(Policy{}).Allows("ivs:CreateChannel", "*") || (Policy{}).Denies("ivs:CreateChannel", "*") {
		t.Error("got the zero policy to refuse something, want it to allow everything")
	}
}

var wrongPolicies = []struct{ text, says string }{
	{``, "no JSON"},
	{`{`, "no JSON"},
	{"\xff", "UTF-8"},
	{`null`, "the policy must be an object"},
	{`[]`, "the policy must be an object"},
	{`{"Statement":[]}`, "Version is required"},
	{`{"Version":2012,"Statement":[]}`, "Version must be a string"},
	{`{"Version":"2008-10-17","Statement":[]}`, `the only Version is "2012-10-17": "2008-10-17"`},
	{`{"Version":"2012-10-17"}`, "Statement is required"},
	{`{"Version":"2012-10-17","Statement":[]}`, "Statement must not be empty"},
	{`{"Version":"2012-10-17","Statement":"x"}`, "Statement[0] must be an object"},
	{`{"Version":"2012-10-17","Statement":null}`, "Statement[0] must be an object"},
	{`{"Version":"2012-10-17","Id":"x","Statement":[]}`, "Id is not supported"},
	{`{"version":"2012-10-17","Statement":[]}`, "version is not supported"},
	{`{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}`, "Version is there twice"},
	{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Action":"*","Resource":"*"}]}`, "Statement[1].Effect is required"},
	{`{"Version":"2012-10-17","Statement":{"Effect":"allow","Action":"*","Resource":"*"}}`, `Statement[0].Effect must be Allow or Deny: "allow"`},
	{`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}`, "Statement[0].Effect is there twice"},
	{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}}`, "Statement[0].Condition is not supported"},
	{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}}`, "Statement[0].Principal is not supported"},
	{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"*","Resource":"*"}}`, "Statement[0].NotAction is not supported"},
	{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","NotResource":"*"}}`, "Statement[0].NotResource is not supported"},
	{`{"Version":"2012-10-17","Statement":{"Sid":1,"Effect":"Allow","Action":"*","Resource":"*"}}`, "Statement[0].Sid must be a string"},
	{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*"}}`, "Statement[0].Action is required"},
	{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*"}}`, "Statement[0].Resource is required"},
	{allow(`[]`, `"*"`), "Statement[0].Action must not be empty"},
	{allow(`[1]`, `"*"`), "Statement[0].Action[0] must be a string"},
	{allow(`["*","CreateMeeting"]`, `"*"`), `Statement[0].Action[1] must be "*" or like ivs:GetChannel`},
	{allow(`"ivs: GetChannel"`, `"*"`), "Statement[0].Action must be"},
	{allow(`"iv*:GetChannel"`, `"*"`), "Statement[0].Action must be"},
	{allow(`""`, `"*"`), "Statement[0].Action must be"},
	{allow(`"*"`, `"*/x"`), "Statement[0].Resource must be"},
	{allow(`"*"`, `"arn:aws:ivs:us-east-1:channel/x"`), "Statement[0].Resource must be"},
	{allow(`"*"`, `"arn:aws:ivs:::channel/ x"`), "Statement[0].Resource must be"},
	{allow(`"*"`, `["*","arn:aws:ivs:::channel/${aws:username}"]`), "Statement[0].Resource[1] must not have variables"},
	{allow(`"*"`, `"`+strings.Repeat("*", MaxPolicy)+`"`), "at most 6144 are allowed"},
	{strings.Repeat(" ", maxPolicyText+1), "at most 65536 are read"},
}

func TestWrongPolicies(t *testing.T) {
	for _, c := range wrongPolicies {
		_, err := ParsePolicy([]byte(c.text))
		if !errors.Is(err, ErrPolicy) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%.200s: got %v, want an error saying %q", c.text, err, c.says)
		}
	}
	var p Policy
	if err := json.Unmarshal([]byte("null"), &p); err == nil {
		t.Error("null from JSON: got no error, want one")
	}
}

// The limit is of the policy without the blanks that people lay it out with.
func TestPolicyLength(t *testing.T) {
	empty := len(allow(`"*"`, `"arn:"`))
	longest := allow(`"*"`, `"arn:`+strings.Repeat("*", MaxPolicy-empty)+`"`)
	var wide strings.Builder
	for _, line := range strings.SplitAfter(longest, ",") {
		wide.WriteString(line + "\n        ")
	}
	if p, err := ParsePolicy([]byte(wide.String())); err != nil || p.String() != longest {
		t.Errorf("got %v, want a policy of %d characters to be taken", err, MaxPolicy)
	}
}

var matchCases = []struct {
	pattern, text string
	want          bool
}{
	{"", "", true},
	{"", "a", false},
	{"*", "", true},
	{"**", "abc", true},
	{"?", "", false},
	{"?", "a", true},
	{"a*", "a", true},
	{"a*c", "abbc", true},
	{"a*c", "abcb", false},
	{"*b*b", "abab", true},
	{"*ab?", "aababc", true},
	{"a?c*e", "abcde", true},
	{"a*b*c", "acb", false},
}

func TestMatch(t *testing.T) {
	for _, c := range matchCases {
		if got := match(c.pattern, c.text); got != c.want {
			t.Errorf("%q against %q: got %t, want %t", c.text, c.pattern, got, c.want)
		}
	}
	if !matchFold("ab*", "aBC") || matchFold("ab*", "aC") {
		t.Error("got case to count, want it not to")
	}
}

// The longest policy against a long name: what would take a matcher that tries
// everything for ever.
func TestMatchStaysQuick(t *testing.T) {
	pattern := strings.Repeat("*a", MaxPolicy/2) + "b"
	text := strings.Repeat("a", 2048)
	begun := time.Now()
	if match(pattern, text) || match("*"+strings.Repeat("a", 1024)+"b", text) {
		t.Error("got a match, want none")
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("took %v, want some milliseconds", took)
	}
}

// FuzzMatch holds the matcher against a regular expression.
func FuzzMatch(f *testing.F) {
	for _, c := range matchCases {
		f.Add(c.pattern, c.text)
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 64 || len(text) > 256 || !all(pattern+text, isVisible) {
			t.Skip()
		}
		expression := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile("^" + expression + "$").MatchString(text)
		if got := match(pattern, text); got != want {
			t.Errorf("%q against %q: got %t, want %t", text, pattern, got, want)
		}
	})
}

// FuzzParsePolicy checks that what is taken has only what was understood, and
// stays the same on its way through the file.
func FuzzParsePolicy(f *testing.F) {
	for _, c := range wrongPolicies {
		f.Add([]byte(c.text))
	}
	f.Add([]byte(allow(`"ivs:Get*"`, `["arn:aws:ivs:*:*:channel/?*","*"]`)))
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Deny","Action":["*"],"Resource":"arn:*"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			if !p.IsZero() || !errors.Is(err, ErrPolicy) {
				t.Fatalf("got %v with %v, want no policy and ErrPolicy", p, err)
			}
			return
		}
		if p.IsZero() || len(p.statements) == 0 {
			t.Fatalf("%s: got a policy that allows everything", text)
		}
		again, err := ParsePolicy([]byte(p.String()))
		if err != nil || again.String() != p.String() || len(again.statements) != len(p.statements) {
			t.Fatalf("%s: got %v (%v) the second time", p, again, err)
		}
		action, resource := "ivs:GetChannel", channelARN
		denied := p.Denies(action, resource)
		if denied && p.Allows(action, resource) {
			t.Errorf("%s: both allows and denies %s on %s", p, action, resource)
		}
		var general any
		if err := json.Unmarshal(text, &general); err != nil {
			t.Errorf("%q is a policy and no JSON: %v", text, err)
		}
	})
}
