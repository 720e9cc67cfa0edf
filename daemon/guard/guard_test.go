package guard

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/lease"
	"baton/daemon/cgroup"
	"baton/daemon/guard/page"
	"baton/daemon/nettest"
)

func TestMain(m *testing.M) {
	ownMounts()
	os.Exit(nettest.Main(m, map[string]func([]string) int{"guard": Main, "owner": owner, "reboots": rebootsItself}))
}

const (
	// timeout is the shortest that is allowed, T = 1 s: E is 250 ms then.
	timeout = time.Second
	stop    = timeout / 4
	hold    = 720 * time.Millisecond // L

	// long is a lease that no test machine stands still for, however loaded.
	long = 2 * time.Second

	// slack is what a loaded test machine may add to the guard's own time. On a quiet
	// one it clears within 10 ms.
	slack = stop
)

var (
	network  = netip.MustParsePrefix("10.9.0.1/24")
	floating = netip.MustParseAddr("10.9.0.100")
	other    = netip.MustParseAddr("10.9.0.101")
)

// owner stands for batond in a process that tests can kill: it opens the guard of
// the Config in its argument and extends session 5 by so much until it dies.
func owner(args []string) int {
	var c Config
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		panic(err)
	}
	c.Notice = func(text string) { fmt.Println(text) }
	g, err := Open(c)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	hold, err := time.ParseDuration(args[1])
	if err != nil {
		panic(err)
	}
	for said := false; g.Extend(5, lease.Instant(page.Now()).Add(hold)); time.Sleep(timeout / 10) {
		if !said {
			fmt.Println("armed")
			said = true
		}
	}
	fmt.Println("over")
	return 0
}

// bench is one server: an interface, a page, and what a group has.
type bench struct {
	t      *testing.T
	config Config
	place  cgroup.Place

	// stood is the longest time that this machine stood still during the test, ns.
	stood atomic.Int64

	mu      sync.Mutex
	notices []string
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
			if !noCgroup && b.place.Kind() != name {
				t.Skipf("no cgroup v2 to write to: %s", b.place.Why)
			}
			test(t, b)
		})
	}
}

func newBench(t *testing.T, noCgroup bool) *bench {
	t.Helper()
	nettest.Cable(t, "here", "there", network)
	dir := t.TempDir()
	place, err := cgroup.Find(cgroup.Params{Cluster: "c", Server: "s", StateDir: dir, NoCgroup: noCgroup})
	if err != nil {
		t.Fatal(err)
	}
	// On a disk, writing to the page waits for the page's way to the disk: seen to
	// hold the guard up for more than a second.
	run, err := os.MkdirTemp("/dev/shm", "baton-test-")
	if err != nil {
		run = filepath.Join(dir, "run")
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	rebootsFile = filepath.Join(run, "reboots")
	b := &bench{t: t, place: place}
	b.config = Config{
		StateDir: dir, RunDir: run,
		Spec: Spec{Place: place, Addresses: []netip.Addr{floating, other}, Timeout: timeout, Stop: stop},
	}
	t.Cleanup(func() { b.killGuard(); place.Remove() })
	b.watchStalls()
	return b
}

// watchStalls measures how punctual this machine is: one that stands still for longer than
// a second has its lease end, or its device fire, rightly.
func (b *bench) watchStalls() {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for last := page.Now(); ; {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			now := page.Now()
			b.stood.Store(max(b.stood.Load(), now-last))
			last = now
		}
	}()
	b.t.Cleanup(func() { close(stop); <-ended })
}

// slack is what this machine has added to the times of the guard and the kernel, which
// both come before this test when there is little time.
func (b *bench) slack() time.Duration { return slack + time.Duration(b.stood.Load()) }

func (b *bench) open() *Guard {
	b.t.Helper()
	b.config.Notice = func(text string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.notices = append(b.notices, text)
	}
	begin := time.Now()
	g, err := Open(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("opened within %s", time.Since(begin))
	b.t.Cleanup(sync.OnceFunc(g.Close))
	return g
}

func (b *bench) noticed() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.notices, "; ")
}

