// Package network runs the whole binary in network namespaces of the kernel:
// server, router and clients each have their own addresses, routes and
// firewall, as machines on a network do. It needs root and iproute2; where
// these are missing its tests are skipped.
package network

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"belfry.live/belfry/test/running"
)

// built is belfry, built once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "belfry-network-*")
	if err != nil {
		return "", err
	}
	return running.Build(dir)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := built(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// Addresses of the lab: the router is the first in each network.
const (
	serverIP, serverIP6 = "10.77.1.2", "fd77:1::2"
	clientIP, clientIP6 = "10.77.2.2", "fd77:2::2"
	routerIP            = "10.77.2.1" // as the client sees it
)

// A lab is server - router - client, each in a namespace.
type lab struct {
	t                      *testing.T
	id                     string // begins the names of its namespaces
	server, router, client namespace
	env                    []string // of the clients, once a server runs
	endpoint               string
}

var labs atomic.Int64

// newLab makes the namespaces and connects them, for a test that runs beside
// others: it mostly waits.
func newLab(t *testing.T) *lab {
	t.Helper()
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no ip: install iproute2")
	}
	l := &lab{t: t, id: fmt.Sprintf("belfry%d-%d-", os.Getpid(), labs.Add(1))}
	l.server, l.router, l.client = l.namespace("server"), l.namespace("router"), l.namespace("client")
	l.router.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	lay(end{l.server, "uplink"}, end{l.router, "server"})
	l.address(end{l.server, "uplink"}, serverIP, serverIP6)
	l.address(end{l.router, "server"}, "10.77.1.1", "fd77:1::1")
	lay(end{l.client, "uplink"}, end{l.router, "client"})
	l.attachClient()
	l.server.run("ip", "route", "add", "default", "via", "10.77.1.1")
	l.server.run("ip", "-6", "route", "add", "default", "via", "fd77:1::1")
	return l
}

// namespace makes one of the lab's machines.
func (l *lab) namespace(name string) namespace {
	l.t.Helper()
	n := namespace{l.t, l.id + name}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		l.t.Skipf("no network namespaces here: %v: %s", err, out)
	}
	l.t.Cleanup(n.delete)
	n.run("ip", "link", "set", "lo", "up")
	return n
}

// An end of a cable is a network device.
type end struct {
	namespace
	device string
}

// lay lays a cable between two machines.
func lay(a, b end) {
	a.t.Helper()
	a.run("ip", "link", "add", a.device, "type", "veth", "peer", "name", b.device, "netns", b.name)
	for _, e := range []end{a, b} {
		e.run("ip", "link", "set", e.device, "up")
	}
}

func (l *lab) address(e end, v4, v6 string) {
	l.t.Helper()
	e.run("ip", "addr", "add", v4+"/24", "dev", e.device)
	e.run("ip", "addr", "add", v6+"/64", "dev", e.device, "nodad")
}

// attachClient gives the client's cable its addresses and routes.
func (l *lab) attachClient() {
	l.t.Helper()
	l.address(end{l.client, "uplink"}, clientIP, clientIP6)
	l.address(end{l.router, "client"}, routerIP, "fd77:2::1")
	l.client.run("ip", "route", "add", "default", "via", routerIP)
	l.client.run("ip", "-6", "route", "add", "default", "via", "fd77:2::1")
}

// without takes the addresses of a family ("-4", "-6") from server and client.
func (l *lab) without(family string) {
	l.t.Helper()
	for _, n := range []namespace{l.server, l.client} {
		n.run("ip", family, "addr", "flush", "dev", "uplink")
	}
}

// firewall loads rules into the router's nftables.
func (l *lab) firewall(rules string) {
	l.t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		l.t.Skip("there is no nft: install nftables")
	}
	cmd := l.router.command(context.Background(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("nft: %v: %s\n%s", err, out, rules)
	}
}

// blockAllBut lets nothing through the router from the client but what matches
// the nftables expressions.
func (l *lab) blockAllBut(matches ...string) {
	l.t.Helper()
	var rules strings.Builder
	for _, m := range matches {
		fmt.Fprintf(&rules, "    iifname client %s accept\n", m)
	}
	l.firewall(`table inet lab {
  chain forward {
    type filter hook forward priority 0; policy accept;
    meta l4proto ipv6-icmp accept
` + rules.String() + `    iifname client drop
  }
}`)
}

