package runner

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/cluster"
	"baton/daemon/cgroup"
	"baton/daemon/guard/page"
	"baton/daemon/nettest"
	"baton/daemon/resource/floatingip"
)

func TestMain(m *testing.M) {
	os.Exit(nettest.Main(m, map[string]func([]string) int{"step": Main, "owner": owner}))
}

var (
	network = netip.MustParsePrefix("10.9.0.1/24")
	first   = netip.MustParseAddr("10.9.0.100")
	second  = netip.MustParseAddr("10.9.0.101")
	abroad  = netip.MustParseAddr("10.77.0.1") // no interface has its network
)

const session = 5

// owner stands for batond in a process that tests can kill: it runs the step in its
// argument and says when it has begun.
func owner(args []string) int {
	var o struct {
		Config Config
		Step   cluster.Step
	}
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		panic(err)
	}
	r, err := New(o.Config)
	if err != nil {
		panic(err)
	}
	done := make(chan cluster.Outcome)
	r.Run(o.Step, time.Second, func(o cluster.Outcome) { done <- o })
	fmt.Println("running")
	fmt.Println(<-done)
	select {} // until killed
}

// bench is one server with group A.
type bench struct {
	t      testing.TB
	dir    string
	page   *page.Page
	config Config
	lines  chan string
	token  uint64
}

func newBench(t testing.TB, noCgroup bool) *bench {
	t.Helper()
	nettest.Cable(t, "here", "there", network)
	dir := t.TempDir()
	place, err := cgroup.Find(cgroup.Params{Cluster: "c", Server: "server1", StateDir: dir, NoCgroup: noCgroup})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "page"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := page.Map(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Reset(); err != nil {
		t.Fatal(err)
	}
	p.SetTimes(3*time.Second, 750*time.Millisecond)
	if !p.Extend(session, page.Now()+int64(time.Hour)) {
		t.Fatal("not armed")
	}
	b := &bench{t: t, dir: dir, page: p, lines: make(chan string, 100), token: 100}
	b.config = Config{
		StateDir: dir, Cluster: "c", Server: "server1", Place: place, Page: f.Name(), Socket: "/run/x.sock",
		Groups: map[string]Group{"A": {Timeout: 20 * time.Second, FloatingIPs: []floatingip.Spec{{Address: first}}}},
	}
	t.Cleanup(func() {
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if left, err := place.Kill(); err == nil && !left {
				break
			}
		}
		place.Remove()
		p.Close()
	})
	return b
}

func eachPlace(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	for _, noCgroup := range []bool{true, false} {
		name := "cgroup"
		if noCgroup {
			name = "mark"
		}
		t.Run(name, func(t *testing.T) {
			b := newBench(t, noCgroup)
			if got := b.config.Place.Kind(); got != name {
				t.Skipf("no cgroup v2 to write to: %s", b.config.Place.Why)
			}
			test(t, b)
		})
	}
}

func (b *bench) open() *Runner {
	b.t.Helper()
	b.config.Progress = func(_ cluster.Step, text string) { b.lines <- text }
	r, err := New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(r.Close)
	return r
}

// group changes what group A is.
func (b *bench) group(change func(*Group)) {
	g := b.config.Groups["A"]
	change(&g)
	b.config.Groups = map[string]Group{"A": g}
}

func (b *bench) script(name, body string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) step(kind cluster.StepKind) cluster.Step {
	b.token++
	return cluster.Step{
		Token: b.token, Kind: kind, Group: "A", Server: "server1", Session: session,
		Env: cluster.Env{Event: cluster.EventFailover, Factor: cluster.FactorGroupMove, Priority: 2},
	}
}

func (b *bench) await(begin func(done func(cluster.Outcome))) cluster.Outcome {
	b.t.Helper()
	done := make(chan cluster.Outcome, 2)
	begin(func(o cluster.Outcome) { done <- o })
	select {
	case o := <-done:
		return o
	case <-time.After(30 * time.Second):
		b.t.Fatal("no outcome within 30s")
	}
	return cluster.Outcome{}
}

func (b *bench) run(r *Runner, s cluster.Step) cluster.Outcome {
	b.t.Helper()
	return b.await(func(done func(cluster.Outcome)) { r.Run(s, 5*time.Second, done) })
}

func (b *bench) log() string {
	text, _ := os.ReadFile(filepath.Join(b.dir, "log", "A.log"))
	return string(text)
}

func (b *bench) has(a netip.Addr) bool { return nettest.Has(b.t, a) }

