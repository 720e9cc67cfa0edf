package fence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

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
