package command

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/x/exp/golden"

	"baton/core/cluster"
	"baton/tui/stage"
)

func TestWhy(t *testing.T) {
	_, socket := play(t, stage.OneDown(start, 3))
	code, out, errs := baton(t, socket, nil, "why", "batch")
	if want := "batch: node1: highest priority online (node3 down since 14:02:03)\n"; code != 0 || out != want || errs != "" {
		t.Errorf("exit %d, out %q, errors %q", code, out, errs)
	}
	if code, _, errs := baton(t, socket, nil, "why", "nothing"); code != 1 || errs != "baton: there is no group \"nothing\" (baton status lists the groups)\n" {
		t.Errorf("exit %d, errors %q", code, errs)
	}
}

func TestSimulate(t *testing.T) {
	d, socket := play(t, stage.Healthy(start, 3))
	var asked []string
	d.Foretell(func(what string) (cluster.Forecast, error) {
		asked = append(asked, what)
		switch what {
		case "node1 fails":
			return leaves(what)
		case "stop web":
			return cluster.Forecast{Refusal: &cluster.Refusal{Code: cluster.RefusedAlreadyStopped, Message: "web is stopped already"}}, nil
		case "node1 and node2 fail":
			return cluster.Forecast{
				Halt:    "1 of 3 votes would be left (node3), and 2 are needed; who is left stops its groups within heartbeat.timeout, by killing them, and waits for others",
				Servers: []cluster.ForeseenServer{{Server: "node1", From: cluster.ServerOnline, To: cluster.ServerDown, Reason: "supposed to fail"}},
				Moves:   []cluster.ForeseenMove{{Group: "web", From: "node1", State: cluster.GroupStopped, Reason: "starts again when enough servers are there"}},
			}, nil
		case "node2 fails":
			return cluster.Forecast{
				Provided: "1 of 2 votes would be left (node1): all this only if the tie-breaker (witness) lets them go on; else they stop their groups, too",
				Servers:  []cluster.ForeseenServer{{Server: "node2", From: cluster.ServerOnline, To: cluster.ServerDown, Reason: "supposed to fail; when it has booted again: baton return node2"}},
			}, nil
		case "shutdown --cluster":
			f, err := leaves(what)
			f.Phase = cluster.PhaseForming
			return f, err
		case "nonsense x":
			return cluster.Forecast{}, errors.New("nothing that can be supposed")
		}
		return cluster.Forecast{}, nil
	})
	for _, what := range []string{"node1 fails", "node2 fails", "node1 and node2 fail", "shutdown --cluster"} {
		t.Run(what, func(t *testing.T) {
			code, out, errs := baton(t, socket, nil, "simulate", what)
			if code != 0 || errs != "" {
				t.Errorf("exit %d, errors %q", code, errs)
			}
			golden.RequireEqual(t, out)
		})
	}
	asked = nil
	if code, _, errs := baton(t, socket, nil, "simulate", "node1 fails"); code != 0 || errs != "" {
		t.Errorf("exit %d, errors %q", code, errs)
	}
	if code, out, _ := baton(t, socket, nil, "simulate", "node1", "fails"); code != 0 || out == "" {
		t.Errorf("without quotes: exit %d, out %q", code, out)
	}
	for _, args := range []string{"shutdown --cluster", "shutdown node1 --poweroff"} {
		if code, _, errs := baton(t, socket, nil, append([]string{"simulate"}, strings.Fields(args)...)...); code != 0 || asked[len(asked)-1] != args {
			t.Errorf("%s without quotes: exit %d, errors %q, asked %q", args, code, errs, asked)
		}
	}
	if code, out, _ := baton(t, socket, nil, "simulate", "return node1"); code != 0 || out != "if return node1: nothing would change\n" {
		t.Errorf("nothing: exit %d, out %q", code, out)
	}
	if code, out, errs := baton(t, socket, nil, "simulate", "stop web"); code != 1 || out != "" || errs != "baton: would be refused: web is stopped already\n" {
		t.Errorf("refused: exit %d, out %q, errors %q", code, out, errs)
	}
	if code, _, errs := baton(t, socket, nil, "simulate", "nonsense x"); code != 1 || errs == "" {
		t.Errorf("nonsense: exit %d, errors %q", code, errs)
	}
	code, out, _ := baton(t, socket, nil, "simulate", "--json", "node1 fails")
	var f cluster.Forecast
	if err := json.Unmarshal([]byte(out), &f); err != nil || code != 0 || len(f.Runs) != 3 || len(f.Moves) != 2 {
		t.Errorf("json: exit %d, %v, %+v", code, err, f)
	}
	if len(d.Asked()) != 0 {
		t.Error("something was done")
	}
	if asked[1] != "node1 fails" {
		t.Errorf("asked %q", asked)
	}
}

// Every code that an operator may meet is explained, once, and each refusal says what
// to do unless it is that nothing need be done.
func TestExplain(t *testing.T) {
	events, refused := explained()
	for _, list := range [][]cluster.CatalogEntry{events, refused} {
		seen := map[string]bool{}
		for _, e := range list {
			if seen[e.Code] || e.Code == "" || e.Meaning == "" {
				t.Errorf("code %q: twice, or without a meaning", e.Code)
			}
			seen[e.Code] = true
		}
	}
	for file, list := range map[string][]cluster.CatalogEntry{"../../core/cluster/check.go": refused, "../../core/cluster/catalog.go": events} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^\t(?:Refused|Code)\w+ += "([a-z-]+)"`).FindAllSubmatch(source, -1)
		if len(found) < 20 {
			t.Errorf("%s: only %d codes were found", file, len(found))
		}
		for _, m := range found {
			if find(list, string(m[1])) == nil {
				t.Errorf("%s is not explained", m[1])
			}
		}
	}
	for code := range atLengths {
		if find(events, code) == nil && find(refused, code) == nil {
			t.Errorf("%s is explained at length, and does not exist", code)
		}
	}
	for _, e := range events {
		if e.Severity == cluster.Error && atLengths[e.Code] == "" {
			t.Errorf("%s is an error, and is not explained at length", e.Code)
		}
	}
	for code, where := range codesInSource(t) {
		if find(events, code) == nil && find(refused, code) == nil {
			t.Errorf("%s: code %q is not explained", where, code)
		}
	}
	for _, code := range []string{"server-down", "picture-changed", "already-there"} {
		t.Run(code, func(t *testing.T) {
			exit, out, errs := baton(t, "/nonexistent", nil, "explain", code)
			if exit != 0 || errs != "" {
				t.Errorf("exit %d, errors %q", exit, errs)
			}
			golden.RequireEqual(t, out)
		})
	}
}

// codesInSource are the codes that the source of core and daemon gives to events, refusals
// and errors: every constant named Code… or Refused…, and every literal as field Code.
func codesInSource(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	take := func(where string, e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if code, err := strconv.Unquote(lit.Value); err == nil {
				found[code] = where
			}
		}
	}
	for _, root := range []string{"../../core", "../../daemon"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "core/sim/") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.KeyValueExpr:
					if id, ok := n.Key.(*ast.Ident); ok && id.Name == "Code" {
						take(path, n.Value)
					}
				case *ast.ValueSpec:
					for i, id := range n.Names {
						if i < len(n.Values) && (strings.HasPrefix(id.Name, "Code") || strings.HasPrefix(id.Name, "Refused")) {
							take(path, n.Values[i])
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 60 {
		t.Errorf("only %d codes were found: does this test still find them?", len(found))
	}
	return found
}
