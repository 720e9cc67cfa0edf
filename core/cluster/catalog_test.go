package cluster

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCatalog: every code that the source defines is in the catalogue once, with a
// severity and a meaning, events of this package are said by these constants only,
// and a remedy is named wherever an operator must act.
func TestCatalog(t *testing.T) {
	var listed []string
	for _, e := range Catalog() {
		if slices.Contains(listed, e.Code) {
			t.Errorf("%s is listed twice", e.Code)
		}
		listed = append(listed, e.Code)
		if e.Severity != Info && e.Severity != Warn && e.Severity != Error || e.Meaning == "" {
			t.Errorf("%s: severity %q, meaning %q", e.Code, e.Severity, e.Meaning)
		}
		if e.Severity == Error && e.Remedy == "" {
			t.Errorf("%s is an error without a remedy", e.Code)
		}
	}
	var defined []string
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range files {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if strings.HasPrefix(n.Names[0].Name, "Code") && len(n.Values) == 1 {
					code, _ := strconv.Unquote(n.Values[0].(*ast.BasicLit).Value)
					defined = append(defined, code)
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "say" {
					break
				}
				if id, ok := n.Args[0].(*ast.Ident); !ok || !strings.HasPrefix(id.Name, "Code") && id.Name != "code" {
					t.Errorf("%s: an event is said by something else than a Code constant", entry.Name())
				}
			}
			return true
		})
	}
	slices.Sort(listed)
	slices.Sort(defined)
	if !slices.Equal(listed, defined) {
		t.Errorf("listed  %v\ndefined %v", listed, defined)
	}
	if len(defined) < 30 {
		t.Errorf("only %d codes found: does this test still find them?", len(defined))
	}
}

// TestEventsAreListed: random histories yield no code but those of the catalogue and
// of notes.
func TestEventsAreListed(t *testing.T) {
	w := running(t, testConfig(3))
	w.lose("server1")
	w.runAll()
	w.ask(VerbStop, "A", "")
	w.ask(VerbStop, "nobody", "")
	w.runAll()
	for _, code := range w.codes {
		if !slices.ContainsFunc(Catalog(), func(e CatalogEntry) bool { return e.Code == code }) {
			t.Errorf("%s is not in the catalogue", code)
		}
	}
	var last uint64
	for _, e := range w.s.Events {
		if e.ID <= last || e.Text == "" || e.Severity != severityOf(e.Code) {
			t.Errorf("event %+v after %d", e, last)
		}
		last = e.ID
	}
}
