package sim

import (
	"time"

	"baton/core/cluster"
	"baton/core/node"

	pb "go.etcd.io/raft/v3/raftpb"
)

// This file has the scenes about a leader that others have already replaced, while its lease
// still lasts.

// S1, a session is of one boot. A leads {A, B, C}; C has been shut down, and boots when A is
// cut off. B is elected, opens C's session and starts a group there. C loses its power and
// its disk, boots, and is heard by A, whose lease lasts a little longer: A has never heard
// of that session, so C takes the same number once more.
var sceneReopened = scene{"reopened", Options{Servers: 3}, func(w *world) string {
	p := w.cast()
	if p == nil {
		return noStart
	}
	a, b, c := p[0], p[1], p[2]
	g := w.rules.Groups[0].Name
	w.operators.ask(a, cluster.Op{Verb: cluster.VerbStop, Group: g})
	w.runUntil(w.now + 3*time.Second)
	c.kept = true
	c.leave(node.Input{Leave: &node.Leave{Who: who(c)}})
	if !w.eventually(10*time.Second, func() bool { return c.life == nil }) {
		return "C does not end"
	}
	if c.power {
		c.powerOff()
	}
	w.runUntil(w.now + 2*time.Second)
	apart := w.gate(between(a, c))
	w.gate(func(m *node.Message) bool { // B is the one to be elected
		k := raftMessage(m).GetType()
		return m.From == c.number && (k == pb.MsgPreVote || k == pb.MsgVote)
	})
	c.kept = false
	c.boot()
	answers := w.gate(streams(way(b, a)))
	w.runUntil(w.now + 500*time.Millisecond)
	w.gate(between(a, b))
	// An answer of B that is late keeps A, as far as raft sees to it, leading.
	late := func() bool {
		m := answers.last(func(m *node.Message) bool { return raftMessage(m).GetType() == pb.MsgHeartbeatResp })
		if m != nil {
			answers.deliver(*m)
		}
		return m != nil
	}
	if !w.when(3*time.Second, func() bool { return w.leader() == b && b.view().State.Server(c.name).Session != 0 }) || !late() {
		return "B does not open C's session"
	}
	w.operators.ask(b, cluster.Op{Verb: cluster.VerbStart, Group: g, Server: c.name})
	if !w.when(500*time.Millisecond, func() bool { return c.carries[0].on }) {
		return "nothing is begun on C"
	}
	c.powerOff()
	c.wipe()
	late()
	w.gate(streams(around(c)))
	w.gate(between(b, c))
	apart.open()
	c.boot()
	w.when(1500*time.Millisecond, func() bool { return c.view().Session != 0 }) // in time in most of the runs
	w.gates = nil
	if !w.eventually(40*time.Second, func() bool { w.operators.care(); return w.allWell() }) {
		return w.missing()
	}
	return ""
}}