func (b *bench) scripts() int {
	b.t.Helper()
	pids, err := b.config.Place.Scripts("A").Processes()
	if err != nil {
		b.t.Fatal(err)
	}
	return len(pids)
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not within 10s: %s", what)
		}
	}
}

// Goal: a start activates, runs the script with its variables, and leaves a daemon
// alone; a stop runs the script while the address is there, removes it, and ends what
// the stop script forgot.
func TestStartStop(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		b.group(func(g *Group) {
			g.FloatingIPs = append(g.FloatingIPs, floatingip.Spec{Address: second, Prefix: 24})
			g.StartScript = b.script("start", "env | sort; (trap '' TERM; sleep 1000) & sleep 1000 & exit 0")
			g.StopScript = b.script("stop", "env | sort")
		})
		r := b.open()
		if found, err := r.Clean(); found || err != nil {
			t.Fatalf("before: %t, %v", found, err)
		}
		o := b.run(r, b.step(cluster.StepStart))
		if !o.OK || !o.Ran || o.Exit != 0 || o.Disk != cluster.DiskSuccess || o.Text != "" {
			t.Errorf("start: %+v\n%s", o, b.log())
		}
		if !b.has(first) || !b.has(second) {
			t.Error("addresses missing")
		}
		for _, want := range []string{
			"ARMS_EVENT=FAILOVER\n", "ARMS_SERVER=OTHER\n", "ARMS_DISK=SUCCESS\n", "ARMS_PRIORITY=2\n",
			"ARMS_GROUPNAME=A\n", "BATON_TOKEN=101\n", "BATON_SOCKET=/run/x.sock\n", "# ",
		} {
			if !strings.Contains(b.log(), want) {
				t.Errorf("log lacks %q:\n%s", want, b.log())
			}
		}
		if strings.Contains(b.log(), "ARMS_FACTOR") || strings.Contains(b.log(), cgroup.StepName+"=") {
			t.Errorf("a start script has variables that are not its:\n%s", b.log())
		}
		if left, err := r.Leftover(); err != nil || !strings.Contains(left, "processes") || !strings.Contains(left, first.String()) {
			t.Errorf("left: %q, %v", left, err)
		}
		if b.scripts() == 0 {
			t.Error("the daemons are gone after the start")
		}
		o = b.run(r, b.step(cluster.StepStop))
		if !o.OK || !o.Ran || !strings.Contains(o.Text, "were left by the stop script") {
			t.Errorf("stop: %+v\n%s", o, b.log())
		}
		if !strings.Contains(b.log(), "ARMS_FACTOR=GROUPMOVE\n") {
			t.Errorf("log:\n%s", b.log())
		}
		if b.has(first) || b.has(second) || b.scripts() != 0 {
			t.Errorf("left: addresses %t %t, processes %d", b.has(first), b.has(second), b.scripts())
		}
		b.eventually("clean", func() bool { found, err := r.Clean(); return !found && err == nil })
		// Only the last step's files are kept.
		names, _ := filepath.Glob(filepath.Join(b.dir, "run", "*"))
		if len(names) != 2 {
			t.Errorf("files: %v", names)
		}
	})
}

// Nothing configured is nothing to do, and well done.
func TestEmptyGroup(t *testing.T) {
	b := newBench(t, true)
	b.group(func(g *Group) { *g = Group{} })
	r := b.open()
	for _, kind := range []cluster.StepKind{cluster.StepStart, cluster.StepStop, cluster.StepRecover} {
		if o := b.run(r, b.step(kind)); !o.OK || !o.Ran || o.Exit != 0 {
			t.Errorf("%s: %+v", kind, o)
		}
	}
	s := b.step(cluster.StepStart)
	s.Group = "B"
	if o := b.run(r, s); o.OK || o.Ran || !strings.Contains(o.Text, "group B is not in") {
		t.Errorf("%+v", o)
	}
}

// A failing activation takes back what was activated, and the script does not run.
func TestActivationFails(t *testing.T) {
	b := newBench(t, true)
	b.group(func(g *Group) {
		g.FloatingIPs = append(g.FloatingIPs, floatingip.Spec{Address: abroad})
		g.StartScript = b.script("start", "echo started")
	})
	r := b.open()
	o := b.run(r, b.step(cluster.StepStart))
	if o.OK || o.Ran || o.Exit != -1 || !strings.Contains(o.Text, "no interface has the network of 10.77.0.1") {
		t.Errorf("%+v", o)
	}
	if b.has(first) || strings.Contains(b.log(), "started") {
		t.Errorf("address left: %t, log: %s", b.has(first), b.log())
	}
}

