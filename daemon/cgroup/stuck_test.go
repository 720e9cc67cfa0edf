package cgroup

import (
	"os/exec"
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

// Goal: a process that does not end is named, one that waits in vfork (state D, and not
// killable by anything but SIGKILL) as well; after the kill nothing is.
func TestStuck(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.Kind(), func(t *testing.T) {
			if s := p.Stuck(); s != "" || p.Populated() {
				t.Fatalf("at the start: %q, %t", s, p.Populated())
			}
			cmd := start(t, p.Scripts("A"), "exec sleep 100")
			eventually(t, "named", func() bool { return strings.Contains(p.Stuck(), "(sleep, state S)") })
			_ = unix.Kill(cmd.Process.Pid, unix.SIGSTOP)
			eventually(t, "stopped", func() bool { return strings.Contains(p.Stuck(), "(sleep, state T)") })
			if p.Populated() != (p.Kind() == "cgroup") {
				t.Errorf("populated %t", p.Populated())
			}
			killAll(t, p)
			if s := p.Stuck(); s != "" {
				t.Errorf("after the kill: %s", s)
			}
			_ = cmd.Wait()
		})
	}
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a zombie is not alive", func() bool { return alive(zombie.Process.Pid) == "" })
	_ = zombie.Wait()
}
