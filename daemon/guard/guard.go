// Package guard sees to it that nothing of a group is left on this server when its
// lease is over, whatever has become of batond (core/README.md, "Numbers": within E).
//
// The guard is a small process of the same binary, in a session of its own, locked in
// memory and scheduled in real time as far as it is allowed. batond moves the deadline
// in a page of shared memory (package page) by compare-and-swap; at the deadline the
// guard fires: it removes every configured floating IP from every interface of this
// network namespace, kills every process of every group, unmounts their file systems
// (package mounts), and looks until nothing is left. Where something stays for longer
// than E, or the spec wants it in any case, it reboots this server (ender.go, package
// reboot). A session that it has fired at is over for ever. While the lease lasts, the
// guard renews the lifetimes of the floating IPs, so that the kernel takes them away
// even if guard and batond are both gone, and feeds the watchdog device (feeder.go).
//
// Guard is batond's side: Extend and the questions are memory accesses, for the event
// loop; Main is the process.
//
// # When the guard dies
//
// batond notices at once (pidfd), and a guard that has stopped turning by its beat. It
// kills what is left of it and starts another on the same page: the deadline stays
// what it was, so the new one fires at once if it is over. Until then the page goes on
// accepting extensions, for a session must not end by the loss of a watchman that is
// replaced within milliseconds; the risk is that batond dies within the same
// milliseconds, and then the lifetimes of the addresses remain. If no guard comes up
// within E, batond fires itself and clears in its own process. A new session never
// begins with anything of the old one left.
//
// When both die, nobody is left but the kernel, the watchdog device, and Cleanup, which
// the service manager runs.
package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/lease"
	"baton/daemon/cgroup"
	"baton/daemon/guard/page"
)

// Spec is what the guard clears and when. It crosses to the guard as a file.
type Spec struct {
	Place     cgroup.Place `json:"place"`
	Addresses []netip.Addr `json:"addresses"` // of all groups
	// Mounts are the mount points of all groups: absolute, without symbolic links. All
	// that is mounted at and below them is unmounted.
	Mounts   []string      `json:"mounts,omitempty"`
	Timeout  time.Duration `json:"timeout"` // T, heartbeat.timeout
	Stop     time.Duration `json:"stop"`    // E, T/4: the time to clear in
	Reboot   When          `json:"reboot"`
	Watchdog string        `json:"watchdog,omitempty"` // device; "": none
	Record   string        `json:"record"`             // file that a reboot is noted in; "": none
}

// Config is how to open the guard.
type Config struct {
	// StateDir tells several batonds on one machine apart, and holds the page where
	// there is no memory file system.
	StateDir string
	// RunDir is where the page is kept; "" chooses below /run/baton or /dev/shm.
	RunDir string
	Spec   Spec
	// Command starts the hidden sub-command; nil: /proc/self/exe guard.
	Command []string
	// Notice is told what an operator should know: the guard has died, no memory
	// file system. It may be called from any goroutine and must not block.
	Notice func(text string) `json:"-"`
}

// Guard is batond's side of its guard.
type Guard struct {
	config  Config
	page    *page.Page
	path    string   // of the page
	owner   *os.File // locked as long as this batond has the page
	adopted page.State

	cancel context.CancelFunc
	ended  sync.WaitGroup // the supervisor
}

// Files in the run directory.
const (
	pageFile  = "guard.page"
	ownerFile = "guard.owner"
	specFile  = "guard.spec"
)

// patience is how long the start of a guard may take, or the end of one that is
// ending.
const patience = 5 * time.Second