func TestScriptFails(t *testing.T) {
	b := newBench(t, true)
	b.group(func(g *Group) {
		g.StartScript = b.script("start", "exit 7")
		g.StopScript = b.script("stop", "exit 8")
	})
	r := b.open()
	if o := b.run(r, b.step(cluster.StepStart)); o.OK || !o.Ran || o.Exit != 7 || !b.has(first) {
		t.Errorf("start: %+v, address %t", o, b.has(first))
	}
	if o := b.run(r, b.step(cluster.StepStop)); !o.OK || !o.Ran || o.Exit != 8 || b.has(first) {
		t.Errorf("stop: %+v, address %t", o, b.has(first))
	}
	// RECOVER: the start script, and no address.
	if o := b.run(r, b.step(cluster.StepRecover)); o.OK || !o.Ran || o.Exit != 7 || b.has(first) {
		t.Errorf("recover: %+v, address %t", o, b.has(first))
	}
	b.group(func(g *Group) { g.StartScript = b.script("start", "sleep 100"); g.Timeout = 200 * time.Millisecond })
	r.SetGroups(b.config.Groups)
	if o := b.run(r, b.step(cluster.StepStart)); o.OK || !o.Ran || o.Exit != -1 || !strings.Contains(o.Text, "script_timeout") {
		t.Errorf("timeout: %+v", o)
	}
}

// A time limit ends the script's own process group, after a start. What a start script has
// put aside before is the application: it stays until a stop, and a stop that takes too
// long itself takes it away all the same. After a RECOVER run that takes too long nothing
// is left, put aside or not.
func TestTimeLimits(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		aside := "setsid sleep 1000 & " // a session, and process group, of its own
		b.group(func(g *Group) {
			g.StartScript = b.script("start", aside+"sleep 1001")
			g.StopScript = b.script("stop", aside+"sleep 1002")
			g.Timeout = 300 * time.Millisecond
		})
		r := b.open()
		o := b.run(r, b.step(cluster.StepStart))
		if o.OK || !o.Ran || o.Exit != -1 || !strings.Contains(o.Text, "script_timeout 300ms") {
			t.Errorf("start: %+v", o)
		}
		b.eventually("what start put aside is left, and nothing else", func() bool { return b.scripts() == 1 })
		o = b.run(r, b.step(cluster.StepStop))
		if !o.OK || !o.Ran || o.Exit != -1 || !strings.Contains(o.Text, "script_timeout 300ms") {
			t.Errorf("stop: %+v", o)
		}
		if n := b.scripts(); n != 0 || b.has(first) {
			t.Errorf("after the stop: %d processes, address %t", n, b.has(first))
		}
		if o = b.run(r, b.step(cluster.StepRecover)); o.OK || !o.Ran || o.Exit != -1 {
			t.Errorf("recover: %+v", o)
		}
		if n := b.scripts(); n != 0 {
			t.Errorf("after RECOVER: %d processes", n)
		}
	})
}

// Goal: without the right to run, nothing is done. Method: pages as a step child can
// meet them that was started too late.
func TestPermit(t *testing.T) {
	for name, prepare := range map[string]func(p *page.Page){
		"fired":           func(p *page.Page) { p.Fire() },
		"cleared":         func(p *page.Page) { p.Fire(); p.Finish() },
		"disarmed":        func(p *page.Page) { p.Disarm() },
		"another session": func(p *page.Page) { p.Disarm(); p.Extend(session+1, page.Now()+int64(time.Hour)) },
		"deadline over": func(p *page.Page) {
			p.Disarm()
			p.Extend(session, page.Now()+int64(time.Millisecond))
			time.Sleep(2 * time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			b.group(func(g *Group) { g.StartScript = b.script("s", "echo ran"); g.StopScript = g.StartScript })
			r := b.open()
			prepare(b.page)
			for _, kind := range []cluster.StepKind{cluster.StepStart, cluster.StepStop, cluster.StepRecover} {
				if o := b.run(r, b.step(kind)); o.OK || o.Ran || !strings.Contains(o.Text, "session") {
					t.Errorf("%s: %+v", kind, o)
				}
			}
			if b.has(first) || b.log() != "" {
				t.Errorf("address %t, log %q", b.has(first), b.log())
			}
		})
	}
}

