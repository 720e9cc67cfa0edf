package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLocate(t *testing.T) {
	const hybrid = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	const unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	const bound = "30 24 0:26 /a.slice/b /mnt/with\\040space rw shared:4 - cgroup2 none rw\n"
	for _, c := range []struct{ mounts, membership, want string }{
		{hybrid, "4:memory:/x\n0::/\n", "/sys/fs/cgroup/unified"},
		{hybrid, "0::/system.slice/batond.service\n", "/sys/fs/cgroup/unified/system.slice/batond.service"},
		{unified, "0::/system.slice/batond.service\n", "/sys/fs/cgroup/system.slice/batond.service"},
		{bound, "0::/a.slice/b/c\n", "/mnt/with space/c"},
		{bound, "0::/a.slice/bc\n", ""},
		{bound + unified, "0::/other\n", "/sys/fs/cgroup/other"},
		{unified, "4:memory:/x\n", ""},
		{"", "0::/\n", ""},
		{"30 24 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/\n", ""},
	} {
		got, err := locate(c.mounts, c.membership)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("locate(%q, %q) = %q, %v; want %q", c.mounts, c.membership, got, err, c.want)
		}
	}
}

// Different names stay different and make one path element each.
func TestEscape(t *testing.T) {
	long := strings.Repeat("x", 200)
	names := []string{"A", "a.b", "a/b", "a%2Fb", "..", ".", "", "給与", long, long + "y", "a b"}
	seen := map[string]string{}
	for _, n := range names {
		e := escape(n)
		if other, ok := seen[e]; ok || strings.ContainsAny(e, "/. \x00") || len(e) > 64 {
			t.Errorf("escape(%q) = %q (also of %q)", n, e, other)
		}
		seen[e] = n
	}
}

// places returns every kind of place that this machine and user have.
func places(t *testing.T) []Place {
	t.Helper()
	mark, err := Find(Params{Cluster: "c", Server: "s", StateDir: t.TempDir(), NoCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find(Params{Cluster: "c", Server: "s", StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	list := []Place{mark}
	if found.Kind() == "cgroup" {
		t.Cleanup(found.Remove)
		list = append(list, found)
	} else {
		t.Logf("without cgroups: %s", found.Why)
	}
	return list
}

// start starts a shell command in the cell. It is ours to reap.
func start(t *testing.T, c Cell, command string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, env...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := c.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 5s: %s", what)
		}
	}
}

func count(t *testing.T, c Cell) int {
	t.Helper()
	pids, err := c.Processes()
	// A process of this machine, of whoever's, has had no time to come to the end of its
	// execve: it cannot be told yet. Callers ask again.
	for end := time.Now().Add(10 * time.Second); errors.Is(err, errInExec) && time.Now().Before(end); {
		pids, err = c.Processes()
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(pids)
}

// Goal: processes are found and killed by group and by cell, children of children and
// stopped ones as well, and nobody else's.
func TestCells(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.Kind(), func(t *testing.T) {
			if left, err := p.Left(); left || err != nil {
				t.Fatalf("at the start: %t, %v", left, err)
			}
			// A shell, a child, and one that has left session and parent.
			a := p.Scripts("A")
			shell := start(t, a, "setsid sleep 100 & sleep 100; true")
			step := start(t, p.Steps("A"), "sleep 100; true", StepName+"=7")
			b := p.Scripts("A2")
			start(t, b, "sleep 100; true")
			outside := exec.Command("sleep", "100")
			if err := outside.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = outside.Process.Kill(); _ = outside.Wait() })
			eventually(t, "three processes of A", func() bool { return count(t, a) == 3 })
			eventually(t, "two of A's step", func() bool { return count(t, p.Steps("A")) == 2 })
			eventually(t, "two of A2", func() bool { return count(t, b) == 2 })
			if pids, _ := a.Processes(); slices.Contains(pids, step.Process.Pid) || !slices.Contains(pids, shell.Process.Pid) {
				t.Errorf("scripts of A: %v, want %d and not %d", pids, shell.Process.Pid, step.Process.Pid)
			}
			_ = unix.Kill(step.Process.Pid, unix.SIGSTOP)
			if n, err := a.Signal(unix.SIGKILL); n != 3 || err != nil {
				t.Errorf("signalled %d, %v", n, err)
			}
			eventually(t, "none of A", func() bool { return count(t, a) == 0 })
			if left, err := p.Left(); !left || err != nil {
				t.Errorf("with A2 and a step left: %t, %v", left, err)
			}
			killAll(t, p)
			_ = step.Wait()
			if err := unix.Kill(outside.Process.Pid, 0); err != nil {
				t.Errorf("killed somebody else's process: %v", err)
			}
		})
	}
}

func killAll(t *testing.T, p Place) {
	t.Helper()
	eventually(t, "nothing left", func() bool {
		left, err := p.Kill()
		if err != nil {
			t.Fatal(err)
		}
		return !left
	})
	if left, err := p.Left(); left || err != nil {
		t.Errorf("after Kill: %t, %v", left, err)
	}
}

