package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"baton/daemon/guard/page"
)

// Cleanup is the service manager's stop hook: it clears what is left of the groups
// where batond and its guard are both gone, and returns what it found. It is nobody's
// enemy: where a batond has the state directory, or a guard that turns has the page,
// it leaves everything to them (a batond that crashed is restarted within the lease,
// and its groups go on running meanwhile). A guard that stands still is as good as
// gone, and is killed first.
//
// What there is to clear it learns from the spec that the dead batond has left, and
// from c.Spec. It holds batond's lock meanwhile, so no new batond comes in between; if
// it is killed itself, the page says that the session is over, and the next batond's
// guard clears.
func Cleanup(ctx context.Context, c Config) (found string, err error) {
	if c.Notice == nil {
		c.Notice = func(string) {}
	}
	dir, err := runDir(c)
	if err != nil {
		return "", fmt.Errorf("cleanup: %w", err)
	}
	owner, err := lockOwner(filepath.Join(dir, ownerFile))
	if err != nil {
		return "batond runs and sees to its groups itself", nil
	}
	defer owner.Close()
	f, err := os.OpenFile(filepath.Join(dir, pageFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("cleanup: %w", err)
	}
	defer f.Close()
	p, err := page.Map(f)
	if err != nil {
		return "", fmt.Errorf("cleanup: %w", err)
	}
	defer p.Close()
	lock, err := lockDead(f.Name(), p)
	if err != nil {
		return "", fmt.Errorf("cleanup: %w", err)
	}
	if lock == nil {
		return fmt.Sprintf("the guard (process %d) is there and sees to the groups", p.Guard()), nil
	}
	defer lock.Close()

	if p.Check() != nil {
		if err := p.Reset(); err != nil {
			return "", fmt.Errorf("cleanup: %w", err)
		}
	}
	e, err := newEnder(p, c.Notice, 0)
	if err != nil {
		return "", fmt.Errorf("cleanup: %w", err)
	}
	defer e.close()
	e.add(c.Spec)
	if b, err := os.ReadFile(filepath.Join(dir, specFile)); err == nil {
		var left Spec
		if json.Unmarshal(b, &left) == nil {
			e.add(left)
		}
	}
	p.SetTimes(e.spec.Load().Timeout, e.spec.Load().Stop)
	p.Idle()
	p.Fire()
	for !e.try() {
		select {
		case <-ctx.Done():
			left, _ := e.clear.hindrance(e.spec.Load().Stop)
			return "", fmt.Errorf("cleanup: not everything of the groups could be cleared: %s", left)
		case <-time.After(10 * time.Millisecond):
		}
	}
	stopWatchdog(e.spec.Load().Watchdog)
	if e.found {
		return "batond and its guard were gone, and something of the groups was left; it is cleared", nil
	}
	return "nothing of the groups was left", nil
}

// stopWatchdog stops the timer that a killed guard has left running: nothing is here
// any more that it would have to end. If it cannot be stopped, it is fed a last time,
// for the batond that comes next.
func stopWatchdog(path string) {
	if path == "" {
		return
	}
	dev, _, err := openWatchdog(path)
	if err != nil {
		return // in use, then it is fed; or gone
	}
	if dev.Stop() != nil {
		_ = dev.Feed()
	}
	dev.Close()
}

// lockDead locks the page; nil where a guard has it that is seen to turn: one that is
// about to end has it for a moment longer. One that stands still is killed.
func lockDead(path string, p *page.Page) (*os.File, error) {
	lock, err := lockPage(path)
	if err != nil || lock != nil {
		return lock, err
	}
	limit := stale(2 * time.Second)
	if p.Check() == nil {
		if timeout, _ := p.Times(); timeout > 0 {
			limit = stale(timeout)
		}
	}
	begin := time.Now()
	for end := begin.Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		pid := p.Guard()
		age := p.BeatAge()
		if pid != 0 && age < time.Since(begin) {
			return nil, nil
		}
		if pid != 0 && age > limit {
			fd, err := unix.PidfdOpen(pid, 0)
			// Still locked with the pidfd open: the number cannot be another's.
			if err == nil {
				if lock, _ = lockPage(path); lock == nil && p.Guard() == pid {
					_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
				}
				unix.Close(fd)
			}
		}
		if lock == nil {
			lock, err = lockPage(path)
		}
		if err != nil || lock != nil {
			return lock, err
		}
	}
	return nil, fmt.Errorf("%s is locked by process %d, which stands still and cannot be killed", path, p.Guard())
}
