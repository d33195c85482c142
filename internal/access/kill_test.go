package access

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// creates is the environment variable that makes this test binary a process
// that does nothing but create keys in the file that it names.
const creates = "BELFRY_TEST_CREATE_KEYS"

func TestMain(m *testing.M) {
	path := os.Getenv(creates)
	if path == "" {
		os.Exit(m.Run())
	}
	for {
		k, err := Create(path, Spec{}, time.Now())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(k.ID)
	}
}

// Whoever is killed while writing leaves a whole file with everything that was
// told to be in it, and no lock that keeps others out.
func TestKilledWriters(t *testing.T) {
	path := testFile(t)
	told := map[string]bool{}
	for round := range 12 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), creates+"="+path)
		child.Stderr = t.Output()
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() { // it is at work
			t.Fatal("got no key from the child")
		}
		told[lines.Text()] = true
		time.AfterFunc(time.Duration(rand.Int64N(int64(30*time.Millisecond))), func() { _ = child.Process.Kill() })
		for lines.Scan() {
			told[lines.Text()] = true
		}
		_ = child.Wait() // killed
		list, err := List(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		have := map[string]bool{}
		for _, k := range list {
			have[k.ID] = true
		}
		for id := range told {
			if !have[strings.TrimSpace(id)] {
				t.Errorf("round %d: %s was told to be made and is not there", round, id)
			}
		}
	}
	create(t, path, Spec{})
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Errorf("got %v (%v) in the folder, want the keys and their lock alone", left, err)
	}
}

// Root may change the keys of a server that runs as somebody else, who has to
// read them.
func TestFilesBelongToTheFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := testFile(t)
	if err := os.Chown(filepath.Dir(path), 4321, 1234); err != nil {
		t.Fatal(err)
	}
	create(t, path, Spec{})
	for _, name := range []string{path, path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 4321 || owner.Gid != 1234 || info.Mode() != 0o600 {
			t.Errorf("%s: got %v of %d:%d, want -rw------- of 4321:1234", name, info.Mode(), owner.Uid, owner.Gid)
		}
	}
}
