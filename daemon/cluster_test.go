package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/daemon/api"

	"golang.org/x/sys/unix"
)

// testCluster is three batonds on one machine, each a process of its own, told apart
// by addresses, state directory and socket. Its groups are scripts: the start script
// leaves a process that holds a lock, and says so in the journal when somebody else
// holds it.
type testCluster struct {
	*testing.T
	dir     string
	servers [4]*testServer // by number; 0 is unused
}

type testServer struct {
	number int
	cmd    *exec.Cmd
	ended  chan int // exit code; -1: killed
}

// testTimeout is heartbeat.timeout of a testCluster, the default. A batond that is killed,
// and its stop hook, are to be through within the lease, two thirds of that, on a machine
// that runs other packages' tests too.
const testTimeout = 3 * time.Second

func newTestCluster(t *testing.T) *testCluster {
	c := &testCluster{T: t, dir: t.TempDir()}
	c.file("key", conf.GenerateKey(), 0o600)
	c.file("start", `#!/bin/sh
echo "$BATON_SERVER begins $ARMS_GROUPNAME" >>`+c.dir+`/begun
while [ -e `+c.dir+`/hold.$ARMS_GROUPNAME ]; do sleep 0.02; done
if [ $ARMS_EVENT != RECOVER ]; then
	flock -n `+c.dir+`/carrier.$ARMS_GROUPNAME true || echo "TWO CARRIERS of $ARMS_GROUPNAME: $BATON_SERVER" >>`+c.dir+`/journal
	flock -n `+c.dir+`/carrier.$ARMS_GROUPNAME sleep 1000 >/dev/null 2>&1 &
	while read -r comm </proc/$!/comm && [ "$comm" != flock ]; do sleep 0.01; done # it is a copy of this shell before
fi
echo "$BATON_SERVER start $ARMS_GROUPNAME $ARMS_EVENT $ARMS_SERVER $ARMS_PRIORITY $ARMS_DISK" >>`+c.dir+`/journal
`, 0o755)
	c.file("stop", `#!/bin/sh
echo "$BATON_SERVER stop $ARMS_GROUPNAME $ARMS_FACTOR after $ARMS_EVENT" >>`+c.dir+`/journal
`, 0o755)
	text := `
[cluster]
name = "test"
key_file = "` + c.dir + `/key"
[heartbeat]
interval = "100ms"
timeout = "` + testTimeout.String() + `"
[startup]
wait = "20s"
`
	for i := 1; i <= 3; i++ {
		text += fmt.Sprintf("[[server]]\nname = \"s%d\"\ninterconnect = [\"192.0.2.%d\"]\npublic = \"198.51.100.%d\"\n", i, i, i)
	}
	for name, policy := range map[string]string{"A": `"s1", "s2", "s3"`, "B": `"s2", "s3", "s1"`} {
		text += fmt.Sprintf("[[group]]\nname = %q\npolicy = [%s]\nstart_script = \"%s/start\"\nstop_script = \"%s/stop\"\nscript_timeout = \"10s\"\n", name, policy, c.dir, c.dir)
	}
	c.file("baton.toml", text, 0o644)
	t.Cleanup(c.clean)
	return c
}

func (c *testCluster) file(name, text string, mode os.FileMode) {
	c.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), mode); err != nil {
		c.Fatal(err)
	}
}

func (c *testCluster) clean() {
	for _, s := range c.servers {
		if s != nil {
			s.cmd.Process.Kill()
			<-s.ended
		}
	}
	reapAll(c.T, 10*time.Second)
	if c.Failed() {
		for i := 1; i <= 3; i++ {
			b, _ := os.ReadFile(c.path("log%d", i))
			c.Logf("log of s%d:\n%s", i, b)
		}
		c.Logf("journal:\n%s", c.journal())
	}
	if strings.Contains(c.journal(), "TWO CARRIERS") {
		c.Errorf("journal:\n%s", c.journal())
	}
}

func (c *testCluster) path(format string, n int) string {
	return filepath.Join(c.dir, fmt.Sprintf(format, n))
}

func (c *testCluster) journal() string {
	b, _ := os.ReadFile(filepath.Join(c.dir, "journal"))
	return string(b)
}

