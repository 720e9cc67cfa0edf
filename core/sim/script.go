package sim

import (
	"time"

	"baton/core/node"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// This file is what a scene does by hand: it keeps back or loses messages of its choice,
// holds one server's disk, takes the answers of the tie-breaker away. Random runs use
// nothing of it.

// gate is a place on the way of the messages that a scene chooses. What it does not let
// through it keeps, so that it may still come, however late, or twice.
type gate struct {
	w    *world
	is   func(*node.Message) bool
	kept []node.Message
}

// gate shuts the way of all messages that are so, from now on.
func (w *world) gate(is func(*node.Message) bool) *gate {
	g := &gate{w: w, is: is}
	w.gates = append(w.gates, g)
	return g
}

// stops says whether some gate keeps the message.
func (w *world) stops(m *node.Message) bool {
	for _, g := range w.gates {
		if g.is != nil && g.is(m) {
			g.kept = append(g.kept, *m)
			return true
		}
	}
	return false
}

// open lets messages pass again; what was kept stays kept.
func (g *gate) open() { g.is = nil }

// deliver has a kept message arrive now, on one path.
func (g *gate) deliver(m node.Message) {
	path := 0
	if m.Kind == node.MsgRaft || m.Kind == node.MsgPropose {
		path = -1
	}
	g.w.note(g.w.servers[m.From-1], "SCENE a late message arrives: %s", describe(&m))
	g.w.deliver(node.Input{Packet: &node.Packet{Path: path, Message: m}})
}

// release opens the gate and has all that was kept arrive, in the order of its sending.
func (g *gate) release() {
	g.open()
	kept := g.kept
	g.kept = nil
	for _, m := range kept {
		g.deliver(m)
	}
}

// last is the newest kept message that is so; nil: none.
func (g *gate) last(is func(*node.Message) bool) *node.Message {
	for i := len(g.kept) - 1; i >= 0; i-- {
		if is == nil || is(&g.kept[i]) {
			return &g.kept[i]
		}
	}
	return nil
}

// way says whether a message goes from one server to another.
func way(from, to *server) func(*node.Message) bool {
	return func(m *node.Message) bool { return m.From == from.number && m.To == to.number }
}

// datagrams and streams narrow what a gate is for.
func datagrams(is func(*node.Message) bool) func(*node.Message) bool {
	return func(m *node.Message) bool { return m.Kind <= node.MsgGrant && is(m) }
}

func streams(is func(*node.Message) bool) func(*node.Message) bool {
	return func(m *node.Message) bool { return m.Kind > node.MsgGrant && is(m) }
}

// between is either way.
func between(a, b *server) func(*node.Message) bool {
	there, back := way(a, b), way(b, a)
	return func(m *node.Message) bool { return there(m) || back(m) }
}

// around is all that a server sends and is sent.
func around(s *server) func(*node.Message) bool {
	return func(m *node.Message) bool { return m.From == s.number || m.To == s.number }
}

// raftMessage is what a message of raft says; nil for another one.
func raftMessage(m *node.Message) *pb.Message {
	if m.Kind != node.MsgRaft {
		return nil
	}
	r := &pb.Message{}
	if proto.Unmarshal(m.Payload, r) != nil {
		return nil
	}
	return r
}

// changesVoters says whether a message hands over a change of the configuration.
func changesVoters(m *node.Message) bool {
	for _, e := range raftMessage(m).GetEntries() {
		if e.GetType() == pb.EntryConfChange {
			return true
		}
	}
	return false
}

// hang keeps a disk from ending any write. Who is killed meanwhile has written nothing.
func (s *server) hang() {
	s.w.note(s, "SCENE its disk hangs")
	s.disk.hung = s.w.now + time.Hour
}

// unhang ends that: what waits is written.
func (s *server) unhang() { s.disk.hung = s.w.now }

// when lets time pass, a fifth of a millisecond at a time, until it is true; false if it
// is not within d, or something breaks.
func (w *world) when(d time.Duration, is func() bool) bool {
	for end := w.now + d; w.now < end && w.violation == nil; {
		if is() {
			return true
		}
		w.runUntil(w.now + 200*time.Microsecond)
	}
	return false
}

// exact takes the small losses and copies of a calm world away: what gets lost is then
// what a scene loses.
func (w *world) exact() {
	clear(w.net.loss)
	w.net.dup, w.sure = 0, true
}

func (s *server) view() node.View { return s.life.node.View(s.reading()) }
