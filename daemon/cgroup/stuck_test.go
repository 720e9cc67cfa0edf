package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Goal: a process on its way out is told from one that is not.
func TestThreadState(t *testing.T) {
	for _, c := range []struct {
		stat, name, state string
		leaving           bool
	}{
		{"7 (sh) S 1 7 7 0 -1 4194304 1 2", "sh", "S", false},
		{"7 (a ) b) D 1 7 7 0 -1 4194304 1 2", "a ) b", "D", false},
		{"7 (sh) D 1 7 7 0 -1 4194308 1 2", "sh", "D", true},
		{"7 (sh) R 1 7 7 0 -1 4194308 1 2", "sh", "R", true},
		{"7 (sh) Z 1 7 7 0 -1 4194304 1 2", "sh", "Z", true},
		{"7 (sh) T 1 7 7 0 -1 4194304 1 2", "sh", "T", false},
		{"7 (sh", "", "", true},
		{"", "", "", true},
	} {
		name, state, leaving := threadState([]byte(c.stat))
		if name != c.name || state != c.state || leaving != c.leaving {
			t.Errorf("threadState(%q) = %q %q %t", c.stat, name, state, leaving)
		}
	}
}

// Goal: of processes that have not ended, only one in state D is named, and nothing is
// after it has been killed. Method: a parent in vfork waits in that state, for a child
// that has stopped. (This wait does answer to SIGKILL, so the test leaves nothing.)
func TestStuck(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler to make a process in state D with")
	}
	dir := t.TempDir()
	src, bin := filepath.Join(dir, "d.c"), filepath.Join(dir, "waits")
	const program = `#include <signal.h>
#include <unistd.h>
int main(void) { if (vfork() == 0) { raise(SIGSTOP); _exit(0); } return 0; }
`
	if err := os.WriteFile(src, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-o", bin, src).CombinedOutput(); err != nil {
		t.Skipf("%v\n%s", err, out)
	}
	for _, p := range places(t) {
		t.Run(p.Kind(), func(t *testing.T) {
			if s := p.Stuck(); s != "" || p.Populated() {
				t.Fatalf("at the start: %q, %t", s, p.Populated())
			}
			sleeps := start(t, p.Scripts("A"), "exec sleep 100")
			stopped := start(t, p.Scripts("A"), "exec sleep 100")
			_ = unix.Kill(stopped.Process.Pid, unix.SIGSTOP)
			busy := start(t, p.Scripts("A"), "while :; do :; done")
			eventually(t, "three processes", func() bool { return count(t, p.Scripts("A")) == 3 })
			if s := p.Stuck(); s != "" {
				t.Errorf("asleep, stopped and busy: %s", s)
			}
			if p.Populated() != (p.Kind() == "cgroup") {
				t.Errorf("populated %t", p.Populated())
			}
			waits := start(t, p.Scripts("A"), "exec "+bin)
			eventually(t, "named", func() bool { return strings.Contains(p.Stuck(), "(waits, state D)") })
			killAll(t, p)
			if s := p.Stuck(); s != "" {
				t.Errorf("after the kill: %s", s)
			}
			for _, cmd := range []*exec.Cmd{sleeps, stopped, busy, waits} {
				_ = cmd.Wait()
			}
		})
	}
}
