package model

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// javascript asks the installed JavaScript clients.
func javascript(t *testing.T) services {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node program")
	}
	if _, err := os.Stat("../clients/node_modules"); err != nil {
		t.Fatal("the clients are not installed: run npm ci in test/clients")
	}
	cmd := exec.CommandContext(t.Context(), node, "describe.mjs")
	cmd.Dir, cmd.Stderr = "../clients", t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node describe.mjs: %v", err)
	}
	var all services
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	return all
}
