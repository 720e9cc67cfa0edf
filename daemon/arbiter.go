package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"baton/core/node"
)

// register is a tie-breaker (package tiebreak).
type register interface {
	Do(ctx context.Context, call node.RegisterCall) (node.RegisterAnswer, error)
	State() (ok bool, text string)
	Close() error
}

// arbiter carries the node's calls to the tie-breaker and its answers back. A call
// that gets no answer is forgotten: the node asks again.
type arbiter struct {
	register register // nil: there is no tie-breaker
	put      func(node.Input)
	log      *slog.Logger
	patience time.Duration
	slots    chan struct{} // one place a call in flight

	mu     sync.Mutex
	failed bool // as last logged
}

// callsInFlight bounds the calls that wait for a tie-breaker that hangs.
const callsInFlight = 3

// newArbiter gives each call T. A fence takes seconds, and its node repeats the claim.
func newArbiter(r register, timeout time.Duration, put func(node.Input), log *slog.Logger) *arbiter {
	return &arbiter{register: r, put: put, log: log, patience: timeout, slots: make(chan struct{}, callsInFlight)}
}

// ask never waits: a call for which there is no place is dropped.
func (a *arbiter) ask(calls []node.RegisterCall) {
	if a == nil || a.register == nil {
		return
	}
	for _, c := range calls {
		select {
		case a.slots <- struct{}{}:
			go a.call(c)
		default:
		}
	}
}

func (a *arbiter) call(c node.RegisterCall) {
	defer func() { <-a.slots }()
	ctx, cancel := context.WithTimeout(context.Background(), a.patience)
	defer cancel()
	answer, err := a.register.Do(ctx, c)
	a.note(err)
	if err == nil {
		a.put(node.Input{Register: &answer})
	}
}

// note logs when the tie-breaker stops or begins to answer.
func (a *arbiter) note(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if failed := err != nil; failed != a.failed {
		a.failed = failed
		if failed {
			a.log.Warn("the tie-breaker does not answer", "error", err)
		} else {
			a.log.Info("the tie-breaker answers")
		}
	}
}

// word is how the tie-breaker does, for the picture: "ok", "lost", "" where there is
// none.
func (a *arbiter) word() string {
	if a == nil || a.register == nil {
		return ""
	}
	if ok, _ := a.register.State(); !ok {
		return "lost"
	}
	return "ok"
}
