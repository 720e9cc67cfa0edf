package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/daemon/guard/page"

	"golang.org/x/sys/unix"
)

// begun says how often a server has begun a start script of a group.
func (c *testCluster) begun(server, group string) int {
	b, _ := os.ReadFile(filepath.Join(c.dir, "begun"))
	return strings.Count(string(b), server+" begins "+group+"\n")
}

// cleanup runs the stop hook of a server.
func (c *testCluster) cleanup(n int, more ...string) (out string, code int) {
	c.Helper()
	args := append([]string{"--cleanup", "--config", filepath.Join(c.dir, "baton.toml"), "--state-dir", c.path("state%d", n)}, more...)
	cmd := exec.Command("/proc/self/exe", args...)
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		c.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// guardOf is the pid of a server's guard.
func (c *testCluster) guardOf(n int) int {
	c.Helper()
	pages, _ := filepath.Glob("/run/baton/*/guard.page")
	for _, path := range pages {
		p, err := page.Open(path)
		if err != nil {
			continue
		}
		pid := p.Guard()
		p.Close()
		spec, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "guard.spec"))
		if strings.Contains(string(spec), c.path("state%d", n)+"/") {
			return pid
		}
	}
	c.Fatalf("no guard of s%d among %q", n, pages)
	return 0
}

// TestBatondAbsent: batond is reloaded, and killed and started again, while a script
// runs; then batond and guard are killed together, and the stop hook clears.
func TestBatondAbsent(t *testing.T) {
	if !inside(t) {
		return
	}
	c := newTestCluster(t)
	hold := filepath.Join(c.dir, "hold.A")
	for n := 1; n <= 3; n++ {
		c.start(n)
	}
	c.look(1, "A on s1, B on s2", func(p *api.Status) bool { return runs("A", "s1")(p) && runs("B", "s2")(p) })

	for _, what := range []string{"reloaded", "killed and started again"} {
		c.step("batond is " + what + " while the start script runs")
		// A goes to s3, and from there to s3 again by way of s1.
		if runs("A", "s3")(c.look(1, "quorum", func(p *api.Status) bool { return p.Quorum })) {
			c.operate(1, api.Operation{Verb: cluster.VerbMove, Group: "A", Server: "s1"})
		}
		before := c.begun("s3", "A")
		c.file("hold.A", "", 0o600)
		accepted, err := c.client(1).Operate(t.Context(), api.Operation{Verb: cluster.VerbMove, Group: "A", Server: "s3"})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the script runs on s3", func() bool { return c.begun("s3", "A") == before+1 })
		b := c.carrier("B")
		if what == "reloaded" {
			if err := unix.Kill(c.servers[3].cmd.Process.Pid, unix.SIGHUP); err != nil {
				t.Fatal(err)
			}
			eventually(t, "batond has begun anew", func() bool {
				b, _ := os.ReadFile(c.path("log%d", 3))
				return strings.Count(string(b), `msg="batond runs"`) == 2
			})
		} else {
			c.end(3, unix.SIGKILL)
			if out, code := c.cleanup(3, "--server", "s3"); code != 0 || !strings.Contains(out, "is there and sees to the groups") {
				t.Errorf("the stop hook at a crash: code %d\n%s", code, out)
			}
			c.start(3)
		}
		c.look(3, "s3 is back in its session", func(p *api.Status) bool { return p.Quorum && server(p, "s3").State == "online" })
		time.Sleep(testTimeout) // longer than any lease of the one before
		if g := group(c.look(3, "A", func(p *api.Status) bool { return p.Quorum }), "A"); g.State != "starting" || g.Server != "s3" {
			t.Errorf("A is %s on %s while its script runs, want starting on s3", g.State, g.Server)
		}
		if err := os.Remove(hold); err != nil {
			t.Fatal(err)
		}
		c.look(1, "A on s3", runs("A", "s3"))
		if op, err := c.client(1).Wait(t.Context(), accepted.ID); err != nil || op.State != cluster.OpDone {
			t.Errorf("the move: %+v, %v", op, err)
		}
		if n := c.begun("s3", "A"); n != before+1 {
			t.Errorf("the script was begun %d times for one start", n-before)
		}
		if c.carrier("B") != b {
			t.Error("B was touched")
		}
	}

	c.step("batond and guard of a carrier are killed together")
	carrier, guard := c.carrier("A"), c.guardOf(3)
	if carrier == 0 || guard == 0 {
		t.Fatalf("carrier %d, guard %d", carrier, guard)
	}
	c.end(3, unix.SIGKILL) // first, or it would start another guard
	_ = unix.Kill(guard, unix.SIGKILL)
	killed := time.Now()
	if unix.Kill(carrier, 0) != nil {
		t.Fatal("the carrier is gone before anybody has cleared")
	}
	out, code := c.cleanup(3, "--server", "s3")
	t.Logf("the stop hook took %s: %s", time.Since(killed), out)
	if code != 0 || !strings.Contains(out, "it is cleared") {
		t.Errorf("the stop hook: code %d\n%s", code, out)
	}
	if pid := c.carrier("A"); pid == carrier {
		t.Errorf("A's process %d outlives the stop hook", pid)
	}
	c.look(1, "A elsewhere, s3 down", func(p *api.Status) bool {
		g := group(p, "A")
		return p.Quorum && g.State == "online" && g.Server != "s3" && server(p, "s3").State == "down"
	})

	c.step("once more, with a configuration that has become wrong")
	c.start(3)
	c.look(1, "s3 is online", func(p *api.Status) bool { return server(p, "s3").State == "online" })
	c.operate(1, api.Operation{Verb: cluster.VerbMove, Group: "A", Server: "s3"})
	carrier, guard = c.carrier("A"), c.guardOf(3)
	c.end(3, unix.SIGKILL) // first, or it would start another guard
	_ = unix.Kill(guard, unix.SIGKILL)
	text, err := os.ReadFile(filepath.Join(c.dir, "baton.toml"))
	if err != nil {
		t.Fatal(err)
	}
	c.file("baton.toml", "[cluster", 0o644)
	out, code = c.cleanup(3)
	if code != 0 || !strings.Contains(out, "it is cleared") || c.carrier("A") == carrier {
		t.Errorf("the stop hook: code %d, carrier %d, was %d\n%s", code, c.carrier("A"), carrier, out)
	}
	c.file("baton.toml", string(text), 0o644)
}