// Open attaches to the guard that an earlier batond has left, or starts one.
func Open(c Config) (*Guard, error) {
	if len(c.Command) == 0 {
		// By this path a child is of the running version, whatever became of the file.
		c.Command = []string{"/proc/self/exe", "guard"}
	}
	if c.Notice == nil {
		c.Notice = func(string) {}
	}
	dir, err := runDir(c)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	g := &Guard{config: c, path: filepath.Join(dir, pageFile)}
	if err := g.open(dir); err != nil {
		g.release()
		return nil, fmt.Errorf("guard: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	s := &supervisor{guard: g}
	if err := s.begin(); err != nil {
		cancel()
		g.release()
		return nil, fmt.Errorf("guard: %w", err)
	}
	g.ended.Go(func() { s.run(ctx) })
	return g, nil
}

func (g *Guard) open(dir string) error {
	var err error
	if g.owner, err = lockOwner(filepath.Join(dir, ownerFile)); err != nil {
		return err
	}
	f, err := os.OpenFile(g.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if g.page, err = page.Map(f); err != nil {
		return err
	}
	// By another open file: a mapping keeps its own open, and with it the lock.
	lock, err := lockPage(g.path)
	if err != nil {
		return err
	}
	alive := lock == nil
	if !alive {
		defer lock.Close()
	}
	if alive {
		// A page of another version cannot be taken over: see Check's remedy.
		if err := g.page.Check(); err != nil {
			return fmt.Errorf("%s is in use: %w", g.path, err)
		}
		g.adopted = g.page.Load()
	} else if g.page.Check() != nil {
		if err := g.page.Reset(); err != nil {
			return err
		}
	}
	if !alive {
		g.page.Idle()
		// A session without a guard has been on its own for nobody knows how long.
		if s := g.page.Load(); s.Armed() {
			g.page.Fire()
		}
	}
	g.page.SetTimes(g.config.Spec.Timeout, g.config.Spec.Stop)
	return g.writeSpec()
}

// writeSpec hands the spec to the guard, which adds it to those it has while
// anything of the session may be left.
func (g *Guard) writeSpec() error {
	b, err := json.Marshal(g.config.Spec)
	if err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(g.path), specFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	g.page.NewSpec()
	return nil
}

// PagePath is where the page is; step children ask it for permission.
func (g *Guard) PagePath() string { return g.path }

// Adopted returns the session that a living guard held when Open was called, and the
// end of its lease. False: there is none, nothing may be left running.
func (g *Guard) Adopted() (session uint64, end lease.Instant, ok bool) {
	s := g.adopted
	if !s.Armed() || page.Now() >= s.Deadline || g.Fired() {
		return 0, 0, false
	}
	return s.Session, lease.Instant(s.Deadline), true
}

// Extend moves the deadline to end, or arms the guard for a new session. False means
// that the session is over for ever: wait for Finished.
func (g *Guard) Extend(session uint64, end lease.Instant) bool {
	return g.page.Extend(session, int64(end))
}

// Fired says whether a session is over and not everything of it is cleared yet.
func (g *Guard) Fired() bool {
	s := g.page.Load()
	return s.Fired && !s.Finished
}

// Finished returns the last session that was cleared, 0 if none was; ok says that no
// clearing is under way.
func (g *Guard) Finished() (session uint64, ok bool) {
	s := g.page.Load()
	return s.Cleared, !s.Fired || s.Finished
}

// Disarm stands the guard down: everything of the session has been stopped in order.
// False: it has fired meanwhile.
func (g *Guard) Disarm() bool { return g.page.Disarm() }

// Fire ends the session now and lets the guard clear.
func (g *Guard) Fire() { g.page.Fire() }

// ClearNow has everything cleared, whatever session it is of, and waits until it is
// verified that nothing is left, or ctx ends.
func (g *Guard) ClearNow(ctx context.Context) error {
	g.page.Fire()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-tick.C:
			if !g.Fired() {
				tick.Stop()
				return nil
			}
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("guard: not everything of the groups could be cleared: %w", context.Cause(ctx))
		}
	}
}

// Close lets go of the guard. One that is disarmed ends itself then; else it goes on
// and another Open attaches to it.
func (g *Guard) Close() {
	g.cancel()
	g.ended.Wait()
	g.release()
}

func (g *Guard) release() {
	if g.page != nil {
		g.page.Close()
	}
	if g.owner != nil {
		g.owner.Close()
	}
}

// lockOwner takes the lock that says a batond is there. A guard that is about to end
// holds it for an instant, so that no batond attaches to it.
func lockOwner(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(time.Second); !tryLock(f); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.Close()
			return nil, fmt.Errorf("%s is locked: another batond runs on this state directory", path)
		}
	}
	return f, nil
}

// lockPage locks the page and returns it, or nil where a living guard has the lock.
func lockPage(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if !tryLock(f) {
		f.Close()
		return nil, nil
	}
	return f, nil
}

// tryLock locks the open file description; a child that inherits it keeps the lock.
func tryLock(f *os.File) bool {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// runDir finds a directory of a memory file system.
func runDir(c Config) (string, error) {
	if c.RunDir != "" {
		return c.RunDir, usable(c.RunDir)
	}
	id, err := cgroup.Instance(c.StateDir)
	if err != nil {
		return "", err
	}
	for _, c := range [...]struct{ mount, dir string }{
		{"/run", filepath.Join("/run/baton", id)},
		{"/dev/shm", fmt.Sprintf("/dev/shm/baton-%d-%s", os.Geteuid(), id)},
	} {
		if inMemory(c.mount) && usable(c.dir) == nil {
			return c.dir, nil
		}
	}
	dir := filepath.Join(c.StateDir, "guard")
	if err := usable(dir); err != nil {
		return "", err
	}
	c.Notice(fmt.Sprintf("the guard's page is in %s, which is not in memory: a disk that hangs can stop batond and guard; mount a tmpfs on /run", dir))
	return dir, nil
}

// usable makes the directory and sees that nobody else can change it: /dev/shm is
// open to everybody.
func usable(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that only uid %d can write", dir, os.Geteuid())
	}
	return nil
}

func inMemory(dir string) bool {
	var fs unix.Statfs_t
	err := unix.Statfs(dir, &fs)
	return err == nil && (fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC)
}
