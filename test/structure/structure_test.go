// Package structure holds the layout of the code to what docs/architecture.md
// promises: who imports whom, and that each package says what it is for.
package structure

import (
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "belfry.live/belfry/"

// layers says which of our packages a package may import, by prefix below
// internal/. A package may always import its own stages below it.
var layers = []layer{
	{"wire", []string{"wire"}},
	{"media", []string{"media", "wire"}},
	{"store", []string{"store", "wire"}},
	{"event", []string{"event", "store", "wire"}},
	{"worker", []string{"wire"}},
	{"listen", nil},
	{"outbox", nil},
	{"access", []string{"wire"}},
	{"attendee", []string{"attendee", "wire"}},
	{"load", []string{"attendee", "media/opus", "wire"}},
	{"pipeline", []string{"pipeline", "media", "wire", "worker", "attendee"}},
	{"meeting", []string{"meeting", "store", "outbox", "cluster", "worker", "listen", "wire", "media/opus", "media/jitter"}},
	{"connector", []string{"connector", "store", "outbox", "cluster", "worker", "wire"}},
	{"channel", []string{"channel", "store", "outbox", "cluster", "worker", "listen", "wire"}},
	{"api", []string{"api", "meeting", "connector", "channel", "access", "event", "wire"}},
	{"site", []string{"store"}},
	{"config", nil},
	{"server", []string{""}},
}

type layer struct {
	pkg string
	may []string
}

type goPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
	CgoFiles   []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles,CgoFiles", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := dec.Decode(&p); err {
		case nil:
			list = append(list, p)
		case io.EOF:
			if len(list) < 20 {
				t.Fatalf("found %d packages only", len(list))
			}
			return list
		default:
			t.Fatal(err)
		}
	}
}

func under(pkg, prefix string) bool {
	return prefix == "" || pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
}

func TestImportsFollowTheLayers(t *testing.T) {
	for _, p := range packages(t) {
		from, ok := strings.CutPrefix(p.ImportPath, module+"internal/")
		if !ok {
			continue
		}
		i := slices.IndexFunc(layers, func(l layer) bool { return under(from, l.pkg) })
		if i < 0 {
			t.Errorf("%s has no place in the layers", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			to, internal := strings.CutPrefix(to, "internal/")
			allowed := internal && slices.ContainsFunc(layers[i].may, func(m string) bool { return under(to, m) })
			if !allowed && layers[i].pkg != "server" {
				t.Errorf("%s imports %s", from, to)
			}
			if to == "media/av" && !under(from, "pipeline") && !under(from, "media") {
				t.Errorf("%s imports media/av, which is for pipelines alone", from)
			}
		}
	}
}

func TestEachPackageSaysOnceWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		var said []string
		for _, f := range append(p.GoFiles, p.CgoFiles...) {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				said = append(said, f)
			}
		}
		if len(said) != 1 && len(p.GoFiles)+len(p.CgoFiles) > 0 {
			t.Errorf("%s: got package comments in %v, want exactly one", p.ImportPath, said)
		}
	}
}
