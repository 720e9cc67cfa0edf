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
	"slices"
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

// work is something that goes on between calls.
type work struct {
	claim   epoch.ID // of a shot
	missing []int
	done    chan struct{} // closed at the end
	ended   time.Time
	text    string // why it failed, "" if it did not; valid after the end

	waiting int       // callers that wait for it
	wanted  time.Time // when the last caller left
}

func (w *work) hasEnded() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
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

// wait waits for the work's end. Who waits wants it to go on.
func (f *Fencer) wait(ctx context.Context, w *work) (text string, err error) {
	f.mu.Lock()
	w.waiting++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		w.waiting--
		w.wanted = time.Now()
	}()
	select {
	case <-w.done:
		return w.text, nil
	case <-ctx.Done():
		return "", fmt.Errorf("fence: the agents have not ended yet: %w", ctx.Err())
	}
}

// begin starts work. f.mu is held.
func (f *Fencer) begin(w *work, do func(*work) error) *work {
	w.done, w.wanted = make(chan struct{}), time.Now()
	run := func() {
		err := do(w)
		f.mu.Lock()
		defer f.mu.Unlock()
		if w.ended = time.Now(); err != nil {
			w.text = err.Error()
		}
		close(w.done)
	}
	if f.ctx.Err() != nil {
		w.text, w.ended = "the tie-breaker is closed", time.Now()
		close(w.done)
	} else {
		f.wg.Go(run)
	}
	return w
}

// shoot returns the work of a claim: the one under way, the one that has succeeded, or
// a new one.
func (f *Fencer) shoot(call node.RegisterCall) *work {
	f.mu.Lock()
	defer f.mu.Unlock()
	missing := slices.Compact(slices.Sorted(slices.Values(call.Missing)))
	w := f.shot
	switch {
	case w != nil && !w.hasEnded():
		// Another claim waits for the end of this one: one set of agents at a time.
		if w.claim != call.Claim || !slices.Equal(w.missing, missing) {
			w = f.begin(&work{}, func(*work) error { return errors.New("another claim's agents are still running") })
		}
	case w != nil && w.claim == call.Claim && slices.Equal(w.missing, missing) && (w.text == "" || time.Since(w.ended) < f.cfg.Timeout):
		// Off once is off for this claim: a server that is switched on again has
		// booted and has no part in the epoch that is being left. And a failure is
		// not tried again before somebody could have seen it.
	default:
		w = f.begin(&work{claim: call.Claim, missing: missing}, f.powerOffAll)
		f.shot = w
	}
	return w
}

// isWanted: somebody waits for the work, or asked for it a moment ago. The node asks
// again several times within each Timeout as long as it wants to go on.
func (f *Fencer) isWanted(w *work) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return w.waiting > 0 || time.Since(w.wanted) < f.cfg.Timeout
}

func (f *Fencer) powerOffAll(w *work) error {
	return f.each(w.missing, func(s int) error { return f.powerOff(w, s) })
}

// each does something for several servers at once and joins the errors, in the order
// of the servers.
func (f *Fencer) each(servers []int, do func(s int) error) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			if err := do(s); err != nil {
				errs[i] = fmt.Errorf("%s: %w", f.cfg.Servers[s-1], err)
			}
		})
	}
	wg.Wait()
	var texts []string
	for _, err := range errs {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	if texts == nil {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}

// powerOff switches one server off and returns when its status says so.
func (f *Fencer) powerOff(w *work, s int) error {
	a, name := f.cfg.Agents[s], f.cfg.Servers[s-1]
	if a.Delay > 0 {
		// The status may spare the wait: the server may be off already.
		begin := time.Now()
		if p, err := a.status(f.ctx, name); err == nil && p == powerOff {
			return nil
		}
		for time.Since(begin) < a.Delay {
			if !f.isWanted(w) {
				return errors.New("nobody asks any more; not switched off")
			}
			if !f.pause(min(50*time.Millisecond, a.Delay)) {
				return f.ctx.Err()
			}
		}
	}
	if !f.isWanted(w) {
		return errors.New("nobody asks any more; not switched off")
	}
	code, said, offErr := a.run(f.ctx, actionOff, name)
	if offErr == nil && code != 0 {
		offErr = failed(a.Name, actionOff, code, said)
	}
	// The agent's word is not enough, and neither is its failure: only the status
	// tells.
	for begin := time.Now(); ; {
		p, err := a.status(f.ctx, name)
		switch {
		case p == powerOff:
			return nil
		case f.ctx.Err() != nil:
			return f.ctx.Err()
		case time.Since(begin) < f.cfg.Grace:
		case err != nil:
			if offErr != nil {
				return fmt.Errorf("%w; %w", offErr, err)
			}
			return err
		case offErr != nil:
			return offErr
		default:
			return fmt.Errorf("%s says that it is off, and its status that it is on", a.Name)
		}
		if !f.pause(min(statusPause, f.cfg.Grace)) {
			return f.ctx.Err()
		}
	}
}

// pause returns false when everything ends.
func (f *Fencer) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-f.ctx.Done():
		return false
	}
}

// lookNow returns a look at the agents: one under way, one of the last so much time,
// or a new one.
func (f *Fencer) lookNow(young time.Duration) *work {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.look; w == nil || w.hasEnded() && time.Since(w.ended) > young {
		f.look = f.begin(&work{}, f.lookAtAll)
	}
	return f.look
}

// lookAtAll asks each other server's agent for its status. Which servers will be
// missing is not known here; it takes as many agents as half of the servers, since
// that many have to be switched off at most.
func (f *Fencer) lookAtAll(*work) error {
	var others []int
	for s := range f.cfg.Agents {
		if s != f.cfg.Self {
			others = append(others, s)
		}
	}
	slices.Sort(others)
	var mu sync.Mutex
	answer := 0
	err := f.each(others, func(s int) error {
		_, err := f.cfg.Agents[s].status(f.ctx, f.cfg.Servers[s-1])
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			answer++
		}
		return err
	})
	if need := len(f.cfg.Servers) / 2; answer < need {
		if err == nil {
			err = fmt.Errorf("%d servers have a fence agent, %d must", len(others), need)
		}
		f.note(false, err.Error())
		return err
	}
	f.note(true, "")
	return nil
}