// A token is executed once: a second Run reports the first one's outcome.
func TestOnce(t *testing.T) {
	b := newBench(t, true)
	b.group(func(g *Group) { g.StartScript = b.script("start", "echo once; sleep 0.3; exit 4") })
	r := b.open()
	s := b.step(cluster.StepStart)
	outcomes := make(chan cluster.Outcome, 2)
	for range 2 {
		r.Run(s, time.Second, func(o cluster.Outcome) { outcomes <- o })
	}
	for range 2 {
		if o := <-outcomes; o.Exit != 4 {
			t.Errorf("%+v", o)
		}
	}
	if o := b.await(func(done func(cluster.Outcome)) { r.Adopt(s, done) }); o.Exit != 4 {
		t.Errorf("adopted later: %+v", o)
	}
	if n := strings.Count(b.log(), "once\n"); n != 1 {
		t.Errorf("the script ran %d times", n)
	}
}

// startOwner runs the step in a process that can be killed.
func (b *bench) startOwner(s cluster.Step) *exec.Cmd {
	b.t.Helper()
	c := b.config
	c.Progress = nil
	arg, err := json.Marshal(struct {
		Config Config
		Step   cluster.Step
	}{c, s})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "owner", string(arg))
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "running\n" {
		b.t.Fatalf("the owner says %q", line)
	}
	return cmd
}

// Goal: batond dies while a script runs; the next one gets the outcome, be it that
// the script still runs, has ended meanwhile, or was killed.
func TestAdopt(t *testing.T) {
	for _, c := range []struct {
		name string
		// between is what happens while there is no batond.
		between func(b *bench)
		want    func(o cluster.Outcome) bool
	}{
		{"still running", func(b *bench) {}, func(o cluster.Outcome) bool { return o.OK && o.Ran }},
		{
			"ended meanwhile",
			func(b *bench) { time.Sleep(700 * time.Millisecond) },
			func(o cluster.Outcome) bool { return o.OK && o.Ran },
		},
		{
			"killed meanwhile",
			func(b *bench) {
				b.eventually("killed", func() bool { left, err := b.config.Place.Kill(); return err == nil && !left })
			},
			func(o cluster.Outcome) bool {
				return !o.OK && o.Exit == -1 && strings.Contains(o.Text, "lost when batond died")
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachPlace(t, func(t *testing.T, b *bench) {
				b.group(func(g *Group) { g.StartScript = b.script("start", "echo begun; sleep 0.5; echo ended") })
				s := b.step(cluster.StepStart)
				cmd := b.startOwner(s)
				b.eventually("the script", func() bool { return strings.Contains(b.log(), "begun\n") })
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				c.between(b)
				r := b.open()
				if o := b.await(func(done func(cluster.Outcome)) { r.Adopt(s, done) }); !c.want(o) {
					t.Errorf("%+v\n%s", o, b.log())
				}
			})
		})
	}
	b := newBench(t, true)
	if o := b.await(func(done func(cluster.Outcome)) { b.open().Adopt(b.step(cluster.StepStart), done) }); o.OK || o.Ran || o.Exit != -1 {
		t.Errorf("a step that was never begun: %+v", o)
	}
}

// The guard kills a step under way: batond learns that it is lost, and what the
// script had left is gone too.
func TestKilled(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		b.group(func(g *Group) { g.StartScript = b.script("start", "echo begun; sleep 100") })
		r := b.open()
		s := b.step(cluster.StepStart)
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			for !strings.Contains(b.log(), "begun\n") {
				time.Sleep(time.Millisecond)
			}
			b.page.Fire()
			for left := true; left; {
				left, _ = b.config.Place.Kill()
			}
		}()
		if o := b.run(r, s); o.OK || o.Exit != -1 || !strings.Contains(o.Text, "killed") {
			t.Errorf("%+v", o)
		}
		<-killed
		if n := b.scripts(); n != 0 {
			t.Errorf("%d processes left", n)
		}
	})
}

