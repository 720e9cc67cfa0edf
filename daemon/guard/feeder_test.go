package guard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/daemon/guard/page"
	"baton/daemon/watchdog"
)

// fakeDog stands for a watchdog device that several processes may open, one at a time:
// a file that is locked, and that gets a line for whatever is done. Beside it, files
// "FILE.min" and "FILE.nowayout" say what it can do.
type fakeDog struct {
	path    string
	f       *os.File
	timeout int
}

func init() {
	openWatchdog = func(path string) (feedable, string, error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
		if err != nil {
			return nil, "", err
		}
		if !tryLock(f) {
			f.Close()
			return nil, "", unix.EBUSY
		}
		d := &fakeDog{path, f, 60}
		d.log("open")
		return d, "Fake", nil
	}
}

func (d *fakeDog) log(what string) { fmt.Fprintln(d.f, page.Now(), what, d.timeout) }

func (d *fakeDog) SetTimeout(want int) (int, error) {
	b, _ := os.ReadFile(d.path + ".min")
	least, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	d.timeout = max(want, least)
	d.log("feed")
	return d.timeout, nil
}

func (d *fakeDog) Feed() error { d.log("feed"); return nil }

func (d *fakeDog) Stop() error {
	if _, err := os.Stat(d.path + ".nowayout"); err == nil {
		return watchdog.ErrNoWayOut
	}
	d.log("stop")
	return nil
}

func (d *fakeDog) Close() { d.f.Close() }

// dog is a server with such a device. T is the default.
type dog struct {
	*bench
	path string
}

// fail ends the test: as failed, unless this machine is to blame.
func (d *dog) fail(format string, args ...any) {
	d.t.Helper()
	if s := time.Duration(d.stood.Load()); s > dogT/3 {
		d.t.Skipf("this machine stood still for %s, too long for a timeout of %s: %s", s, dogT, fmt.Sprintf(format, args...))
	}
	d.t.Fatalf(format, args...)
}

const (
	dogT = 3 * time.Second // the device's time is 2 s: a busy machine needs one of them to start a guard
	dogE = dogT / 4
	dogL = dogT*97/100 - dogE
)

