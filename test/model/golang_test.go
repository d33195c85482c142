package model

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// modules are the official Go clients.
var modules = map[string]string{
	"meetings":  "github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings",
	"pipelines": "github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines",
	"ivs":       "github.com/aws/aws-sdk-go-v2/service/ivs",
}

// golang reads the sources of the Go clients, which are generated from the
// models.
func golang(t *testing.T) services {
	t.Helper()
	all := services{}
	for service, module := range modules {
		dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", module, err)
		}
		all[service] = readClient(t, strings.TrimSpace(string(dir)))
	}
	return all
}

// A client is what a Go client's sources say.
type client struct {
	t       *testing.T
	structs map[string]*ast.StructType // by name; those of package types and of the operations do not clash
	enums   map[string][]string        // sorted values by type
	written map[string]map[string]wire // field's place by struct and field, in requests
	read    map[string]map[string]wire // in answers
}

type wire struct{ name, in string }

// How the generated functions are called.
var (
	operationMethod = regexp.MustCompile(`^awsRestjson1_serializeOp(\w+)$`)
	writer          = regexp.MustCompile(`^awsRestjson1_serialize(?:OpDocument|OpHttpBindings|Document)(\w+)$`)
	reader          = regexp.MustCompile(`^awsRestjson1_deserialize(?:OpDocument|Document)(\w+)$`)
	errorReader     = regexp.MustCompile(`^awsRestjson1_deserializeOpError(\w+)$`)
)

func readClient(t *testing.T, dir string) map[string]operation {
	t.Helper()
	c := client{t, map[string]*ast.StructType{}, map[string][]string{}, map[string]map[string]wire{}, map[string]map[string]wire{}}
	files, err := filepath.Glob(filepath.Join(dir, "api_op_*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join(dir, "types", "types.go"), filepath.Join(dir, "types", "enums.go"),
		filepath.Join(dir, "serializers.go"), filepath.Join(dir, "deserializers.go"))
	operations := map[string]operation{}
	errors := map[string]map[string]int{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.GenDecl:
				c.declare(decl)
			case *ast.FuncDecl:
				if op, ok := receiver(decl, operationMethod); ok && decl.Name.Name == "HandleSerialize" {
					operations[op] = route(decl)
				}
				if m := writer.FindStringSubmatch(decl.Name.Name); m != nil {
					c.readWriter(m[1], decl)
				}
				if m := reader.FindStringSubmatch(decl.Name.Name); m != nil {
					c.readReader(m[1], decl)
				}
				if m := errorReader.FindStringSubmatch(decl.Name.Name); m != nil {
					errors[m[1]] = errorTypes(decl)
				}
			}
		}
	}
	for name, op := range operations {
		op.Errors = errors[name]
		op.Input = c.structure(name+"Input", c.written)
		op.Output = c.structure(name+"Output", c.read)
		operations[name] = op
	}
	return operations
}

// declare keeps structs, and the constants of enums.
func (c client) declare(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if s, ok := spec.Type.(*ast.StructType); ok {
				c.structs[spec.Name.Name] = s
			}
		case *ast.ValueSpec:
			if of, ok := spec.Type.(*ast.Ident); ok && decl.Tok == token.CONST && len(spec.Values) == 1 {
				c.enums[of.Name] = append(c.enums[of.Name], text(spec.Values[0]))
				slices.Sort(c.enums[of.Name])
			}
		}
	}
}

// receiver returns what the pattern finds in the name of a method's type.
func receiver(decl *ast.FuncDecl, pattern *regexp.Regexp) (string, bool) {
	if decl.Recv == nil {
		return "", false
	}
	star, ok := decl.Recv.List[0].Type.(*ast.StarExpr)
	if !ok {
		return "", false
	}
	name, ok := star.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	m := pattern.FindStringSubmatch(name.Name)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// route finds method and URI in an operation's serializer.
func route(decl *ast.FuncDecl) (op operation) {
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if called(n) == "SplitURI" {
				op.URI = text(n.Args[0])
			}
		case *ast.AssignStmt:
			if sel, ok := n.Lhs[0].(*ast.SelectorExpr); ok && sel.Sel.Name == "Method" {
				op.Method = text(n.Rhs[0])
			}
		}
		return true
	})
	return op
}

