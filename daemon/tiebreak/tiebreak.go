// Package tiebreak chooses the tie-breaker that the configuration names: who decides
// which half goes on when exactly half of the servers is left. The kinds are packages
// of their own below this one; each says what it promises and what not.
//
// Open is called at the start; Do by the event loop's goroutines, with a time limit
// and a few at a time; State by whoever shows the tie-breaker. core/README.md has what
// core makes of the answers, core/sim/register.go the model of a full register.
package tiebreak

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"baton/core/node"
	"baton/daemon/tiebreak/disk"
	"baton/daemon/tiebreak/fence"
	"baton/daemon/tiebreak/ping"
	"baton/daemon/tiebreak/witness"
)

// Kinds, as tiebreaker.kind has them.
const (
	None    = "none"
	Disk    = "disk"
	Witness = "witness"
	Fence   = "fence"
	Ping    = "ping"
)

// Register is a tie-breaker.
type Register interface {
	// Do carries out one call and waits for the answer, or until the context ends. An
	// error means that there is none; what was asked for may happen all the same. At
	// most one access of a disk is under way at any time, whatever the callers do.
	Do(ctx context.Context, call node.RegisterCall) (node.RegisterAnswer, error)
	// State says whether a call would be answered, as far as known, and why not. It
	// never waits.
	State() (ok bool, text string)
	// Close ends everything. An error names what could not be ended.
	Close() error
}

// Config is what the kinds need; each looks at its own part.
type Config struct {
	Kind    string
	Self    int           // number of this server, 1 to len(Servers)
	Servers []string      // names, by number - 1
	Keys    [][]byte      // of the cluster, the sealing one first
	Timeout time.Duration // heartbeat.timeout
	Boot    string        // this machine's boot id
	// LockDir is the state directory: on the machine's own disk, and locked by batond.
	LockDir string

	Device  string              // disk
	Witness []netip.AddrPort    // witness
	Ping    []netip.Addr        // ping
	Public  []netip.Addr        // ping: addresses on the public LAN, by server number - 1
	Fence   map[int]fence.Agent // fence, by server number
}

// Open returns the tie-breaker. It neither waits nor needs disk, witness or agents to
// be there: its errors are mistakes of the configuration.
func Open(cfg Config) (Register, error) {
	switch cfg.Kind {
	case None, "":
		return none{}, nil
	case Disk:
		r, err := disk.Open(disk.Config{Device: cfg.Device, Self: cfg.Self, LockDir: cfg.LockDir, Timeout: cfg.Timeout})
		return opened(r, err)
	case Witness:
		r, err := witness.NewClient(witness.Config{Addresses: cfg.Witness, Keys: cfg.Keys, Self: cfg.Self})
		return opened(r, err)
	case Ping:
		r, err := ping.Open(ping.Config{Addresses: cfg.Ping, Public: cfg.Public, Servers: cfg.Servers, Self: cfg.Self, Timeout: cfg.Timeout})
		return opened(r, err)
	case Fence:
		r, err := fence.Open(fence.Config{
			Self: cfg.Self, Servers: cfg.Servers, Agents: cfg.Fence, Timeout: cfg.Timeout, Boot: cfg.Boot, StateDir: cfg.LockDir,
		})
		return opened(r, err)
	}
	return nil, fmt.Errorf("tiebreaker.kind: %q is not a kind", cfg.Kind)
}

// opened keeps a nil pointer from becoming a Register that is not nil.
func opened[R Register](r R, err error) (Register, error) {
	if err != nil {
		return nil, fmt.Errorf("tie-breaker: %w", err)
	}
	return r, nil
}

// NoteQuorum tells the tie-breaker that this server sees a quorum now. Kind fence
// needs it (rule T3): without it a server that follows never claims. It may be called
// as often as the loop turns and does not wait.
func NoteQuorum(r Register) {
	if n, ok := r.(interface{ NoteQuorum() }); ok {
		n.NoteQuorum()
	}
}

// none is the kind that decides nothing.
type none struct{}

// promiseNone is said where there is no tie-breaker.
const promiseNone = "none: full; when exactly half of the servers is left, it stops its groups and waits for an operator"

// Promise is what a kind covers and what not, in a sentence, for the log at the start
// and for baton check; "" where there is no such kind.
func Promise(kind string) string {
	switch kind {
	case None, "":
		return promiseNone
	case Disk:
		return disk.Promise
	case Witness:
		return witness.Promise
	case Ping:
		return ping.Promise
	case Fence:
		return fence.Promise
	}
	return ""
}

func (none) Do(_ context.Context, call node.RegisterCall) (node.RegisterAnswer, error) {
	return node.RegisterAnswer{ID: call.ID, Text: "there is no tie-breaker"}, nil
}

func (none) State() (ok bool, text string) { return true, "none" }
func (none) Close() error                  { return nil }
