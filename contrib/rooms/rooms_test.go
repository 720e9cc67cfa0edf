package rooms

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "baton"
	root   = "../.."
)

// eachFile parses every Go file of the module.
func eachFile(t *testing.T, visit func(dir, name string, f *ast.File, fset *token.FileSet)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && rel != "." || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		n++
		visit(filepath.ToSlash(filepath.Dir(rel)), rel, f, fset)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 20 {
		t.Fatalf("read %d files only: is %s the module's root?", n, root)
	}
}

// The arrows of the design: every import line is allowed by the rules. Tests may
// import what they like of the standard library and of others, but not cross the
// rooms either, except for package main of the lab's kind below contrib.
func TestImports(t *testing.T) {
	eachFile(t, func(dir, name string, f *ast.File, _ *token.FileSet) {
		r := ruleFor(dir)
		test := strings.HasSuffix(name, "_test.go")
		for _, spec := range f.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if msg := judge(r, dir, path, test); msg != "" {
				t.Errorf("%s imports %s: %s", name, path, msg)
			}
		}
	})
}

func judge(r rule, dir, path string, test bool) string {
	if own, ok := strings.CutPrefix(path, module+"/"); ok {
		if slices.Contains(helpers, own) && own != dir {
			if !test || strings.SplitN(dir, "/", 2)[0] != strings.SplitN(own, "/", 2)[0] {
				return "only tests of its room may import it"
			}
			return ""
		}
		if own != dir && !anyWithin(own, r.may) {
			return fmt.Sprintf("%s may import only %v of this module", r.from, r.may)
		}
		return ""
	}
	if test {
		return ""
	}
	if slices.Contains(r.forbidden, path) {
		return r.from + " is pure"
	}
	if strings.Contains(strings.SplitN(path, "/", 2)[0], ".") && r.thirdParty != nil && !anyWithin(path, r.thirdParty) {
		return fmt.Sprintf("%s may import only %v of others", r.from, r.thirdParty)
	}
	return ""
}

// Nothing below core reads a clock: time comes in with the inputs.
func TestCoreHasNoClock(t *testing.T) {
	eachFile(t, func(dir, name string, f *ast.File, fset *token.FileSet) {
		if !within(dir, "core") || within(dir, "core/sim/cmd") || strings.HasSuffix(name, "_test.go") {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && x.Obj == nil && slices.Contains(clockCalls, s.Sel.Name) {
					t.Errorf("%v: time.%s", fset.Position(n.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	})
}

// Every package says what it is.
func TestPackageComments(t *testing.T) {
	doc := map[string]bool{}
	eachFile(t, func(dir, name string, f *ast.File, _ *token.FileSet) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		doc[dir] = doc[dir] || f.Doc != nil && len(f.Doc.Text()) > 60
	})
	for dir, has := range doc {
		if !has {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

// The rules themselves: each kind of breach is noticed.
func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		dir, path string
		test, ok  bool
	}{
		{"core/cluster", "os", false, false},
		{"core/cluster", "os", true, true},
		{"core/cluster", "baton/core/lease", false, false},
		{"core/cluster", "go.etcd.io/raft/v3", false, false},
		{"core/node", "go.etcd.io/raft/v3/raftpb", false, true},
		{"core/node", "baton/core/sim", true, false},
		{"core/node", "baton/daemon/store", true, false},
		{"daemon/heartbeat", "baton/daemon/peer", false, false},
		{"daemon/heartbeat", "baton/daemon/wire", false, true},
		{"daemon", "baton/daemon/peer", false, true},
		{"daemon/peer", "baton/daemon/nettest", true, true},
		{"daemon/peer", "baton/daemon/nettest", false, false},
		{"tui/console", "baton/daemon/nettest", true, false},
		{"daemon", "baton/tui", false, false},
		{"tui/console", "baton/daemon/store", false, false},
		{"tui/console", "baton/daemon/api", false, true},
		{"conf", "baton/core/cluster", false, false},
	} {
		if got := judge(ruleFor(tc.dir), tc.dir, tc.path, tc.test) == ""; got != tc.ok {
			t.Errorf("%s imports %s (test %v): allowed %v, want %v", tc.dir, tc.path, tc.test, got, tc.ok)
		}
	}
}