// A namespace is one machine of the lab.
type namespace struct {
	t    *testing.T
	name string
}

func (n namespace) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.name}, args...)...)
}

func (n namespace) run(args ...string) {
	n.t.Helper()
	if out, err := n.command(context.Background(), args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %s: %v: %s", n.name, strings.Join(args, " "), err, out)
	}
}

func (n namespace) delete() {
	if out, err := exec.Command("ip", "netns", "del", n.name).CombinedOutput(); err != nil {
		n.t.Errorf("delete namespace: %v: %s", err, out)
	}
}

// inside runs f in the namespace: sockets it opens stay there.
func (n namespace) inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		ns, err := os.Open("/var/run/netns/" + n.name)
		if err == nil {
			defer ns.Close()
			if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
				err = f()
			}
		}
		done <- err
	}()
	return <-done
}

// serve runs belfry in the server's namespace, with the settings as environment
// variables, and has the clients use the endpoint, its public URL.
func (l *lab) serve(endpoint string, settings ...string) *running.Server {
	l.t.Helper()
	path, err := built()
	if err != nil {
		l.t.Fatalf("build: %v", err)
	}
	script := filepath.Join(l.t.TempDir(), "belfry")
	text := "#!/bin/sh\n"
	for _, s := range append([]string{"PUBLIC_URL=" + endpoint}, settings...) {
		text += "export BELFRY_" + s + "\n"
	}
	text += "exec ip netns exec " + l.server.name + " " + path + ` "$@"` + "\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		l.t.Fatal(err)
	}
	data := filepath.Join(l.t.TempDir(), "data")
	s := running.New(script, data, "--http", ":8080", "--media", ":3478", "--tls", ":443", "--log-level", "info")
	if err := s.Run(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if _, err := s.Stop(); err != nil {
			l.t.Error(err)
		}
		if l.t.Failed() {
			l.t.Logf("server:\n%s", s.Log)
		}
	})
	key, err := s.Access()
	if err != nil {
		l.t.Fatal(err)
	}
	l.endpoint = endpoint
	l.env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey,
		"AWS_CA_BUNDLE="+filepath.Join(data, "tls", "authority.pem"))
	return s
}

// A measurement is what attendees in the client's namespace went through.
type measurement struct {
	Joined, Failed, Reconnects          int
	AudioPackets, AudioGaps, AudioLost  int
	Videos, VideosExpected, VideoFrames int
	VideoPackets, VideoFreezes          int
	JoinMs, AudioDelayMs                struct{ P50, P99, Max float64 }
	VideoMbps, Seconds                  float64
	Errors                              map[string]int
}

// attendees brings them into a new meeting from the client's namespace.
func (l *lab) attendees(args ...string) (m measurement) {
	l.t.Helper()
	path, err := built()
	if err != nil {
		l.t.Fatalf("build: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := l.client.command(ctx, append([]string{path, "attendee", "--endpoint", l.endpoint, "--json"}, args...)...)
	cmd.Env = l.env
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	failed := cmd.Run() // also when not all got in
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		l.t.Fatalf("attendees: %v (%v): %s\n%s", failed, err, &out, &problems)
	}
	l.t.Logf("%+v", m)
	return m
}

// meets wants two attendees, both with camera, to meet well.
func (l *lab) meets(args ...string) measurement {
	l.t.Helper()
	m := l.attendees(append([]string{"--count", "2", "--publish", "2", "--subscribe", "1", "--duration", "4s"}, args...)...)
	switch {
	case m.Joined != 2 || m.Failed != 0:
		l.t.Errorf("got %d joined, %d failed, want two attendees in", m.Joined, m.Failed)
	case m.Videos != 2:
		l.t.Errorf("got %d videos, want two", m.Videos)
	case float64(m.AudioPackets) < 0.5*2*50*m.Seconds: // a busy machine mixes less
		l.t.Errorf("got %d audio packets in %.1f s, want 50 a second for each of two", m.AudioPackets, m.Seconds)
	case m.AudioLost > 10:
		l.t.Errorf("got %d audio packets lost, want none", m.AudioLost)
	}
	return m
}