func newDog(t *testing.T) *dog {
	t.Helper()
	b := newBench(t, true)
	d := &dog{bench: b, path: filepath.Join(b.config.StateDir, "watchdog")}
	if err := os.WriteFile(d.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.config.Spec.Watchdog, b.config.Spec.Timeout, b.config.Spec.Stop = d.path, dogT, dogE
	return d
}

func (d *dog) lines() []string {
	text, _ := os.ReadFile(d.path)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// fired says when the device would have reset the server up to now; 0: not.
func (d *dog) fired() int64 {
	due := int64(0)
	for _, line := range append(d.lines(), fmt.Sprint(page.Now(), " end 0")) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		at, _ := strconv.ParseInt(f[0], 10, 64)
		seconds, _ := strconv.Atoi(f[2])
		if due != 0 && at > due {
			return due
		}
		if due = at + int64(time.Duration(seconds)*time.Second); f[1] == "stop" {
			due = 0
		}
	}
	return 0
}

func (d *dog) quiet(what string) {
	d.t.Helper()
	if at := d.fired(); at != 0 {
		d.fail("%s: it would have reset this server %s ago; log:\n%s", what, time.Duration(page.Now()-at), strings.Join(d.lines(), "\n"))
	}
}

// extend extends the lease of a session for so long.
func (d *dog) extend(g *Guard, session uint64, long time.Duration) {
	d.t.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(dogT / 10) {
		if !g.Extend(session, in(dogL)) {
			d.fail("refused")
		}
	}
}

// Goal: feeding by the state of the page, with a device that is quick enough and with
// one that is not.
func TestFeeding(t *testing.T) {
	const s = int64(time.Second)
	quick, slow := newFeeding(2, 3*time.Second), newFeeding(10, 3*time.Second)
	if !quick.strict || slow.strict || quick.late(3*time.Second) != 0 || slow.late(3*time.Second) != 7090*time.Millisecond {
		t.Errorf("%+v, %+v late by %s", quick, slow, slow.late(3*time.Second))
	}
	for _, c := range []struct {
		name string
		s    page.State
		now  int64
		want bool // of the quick one
		slow bool
	}{
		{"nothing here", page.State{}, 100 * s, true, true},
		{"cleared", page.State{Deadline: 5 * s, Fired: true, Finished: true}, 100 * s, true, true},
		{"a full lease", page.State{Deadline: 102 * s}, 100 * s, true, true},
		{"the same lease a little later", page.State{Deadline: 102 * s}, 100*s + s/2, true, false},
		{"the device would fire just in time", page.State{Deadline: 102 * s}, 100*s + 3*s/4, true, false},
		{"it would fire too late", page.State{Deadline: 102 * s}, 100*s + 3*s/4 + 1, false, false},
		{"extended", page.State{Deadline: 103 * s}, 101 * s, true, true},
		{"over", page.State{Deadline: 103 * s}, 103 * s, false, false},
		{"being cleared", page.State{Deadline: 103 * s, Fired: true}, 103 * s, false, false},
		{"ended early and being cleared", page.State{Deadline: 110 * s, Fired: true}, 103 * s, false, false},
	} {
		if got := quick.may(c.s, c.now, 3*time.Second/4); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
		if got := slow.may(c.s, c.now, 3*time.Second/4); got != c.slow {
			t.Errorf("%s, slow: %t, want %t", c.name, got, c.slow)
		}
	}
	for timeout, want := range map[time.Duration]int{500 * time.Millisecond: 1, time.Second: 1, 1500 * time.Millisecond: 1, 3 * time.Second: 2, 10 * time.Second: 6} {
		if got := wantedTimeout(timeout); got != want {
			t.Errorf("wantedTimeout(%s) = %d, want %d", timeout, got, want)
		}
	}
}

// Goal: who has let go of the device does not take it again, however long his process takes
// to end: nobody would feed it then.
func TestFeederLetsGoForGood(t *testing.T) {
	j := newJudged(t, Never, 0)
	path := filepath.Join(t.TempDir(), "watchdog")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	last := func() string {
		text, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		return lines[len(lines)-1]
	}
	j.add(Spec{Timeout: dogT, Stop: dogE, Reboot: Never, Watchdog: path})
	f := newFeeder(j.ender, func(string) {})
	for end := time.Now().Add(10 * time.Second); !strings.Contains(last(), " feed "); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never fed: %q", last())
		}
	}
	if !f.letGo() {
		t.Error("it cannot be let go")
	}
	time.Sleep(5 * feedEvery)
	if !strings.Contains(last(), " stop ") {
		t.Errorf("after it was let go: %q", last())
	}
}

// Goal: as long as the guard has everything under control the device is fed: without a
// session, in one, over a guard that is killed and replaced, over the end of the lease
// (which the guard clears), over a batond that is gone and comes back; when all ends in
// order the timer is stopped.
func TestWatchdogIsFed(t *testing.T) {
	d := newDog(t)
	g := d.open()
	time.Sleep(dogT)
	d.quiet("without a session")
	d.process()
	d.extend(g, 5, dogT)
	d.quiet("in a session")
	old := g.page.Guard()
	_ = unix.Kill(old, unix.SIGKILL)
	d.extend(g, 5, dogT)
	if now := g.page.Guard(); now == old || now == 0 {
		t.Errorf("guard %d, was %d", now, old)
	}
	d.quiet("with the guard replaced")
	d.eventually("finished", func() bool { s, ok := g.Finished(); return ok && s == 5 }) // extended no more
	time.Sleep(dogT)
	d.quiet("after the lease")
	d.extend(g, 6, dogT/2)
	g.Close() // batond is gone
	time.Sleep(dogL / 2)
	g = d.open()
	if session, _, ok := g.Adopted(); !ok || session != 6 {
		t.Errorf("adopted %d, %t", session, ok)
	}
	d.extend(g, 6, dogT)
	d.quiet("over a restart of batond")
	if !g.Disarm() {
		t.Fatal("not disarmed")
	}
	g.Close()
	d.eventually("stopped", func() bool { l := d.lines(); return strings.Contains(l[len(l)-1], " stop ") })
	time.Sleep(dogT)
	d.quiet("after the end")
	if d.noticed() == "" || strings.Contains(d.noticed(), "watchdog") {
		t.Errorf("notices: %s", d.noticed())
	}
}

