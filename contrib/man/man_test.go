package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every command that an operator sees has a page with its options, and no page is about
// a hidden one.
func TestPages(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]string{
		"baton.1": "Exit codes", "baton-status.1": "json", "baton-move.1": "no-wait", "baton-shutdown.1": "poweroff",
		"baton-why.1": "GROUP", "baton-simulate.1": "", "baton-explain.1": "CODE", "baton-events.1": "follow", "baton-return.1": "RECOVER",
	} {
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, want %q in it", page, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "baton-restart.1")); err == nil {
		t.Error("baton-restart.1 is there, and the command is hidden")
	}
}

// batond's page, written by hand, has every option that batond's own help has.
func TestBatondPage(t *testing.T) {
	page, err := os.ReadFile("../../daemon/batond.8")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../daemon/options.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`f\.(?:String|Bool)(?:Var)?\((?:&o\.\w+, )?"([a-z-]+)"`).FindAllSubmatch(source, -1)
	if len(found) < 7 {
		t.Errorf("only %d options were found", len(found))
	}
	for _, m := range found {
		option := "-" + strings.ReplaceAll(string(m[1]), "-", "\\-")
		if !strings.Contains(string(page), ".It Fl "+option) {
			t.Errorf("batond.8 lacks .It Fl %s", option)
		}
	}
}