// Goal: a stop has no outcome before the group is off this server, even if its child
// cannot be started, is killed, or was never begun by the batond that has died.
func TestStopLost(t *testing.T) {
	for name, c := range map[string]func(b *bench, r *Runner, s cluster.Step) cluster.Outcome{
		"never begun": func(b *bench, r *Runner, s cluster.Step) cluster.Outcome {
			return b.await(func(done func(cluster.Outcome)) { r.Adopt(s, done) })
		},
		"no room for its files": func(b *bench, r *Runner, s cluster.Step) cluster.Outcome {
			if err := os.RemoveAll(filepath.Join(b.dir, "run")); err != nil {
				b.t.Fatal(err)
			}
			return b.run(r, s)
		},
		"child killed": func(b *bench, r *Runner, s cluster.Step) cluster.Outcome {
			go b.eventually("the stop script", func() bool {
				if !strings.Contains(b.log(), "stopping\n") {
					return false
				}
				n, _ := b.config.Place.Steps("A").Signal(unix.SIGKILL)
				return n > 0
			})
			return b.run(r, s)
		},
		"no page": func(b *bench, r *Runner, s cluster.Step) cluster.Outcome {
			if err := os.Rename(b.config.Page, b.config.Page+"2"); err != nil {
				b.t.Fatal(err)
			}
			go func() { // without it nobody can be sure that the guard renews no more
				for line := range b.lines {
					if strings.Contains(line, "trying again") {
						_ = os.Rename(b.config.Page+"2", b.config.Page)
						return
					}
				}
			}()
			return b.run(r, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachPlace(t, func(t *testing.T, b *bench) {
				b.group(func(g *Group) {
					g.StartScript = b.script("start", "sleep 1000 & exit 0")
					g.StopScript = b.script("stop", "echo stopping; sleep 10")
				})
				r := b.open()
				if o := b.run(r, b.step(cluster.StepStart)); !o.OK || b.scripts() == 0 {
					t.Fatalf("start: %+v", o)
				}
				o := c(b, r, b.step(cluster.StepStop))
				if !o.OK || o.Exit != -1 || !strings.Contains(o.Text, "cleared without its script") {
					t.Errorf("%+v", o)
				}
				if b.has(first) || b.scripts() != 0 {
					t.Errorf("left: address %t, %d processes", b.has(first), b.scripts())
				}
			})
		})
	}
}

// A conflict shows as progress, and ends the start.
func TestProgress(t *testing.T) {
	b := newBench(t, true)
	b.config.Times = floatingip.DefaultTimes
	b.config.Times.Wait, b.config.Times.Retries = 50*time.Millisecond, 1
	// The other end of the cable has the address, and is another machine for ARP as
	// long as its MAC is not one of ours: so say so from a raw socket.
	answer(t, "there", first)
	r := b.open()
	o := b.run(r, b.step(cluster.StepStart))
	if o.OK || o.Ran || !strings.Contains(o.Text, "02:aa:00:00:00:01") {
		t.Errorf("%+v", o)
	}
	select {
	case line := <-b.lines:
		if !strings.Contains(line, "retry 1 of 1 in 50ms") {
			t.Errorf("progress %q", line)
		}
	default:
		t.Error("no progress told")
	}
}

// answer lets an unknown machine at the far end answer every ARP request.
func answer(t *testing.T, name string, addr netip.Addr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	index := nettest.Index(t, name)
	const arp = 0x0608 // ETH_P_ARP in network order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: arp, Ifindex: index}); err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000})
	stop, ended := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-ended; unix.Close(fd) })
	ip := addr.As4()
	reply := slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 2, 2, 0xaa, 0, 0, 0, 1}, ip[:], make([]byte, 6), ip[:])
	to := &unix.SockaddrLinklayer{Protocol: arp, Ifindex: index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, _, err := unix.Recvfrom(fd, make([]byte, 256), 0); err == nil {
				_ = unix.Sendto(fd, reply, 0, to)
			} else if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
}

// BenchmarkMove is what a client feels of a planned move with empty scripts, but for
// the network and the log between the two steps: the address is removed, the outcome
// of the stop is known, the start is begun, the address is added and announced.
func BenchmarkMove(b *testing.B) {
	bn := newBench(b, false)
	r := bn.open()
	bn.run(r, bn.step(cluster.StepStart))
	var stop, start, gap time.Duration
	for b.Loop() {
		begin := time.Now()
		bn.run(r, bn.step(cluster.StepStop))
		middle := time.Now()
		s := bn.step(cluster.StepStart)
		s.Handover = true
		done := make(chan cluster.Outcome, 1)
		r.Run(s, 5*time.Second, func(o cluster.Outcome) { done <- o })
		for !bn.has(first) {
			time.Sleep(200 * time.Microsecond)
		}
		stop += middle.Sub(begin)
		start += time.Since(middle)
		gap += time.Since(begin)
		if o := <-done; !o.OK {
			b.Fatalf("%+v", o)
		}
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(ms(stop), "ms/stop")
	b.ReportMetric(ms(start), "ms/start-to-added")
	b.ReportMetric(ms(gap), "ms/gap")
}
