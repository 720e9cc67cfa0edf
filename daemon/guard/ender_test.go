package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"baton/daemon/guard/page"
	"baton/daemon/nettest"
)

// No guard of these tests reboots anything: it writes a line beside its page. (Package
// reboot would refuse too; TestRealReboot goes around this, in a pid namespace.)
func init() {
	if os.Getenv(realReboot) == "" {
		rebootNow = noteReboot
	}
}

const realReboot = "BATON_TEST_REAL_REBOOT"

// rebootsFile is beside the page; the guard's own process finds it by its arguments.
var rebootsFile = func() string {
	if i := slices.Index(os.Args, "--page"); i > 0 && i+1 < len(os.Args) {
		return filepath.Join(filepath.Dir(os.Args[i+1]), "reboots")
	}
	return ""
}()

func noteReboot() error {
	f, err := os.OpenFile(rebootsFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintln(f, os.Getpid())
	return errors.New("not in a test")
}

func (b *bench) reboots() int {
	text, _ := os.ReadFile(filepath.Join(b.config.RunDir, "reboots"))
	return strings.Count(string(text), "\n")
}

// Goal: a guard that has cleared reboots where a lease has ended with groups here and
// the spec wants it, and in no other case.
func TestRebootAfterLoss(t *testing.T) {
	for _, c := range []struct {
		name   string
		when   When
		group  bool // something of a group is here
		early  bool // the session is ended before its lease
		reboot int
	}{
		{"lost", WhenLost, true, false, 1},
		{"lost without groups", WhenLost, false, false, 0},
		{"ended in its lease", WhenLost, true, true, 0},
		{"only when stuck", WhenStuck, true, false, 0},
		{"never", Never, true, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, true)
			b.config.Spec.Reboot = c.when
			b.config.Spec.Record = filepath.Join(b.config.StateDir, "rebooted")
			g := b.open()
			end := in(300 * time.Millisecond)
			if c.early {
				end = in(time.Minute)
			}
			if !g.Extend(5, end) {
				t.Fatal("not armed")
			}
			if c.group {
				nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
				b.process()
			}
			if c.early {
				g.Fire()
			}
			b.eventually("finished", func() bool { s, ok := g.Finished(); return ok && s == 5 })
			if b.has(floating) || b.left() {
				t.Error("something is left")
			}
			if c.reboot > 0 {
				b.eventually("reboot", func() bool { return b.reboots() > 0 })
			}
			time.Sleep(2 * stop) // and no second one, or none
			if n := b.reboots(); n != c.reboot {
				t.Errorf("%d reboots, want %d", n, c.reboot)
			}
			note, _ := os.ReadFile(b.config.Spec.Record)
			if strings.Contains(string(note), "ended with groups on this server") != (c.reboot > 0) {
				t.Errorf("note %q", note)
			}
			// A reboot that failed leaves a server that works as without one.
			if !g.Extend(6, in(long)) || !g.Disarm() {
				t.Error("no session can begin")
			}
		})
	}
}

// judged is an ender without a guard, whose attempts the test plays.
type judged struct {
	*ender
	mu   sync.Mutex
	says []string
}

func newJudged(t *testing.T, when When, watch time.Duration) *judged {
	t.Helper()
	nettest.Need(t)
	dir := t.TempDir()
	rebootsFile = filepath.Join(dir, "reboots")
	f, err := os.Create(filepath.Join(dir, "page"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := page.Map(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Reset(); err != nil {
		t.Fatal(err)
	}
	p.SetTimes(timeout, stop)
	j := &judged{}
	j.ender, err = newEnder(p, func(s string) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.says = append(j.says, s)
	}, watch)
	if err != nil {
		t.Fatal(err)
	}
	j.add(Spec{Timeout: timeout, Stop: stop, Reboot: when})
	t.Cleanup(func() { j.close(); time.Sleep(3 * judgeTick) }) // the judge has gone when the page goes
	return j
}

func (j *judged) said() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.says, "\n")
}

// waits says after what time a reboot was wanted; 0: not within limit.
func (j *judged) waits(limit time.Duration) time.Duration {
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(time.Millisecond) {
		if strings.Contains(j.said(), "reboots this server") {
			return time.Since(begin)
		}
	}
	return 0
}

// Goal: what cannot be cleared is rebooted at the end of E and not before; what is on
// its way out gets longer; what is cleared in time is not.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name  string
		when  When
		watch time.Duration
		play  func(*judged) // what the clearing does
		why   string        // "": no reboot
	}{
		{"a process does not end", WhenStuck, 0, func(j *judged) {
			j.clear.last.Store(&verdict{text: "process 7 (dd, state D)"})
			j.begun <- struct{}{}
		}, "could not be cleared within 250ms: process 7 (dd, state D)"},
		{"the same with reboot", WhenLost, 0, func(j *judged) {
			j.clear.last.Store(&verdict{text: "process 7 (dd, state D)"})
			j.begun <- struct{}{}
		}, "process 7"},
		{"the same, never", Never, 0, func(j *judged) {
			j.clear.last.Store(&verdict{text: "process 7 (dd, state D)"})
			j.begun <- struct{}{}
		}, ""},
		{"the clearing itself hangs", WhenStuck, 0, func(j *judged) {
			j.clear.last.Store(&verdict{text: "before", dying: true})
			j.clear.at("remove the floating IPs")
			j.clear.began.Store(page.Now())
			j.begun <- struct{}{}
		}, "hangs while it is to remove the floating IPs"},
		{"nobody comes to clear", WhenStuck, 2 * turn, func(*judged) {}, "the guard has not come to it"},
		{"processes on their way out", WhenStuck, 0, func(j *judged) {
			j.clear.last.Store(&verdict{text: "dying", dying: true})
			j.begun <- struct{}{}
		}, ""},
		{"cleared just in time", WhenStuck, 2 * turn, func(j *judged) {
			j.clear.last.Store(&verdict{text: "not yet"})
			time.AfterFunc(stop/2, j.page.Finish)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJudged(t, c.when, c.watch)
			if !j.page.Extend(5, int64(in(long))) {
				t.Fatal("not armed")
			}
			time.Sleep(4 * turn) // nothing is to be judged before
			begin := time.Now()
			j.page.Fire()
			c.play(j)
			took := j.waits(3 * stop)
			switch {
			case c.why == "" && j.said() != "":
				t.Errorf("said %q, want nothing", j.said())
			case c.why != "" && (took == 0 || time.Since(begin) < stop):
				t.Errorf("reboot after %s, want %s or a little more: %q", took, stop, j.said())
			case c.why != "" && !strings.Contains(j.said(), c.why):
				t.Errorf("said %q, want %q", j.said(), c.why)
			}
			if c.why != "" {
				time.Sleep(stop)
				if n := strings.Count(j.said(), "reboots this server"); n != 1 {
					t.Errorf("tried %d times, want once: %s", n, j.said())
				}
				if !strings.Contains(j.said(), "cannot be (not in a test)") {
					t.Errorf("the failure of the reboot is not said: %q", j.said())
				}
			}
		})
	}
}
