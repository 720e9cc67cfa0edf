package fence

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Goal: what is written here against the protocol holds with an agent of the package
// itself. Method: fence_dummy of fence-agents (a power switch that is a file). It needs
// the package and its Python, so the test is left out where they are not.
func TestAgentOfThePackage(t *testing.T) {
	const agent = "fence_dummy"
	if _, err := (Agent{Name: agent}).find(); err != nil {
		t.Skipf("%v; apt-get install fence-agents", err)
	}
	plug := filepath.Join(t.TempDir(), "plug")
	set := func(state string) {
		t.Helper()
		if err := os.WriteFile(plug, []byte(state), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set("on")
	dummy := Agent{Name: agent, Options: map[string]string{"type": "file", "status_file": plug}}
	f, err := Open(Config{
		Self: 1, Servers: []string{"server1", "server2"}, Agents: map[int]Agent{1: dummy, 2: dummy},
		Timeout: time.Second, Boot: "boot-1", StateDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.NoteQuorum()
	for _, tc := range []struct {
		state string
		want  power
	}{{"on", powerOn}, {"off", powerOff}, {"on", powerOn}} {
		set(tc.state)
		if got, err := dummy.status(t.Context(), "server2"); err != nil || got != tc.want {
			t.Errorf("%s: status %v, %v; want %v", tc.state, got, err, tc.want)
		}
	}
	set("in between")
	if got, err := dummy.status(t.Context(), "server2"); err == nil || got != powerUnknown {
		t.Errorf("a switch that says nothing clear: status %v, %v; want an error", got, err)
	}
	set("on")
	call := claimOf(2)
	if a := do(t, f, call); a.Text != "" || a.Top != call.Claim {
		t.Fatalf("claim: %+v", a)
	}
	if text, err := os.ReadFile(plug); err != nil || strings.TrimSpace(string(text)) != "off" {
		t.Errorf("the plug is %q (%v), want off", text, err)
	}
}
