// Package runner carries out steps: it starts, stops and recovers groups.
//
// Each step is done by a child process of its own ("batond step"), inside the group's
// cgroup, so that the guard's kill reaches every action at any point, and a restarted
// batond finds the step going on. The child has its orders, and leaves its outcome, in
// files of the run directory; it holds a lock on its orders as long as it lives.
//
//	STATE_DIR/run/GROUP.TOKEN.json      the orders, locked by the living child
//	STATE_DIR/run/GROUP.TOKEN.progress  what it is doing, the last line counts
//	STATE_DIR/run/GROUP.TOKEN.out       the outcome
//	STATE_DIR/log/GROUP.log             what its scripts print
//
// A token is begun once: the orders are created exclusively, and never again. They are
// removed when a later step of the group begins, for then its outcome has been
// recorded elsewhere.
//
// Runner is batond's side; its methods may be called from any goroutine and do not
// block (Leftover does). It decides nothing: what to run comes from core. Main is the
// child.
package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"baton/core/cluster"
	"baton/daemon/cgroup"
	"baton/daemon/guard/page"
	"baton/daemon/resource/floatingip"
	"baton/daemon/script"
)

// Group is what a group needs on this server.
type Group struct {
	FloatingIPs []floatingip.Spec `json:"floating_ips,omitempty"`
	StartScript string            `json:"start_script,omitempty"` // "": none
	StopScript  string            `json:"stop_script,omitempty"`
	// Timeout is script_timeout; 0 is DefaultTimeout.
	Timeout time.Duration `json:"timeout"`
}

// DefaultTimeout is the default of script_timeout: longer than any start that works.
const DefaultTimeout = 30 * time.Minute

// Config is what the runner must know beforehand.
type Config struct {
	StateDir        string
	Cluster, Server string
	Place           cgroup.Place // from cgroup.Find, the same that the guard has
	// Page is the guard's shared page; "" goes without permission and renewal.
	Page   string
	Socket string // for scripts: BATON_SOCKET
	Groups map[string]Group
	// Command starts the hidden sub-command; nil: /proc/self/exe step.
	Command []string
	// Progress gets a line where a step takes longer than usual. From any goroutine.
	Progress func(step cluster.Step, text string) `json:"-"`
	// Times of probing and announcing; the zero value is floatingip.DefaultTimes.
	Times floatingip.Times
}

// Runner starts and follows step children.
type Runner struct {
	config Config
	dir    string // of runs
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup // followers of children and the trimmer

	mu     sync.Mutex
	groups map[string]Group // Config.Groups; replaced by SetGroups
}

const (
	// adoptedLook is how often an earlier batond's child is looked at. It adds to the
	// time of a step only over a restart.
	adoptedLook = 20 * time.Millisecond
	// trimLook is how often the scripts' logs are cut to size.
	trimLook = 30 * time.Second
)

// New returns a runner. Close it.
func New(c Config) (*Runner, error) {
	r := &Runner{config: c, dir: filepath.Join(c.StateDir, "run"), groups: c.Groups}
	for _, dir := range []string{r.dir, filepath.Join(c.StateDir, "log")} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, fmt.Errorf("runner: %w", err)
		}
	}
	if len(r.config.Command) == 0 {
		r.config.Command = []string{"/proc/self/exe", "step"}
	}
	if r.config.Progress == nil {
		r.config.Progress = func(cluster.Step, string) {}
	}
	if r.config.Times.Probes == 0 {
		r.config.Times = floatingip.DefaultTimes
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.work.Go(r.trim)
	return r, nil
}

// Close stops following. Children go on, and a later Runner adopts them.
func (r *Runner) Close() {
	r.cancel()
	r.work.Wait()
}

// SetGroups says what groups need, for steps to come. A group that is not named any
// more keeps what it had: it may still have to be stopped.
func (r *Runner) SetGroups(groups map[string]Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(groups)
	for name, g := range r.groups {
		if _, ok := all[name]; !ok {
			all[name] = g
		}
	}
	r.groups = all
}

func (r *Runner) group(name string) (Group, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.groups[name]
	return g, ok
}

// Run begins the step and calls done once, from another goroutine, when it has ended.
// lifetime is what is left of the lease, for floating IPs where there is no page. A
// token that was begun before is not begun again but adopted.
func (r *Runner) Run(step cluster.Step, lifetime time.Duration, done func(cluster.Outcome)) {
	r.work.Go(func() {
		begin := page.Now()
		err := r.run(step, lifetime, begin, done)
		switch {
		case err == nil || r.ctx.Err() != nil:
		case errors.Is(err, os.ErrExist):
			r.adopt(step, done)
		default:
			r.conclude(step, err.Error(), begin, done)
		}
	})
}

