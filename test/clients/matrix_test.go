package clients_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/test/apiserver"
	"belfry.live/belfry/test/clients"
)

// titles are the services under the names that this package has for them.
var titles = map[string]string{
	"Amazon Chime SDK Meetings":                               clients.Meetings,
	"Amazon Chime SDK Media Pipelines":                        clients.Pipelines,
	"Amazon Interactive Video Service, low-latency streaming": clients.IVS,
}

func tableOf(t *testing.T, s *apiserver.Server) map[string]*restjson.Service {
	t.Helper()
	table := map[string]*restjson.Service{}
	for _, service := range s.API.Services() {
		name, ok := titles[service.Title]
		if !ok {
			t.Fatalf("there are no clients for %s", service.Title)
		}
		table[name] = service
	}
	return table
}

func operationOf(s *restjson.Service, name string) *restjson.Operation {
	if i := slices.IndexFunc(s.Operations, func(op restjson.Operation) bool { return op.Name == name }); i >= 0 {
		return &s.Operations[i]
	}
	return &restjson.Operation{}
}

// older are the operations that a client may be too old for: those of the Go
// client that is pinned, and of boto in Debian 12, which is of January 2023.
var older = map[string]*regexp.Regexp{
	"Go": regexp.MustCompile(`^ivs UpdateAdConfiguration$`),
	"boto": regexp.MustCompile(`^ivs (\w+AdConfigurations?|InsertAdBreak|\w+PlaybackRestrictionPolic(y|ies)|(Batch)?StartViewerSessionRevocation)$|` +
		`^pipelines \w*(MediaInsights|KinesisVideoStreamPool|MediaStreamPipeline|SpeakerSearch|VoiceToneAnalysis)`),
}

const wrongSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYWRONGKEY"

// skew is how far a clock is off, more than the 5 minutes that are tolerated.
const skew = 20 * time.Minute

// TestMatrix has every client go through every scenario in every way that it
// may be set up.
func TestMatrix(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{StreamKeys: 3, Ahead: true})
	table := tableOf(t, s)
	const path = "/aws/v1"
	based := s.Also(t, apiserver.Config{BasePath: path})
	ahead := s.Also(t, apiserver.Config{Now: func() time.Time { return time.Now().Add(skew) }})
	plain, slash := newFront(t, s.API, ""), newFront(t, s.API, "/")
	base, baseSlash := newFront(t, based.API, path), newFront(t, based.API, path+"/")
	skewed := newFront(t, ahead.API, "")

	ways := []struct {
		name string
		ttl  time.Duration
		set  func(r *run)
	}{
		{"plain", 0, func(r *run) { r.try.front = plain }},
		{"endpoint that ends in a slash", 0, func(r *run) { r.try.front = slash }},
		{"endpoint with a base path", 0, func(r *run) { r.try.front = base }},
		{"endpoint with a base path that ends in a slash", 0, func(r *run) { r.try.front = baseSlash }},
		{"session token", time.Hour, func(r *run) { r.try.front = plain }},
		{"wrong secret first", 0, func(r *run) {
			r.try.front = plain
			wrong := r.try
			wrong.setup.Secret = wrongSecret
			r.refused = &wrong
		}},
		{"clock off", 0, func(r *run) {
			r.try.front = plain
			off := r.try
			off.front = skewed
			if r.client.Name() == "boto" { // goes by its own clock alone
				r.refused = &off
				return
			}
			off.setup.Fresh = true // has to find out at every call
			off.learns = true
			r.try = off
		}},
	}
	for _, c := range clients.All(t) {
		knows := knowledge(t, c, table)
		for _, way := range ways {
			for _, scenario := range scenarios {
				if !knows(scenario.steps[0].call) {
					continue // it is all about what the client does not know
				}
				t.Run(c.Name()+"/"+way.name+"/"+scenario.name, func(t *testing.T) {
					t.Parallel()
					r := newRun(t, s, table, c, way.ttl)
					r.knows = knows
					way.set(r)
					r.all(t, scenario)
				})
			}
		}
	}
}