// startOwner starts the process that stands for batond and waits until it has armed.
func (b *bench) startOwner(hold time.Duration) *exec.Cmd {
	b.t.Helper()
	c := b.config
	c.Notice = nil
	arg, err := json.Marshal(c)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "owner", string(arg), hold.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "armed\n" {
		b.t.Fatalf("the owner says %q", line)
	}
	return cmd
}

func (b *bench) page() *page.Page {
	b.t.Helper()
	p, err := page.Open(filepath.Join(b.config.RunDir, pageFile))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(p.Close)
	return p
}

// killGuard kills the guard that holds the page, and takes the page from a new one too.
func (b *bench) killGuard() {
	p, err := page.Open(filepath.Join(b.config.RunDir, pageFile))
	if err != nil {
		return
	}
	defer p.Close()
	if pid := p.Guard(); pid > 0 && b.alive(pid) {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// alive says whether the pid is a guard of this page: a number can go to another process,
// of which some are guards of other tests.
func (b *bench) alive(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(line), "\x00guard\x00") && strings.Contains(string(line), b.config.RunDir+"/")
}

// process starts a process of group A that does not answer signals.
func (b *bench) process() *exec.Cmd {
	b.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "trap '' TERM; sleep 100 & sleep 100; true")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	if err := b.place.Scripts("A").Start(cmd); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	b.eventually("the process", func() bool { left, _ := b.place.Left(); return left })
	_ = unix.Kill(cmd.Process.Pid, unix.SIGSTOP)
	return cmd
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not within 10s: %s (%s); %s", what, b.noticed(), b.guardNow())
		}
	}
}

// guardNow says what the guard is doing: without that, one that is dead and one that
// hangs in the kernel look the same.
func (b *bench) guardNow() string {
	p, err := page.Open(filepath.Join(b.config.RunDir, pageFile))
	if err != nil {
		return err.Error()
	}
	defer p.Close()
	dir := fmt.Sprintf("/proc/%d/", p.Guard())
	text := fmt.Sprintf("guard %d (alive: %t), page %+v", p.Guard(), b.alive(p.Guard()), p.Load())
	tasks, _ := filepath.Glob(dir + "task/*")
	for _, t := range tasks {
		for _, file := range []string{"stat", "wchan", "syscall"} {
			line, err := os.ReadFile(filepath.Join(t, file))
			text += fmt.Sprintf("\n%s of %s: %.100s (%v)", file, filepath.Base(t), line, err)
		}
	}
	return text
}

func (b *bench) has(a netip.Addr) bool { return nettest.Has(b.t, a) }

func (b *bench) left() bool {
	left, err := b.place.Left()
	if err != nil {
		b.t.Fatal(err)
	}
	return left
}

func in(d time.Duration) lease.Instant { return lease.Instant(page.Now()).Add(d) }

// Goal: batond is killed; at the deadline, and not before, its floating IPs and the
// processes of its groups (a stopped step child among them) are gone, within E.
// Method: a real process, SIGKILL, and an address without end of life, so that nobody
// but the guard can remove it.
func TestOwnerKilled(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		cmd := b.startOwner(long)
		nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
		b.process()
		p := b.page()
		time.Sleep(long + stop) // longer than without extensions
		if !b.has(floating) || !b.left() {
			t.Fatal("cleared under a living owner")
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		deadline := p.Load().Deadline
		b.eventually("address gone", func() bool { return !b.has(floating) })
		addressGone := time.Duration(page.Now() - deadline)
		b.eventually("finished", func() bool { return p.Load().Finished })
		finished := time.Duration(page.Now() - deadline)
		t.Logf("address gone %s after the deadline, verified clear %s after it", addressGone, finished)
		if addressGone < 0 || finished > stop+b.slack() {
			t.Errorf("want both between 0 and %s (and %s for a loaded machine)", stop, b.slack())
		}
		if b.left() {
			t.Error("finished, and processes are left")
		}
		if s := p.Load(); s.Cleared != 5 || p.Extend(5, int64(in(time.Minute))) {
			t.Errorf("after the fire: %+v, and session 5 can be extended", s)
		}
	})
}