// Adopt follows a step that an earlier batond has begun.
func (r *Runner) Adopt(step cluster.Step, done func(cluster.Outcome)) {
	r.work.Go(func() { r.adopt(step, done) })
}

// run starts the child and follows it to its outcome. An error means that nothing
// was begun.
func (r *Runner) run(step cluster.Step, lifetime time.Duration, begin int64, done func(cluster.Outcome)) error {
	group, ok := r.group(step.Group)
	if !ok {
		return fmt.Errorf("group %s is not in this server's configuration", step.Group)
	}
	if group.Timeout == 0 {
		group.Timeout = DefaultTimeout
	}
	files := r.files(step)
	orders, err := files.create(Orders{
		Step: step, Group: group, Place: r.config.Place, Page: r.config.Page,
		Cluster: r.config.Cluster, Socket: r.config.Socket, Times: r.config.Times,
		Log:     filepath.Join(r.config.StateDir, "log", plain(step.Group)+".log"),
		Seconds: max(1, int(lifetime/time.Second)),
		Begin:   begin,
	})
	if err != nil {
		return err
	}
	defer orders.Close()
	r.forget(step)
	child, err := r.start(step, files, orders)
	if err != nil {
		return err
	}
	// From here the child alone holds the lock.
	orders.Close()
	r.follow(step, files, child, begin, done)
	return nil
}

// follow reads the child's lines until the outcome. The child may live longer, to
// repeat announcements.
func (r *Runner) follow(step cluster.Step, files files, child *child, begin int64, done func(cluster.Outcome)) {
	r.work.Go(func() { // reaps; at Close the child goes on, and so must this batond's end
		select {
		case <-child.ended:
		case <-r.ctx.Done():
		}
	})
	stop := context.AfterFunc(r.ctx, func() { child.lines.Close() })
	defer stop()
	child.read(func(text string) { r.config.Progress(step, text) })
	child.lines.Close()
	if r.ctx.Err() != nil {
		return
	}
	outcome, err := files.outcome()
	if err != nil {
		r.conclude(step, "its process was killed", begin, done)
		return
	}
	done(outcome)
}

// adopt waits for the outcome of a child that is not ours to wait for.
func (r *Runner) adopt(step cluster.Step, done func(cluster.Outcome)) {
	files := r.files(step)
	told := ""
	for tick := time.NewTicker(adoptedLook); ; {
		// In this order: the child leaves its outcome before it lets go of the lock.
		alive := files.locked()
		if outcome, err := files.outcome(); err == nil {
			done(outcome)
			tick.Stop()
			return
		}
		if !alive {
			tick.Stop()
			r.conclude(step, "lost when batond died", 0, done)
			return
		}
		if text := files.progress(); text != told {
			told = text
			r.config.Progress(step, text)
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			tick.Stop()
			return
		}
	}
}

// Leftover says in one sentence what of any group is on this server, "" where there
// is nothing: processes, or configured floating IPs.
func (r *Runner) Leftover() (string, error) {
	var found []string
	left, err := r.config.Place.Left()
	if err != nil {
		return "", fmt.Errorf("runner: look for processes of groups: %w", err)
	}
	if left {
		found = append(found, "processes of a group")
	}
	table, err := floatingip.OpenTable()
	if err != nil {
		return "", err
	}
	defer table.Close()
	list, err := table.List()
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		for _, s := range g.FloatingIPs {
			for _, f := range list {
				if f.Addr == s.Address {
					found = append(found, "floating IP "+s.Address.String())
				}
			}
		}
	}
	return strings.Join(found, ", "), nil
}

// Clean says whether anything of any group is found on this server.
func (r *Runner) Clean() (found bool, err error) {
	text, err := r.Leftover()
	return text != "", err
}

// trim keeps the scripts' logs at size while daemons write to them.
func (r *Runner) trim() {
	for tick := time.NewTicker(trimLook); ; {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			tick.Stop()
			return
		}
		logs, _ := filepath.Glob(filepath.Join(r.config.StateDir, "log", "*.log"))
		for _, log := range logs {
			_ = script.Trim(log) // a log too long is no reason for anything
		}
	}
}

// LogFile is where the output of the group's scripts is.
func (r *Runner) LogFile(group string) string {
	return filepath.Join(r.config.StateDir, "log", plain(group)+".log")
}

// plain makes a file name of a group's: configurations allow letters, digits, '-' and
// '_', and nothing else may get through here.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '/' || c == '.' || c < ' ' {
			return '%'
		}
		return c
	}, name)
}
