// Command compatibility writes docs/compatibility.md from the tables by which
// the APIs route: what every operation of AWS's services does here.
//
//	go run ./tools/compatibility docs/compatibility.md
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"belfry.live/belfry/internal/api"
	"belfry.live/belfry/internal/api/restjson"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compatibility FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(document(tables())), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "compatibility:", err)
		os.Exit(1)
	}
}

// tables returns those of a server that serves nobody.
func tables() []*restjson.Service {
	nowhere := &url.URL{Scheme: "http", Host: "localhost"}
	return api.New(api.Config{PublicURL: nowhere}, nil, nil, nil, nil, slog.New(slog.NewTextHandler(io.Discard, nil))).Services()
}

const introduction = `# Compatibility

What Belfry does of the services that it answers for. Made by ` + "`go generate ./internal/api`" + ` from the tables that route
requests; do not edit it.

| Class | Operations |
|---|---|
| A | needed to hold a meeting, stream it to a channel and watch it |
| B | what users of the service call besides |
| C | the rest |

| State | Means |
|---|---|
| complete | does what it does at AWS, with the differences that [api.md](api.md) names |
| partly: | checks its members and does the rest of that; what is said is missing or otherwise |
| refused | checks its members, then answers every call with this error; nothing is pretended, and no client tries again |

Any operation may also answer with a type that is about the caller, before it is reached (see [api.md](api.md)), with the
service's type for a policy that does not allow it, for a rate that is exceeded, or for a fault of the server.

`

// document words the tables.
func document(services []*restjson.Service) string {
	var b strings.Builder
	b.WriteString(introduction)
	b.WriteString("| Service | Operations | Complete | Partly | Refused |\n|---|---|---|---|---|\n")
	for _, s := range services {
		complete, partly, refused := 0, 0, 0
		for i := range s.Operations {
			switch op := &s.Operations[i]; {
			case op.Do.Refusal() != nil:
				refused++
			case op.Gap != "":
				partly++
			default:
				complete++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", s.Title, len(s.Operations), complete, partly, refused)
	}
	for _, s := range services {
		fmt.Fprintf(&b, "\n## %s\n\nErrors of every operation: %s.\n\n", s.Title, code(s.Common))
		b.WriteString("| Operation | Class | State | Request | Success | Further errors |\n|---|---|---|---|---|---|\n")
		for i := range s.Operations {
			op := &s.Operations[i]
			fmt.Fprintf(&b, "| %s | %c | %s | `%s` | %d | %s |\n", op.Name, op.Class, cell(state(op)), request(op), op.Status, code(op.Errors))
		}
	}
	return b.String()
}

func state(op *restjson.Operation) string {
	refusal := op.Do.Refusal()
	switch {
	case refusal != nil:
		return fmt.Sprintf("refused: %d `%s`, %s", refusal.Status, refusal.Type, refusal.Message)
	case op.Gap != "":
		return "partly: " + op.Gap
	}
	return "complete"
}

func request(op *restjson.Operation) string {
	uri := op.Path
	if op.Query != "" {
		uri += "?operation=" + op.Query
	}
	return op.Method + " " + uri
}

// code lists names as code.
func code(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "`, `") + "`"
}

// cell is text that does not end a table's cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
