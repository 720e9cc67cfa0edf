// Package ping is the weakest of the tie-breakers: a server may go on with half of the
// votes if an address of the public LAN, best the default gateway, answers it, and
// every server that is missing does not.
//
// It is no register. Nothing is written down, so nothing stops two halves that both
// reach the address and not each other, nor a server that founds an epoch which was
// founded before; Promise says so. What it does cover is the usual case of two
// servers: the one that has lost its cables does not go on.
//
// The event loop's goroutines call Do, which sends ICMP echo requests (RFC 792, RFC
// 4443) from raw sockets and returns. There is no goroutine in between calls.
package ping

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

// Config is what the tie-breaker must know.
type Config struct {
	// Addresses of the public LAN; one that answers is enough.
	Addresses []netip.Addr
	// Public are the servers' addresses on the public LAN, by server number - 1. This
	// server's is the source of what it sends; the zero Addr leaves that to the
	// kernel.
	Public []netip.Addr
	// Servers are the names, by server number - 1.
	Servers []string
	Self    int // number of this server
	// Timeout is heartbeat.timeout. A missing server has to be silent for a tenth of
	// it, in which four requests are sent.
	Timeout time.Duration
}

// Promise says what the tie-breaker covers and what not.
const Promise = "ping: weak; a server that has lost the public LAN does not go on, but two halves that both reach the address and not each other both do, " +
	"and so does a server that is cut off, boots, and finds the address: then a group runs twice"

// Pinger is the tie-breaker.
type Pinger struct {
	cfg Config

	mu   sync.Mutex
	ok   bool
	text string
}

// Open returns a tie-breaker. It sends nothing yet.
func Open(cfg Config) (*Pinger, error) {
	if len(cfg.Addresses) == 0 {
		return nil, errors.New("ping: no address")
	}
	if cfg.Self < 1 || cfg.Self > len(cfg.Servers) {
		return nil, fmt.Errorf("server number %d is not 1 to %d", cfg.Self, len(cfg.Servers))
	}
	return &Pinger{cfg: cfg, text: "not asked yet"}, nil
}

// Close does nothing: nothing is held between calls.
func (p *Pinger) Close() error { return nil }

// State says how the last call ended.
func (p *Pinger) State() (ok bool, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ok, p.text
}

// patience is how long an address has to stay silent to count as silent, and interval
// the time between two requests: three may be lost. A survivor has about a fifth of
// Timeout for its claim if its own groups are to go on meanwhile (package lease).
func (p *Pinger) patience() (patience, interval time.Duration) {
	d := p.cfg.Timeout / 10
	return d, d / 4
}

// Do looks at the network. A claim wins if an address answers and every missing server
// is silent; a read or Raise only asks whether an address answers. There is no highest
// epoch to tell.
func (p *Pinger) Do(ctx context.Context, call node.RegisterCall) (node.RegisterAnswer, error) {
	answered, why, err := p.anyAnswers(ctx)
	if err != nil {
		p.note(false, err.Error())
		return node.RegisterAnswer{}, err
	}
	a := node.RegisterAnswer{ID: call.ID}
	switch {
	case !answered.IsValid():
		a.Text = fmt.Sprintf("%v of the public LAN: %v", p.cfg.Addresses[0], why)
		if n := len(p.cfg.Addresses); n > 1 {
			a.Text = fmt.Sprintf("%d addresses of the public LAN, the last one %v", n, why)
		}
	case call.Claim != epoch.ID{}:
		name, err := p.whoIsThere(ctx, call.Missing)
		switch {
		case err != nil:
			p.note(false, err.Error())
			return node.RegisterAnswer{}, err
		case name != "":
			a.Text = name + " answers on the public LAN"
		default:
			a.Top = call.Claim
		}
	}
	if a.Text != "" {
		p.note(false, a.Text)
	} else {
		p.note(true, fmt.Sprintf("%v answers", answered))
	}
	return a, nil
}

func (p *Pinger) note(ok bool, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ok, p.text = ok, text
}

// outcome of the echo requests to one address.
type outcome struct {
	to  netip.Addr
	err error // nil: it answers; errSilent or another: it does not
}

// each sends echo requests to all addresses at once. Their outcomes come in the order
// in which they are known.
func (p *Pinger) each(ctx context.Context, to []netip.Addr, visit func(outcome) (goOn bool)) {
	ctx, cancel := context.WithCancel(ctx)
	patience, interval := p.patience()
	all := make(chan outcome, len(to))
	var wg sync.WaitGroup
	for _, a := range to {
		wg.Go(func() { all <- outcome{a, echo(ctx, p.source(a), a, interval, patience)} })
	}
	defer wg.Wait()
	defer cancel()
	for range to {
		if !visit(<-all) {
			return
		}
	}
}

// source is this server's public address, where it can be one for that destination.
func (p *Pinger) source(to netip.Addr) netip.Addr {
	if p.cfg.Self <= len(p.cfg.Public) {
		if a := p.cfg.Public[p.cfg.Self-1]; a.Is4() == to.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// anyAnswers returns an address that answers, or the zero one and what went wrong with
// the last of them. An error means that this cannot be known.
func (p *Pinger) anyAnswers(ctx context.Context) (found netip.Addr, why, err error) {
	p.each(ctx, p.cfg.Addresses, func(o outcome) bool {
		if why = o.err; why == nil {
			found = o.to
		}
		return !found.IsValid()
	})
	if !found.IsValid() {
		err = ctx.Err()
	}
	return found, why, err
}

// whoIsThere returns the name of a missing server that answers, "" if all are silent.
// That a server could not be asked is an error: it is not silence.
func (p *Pinger) whoIsThere(ctx context.Context, missing []int) (name string, err error) {
	var to []netip.Addr
	for _, s := range missing {
		if s < 1 || s > len(p.cfg.Public) || !p.cfg.Public[s-1].IsValid() {
			return "", fmt.Errorf("server %d has no address on the public LAN", s)
		}
		to = append(to, p.cfg.Public[s-1])
	}
	p.each(ctx, to, func(o outcome) bool {
		switch {
		case o.err == nil:
			name = p.cfg.Servers[slices.Index(p.cfg.Public, o.to)]
		case ctx.Err() != nil:
			err = ctx.Err()
		case !isSilence(o.err):
			err = o.err
		}
		return name == ""
	})
	return name, err
}