// Goal: with batond dead and the guard frozen, the kernel itself removes the address
// by the end of its lifetime.
func TestGuardFrozen(t *testing.T) {
	b := newBench(t, true)
	cmd := b.startOwner(hold)
	p := b.page()
	if err := p.Want(floating); err != nil {
		t.Fatal(err)
	}
	nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 1)
	time.Sleep(1500 * time.Millisecond)
	if !b.has(floating) {
		t.Fatal("not renewed")
	}
	_ = cmd.Process.Kill()
	guard := p.Guard()
	_ = unix.Kill(guard, unix.SIGSTOP)
	frozen := page.Now()
	b.eventually("address gone", func() bool { return !b.has(floating) })
	took := time.Duration(page.Now() - frozen)
	t.Logf("gone %s after the freeze", took)
	if took > 1050*time.Millisecond+b.slack() {
		t.Errorf("lifetime of 1s ended after %s", took)
	}
	// Thawed, it finds its deadline over, and does not bring the address back.
	_ = unix.Kill(guard, unix.SIGCONT)
	b.eventually("finished", func() bool { return p.Load().Finished })
	if b.has(floating) {
		t.Error("the address is back")
	}
}

// Goal: a batond that is killed and started again within its lease goes on with the
// same session; nothing is touched.
func TestAdopt(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		cmd := b.startOwner(long)
		nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
		b.process()
		guard := b.page().Guard()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		g := b.open()
		session, end, ok := g.Adopted()
		if !ok || session != 5 || !g.Extend(5, in(time.Minute)) {
			t.Fatalf("adopted %d until %d, %t", session, end, ok)
		}
		if g.page.Guard() != guard {
			t.Error("another guard was started")
		}
		time.Sleep(time.Duration(int64(end)-page.Now()) + stop) // past the end that the dead one knew
		if !b.has(floating) || !b.left() {
			t.Error("something was cleared over the restart")
		}
		g.Fire()
		b.eventually("finished", func() bool { s, ok := g.Finished(); return ok && s == 5 })
		if b.has(floating) || b.left() {
			t.Error("something is left")
		}
		if g.Extend(5, in(long)) || !g.Extend(6, in(long)) {
			t.Error("after the fire: session 5 must be refused, and 6 begin")
		}
		if !g.Disarm() {
			t.Error("not disarmed")
		}
	})
}

// Goal: a guard that is killed, or stands still, is replaced on the same page; the
// session goes on, and its deadline holds.
func TestGuardReplaced(t *testing.T) {
	for name, signal := range map[string]unix.Signal{"killed": unix.SIGKILL, "stopped": unix.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			g := b.open()
			if _, _, ok := g.Adopted(); ok {
				t.Error("adopted something at the first start")
			}
			if !g.Extend(5, in(long)) {
				t.Fatal("not armed")
			}
			nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
			old := g.page.Guard()
			_ = unix.Kill(old, signal)
			begin := time.Now()
			for g.page.Guard() == old || g.page.Guard() == 0 {
				if !g.Extend(5, in(long)) {
					t.Fatalf("refused after %s: %s", time.Since(begin), b.noticed())
				}
				time.Sleep(time.Millisecond)
			}
			t.Logf("replaced after %s: %s", time.Since(begin), b.noticed())
			if b.alive(old) {
				t.Error("the old one lives")
			}
			if !b.has(floating) {
				t.Error("the address was touched")
			}
			deadline := int64(in(long)) // later than before: a deadline never moves back
			if !g.Extend(5, lease.Instant(deadline)) {
				t.Fatal("refused")
			}
			b.eventually("fired", func() bool { s, ok := g.Finished(); return ok && s == 5 })
			if late := time.Duration(page.Now() - deadline); late < 0 || late > stop+b.slack() || b.has(floating) {
				t.Errorf("cleared %s after the deadline, address left: %t", late, b.has(floating))
			}
		})
	}
}