// readWriter finds out under which names a struct's fields are written: each
// statement of the function writes one field.
func (c client) readWriter(name string, decl *ast.FuncDecl) {
	places := map[string]string{"Key": "body", "SetURI": "path", "SetQuery": "query ", "AddQuery": "query ", "SetHeader": "header "}
	for _, stmt := range decl.Body.List {
		var field string
		var w wire
		ast.Inspect(stmt, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "v" {
					field = n.Sel.Name
				}
			case *ast.CallExpr:
				if in, ok := places[called(n)]; ok && len(n.Args) == 1 {
					if _, literal := n.Args[0].(*ast.BasicLit); literal {
						w = wire{text(n.Args[0]), in}
					}
				}
			}
			return true
		})
		if field != "" && w.name != "" {
			keep(c.written, name, field, w)
		}
	}
}

// readReader finds out under which names a struct's fields are read: each case
// of the switch over the keys reads one field.
func (c client) readReader(name string, decl *ast.FuncDecl) {
	ast.Inspect(decl, func(n ast.Node) bool {
		clause, ok := n.(*ast.CaseClause)
		if !ok || len(clause.List) != 1 {
			return true
		}
		if _, literal := clause.List[0].(*ast.BasicLit); !literal {
			return true
		}
		ast.Inspect(clause, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "sv" {
					keep(c.read, name, sel.Sel.Name, wire{text(clause.List[0]), "body"})
				}
			}
			return true
		})
		return true
	})
}

func keep(all map[string]map[string]wire, name, field string, w wire) {
	if all[name] == nil {
		all[name] = map[string]wire{}
	}
	all[name][field] = w
}

// errorTypes finds the types that an operation's error reader tells apart.
func errorTypes(decl *ast.FuncDecl) map[string]int {
	types := map[string]int{}
	ast.Inspect(decl, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && called(call) == "EqualFold" {
			types[text(call.Args[0])] = 0
		}
		return true
	})
	return types
}

// structure describes a struct as its fields are written or read.
func (c client) structure(name string, wires map[string]map[string]wire) *shape {
	s := &shape{Kind: "structure"}
	of, ok := c.structs[name]
	if !ok {
		c.t.Fatalf("the client has no %s", name)
	}
	for _, f := range of.Fields.List {
		if len(f.Names) == 0 || f.Names[0].Name == "ResultMetadata" {
			continue
		}
		w, ok := wires[name][f.Names[0].Name]
		if !ok {
			if !answerHeaders[f.Names[0].Name] {
				c.t.Errorf("%s.%s: found nowhere how it is written", name, f.Names[0].Name)
			}
			continue
		}
		in := w.in
		if strings.HasSuffix(in, " ") {
			in += w.name
		}
		member := member{Name: w.name, In: in, Shape: c.typeOf(f.Type, wires)}
		if strings.HasPrefix(in, "query ") { // under another name than its own, which is the field's
			member.Name = c.memberName(f.Names[0].Name)
		}
		member.Required = strings.Contains(f.Doc.Text(), "This member is required.")
		s.Members = append(s.Members, member)
	}
	return s
}

// memberName is a field's name in the model, as far as case goes: a service
// begins all of its members with capitals or none.
func (c client) memberName(field string) string {
	for _, fields := range c.written {
		for _, w := range fields {
			if w.in == "body" && strings.ToLower(w.name[:1]) == w.name[:1] {
				return strings.ToLower(field[:1]) + field[1:]
			}
			if w.in == "body" {
				return field
			}
		}
	}
	return field
}

// answerHeaders are members of some answers that come in headers.
var answerHeaders = map[string]bool{
	"AccessControlAllowOrigin": true, "AccessControlExposeHeaders": true, "CacheControl": true, "ContentSecurityPolicy": true,
	"StrictTransportSecurity": true, "XContentTypeOptions": true, "XFrameOptions": true,
}

func (c client) typeOf(e ast.Expr, wires map[string]map[string]wire) *shape {
	switch e := e.(type) {
	case *ast.StarExpr:
		return c.typeOf(e.X, wires)
	case *ast.ArrayType:
		return &shape{Kind: "list", Of: c.typeOf(e.Elt, wires)}
	case *ast.MapType:
		return &shape{Kind: "map", Of: c.typeOf(e.Value, wires)}
	case *ast.SelectorExpr:
		if e.Sel.Name == "Time" {
			return &shape{Kind: "timestamp"}
		}
		return c.typeOf(e.Sel, wires)
	case *ast.Ident:
		switch e.Name {
		case "string":
			return &shape{Kind: "string"}
		case "bool":
			return &shape{Kind: "boolean"}
		case "int32", "int64", "float64":
			return &shape{Kind: "number"}
		}
		if values, ok := c.enums[e.Name]; ok {
			return &shape{Kind: "string", Enum: values}
		}
		return c.structure(e.Name, wires)
	}
	c.t.Fatalf("a field of a kind that nobody thought of: %T", e)
	return nil
}

// called is the name of the function or method that is called.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

// text is the value of a string literal; "" if it is none.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}
