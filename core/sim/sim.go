// Package sim plays whole clusters of core/node in virtual time, with faults, and
// checks after every event that nothing has happened that must never happen.
//
// It is the same node that batond runs, fed with the same inputs; what is modelled
// here are the hands and the world: machines with clocks of their own, disks that
// lose what was not yet written, a guard that survives batond, steps that are
// separate processes, and a network with several paths that loses, doubles, delays
// and reorders. It is not a proof, and what it does not model it cannot find:
// machine-wide stalls (off by default, they break the assumption), how a disk becomes a
// register (daemon/tiebreak/disk has a model of that), and the hands themselves.
//
// Everything is decided by the seed: one goroutine, no map iteration, no clock. The
// only other source of randomness is raft's election jitter, which comes from
// crypto/rand; the caller puts Reader(seed) in its place before each run. Called by
// the tests and by core/sim/cmd/sim. The method is that of FoundationDB's simulation
// testing; the invariants are those of core/README.md.
package sim

import (
	"fmt"
	"io"
	"time"

	"baton/core/lease"
	"baton/core/node"
)

// Options say what is played. The zero value of a field means its default.
type Options struct {
	Servers int    // 2 to 16; default 3
	Seed    uint64 // of everything
	Paths   int    // heartbeat paths between each two servers; default 2
	// Faults is how long faults go on, in virtual time; default 60 s. Heal is the
	// bound within which everything must run again after them; default 60 s.
	Faults, Heal time.Duration
	// Timeout is heartbeat.timeout; default 3 s.
	Timeout time.Duration
	// Drift: each clock runs at a rate within 1±Drift; default 0.005, which is what
	// the protocol allows for (two clocks differ by less than 1 %).
	Drift float64
	// MachineStalls also stops whole machines, guard included, for a while. That
	// breaks an assumption of the protocol, so violations are expected.
	MachineStalls bool
	// Aim is the chance that an interesting moment draws a fault; 0: the seed decides
	// between none, few and many.
	Aim float64
	// Without names faults that are left out, to look behind one that is understood.
	Without []string
	// Tie is the kind of the tie-breaker; default none.
	Tie Tie
	// Forced adds operators who force servers to return; honest ones.
	Forced bool
	// Echoes lets messages of the last seconds arrive once more (echoes.go).
	Echoes bool
	// Rush lets two operators act at the same moment, mostly against each other.
	Rush bool
	// LyingDisks lose with the power some of what they have said to be written. That breaks
	// an assumption of the protocol, so violations are expected.
	LyingDisks bool
	// Late starts the servers for the first time over half a minute, with power and
	// batond coming and going, instead of all at once.
	Late bool
	// Weaken leaves rules of the node out, to show that the simulator notices.
	Weaken node.Weakness
	// World leaves out rules that are not the node's.
	World WorldWeakness
	// Trace, where not nil, gets one line per thing that happens; Packets adds the
	// messages.
	Trace   io.Writer
	Packets bool
}

func (o Options) withDefaults() Options {
	if o.Servers == 0 {
		o.Servers = 3
	}
	if o.Paths == 0 {
		o.Paths = 2
	}
	if o.Faults == 0 {
		o.Faults = 60 * time.Second
	}
	if o.Heal == 0 {
		o.Heal = 60 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Tie == "" {
		o.Tie = TieNone
	}
	if o.Drift == 0 {
		o.Drift = 0.005
	}
	return o
}

// Result is what came of a run.
type Result struct {
	Options   Options
	Violation *Violation // nil: none
	Stats     Stats
}

// Violation is something that must never happen.
type Violation struct {
	At   time.Duration // virtual time since the start of the run
	Kind string        // one of the Broken constants
	Text string
}

func (v *Violation) String() string {
	return fmt.Sprintf("%.6fs %s: %s", v.At.Seconds(), v.Kind, v.Text)
}

// The kinds of violations.
const (
	BrokenCarrier  = "two carriers"       // a group is active on two servers
	BrokenToken    = "token begun twice"  // rule S5
	BrokenHistory  = "two histories"      // two servers applied different things
	BrokenLoss     = "lost too early"     // a session was ended that was alive
	BrokenLease    = "lease out of rule"  // a lease nobody can have granted
	BrokenStep     = "step out of rule"   // a step without session and lease
	BrokenEvent    = "event out of order" // the event log went back or says two things
	BrokenOp       = "operation forgotten"
	BrokenDuty     = "output out of rule" // the contract of core/node/io.go
	BrokenLiveness = "not live"           // something that should run does not
	BrokenPanic    = "panic"
)

// Run plays one run.
func Run(o Options) Result {
	w := newWorld(o.withDefaults())
	w.play(func() {
		w.bootAll()
		w.startFaults()
		w.startOperators()
		w.startEchoes()
		w.runUntil(w.opt.Faults)
		w.heal()
		w.awaitLiveness()
	})
	return w.result()
}

// times are the protocol's times for the options.
func (o Options) times() lease.Params {
	return lease.Derive(o.Timeout, 500*time.Millisecond)
}

// stubborn is the bound on what a single thing may take in a healed cluster; it is
// far above what is seen, and far below for ever.
const stubborn = 40 * time.Second