// Where no guard can be started any more, batond ends the session and clears itself.
func TestNoGuardPossible(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		exe := filepath.Join(b.config.StateDir, "exe")
		if err := os.Symlink("/proc/self/exe", exe); err != nil {
			t.Fatal(err)
		}
		b.config.Command = []string{exe, "guard"}
		g := b.open()
		if !g.Extend(5, in(time.Minute)) {
			t.Fatal("not armed")
		}
		nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
		b.process()
		if err := os.Remove(exe); err != nil {
			t.Fatal(err)
		}
		_ = unix.Kill(g.page.Guard(), unix.SIGKILL)
		b.eventually("finished", func() bool { s, ok := g.Finished(); return ok && s == 5 })
		if b.has(floating) || b.left() {
			t.Errorf("left: address %t, processes %t", b.has(floating), b.left())
		}
		if !strings.Contains(b.noticed(), "no guard can be started") {
			t.Errorf("notices: %s", b.noticed())
		}
	})
}

// Both killed: nobody knows how long the session was unguarded, so it is over, and
// the next batond's guard clears it.
func TestBothKilled(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		cmd := b.startOwner(long)
		nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
		b.process()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		b.killGuard()
		b.eventually("end of the guard", func() bool { // it lets go of its files last
			lock, err := lockPage(filepath.Join(b.config.RunDir, pageFile))
			return err == nil && lock != nil && lock.Close() == nil
		})
		g := b.open()
		if session, _, ok := g.Adopted(); ok {
			t.Errorf("adopted session %d", session)
		}
		if g.Extend(5, in(hold)) {
			t.Error("the old session can go on")
		}
		b.eventually("finished", func() bool { s, ok := g.Finished(); return ok && s == 5 })
		if b.has(floating) || b.left() {
			t.Error("something is left")
		}
	})
}

// ClearNow clears what no session accounts for, and says so only when it is gone.
func TestClearNow(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		g := b.open()
		nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
		nettest.Add(t, "here", netip.PrefixFrom(other, 24), 0)
		b.process()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if err := g.ClearNow(ctx); err != nil {
			t.Fatal(err)
		}
		t.Logf("took %s", time.Since(begin))
		if b.has(floating) || b.has(other) || b.left() {
			t.Error("something is left")
		}
		if !b.has(network.Addr()) {
			t.Error("removed an address that is no floating IP")
		}
		if !g.Extend(1, in(long)) {
			t.Error("no session can begin")
		}
		g.Disarm()
	})
}

// Wanted addresses are renewed as long as the lease is extended, others not.
func TestRenew(t *testing.T) {
	b := newBench(t, true)
	g := b.open()
	if !g.Extend(5, in(long)) {
		t.Fatal("not armed")
	}
	if err := g.page.Want(floating); err != nil {
		t.Fatal(err)
	}
	nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 1)
	nettest.Add(t, "here", netip.PrefixFrom(other, 32), 1)
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); time.Sleep(timeout / 10) {
		if !g.Extend(5, in(long)) {
			t.Fatal("refused")
		}
		if !b.has(floating) {
			t.Fatal("a wanted address was not renewed")
		}
	}
	if b.has(other) {
		t.Error("an address that nobody wants was renewed")
	}
	if err := g.page.Unwant(floating, time.Second); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && b.has(floating); time.Sleep(timeout / 10) {
		g.Extend(5, in(long))
	}
	if b.has(floating) {
		t.Error("an address was renewed after Unwant")
	}
	g.Disarm()
}

// A guard without a session ends when batond is gone, and not before; one with a
// session stays. SIGTERM and the like end neither.
func TestGuardEnds(t *testing.T) {
	b := newBench(t, true)
	g := b.open()
	guard := g.page.Guard()
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGPIPE, unix.SIGQUIT} {
		_ = unix.Kill(guard, s)
	}
	if sid, err := unix.Getsid(guard); sid != guard || err != nil {
		t.Errorf("the guard is in session %d (%v), want its own", sid, err)
	}
	if _, err := Open(b.config); err == nil || !strings.Contains(err.Error(), "another batond") {
		t.Errorf("a second owner: %v", err)
	}
	time.Sleep(ownerLook + 4*turn)
	if !b.alive(guard) || g.page.Guard() != guard {
		t.Fatal("ended under a living owner")
	}
	g.Close()
	b.eventually("end of the guard", func() bool {
		_, _ = unix.Wait4(guard, nil, unix.WNOHANG, nil)
		return !b.alive(guard)
	})
	b.t.Logf("notices: %q", b.noticed())
}