// knowledge finds out which operations the client has.
func knowledge(t *testing.T, c clients.Client, table map[string]*restjson.Service) func(call string) bool {
	t.Helper()
	var unknown []string
	for service, s := range table {
		for i := range s.Operations {
			call := service + " " + s.Operations[i].Name
			if older[c.Name()] == nil || !older[c.Name()].MatchString(call) {
				continue
			}
			request := clients.Request{Service: service, Operation: s.Operations[i].Name}
			setup := clients.Setup{Endpoint: "http://127.0.0.1:9", Region: apiserver.Region, AccessKeyID: "x", Secret: "x"}
			if _, err := c.Call(t.Context(), setup, request); errors.Is(err, clients.ErrUnknown) {
				unknown = append(unknown, call)
			}
		}
	}
	slices.Sort(unknown)
	t.Logf("%s is too old for %d operations: %s", c.Name(), len(unknown), strings.Join(unknown, ", "))
	return func(call string) bool { return !slices.Contains(unknown, call) }
}

// TestNotAvailable has them ask for what the server has no workers for.
func TestNotAvailable(t *testing.T) {
	s := apiserver.Start(t, apiserver.Config{})
	table, plain := tableOf(t, s), newFront(t, s.API, "")
	for _, c := range clients.All(t) {
		for _, scenario := range unavailable {
			t.Run(c.Name()+"/"+scenario.name, func(t *testing.T) {
				r := newRun(t, s, table, c, 0)
				r.knows = func(string) bool { return true }
				r.try.front = plain
				r.all(t, scenario)
			})
		}
	}
}

// accounts counts those that were given out.
var accounts atomic.Int64

// newRun prepares a run in an account of its own.
func newRun(t *testing.T, s *apiserver.Server, table map[string]*restjson.Service, c clients.Client, ttl time.Duration) *run {
	t.Helper()
	account := fmt.Sprintf("2%011d", accounts.Add(1))
	key, err := access.Create(s.Keys, access.Spec{Account: account, TTL: ttl}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &run{
		client: c, table: table,
		names: names{
			"account": account, "oddKey": oddKey, "oddValue": oddValue, "blankKey": blankKey,
			"publicKey1": publicKey(t), "publicKey2": publicKey(t),
		},
		try: try{setup: clients.Setup{
			Region: apiserver.Region, AccessKeyID: key.ID, Secret: key.Secret.Reveal(), SessionToken: key.SessionToken.Reveal(),
		}},
	}
}

func (r *run) match(pattern string, got any) error {
	var p any
	if err := json.Unmarshal([]byte(pattern), &p); err != nil {
		return err
	}
	return r.names.match(p, got)
}

// publicKey makes a key pair and returns the half that is imported.
func publicKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// TestEveryOperationHasItsCases holds the scenarios to the tables: what class A
// and B have must be shown to work, to fail, to come in pages and to carry odd
// tags, and class C to be answered.
func TestEveryOperationHasItsCases(t *testing.T) {
	table := tableOf(t, apiserver.Start(t, apiserver.Config{}))
	has := map[string]map[string]bool{}
	for _, s := range slices.Concat(scenarios, unavailable) {
		for _, step := range s.steps {
			if has[step.call] == nil {
				has[step.call] = map[string]bool{"a call": true}
			}
			h := has[step.call]
			h["a success"] = h["a success"] || step.fails == ""
			h["an error"] = h["an error"] || step.fails != ""
			h["pages"] = h["pages"] || step.page > 0 && step.fails == ""
			h["odd tags"] = h["odd tags"] || step.fails == "" && (strings.Contains(step.in, "$oddKey") || strings.Contains(step.in, "$blankKey"))
		}
	}
	for service, s := range table {
		for i := range s.Operations {
			op := &s.Operations[i]
			call := service + " " + op.Name
			needs := []string{"a call"}
			if op.Class != restjson.C {
				needs = append(needs, "a success", "an error")
				for _, m := range op.Input {
					switch strings.ToLower(m.Name) {
					case "nexttoken":
						needs = append(needs, "pages")
					case "tags", "tagkeys":
						needs = append(needs, "odd tags")
					}
				}
			}
			for _, n := range needs {
				if !has[call][n] && !(n == "a success" && neverSucceeds[call]) {
					t.Errorf("%s: no scenario shows %s", call, n)
				}
			}
			delete(has, call)
		}
	}
	for call := range has {
		t.Errorf("a scenario has %s, which is no operation", call)
	}
}