func (c *testCluster) start(n int) {
	c.Helper()
	log, err := os.OpenFile(c.path("log%d", n), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.Fatal(err)
	}
	defer log.Close()
	s := &testServer{number: n, ended: make(chan int, 1)}
	s.cmd = exec.Command("/proc/self/exe", "--config", filepath.Join(c.dir, "baton.toml"), "--server", fmt.Sprintf("s%d", n),
		"--state-dir", c.path("state%d", n), "--socket", c.path("s%d.sock", n), "--log-level", "debug")
	s.cmd.Path, err = os.Executable() // a reload executes it again
	if err != nil {
		c.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.servers[n] = s
	go func() {
		s.cmd.Wait()
		s.ended <- s.cmd.ProcessState.ExitCode()
	}()
}

// end sends a signal and waits for the end.
func (c *testCluster) end(n int, sig os.Signal) (code int) {
	c.Helper()
	s := c.servers[n]
	if err := s.cmd.Process.Signal(sig); err != nil {
		c.Fatal(err)
	}
	select {
	case code = <-s.ended:
		c.servers[n] = nil
		return code
	case <-time.After(30 * time.Second):
		c.Fatalf("s%d has not ended within 30s of %v", n, sig)
		return 0
	}
}

func (c *testCluster) client(n int) *api.Client { return api.Dial(c.path("s%d.sock", n)) }

// look waits until the picture of a server is as wanted, by watching it.
func (c *testCluster) look(n int, what string, ok func(*api.Status) bool) *api.Status {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var last *api.Status
	for {
		w, err := c.client(n).Watch(ctx)
		if err == nil {
			for {
				var p *api.Status
				if p, err = w.Next(ctx); err != nil {
					break
				}
				if last = p; ok(p) {
					w.Close()
					return p
				}
			}
			w.Close()
		}
		if ctx.Err() != nil {
			c.Fatalf("s%d, not within 30s: %s; last picture: %+v", n, what, last)
		}
		time.Sleep(20 * time.Millisecond) // it is starting, or being reloaded
	}
}

func server(p *api.Status, name string) *api.Server {
	for i := range p.Servers {
		if p.Servers[i].Name == name {
			return &p.Servers[i]
		}
	}
	return &api.Server{}
}

func group(p *api.Status, name string) *api.Group {
	for i := range p.Groups {
		if p.Groups[i].Name == name {
			return &p.Groups[i]
		}
	}
	return &api.Group{}
}

// runs says that the group is online on the server.
func runs(name, on string) func(*api.Status) bool {
	return func(p *api.Status) bool {
		g := group(p, name)
		return p.Quorum && g.State == "online" && g.Server == on
	}
}

func (c *testCluster) operate(n int, op api.Operation) cluster.Op {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a, err := c.client(n).Operate(ctx, op)
	if err != nil {
		c.Fatalf("%+v: %v", op, err)
	}
	done, err := c.client(n).Wait(ctx, a.ID)
	if err != nil || done.State != cluster.OpDone {
		c.Fatalf("%+v: %+v, %v", op, done, err)
	}
	return done
}

// carrier is the process that holds a group's lock, 0 if there is none. The oldest, for
// what it starts is a copy of it at first. (Two that are none of each other's are in the
// journal.)
func (c *testCluster) carrier(name string) int {
	c.Helper()
	out, _ := exec.Command("pgrep", "-o", "-f", "flock -n "+c.dir+"/carrier."+name+" sleep").Output()
	f := strings.Fields(string(out))
	if len(f) != 1 {
		return 0
	}
	pid, _ := strconv.Atoi(f[0])
	return pid
}

// TestThreeServers is a day in the life of a cluster: it forms, groups move, batond
// is restarted, reloaded and killed, servers come back and leave.
func TestThreeServers(t *testing.T) {
	if !inside(t) {
		return
	}
	c := newTestCluster(t)
	for n := 1; n <= 3; n++ {
		c.start(n)
	}
	for n := 1; n <= 3; n++ {
		c.look(n, "A on s1, B on s2", func(p *api.Status) bool { return runs("A", "s1")(p) && runs("B", "s2")(p) && p.Phase == "running" })
	}
	p := c.look(1, "every path works in both directions", func(p *api.Status) bool {
		for _, path := range p.Paths {
			if path.State != "ok" {
				return false
			}
		}
		return len(p.Paths) == 12
	})
	if !p.Operator || p.Server != "s1" || p.LeaseMS <= 0 {
		t.Errorf("picture = %+v", p)
	}

	c.step("a move, asked for at a third server")
	op := c.operate(3, api.Operation{Verb: cluster.VerbMove, Group: "A", Server: "s3", From: "pts/7"})
	if op.Who.Says != "pts/7" || op.Who.On != "s3" || op.Who.User == "" {
		t.Errorf("who = %+v", op.Who)
	}
	c.look(1, "A on s3", runs("A", "s3"))
	c.inJournal("s1 stop A GROUPMOVE after START", "s3 start A START OTHER 3 SUCCESS")

	c.step("refusals")
	for _, dry := range []bool{false, true} {
		_, err := c.client(2).Operate(t.Context(), api.Operation{Verb: cluster.VerbMove, Group: "A", Server: "s3", Dry: dry})
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != cluster.RefusedAlreadyThere {
			t.Errorf("move to where it is (dry %v): %v", dry, err)
		}
	}
	if a, err := c.client(2).Operate(t.Context(), api.Operation{Verb: cluster.VerbStop, Group: "A", Dry: true}); err != nil || a.ID != "" {
		t.Errorf("dry stop: %+v, %v", a, err)
	}

	c.step("events are the same everywhere")
	e1, err1 := c.client(1).Events(t.Context(), 0, 1000)
	e2, err2 := c.client(2).Events(t.Context(), 0, 1000)
	if err1 != nil || err2 != nil || len(e1) == 0 || len(e2) == 0 || e1[0].ID != e2[0].ID {
		t.Errorf("events of s1: %d, %v; of s2: %d, %v", len(e1), err1, len(e2), err2)
	}

	c.step("batond of a carrier is killed and started within the lease")
	before := c.carrier("B")
	since := group(c.look(1, "B", runs("B", "s2")), "B").Since
	c.end(2, unix.SIGKILL)
	c.start(2)
	c.look(2, "B still on s2", runs("B", "s2"))
	time.Sleep(testTimeout) // longer than any lease of the killed one
	p = c.look(1, "s2 online", func(p *api.Status) bool { return server(p, "s2").State == "online" && runs("B", "s2")(p) })
	if now := c.carrier("B"); before == 0 || now != before || group(p, "B").Since != since {
		t.Errorf("process %d became %d, since %d became %d: B did not simply go on", before, now, since, group(p, "B").Since)
	}

	c.step("batond of a carrier is reloaded")
	before, pid := c.carrier("A"), c.servers[3].cmd.Process.Pid
	if err := unix.Kill(pid, unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "batond has begun anew", func() bool {
		b, _ := os.ReadFile(c.path("log%d", 3))
		return strings.Count(string(b), `msg="batond runs"`) == 2
	})
	c.look(3, "A still on s3", runs("A", "s3"))
	time.Sleep(testTimeout)
	c.look(1, "A on s3", runs("A", "s3"))
	if now := c.carrier("A"); before == 0 || now != before {
		t.Errorf("process %d became %d over a reload", before, now)
	}

	c.step("batond of a carrier is killed for good")
	killed := time.Now()
	c.end(3, unix.SIGKILL)
	eventually(t, "the guard has ended A's process, or its successor runs", func() bool { return c.carrier("A") != before })
	c.look(1, "A on s1", runs("A", "s1"))
	t.Logf("A was online elsewhere %v after its batond was killed (timeout %v)", time.Since(killed).Round(time.Millisecond), testTimeout)
	c.look(1, "s3 is down", func(p *api.Status) bool { return server(p, "s3").State == "down" })
	c.inJournal("s1 start A FAILOVER HOME 1 SUCCESS")

	c.step("it comes back without a boot, and returns by itself")
	c.start(3)
	c.look(2, "s3 is online", func(p *api.Status) bool { return server(p, "s3").State == "online" })
	c.inJournal("s3 start A RECOVER OTHER 3 SUCCESS")

	c.step("a server is stopped in order")
	if code := c.end(1, unix.SIGTERM); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	c.look(2, "A elsewhere, s1 stopped", func(p *api.Status) bool {
		return group(p, "A").State == "online" && group(p, "A").Server != "s1" && server(p, "s1").State == "stopped"
	})
	c.inJournal("s1 stop A SERVERSHUTDOWN after FAILOVER")
	if _, err := c.client(1).Status(t.Context()); !errors.Is(err, api.ErrNoDaemon) {
		t.Errorf("status of the stopped one: %v, want ErrNoDaemon", err)
	}

	c.step("no majority")
	c.end(3, unix.SIGKILL)
	c.look(2, "no quorum", func(p *api.Status) bool { return !p.Quorum && p.Waiting != "" })
	_, err := c.client(2).Operate(t.Context(), api.Operation{Verb: cluster.VerbStop, Group: "A"})
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoQuorum {
		t.Errorf("operation without a majority: %v, want no-quorum", err)
	}
	eventually(t, "nothing runs without a majority", func() bool { return c.carrier("A") == 0 && c.carrier("B") == 0 })

	c.step("the majority is back, and everything is stopped")
	c.start(1)
	c.start(3)
	for n := 1; n <= 3; n++ { // each says so itself: until then it may not even listen to signals
		c.look(n, "A and B run", func(p *api.Status) bool {
			return p.Quorum && group(p, "A").State == "online" && group(p, "B").State == "online"
		})
	}
	for n := 1; n <= 3; n++ {
		if code := c.end(n, unix.SIGTERM); code != 0 {
			t.Errorf("exit code of s%d = %d, want 0", n, code)
		}
	}
	if c.carrier("A") != 0 || c.carrier("B") != 0 {
		t.Error("a group's process is left after everything was stopped")
	}
}

func (c *testCluster) step(what string) { c.Logf("%s %s", time.Now().Format("15:04:05.000"), what) }

// inJournal says that the lines are there, in this order.
func (c *testCluster) inJournal(lines ...string) {
	c.Helper()
	rest := c.journal()
	for _, line := range lines {
		i := strings.Index(rest, line)
		if i < 0 {
			c.Errorf("no %q in its place in the journal:\n%s", line, c.journal())
			return
		}
		rest = rest[i:]
	}
}
