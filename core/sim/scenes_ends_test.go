package sim

import (
	"time"

	"baton/core/cluster"
	"baton/core/node"
)

// This file has the scenes of a cluster shutdown that some server does not go through to its
// end in order: its lease is over before.

// shuttingDown has an operator shut the cluster down, and waits until all are at it. Who ends
// stays off.
func (w *world) shuttingDown(p []*server) bool {
	for _, s := range p {
		s.kept = true
	}
	w.operators.ask(p[0], cluster.Op{Verb: cluster.VerbShutdownCluster})
	return w.when(time.Second, func() bool {
		for _, s := range p {
			if s.life == nil || s.view().State.Phase != cluster.PhaseStopping {
				return false
			}
		}
		return true
	})
}

// hasEnded says what is left of a cluster that was shut down, "" if nothing is.
func (w *world) hasEnded() string {
	for _, s := range w.servers {
		if s.life != nil {
			return s.name + " is still there after the shutdown"
		}
	}
	return ""
}

var (
	// All networks fail in the middle of a shutdown for longer than a lease. All servers have
	// stopped their groups themselves, and name new sessions when they hear each other again.
	sceneDarkEnd = scene{"dark end", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		if !w.shuttingDown(p) {
			return "the shutdown does not begin"
		}
		dark := w.gate(func(*node.Message) bool { return true })
		w.runUntil(w.now + 4*time.Second)
		dark.open()
		w.runUntil(w.now + 20*time.Second)
		return w.hasEnded()
	}}
	// One server's batond is killed there, and started when its guard has cleared everything.
	sceneLateEnd = scene{"late end", Options{Servers: 2, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		if !w.shuttingDown(p) {
			return "the shutdown does not begin"
		}
		b := p[1]
		b.crash()
		w.eventually(10*time.Second, func() bool { return b.guard.state == guardIdle })
		b.start()
		w.runUntil(w.now + 20*time.Second)
		return w.hasEnded()
	}}
)
