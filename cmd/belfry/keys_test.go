package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/access"
	"belfry.live/belfry/internal/server"
)

const readOnly = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["ivs:Get*"], "Resource": "*"}}`

// keys runs `belfry keys` on the data folder.
func keys(t *testing.T, data, input string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := keysCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append(args, "--data", data))
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.Execute()
	return out.String(), errs.String(), err
}

func TestKeysCreate(t *testing.T) {
	data := t.TempDir()
	out, note, err := keys(t, data, "", "create", "--name", "ci")
	if err != nil {
		t.Fatal(err)
	}
	list, err := access.List(server.KeysFile(data))
	if err != nil || len(list) != 2 {
		t.Fatalf("got %v (%v), want the owner's key and the new one", list, err)
	}
	owner, k := list[0], list[1]
	for _, want := range []string{k.ID, k.Secret.Reveal(), "ci", "everything"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
	for _, want := range []string{"shown this once", "keys.json", "--key " + k.ID + " --data " + data} {
		if !strings.Contains(note, want) {
			t.Errorf("got %q, want %q in it", note, want)
		}
	}

	out, note, err = keys(t, data, readOnly, "create", "--account", "222222222222", "--policy", "-", "--ttl", "90m", "--json")
	if err != nil || note != "" {
		t.Fatalf("got %q, %v, want one JSON object alone", note, err)
	}
	var made struct {
		AccessKeyID, SecretAccessKey, SessionToken, Account string
		Created, Expires                                    time.Time
		Policy                                              access.Policy
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	list, err = access.List(server.KeysFile(data))
	if err != nil || len(list) != 3 {
		t.Fatalf("got %v (%v), want 3 keys", list, err)
	}
	k = list[2]
	if made.AccessKeyID != k.ID || made.SecretAccessKey != k.Secret.Reveal() || made.SessionToken != k.SessionToken.Reveal() ||
		made.Account != "222222222222" || made.Expires.Sub(made.Created) != 90*time.Minute || made.Policy.Allows("ivs:CreateChannel", "*") {
		t.Errorf("got %s, want what is in the file", out)
	}

	for _, args := range [][]string{{"list"}, {"list", "--json"}} {
		out, _, err := keys(t, data, "", args...)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range list {
			if !strings.Contains(out, k.ID) {
				t.Errorf("%v: got %s, want %s in it", args, out, k.ID)
			}
			if strings.Contains(out, k.Secret.Reveal()) || k.Temporary() && strings.Contains(out, k.SessionToken.Reveal()) {
				t.Errorf("%v: got %s, want no secrets in it", args, out)
			}
		}
	}

	if _, _, err := keys(t, data, "", "revoke", owner.ID); err != nil {
		t.Errorf("revoke the first of two owner's keys: got %v, want it gone", err)
	}
	if _, _, err := keys(t, data, "", "revoke", list[1].ID); err == nil || !strings.Contains(err.Error(), "the site and belfry env need it") {
		t.Errorf("revoke the last owner's key: got %v, want it refused", err)
	}
}

func TestKeysRefuses(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(data, "policy.json")
	if err := os.WriteFile(file, []byte(strings.Replace(readOnly, "Action", "NotAction", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"create", "--account", "12"}, `12 digits: "12"`},
		{[]string{"create", "--ttl", "5s"}, "from 1m0s"},
		{[]string{"create", "--ttl", "0s"}, "at least 1m0s"},
		{[]string{"create", "--policy", file}, "Statement[0].NotAction is not supported"},
		{[]string{"create", "--policy", ""}, "no such file"},
		{[]string{"create", "--policy", "-"}, "no JSON"},
		{[]string{"revoke", "AKIANOBODY"}, `no such access key: "AKIANOBODY"`},
		{[]string{"revoke"}, "accepts 1 arg"},
	} {
		if _, _, err := keys(t, data, "", c.args...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: got %v, want an error saying %q", c.args, err, c.says)
		}
	}
	list, _ := access.List(server.KeysFile(data))
	if len(list) > 0 {
		t.Errorf("got %v, want no keys made", list)
	}
	nowhere := filepath.Join(data, "nowhere")
	if _, _, err := keys(t, nowhere, "", "create"); err == nil || !strings.Contains(err.Error(), nowhere) {
		t.Errorf("without a data folder: got %v, want an error naming it", err)
	}
	if _, err := os.Stat(nowhere); err == nil {
		t.Error("got the data folder made, want a mistyped one to stay missing")
	}
	if _, err := os.Stat(server.KeysFile(data)); err == nil {
		t.Error("got a file of keys, want none")
	}
}
