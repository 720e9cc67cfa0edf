package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
)

// Request is an operation that a server has accepted. Unlike Operate it can be
// followed whatever becomes of that server.
type Request struct {
	ID  string
	lab *Lab
	end func() // of the time in which groups may change hands
}

// Request has the named server accept an operation.
func (l *Lab) Request(ctx context.Context, server string, op api.Operation) (*Request, error) {
	s := l.Server(server)
	if s == nil {
		return nil, fmt.Errorf("no server %q in this lab", server)
	}
	end := l.HandOver()
	accepted, err := s.Client().Operate(ctx, op)
	if err != nil {
		end()
		return nil, err
	}
	return &Request{ID: accepted.ID, lab: l, end: end}, nil
}

// Outcome asks every batond in turn until one says that the operation has ended.
func (r *Request) Outcome(ctx context.Context) (cluster.Op, error) {
	defer r.end()
	err := errors.New("no batond runs")
	for {
		for _, s := range r.lab.Servers {
			if s.Batond() == nil || s.Stalled() {
				continue
			}
			op, e := s.Client().Operation(ctx, r.ID, 0)
			switch {
			case e != nil:
				err = e
			case op.State != cluster.OpRunning:
				return op, nil
			default:
				err = fmt.Errorf("%s on %s: it is %s", op.String(), s.Name, op.State)
			}
		}
		select {
		case <-ctx.Done():
			return cluster.Op{}, fmt.Errorf("operation %s has not ended: %w", r.ID, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// HandOver marks the time until its result is called as one in which groups may
// change hands as quickly as an operator's request lets them, see Verify.
func (l *Lab) HandOver() (end func()) { return l.handOver() }

// ExpectEnd says that batond may end by itself from now on, with code 0: somebody has
// asked the cluster for it, or is about to. The result waits for that end.
func (s *Server) ExpectEnd() (wait func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batond == nil {
		return func(context.Context) error { return errors.New("batond does not run on " + s.Name) }
	}
	s.batond.wanted = false
	p := s.batond.proc
	return func(ctx context.Context) error {
		code, err := p.Wait(ctx)
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d, want 0", code)
		}
		if err != nil {
			return fmt.Errorf("end of batond on %s: %w", s.Name, err)
		}
		return nil
	}
}
