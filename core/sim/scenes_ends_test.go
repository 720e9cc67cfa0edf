package sim

import (
	"time"

	"baton/core/cluster"
	"baton/core/node"
)

// This file has the scenes of shutdowns that some server does not go through to their end in
// order: its lease is over before, or it has become the only one to vote.

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
	// D11, who has founded an epoch does not end before somebody else votes in it. B is being shut
	// down when it and X are cut off, as half of four; B has the better log, and founds. What it
	// says then of its stops completes the shutdown, and X does not vote yet.
	sceneFounderEnds = scene{"founder ends", Options{Servers: 4, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, x, y := p[0], p[1], p[2], p[3]
		b.kept = true
		w.lasts = 300 * time.Millisecond
		w.gate(streams(way(a, x)))
		w.operators.ask(a, cluster.Op{Verb: cluster.VerbShutdown, Server: b.name})
		if !w.when(time.Second, func() bool { return b.view().State.Server(b.name).State == cluster.ServerLeaving }) {
			return "it does not leave"
		}
		w.runUntil(w.now + 20*time.Millisecond)
		for _, s := range []*server{b, x} {
			w.gate(between(a, s))
			w.gate(between(y, s))
		}
		w.register.down[a.number], w.register.down[y.number] = true, true
		if !w.when(4*time.Second, func() bool { return b.line.Number == 2 }) {
			return "B does not found"
		}
		slow := w.gate(streams(way(b, x)))
		w.runUntil(w.now + 300*time.Millisecond)
		slow.release()
		w.runUntil(w.now + 500*time.Millisecond)
		w.atPeace()
		return w.endsOn(30*time.Second, a, x, y)
	}}
	// A server is shut down, and hears nothing from just then on until its lease is over. What
	// was told as done is done: it ends when it hears of it, and does not join again.
	sceneDeafEnd = scene{"deaf end", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b := p[0], p[1]
		b.kept = true
		w.operators.ask(a, cluster.Op{Verb: cluster.VerbShutdown, Server: b.name})
		if !w.when(time.Second, func() bool { return b.view().State.Server(b.name).State == cluster.ServerLeaving }) {
			return "it does not leave"
		}
		deaf := w.gate(func(m *node.Message) bool { return m.To == b.number })
		if !w.eventually(3*time.Second, func() bool { return a.view().State.Server(b.name).State == cluster.ServerStopped }) {
			return "it is not shut down"
		}
		w.runUntil(w.now + 3*time.Second)
		deaf.open()
		w.runUntil(w.now + 10*time.Second)
		if b.life != nil {
			return "B is shut down, and is there: " + string(a.view().State.Server(b.name).State)
		}
		return w.endsOn(time.Second, a, p[2])
	}}
)
