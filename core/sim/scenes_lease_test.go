package sim

import (
	"time"

	"baton/core/cluster"
	"baton/core/node"

	pb "go.etcd.io/raft/v3/raftpb"
)

// This file has the scenes for the rules about leases: messages held back by hand at the
// moment that each rule is for.

// cast lets the cluster begin and gives out the parts: the leader, and the others in the
// order of their numbers behind it.
func (w *world) cast() []*server {
	w.rules.ReturnAuto = false
	w.exact()
	if !w.started() {
		return nil
	}
	w.runUntil(w.now + 2*time.Second)
	parts := []*server{w.leader()}
	for len(parts) < len(w.servers) {
		parts = append(parts, w.otherThan(parts[len(parts)-1]))
	}
	return parts
}

const noStart = "the cluster does not start"

// votersAre says whether a server has applied a configuration of so many voters.
func (s *server) votersAre(n int) bool { return s.life != nil && len(s.view().Voters) == n }

// isAlone is the end of many scenes: that server carries everything.
func (w *world) endsOn(d time.Duration, servers ...*server) string {
	if w.eventually(d, func() bool { return w.allOn(servers...) }) {
		return ""
	}
	return "the groups are not all on " + serverNames(servers)
}

// remark has a server write a line into the log.
func (s *server) remark() {
	s.input(s.life, node.Input{Note: &cluster.Event{Severity: cluster.Info, Code: "remark", Server: s.name, Text: "something to decide"}})
}

