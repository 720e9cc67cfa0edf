// Package fence is the tie-breaker that powers the missing servers off: a server may
// go on with half of the votes when the agent of each missing one has switched it off
// and has confirmed that by its status.
//
// It is no register. A server without power carries nothing, so two never carry one
// group; but nothing is written down, and a server that boots could power off the one
// that went on and found the same epoch a second time. So a server that has booted
// since it last saw a quorum never claims (rule T3); who sees one says so by
// NoteQuorum.
//
// The event loop's goroutines call Do. Agents take seconds, longer than a caller
// waits: the work goes on between calls, for at most one claim and one look at the
// agents at a time, and each call that comes meanwhile waits for its outcome. It stops
// before the shot if nobody asks any more.
package fence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

// Config is what the tie-breaker must know.
type Config struct {
	Self    int           // number of this server
	Servers []string      // names, by server number - 1
	Agents  map[int]Agent // by server number
	// Timeout is heartbeat.timeout.
	Timeout time.Duration
	// Boot is this machine's boot id, and StateDir where the one is kept under which
	// this server last saw a quorum.
	Boot     string
	StateDir string
	// Grace is how long after an off the status may still say on; 0: 10 s.
	Grace time.Duration
}

// Promise says what the tie-breaker covers and what not.
const Promise = "fence: full for what runs, as long as an agent's \"off\" is true; where a server's power switch dies with its server (IPMI without power), " +
	"the others wait; a server that has booted since it last saw a quorum waits for another server or an operator"

// bootFile holds the boot id under which this server last saw a quorum.
const bootFile = "fence.boot"

// Times.
const (
	// freshFor is how long a look at the agents is good for: rule D4 wants a read of
	// the last second.
	freshFor = time.Second
	// idleLook is how often a leader's Raise has the agents looked at.
	idleLook     = time.Minute
	defaultGrace = 10 * time.Second
	statusPause  = 300 * time.Millisecond // between two looks at a server that is going down
	closeWait    = 2 * time.Second
)

// Fencer is the tie-breaker.
type Fencer struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // of all goroutines

	mu     sync.Mutex
	quorum bool // seen since the boot
	shot   *work
	look   *work
	ok     bool
	text   string
}

// Open returns a tie-breaker. It runs no agent yet.
func Open(cfg Config) (*Fencer, error) {
	if cfg.Self < 1 || cfg.Self > len(cfg.Servers) {
		return nil, fmt.Errorf("server number %d is not 1 to %d", cfg.Self, len(cfg.Servers))
	}
	for s, a := range cfg.Agents {
		if s < 1 || s > len(cfg.Servers) {
			return nil, fmt.Errorf("fence: there is no server %d", s)
		}
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("fence of %s: %w", cfg.Servers[s-1], err)
		}
	}
	if cfg.Boot == "" || cfg.StateDir == "" {
		return nil, errors.New("fence: no boot id, or no state directory")
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	f := &Fencer{cfg: cfg, text: "not asked yet"}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	b, err := os.ReadFile(filepath.Join(cfg.StateDir, bootFile))
	f.quorum = err == nil && strings.TrimSpace(string(b)) == cfg.Boot
	return f, nil
}

// NoteQuorum says that this server sees a quorum now. It returns at once and costs
// nothing after the first time; the disk is written in the background, and if that
// fails, a restart of batond within this boot does not claim, which is safe.
func (f *Fencer) NoteQuorum() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.quorum || f.ctx.Err() != nil {
		return
	}
	f.quorum = true
	f.wg.Go(func() {
		path := filepath.Join(f.cfg.StateDir, bootFile)
		if err := os.WriteFile(path+".tmp", []byte(f.cfg.Boot+"\n"), 0o600); err == nil {
			// Not synced: what a power cut leaves of it is of another boot then.
			_ = os.Rename(path+".tmp", path)
		}
	})
}

// State says whether the agents answer, as far as known.
func (f *Fencer) State() (ok bool, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shot != nil && !f.shot.hasEnded() {
		return true, "powering off " + f.names(f.shot.missing)
	}
	return f.ok, f.text
}

// Close ends all agents.
func (f *Fencer) Close() error {
	f.mu.Lock()
	f.cancel()
	f.mu.Unlock()
	done := make(chan struct{})
	go func() {
		f.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(closeWait):
		return errors.New("fence: an agent does not end")
	}
}

func (f *Fencer) names(servers []int) string {
	names := make([]string, 0, len(servers))
	for _, s := range servers {
		names = append(names, f.cfg.Servers[s-1])
	}
	return strings.Join(names, ", ")
}

// Do carries out one call. A claim wins when all missing servers are off; a read tells
// whether enough agents answer to make a claim worth while. There is no highest epoch
// to tell. The error of a caller whose time is over does not end the work.
func (f *Fencer) Do(ctx context.Context, call node.RegisterCall) (node.RegisterAnswer, error) {
	a := node.RegisterAnswer{ID: call.ID}
	none := epoch.ID{}
	if call.Raise != none { // by a leader with a lease
		f.NoteQuorum()
		f.lookNow(idleLook)
		return a, nil
	}
	if text := f.refusal(call); text != "" {
		a.Text = text
		f.note(false, text)
		return a, nil
	}
	var w *work
	if call.Claim != none {
		w = f.shoot(call)
	} else {
		w = f.lookNow(freshFor)
	}
	text, err := f.wait(ctx, w)
	if err != nil {
		return node.RegisterAnswer{}, err
	}
	f.note(text == "", text)
	if a.Text = text; text == "" {
		a.Top = call.Claim
	}
	return a, nil
}

func (f *Fencer) note(ok bool, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ok, f.text = ok, text; ok {
		f.text = "the agents answer"
	}
}

// refusal is why this server does not even try, "" if it may.
func (f *Fencer) refusal(call node.RegisterCall) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.quorum {
		return "this server has booted since it last saw a quorum: by fencing it could undo what others went on with; it waits for another server or an operator"
	}
	for _, s := range call.Missing {
		_, has := f.cfg.Agents[s]
		switch {
		case s < 1 || s > len(f.cfg.Servers):
			return fmt.Sprintf("there is no server %d", s)
		case s == f.cfg.Self:
			return "this server itself is missing (it has lost its log since); it does not fence"
		case !has:
			return fmt.Sprintf("%s has no fence agent", f.cfg.Servers[s-1])
		}
	}
	return ""
}