// A group that forks all the time is killed as well.
func TestForks(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.Kind(), func(t *testing.T) {
			c := p.Scripts("forks")
			for range 3 {
				start(t, c, "while :; do sleep 0.001 & done")
			}
			eventually(t, "many processes", func() bool { return count(t, c) > 5 })
			begin := time.Now()
			killAll(t, p)
			t.Logf("killed within %s", time.Since(begin))
		})
	}
}

// Two batonds of the same names on one machine: each sees its own.
func TestInstances(t *testing.T) {
	one, two := places(t), places(t)
	for i := range one {
		start(t, one[i].Scripts("A"), "sleep 100; true")
		eventually(t, "found", func() bool { left, _ := one[i].Left(); return left })
		if left, err := two[i].Left(); left || err != nil {
			t.Errorf("%s: the other one finds it too (%v)", one[i].Kind(), err)
		}
		killAll(t, two[i])
		if left, _ := one[i].Left(); !left {
			t.Errorf("%s: the other one killed it", one[i].Kind())
		}
		killAll(t, one[i])
	}
}

// A process that drops its environment escapes the scan and not the cgroup, as the
// package says.
func TestDroppedEnvironment(t *testing.T) {
	for _, p := range places(t) {
		c := p.Scripts("A")
		cmd := start(t, c, "exec env -i /bin/sleep 100")
		eventually(t, "exec", func() bool {
			name, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/comm")
			return string(name) == "sleep\n"
		})
		left, err := p.Left()
		if err != nil || left != (p.Kind() == "cgroup") {
			t.Errorf("%s: left %t, %v", p.Kind(), left, err)
		}
		if p.Kind() == "cgroup" {
			killAll(t, p)
		}
	}
}

func TestMatches(t *testing.T) {
	const env = "A=1\x00BATON_GROUP_MARK=c/s@i/A\x00BATON_STEP=9\x00"
	for _, c := range []struct {
		env, mark string
		steps     stepFilter
		want      bool
	}{
		{env, "c/s@i/", anyStep, true},
		{env, "c/s@i/A", anyStep, true},
		{env, "c/s@i/A", onlyStep, true},
		{env, "c/s@i/A", noStep, false},
		{env, "c/s@i/AB", anyStep, false},
		{env, "c/s@j/", anyStep, false},
		{"X_BATON_GROUP_MARK=c/s@i/A\x00", "c/s@i/", anyStep, false},
		{"BATON_GROUP_MARK=c/s@i/A", "c/s@i/A", noStep, true},
		{"", "c/s@i/", anyStep, false},
		{"\x00\x00=\x00", "c/s@i/", anyStep, false},
	} {
		if got := matches([]byte(c.env), c.mark, c.steps); got != c.want {
			t.Errorf("matches(%q, %q, %d) = %t", c.env, c.mark, c.steps, got)
		}
	}
}

// A group that does nothing but execute one program after the other is found at any
// moment, though it has no environment for a part of each.
func TestExecLoop(t *testing.T) {
	p := places(t)[0]
	c := p.Scripts("A")
	self := filepath.Join(t.TempDir(), "again")
	if err := os.WriteFile(self, []byte("#!/bin/sh\nexec "+self+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	start(t, c, "exec "+self)
	for i := range 100 {
		if count(t, c) != 1 {
			t.Fatalf("look %d does not find it", i)
		}
	}
	killAll(t, p)
}

func TestInExec(t *testing.T) {
	for _, c := range []struct {
		state, flags, envStart, envEnd string
		want                           bool
	}{
		{"R", "4194304", "0", "0", true},
		{"R", "4194304", "140737488350000", "0", true},
		{"S", "4194304", "140737488350000", "140737488350100", true},  // it is there by now
		{"S", "4194304", "140737488350000", "140737488350000", false}, // env -i
		{"Z", "4194304", "0", "0", false},
		{"S", "2129984", "0", "0", false}, // kernel thread
		{"D", "4194308", "0", "0", false}, // exiting
	} {
		f := slices.Repeat([]string{"1"}, 53) // by the numbers of proc_pid_stat(5)
		f[1], f[2], f[3], f[9], f[50], f[51] = "7", "(a ) b)", c.state, c.flags, c.envStart, c.envEnd
		stat := strings.Join(f[1:], " ") + "\n"
		if got := inExec([]byte(stat)); got != c.want {
			t.Errorf("inExec(%q) = %t", stat, got)
		}
	}
	if inExec(nil) || inExec([]byte("7 (x")) {
		t.Error("half a line")
	}
}

func BenchmarkScan(b *testing.B) {
	for b.Loop() {
		if _, err := marked("none/", anyStep); err != nil {
			b.Fatal(err)
		}
	}
	names, _ := os.ReadDir("/proc")
	b.Logf("%d entries in /proc", len(names))
}