// Goal: where the guard cannot do its work the device fires, and before another server
// may take over: guard and batond frozen, both killed, and a clearing that hangs.
func TestWatchdogFires(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(d *dog, guard int)
	}{
		{"batond dead, guard frozen", func(_ *dog, guard int) { _ = unix.Kill(guard, unix.SIGSTOP) }},
		{"both dead", func(d *dog, _ int) { d.killGuard() }},
		{"the unmount hangs", func(d *dog, _ int) { _ = os.WriteFile(filepath.Join(d.config.RunDir, "hang"), nil, 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDog(t)
			d.mount()
			cmd := d.startOwner(dogL)
			p := d.page()
			time.Sleep(dogT)
			d.quiet("before")
			_ = cmd.Process.Kill()
			deadline := p.Load().Deadline
			c.do(d, p.Guard())
			d.eventually("it fires", func() bool { return d.fired() != 0 })
			early, late := time.Duration(d.fired()-deadline), dogE
			t.Logf("fires %s after the deadline, E is %s", early, late)
			if early > late {
				t.Errorf("fires %s after the deadline, later than E = %s", early, late)
			}
		})
	}
}

// Goal: after both were killed the stop hook stops the timer with the last of what it
// would have ended.
func TestWatchdogAfterCleanup(t *testing.T) {
	d := newDog(t)
	cmd := d.startOwner(dogL)
	d.process()
	time.Sleep(dogT / 2)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	d.killGuard()
	if said, err := d.cleanup(); err != nil || !strings.Contains(said, "it is cleared") {
		t.Errorf("cleanup: %q, %v", said, err)
	}
	time.Sleep(dogT)
	d.quiet("after the stop hook")
}

// Goal: a device that nothing stops is fed for ever: the guard stays when batond ends,
// and the next batond attaches to it.
func TestWatchdogNoWayOut(t *testing.T) {
	d := newDog(t)
	if err := os.WriteFile(d.path+".nowayout", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g := d.open()
	guard := g.page.Guard()
	d.eventually("opened", func() bool { return g.page.Watchdog() == page.WatchdogFed })
	g.Close()
	time.Sleep(2*ownerLook + dogT)
	if !d.alive(guard) {
		t.Error("the guard has ended, and nobody feeds the device")
	}
	d.quiet("batond is gone")
	g = d.open()
	if g.page.Guard() != guard {
		t.Error("another guard was started")
	}
	d.extend(g, 5, dogT)
	if !g.Disarm() {
		t.Error("not disarmed")
	}
	d.quiet("with the next batond")
}

// Goal: a device that cannot be had, or not as short as T needs, is told to the
// operator; the groups run without it, and it is taken when it comes.
func TestWatchdogMissingAndSlow(t *testing.T) {
	d := newDog(t)
	if err := errors.Join(os.Remove(d.path), os.WriteFile(d.path+".min", []byte("4"), 0o600)); err != nil {
		t.Fatal(err)
	}
	g := d.open()
	d.eventually("missed", func() bool { return strings.Contains(d.noticed(), "cannot be had") })
	if !g.Extend(5, in(dogL)) {
		t.Error("no session without the device")
	}
	if err := os.WriteFile(d.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(openAgain + 5*time.Second); !strings.Contains(d.noticed(), "is there now") && time.Now().Before(end); {
		d.extend(g, 5, dogT/5)
	}
	if g.page.Watchdog() != page.WatchdogLate {
		t.Errorf("state %d, want %d: %s", g.page.Watchdog(), page.WatchdogLate, d.noticed())
	}
	d.extend(g, 5, 5*time.Second)
	d.quiet("extended all the time")
	g.Disarm()
	g.Close()
	d.eventually("stopped", func() bool { l := d.lines(); return strings.Contains(l[len(l)-1], " stop ") })
}
