package sim

import (
	"time"

	"baton/core/cluster"
	"baton/core/node"

	pb "go.etcd.io/raft/v3/raftpb"
)

// This file has the scenes for the rules about sessions, lives and the order of writing.

var (
	// S2, only a higher session ends one (H12). A heartbeat of B's former session is late,
	// and reaches C, which has just been elected, when B runs under the next one.
	sceneOrder = scene{"order", Options{Servers: 5}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c := p[0], p[1], p[2]
		old := b.view().Session
		late := w.gate(datagrams(way(b, c)))
		w.runUntil(w.now + time.Second)
		away := w.gate(around(b))
		w.runUntil(w.now + 4*time.Second)
		away.open()
		if !w.eventually(10*time.Second, func() bool { return b.guard.session > old && b.holds(b.guard.session) }) {
			return "B gets no new session"
		}
		w.runUntil(w.now + time.Second)
		w.gate(func(m *node.Message) bool { // C is the one to be elected
			k := raftMessage(m).GetType()
			return m.From != c.number && m.From != a.number && (k == pb.MsgPreVote || k == pb.MsgVote)
		})
		a.kept = true
		a.powerOff()
		if !w.when(3*time.Second, func() bool { return w.leader() == c }) {
			return "C is not elected"
		}
		m := late.last(func(m *node.Message) bool { return m.Kind == node.MsgHeartbeat && m.Session == old })
		if m == nil {
			return "no heartbeat was kept"
		}
		late.deliver(*m)
		w.runUntil(w.now + 500*time.Millisecond)
		late.open()
		return w.endsOn(15*time.Second, p[1:]...)
	}}
	// Order 2, the life's number is durable before its first message. B is killed within its
	// first write, and again; what the leader has granted to the first of these lives must
	// not be taken for a grant to the second.
	sceneStart = scene{"start", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b := p[0], p[1]
		b.crash()
		toB := way(a, b)
		grants := w.gate(func(m *node.Message) bool { return m.Kind == node.MsgGrant && toB(m) })
		b.start()
		b.hang()
		w.runUntil(w.now + 400*time.Millisecond)
		w.gate(way(b, a))
		w.gate(toB)
		b.crash()
		b.unhang()
		b.start()
		w.runUntil(w.now + 700*time.Millisecond)
		b.stall(b.life, 500*time.Millisecond)
		w.runUntil(w.now + 700*time.Millisecond)
		for _, m := range grants.kept {
			grants.deliver(m)
		}
		return w.endsOn(10*time.Second, a, p[2])
	}}
	// S1, a server that has lost its disk takes a session above all that were opened for it.
	// Two heartbeats of the leader are late by seconds: they are from before B's newest session
	// was opened, and are the first that B hears after it has booted without its disk.
	sceneOpened = scene{"opened", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c := p[0], p[1], p[2]
		old := b.view().Session
		late := w.gate(datagrams(way(a, b)))
		back := w.gate(datagrams(way(b, a)))
		w.runUntil(w.now + w.times.Timeout + 400*time.Millisecond)
		late.open()
		back.open()
		if !w.eventually(5*time.Second, func() bool { return b.holds(b.guard.session) && b.guard.session > old }) {
			return "B gets no new session"
		}
		w.runUntil(w.now + time.Second)
		w.operators.ask(a, cluster.Op{Verb: cluster.VerbMove, Group: w.rules.Groups[0].Name, Server: b.name})
		w.runUntil(w.now + time.Second)
		b.powerOff()
		b.wipe()
		b.boot()
		for _, s := range []*server{a, c} {
			w.gate(datagrams(way(s, b)))
		}
		w.runUntil(w.now + 20*time.Millisecond)
		for range 2 { // the first has it join the epoch
			m := late.last(func(m *node.Message) bool { return m.Kind == node.MsgHeartbeat && m.Leader })
			if m == nil {
				return "no two heartbeats were kept"
			}
			late.deliver(*m)
			m.Leader = false
			w.runUntil(w.now + 20*time.Millisecond)
		}
		w.gates = nil
		if !w.eventually(40*time.Second, func() bool { w.operators.care(); return w.allWell() }) {
			return w.missing()
		}
		return ""
	}}
	// A command is of the life that sent it. B is told to stop and says so to the leader, is
	// killed, and started again; what its former life has said arrives then.
	sceneLateLeave = scene{"late leave", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		b := p[1]
		late := w.gate(func(m *node.Message) bool { return m.From == b.number && m.Kind == node.MsgPropose })
		b.leave(node.Input{Leave: &node.Leave{Who: who(b)}})
		w.runUntil(w.now + 100*time.Millisecond)
		b.crash()
		b.start()
		w.runUntil(w.now + time.Second)
		if len(late.kept) == 0 {
			return "it did not say so"
		}
		late.release()
		w.runUntil(w.now + 3*time.Second)
		if !w.allWell() {
			return w.missing()
		}
		return ""
	}}
)