var (
	// L1, what a leader's own lease rests on. A leads {A, B, C}, C is detached. B loses
	// A, 1.2 s later C loses A as well, and elects B. At this moment C is shut down: B
	// takes its vote away at once, is half of {A, B} now, and founds. The lease that A
	// had from C lasts longer than what B remembers of A.
	sceneLeaver = scene{"leaver", Options{Servers: 3, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c := p[0], p[1], p[2]
		c.powerOff()
		w.runUntil(w.now + 6*time.Second)
		c.boot()
		if !w.eventually(10*time.Second, func() bool {
			return c.life != nil && c.view().Quorum && c.view().State.Server(c.name).State == cluster.ServerDetached && a.votersAre(3)
		}) {
			return "C is not detached"
		}
		w.runUntil(w.now + time.Second)
		w.gate(between(a, b))
		votes := w.gate(streams(between(b, c)))
		w.runUntil(w.now + w.times.Elect)
		w.gate(between(a, c))
		w.runUntil(w.now + w.times.Elect + 20*time.Millisecond)
		c.leave(node.Input{Leave: &node.Leave{Who: who(c)}})
		c.kept = true
		w.runUntil(w.now + 20*time.Millisecond)
		votes.open()
		return w.endsOn(15*time.Second, b)
	}}
	// L1, appends are support (H8). A leads {A, B, C}; no datagram of A reaches C, its
	// streams do. B is shut down and its vote taken away, C learns of that by a stream.
	// A is cut off: C is half of {A, C}, and the lease that A had from B must be over.
	sceneAppends = scene{"appends", Options{Servers: 3, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c := p[0], p[1], p[2]
		w.gate(datagrams(way(a, c)))
		w.runUntil(w.now + time.Second)
		b.leave(node.Input{Leave: &node.Leave{Who: who(b)}})
		b.kept = true
		if !w.when(1900*time.Millisecond, func() bool { return c.votersAre(2) }) {
			return "B keeps its vote"
		}
		w.gate(around(a))
		w.register.down[a.number] = true
		return w.endsOn(15*time.Second, c)
	}}
	// L3, a lease counts from the sending of what the grant answers. A grant to B is late
	// by nearly its length.
	sceneStamp = scene{"stamp", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b := p[0], p[1]
		toB := way(a, b)
		grants := w.gate(func(m *node.Message) bool { return m.Kind == node.MsgGrant && toB(m) })
		w.runUntil(w.now + 400*time.Millisecond)
		w.gate(around(b))
		g := grants.last(nil)
		if g == nil || !w.when(3*time.Second, func() bool { return b.guard.end.Sub(b.local()) < 20*time.Millisecond }) {
			return "no grant was kept, or B's lease goes on"
		}
		grants.deliver(*g)
		return w.endsOn(10*time.Second, a, p[2])
	}}
	// L4, W is fixed once (H9). Voters are A (the leader), B, F and G; H has just booted and
	// A does not hear it. G has not heard A for 2 s and F not B for 3, when A and B are cut off.
	// F and G are half; F founds, and takes G and H in. Both have supported A before
	// F did for the last time, and are a majority of {F, G, H}.
	sceneOnce = scene{"w once", Options{Servers: 5, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, f, g, h := p[0], p[1], p[2], p[3], p[4]
		h.powerOff()
		if !w.eventually(10*time.Second, func() bool { return a.votersAre(4) }) {
			return "H keeps its vote"
		}
		w.gate(between(a, h))
		h.boot()
		w.gate(between(b, f))
		w.runUntil(w.now + 2*time.Second)
		w.gate(between(a, g))
		w.runUntil(w.now + time.Second)
		a.remark() // F's log is to be the better one
		w.runUntil(w.now + time.Second)
		w.register.down[a.number], w.register.down[b.number] = true, true
		for _, s := range []*server{f, g, h} {
			w.gate(between(a, s))
			w.gate(between(b, s))
		}
		if !w.eventually(4*time.Second, func() bool { return f.votersAre(3) }) {
			return "F does not found and take in G and H"
		}
		return w.endsOn(15*time.Second, f, g)
	}}
	// D6c, a lease needs the pending voters too. A leads {A, B, C} and takes C's vote away
	// because it was silent; B has that change in its log and is cut off from A. C is back,
	// hears A's datagrams and supports it, and elects B, which it has streams to. The change is
	// committed under B, and B is half of {A, B}.
	sceneJoint = scene{"joint", Options{Servers: 3, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c := p[0], p[1], p[2]
		away := w.gate(around(c))
		seen := false
		toA, toB := way(b, a), way(a, b)
		w.gate(func(m *node.Message) bool {
			seen = seen || toB(m) && changesVoters(m)
			return seen && toA(m)
		})
		if !w.when(5*time.Second, func() bool { return seen }) {
			return "C keeps its vote"
		}
		w.runUntil(w.now + 10*time.Millisecond)
		w.register.down[a.number] = true
		w.gate(toB)
		w.gate(streams(between(a, c)))
		w.gate(datagrams(way(b, c)))
		away.open()
		w.runUntil(w.now + 4*time.Second)
		w.gates = nil
		return w.endsOn(15*time.Second, a, b, c)
	}}
	// D6b, nothing is proposed beside a change of the voters (H2). A takes C's vote away,
	// whose datagrams do not reach it. B gets the change and nothing behind it, C all; C's
	// word commits both. A is cut off when B knows that the change is committed.
	scenePause = scene{"pause", Options{Servers: 3, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c := p[0], p[1], p[2]
		w.gate(datagrams(way(c, a)))
		toB, fromB, fromC := way(a, b), way(b, a), way(c, a)
		given := 0 // to B and to C
		w.gate(func(m *node.Message) bool {
			r := raftMessage(m)
			if r == nil || r.GetType() != pb.MsgApp {
				return false
			}
			if m.From == a.number && changesVoters(m) && given < 2 {
				given++
				return false
			}
			return given > 0 && toB(m)
		})
		isAck := func(m *node.Message) bool { return given > 0 && raftMessage(m).GetType() == pb.MsgAppResp }
		ackB := w.gate(func(m *node.Message) bool { return fromB(m) && isAck(m) })
		ackC := w.gate(func(m *node.Message) bool { return fromC(m) && isAck(m) })
		if !w.when(5*time.Second, func() bool { return given == 2 }) {
			return "C keeps its vote"
		}
		a.remark()
		w.runUntil(w.now + 100*time.Millisecond)
		if len(ackC.kept) == 0 || len(ackB.kept) == 0 {
			return "the change is not appended"
		}
		ackC.open()
		ackC.deliver(*ackC.last(nil)) // for all it has: one word commits both
		if !w.when(200*time.Millisecond, func() bool { return a.votersAre(2) }) {
			return "the change is not committed"
		}
		w.runUntil(w.now + 30*time.Millisecond)
		ackB.release()
		if !w.when(time.Second, func() bool { return b.votersAre(2) }) {
			return "B does not learn of it"
		}
		w.gate(around(a))
		w.gate(around(c))
		w.register.down[a.number] = true
		return w.endsOn(15*time.Second, b)
	}}
)
