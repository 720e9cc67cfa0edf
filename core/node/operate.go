package node

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"baton/core/cluster"
	"baton/core/lease"
)

func itoa(x uint64) string { return strconv.FormatUint(x, 10) }

// asked remembers when a command was last proposed, so that it is repeated only
// after a while.
type asked struct {
	key string
	at  lease.Instant
}

// canPropose: D6 and L4. A leader proposes nothing before an entry of its own term
// is applied, nor while a change of the configuration is under way, nor before W is
// known.
func (n *Node) canPropose() bool {
	if n.lead == nil || n.rn == nil {
		return false
	}
	if !n.lead.settled && !n.lacks(NoOwnTerm) || n.lead.changing != nil && !n.lacks(NoPause) {
		return false
	}
	_, ok := n.formerOver()
	return ok
}

// leader is the number of the server that leads, as far as this one knows; 0: none.
func (n *Node) leader() int {
	if n.isLeading() {
		return n.cfg.Self
	}
	best := 0
	for s := 1; s < len(n.peers); s++ {
		if p := &n.peers[s]; s != n.cfg.Self && p.leads && n.isRecent(s) && (best == 0 || p.term > n.peers[best].term) {
			best = s
		}
	}
	return best
}

// propose puts a command into the log, or sends it to the leader, at most once in a
// while for one key. It reports whether it did.
func (n *Node) propose(key string, c cluster.Command) bool {
	i := slices.IndexFunc(n.asked, func(a asked) bool { return a.key == key })
	if i >= 0 && n.now.Mono.Sub(n.asked[i].at) < n.p.Timeout/10 {
		return false
	}
	if !n.proposeNow(c) {
		return false
	}
	if i >= 0 {
		n.asked[i].at = n.now.Mono
	} else {
		n.asked = append(n.asked, asked{key, n.now.Mono})
	}
	return true
}

func (n *Node) proposeNow(c cluster.Command) bool {
	c.At = n.now.Wall
	if n.lead != nil {
		return n.canPropose() && n.rn.Propose(cluster.EncodeCommand(c)) == nil
	}
	s := n.leader()
	if s == 0 || s == n.cfg.Self {
		return false
	}
	m := n.message(MsgPropose, s)
	m.Payload = cluster.EncodeCommand(c)
	n.out.Send = append(n.out.Send, m)
	return true
}

// receiveProposal takes a command that another server sends to the leader: only
// what a server may say of itself, or for an operator.
func (n *Node) receiveProposal(m Message) {
	if m.Epoch != n.id.Epoch || n.lead == nil {
		return
	}
	c, err := cluster.DecodeCommand(m.Payload)
	if err != nil {
		return
	}
	from := n.cfg.Servers[m.From-1]
	if p := &n.peers[m.From]; p.ever && m.Life != p.life && c.Kind != cluster.KindNote {
		return // late, of a life that is over: that it wanted to end, say, is not true of this one
	}
	if !n.canPropose() {
		// Everything else is asked again by its sender; a line for the log is not.
		if c.Kind == cluster.KindNote && c.Server == from {
			n.keepNote(c)
		}
		return
	}
	switch c.Kind {
	case cluster.KindResult, cluster.KindAnomaly, cluster.KindNormal, cluster.KindNote:
		if c.Server != from {
			return
		}
	case cluster.KindOperate:
		if c.Op == nil || c.Op.Who.On != from || n.leaderLease() <= n.now.Mono {
			return
		}
	default:
		return
	}
	_ = n.rn.Propose(cluster.EncodeCommand(c)) // a dropped one is asked again by its sender
}

// request is an operation that waits for its place in the log.
type request struct {
	op    cluster.Op
	until lease.Instant
	// sent: it has been proposed, so a leader may yet decide on it.
	sent bool
}

// request takes an operation from this server's API. The answer comes when the log
// has it.
func (n *Node) request(op cluster.Op) {
	op.Who.On = n.name
	n.requests = append(n.requests, request{op: op, until: n.now.Mono.Add(2 * n.p.Timeout)})
	n.askRequests()
}

func (n *Node) askRequests() {
	if n.lead != nil && n.leaderLease() <= n.now.Mono {
		return // what such a leader proposes may be decided on when nobody waits for it any more
	}
	for i := range n.requests {
		r := &n.requests[i]
		r.sent = n.propose("op "+r.op.ID, cluster.Command{Kind: cluster.KindOperate, Op: &r.op}) || r.sent
	}
}

// answerRequests answers what the applied state has decided on.
func (n *Node) answerRequests() {
	if len(n.requests) == 0 {
		return
	}
	n.requests = slices.DeleteFunc(n.requests, func(r request) bool {
		i := slices.IndexFunc(n.state.Ops, func(o cluster.Op) bool { return o.ID == r.op.ID })
		switch {
		case i >= 0:
			reply := Reply{ID: r.op.ID}
			if o := n.state.Ops[i]; o.State == cluster.OpRefused {
				reply.Refusal = &cluster.Refusal{Code: o.Code, Message: o.Text, Hint: o.Hint}
			}
			n.out.Replies = append(n.out.Replies, reply)
			return true
		case n.now.Mono >= r.until || n.leader() == 0 && n.now.Mono.Sub(max(n.support.Last, n.start)) > 2*n.p.Elect && n.lead == nil:
			n.out.Replies = append(n.out.Replies, Reply{ID: r.op.ID, Refusal: n.undecided(r)})
			return true
		}
		return false
	})
}

// undecided refuses because nobody can decide now. Of what has been proposed nobody
// knows whether it will be carried out.
func (n *Node) undecided(r request) *cluster.Refusal {
	if r.sent {
		return &cluster.Refusal{
			Code:    "no-answer",
			Message: "it was handed on, and the cluster has not decided since: " + cmp.Or(n.waiting(), "its leader does not answer"),
			Hint:    "it may still be carried out; baton events will say",
		}
	}
	return &cluster.Refusal{
		Code:    "no-quorum",
		Message: "the cluster cannot decide anything now: " + n.waiting(),
		Hint:    "boot or reconnect the servers it waits for",
	}
}

// fault is an anomaly that has not been answered yet.
type fault struct {
	LocalFault
	tries   int
	session uint64 // under which the group ran
	since   int64  // when the group had come online: a later start is not meant
}

// maxFaultTries bounds how often an anomaly is proposed: it is lost only with a
// leader, and a new one is there within T.
const maxFaultTries = 30

func (n *Node) anomaly(f LocalFault) {
	n.faults = slices.DeleteFunc(n.faults, func(o fault) bool { return o.Group == f.Group && o.Resource == f.Resource })
	g := n.state.Group(f.Group)
	if g == nil {
		return
	}
	n.faults = append(n.faults, fault{LocalFault: f, session: n.id.Session, since: g.Since})
	n.askFaults()
}

func (n *Node) askFaults() {
	n.faults = slices.DeleteFunc(n.faults, func(f fault) bool {
		g := n.state.Group(f.Group)
		return g == nil || g.Server != n.name || g.State != cluster.GroupOnline || g.Since != f.since ||
			n.id.Session != f.session || g.Degraded || f.tries > maxFaultTries
	})
	for i := range n.faults {
		f := &n.faults[i]
		c := cluster.Command{
			Kind: cluster.KindAnomaly, Server: n.name, Session: n.id.Session,
			Group: f.Group, Resource: f.Resource, Text: f.Text,
		}
		if n.propose("fault "+f.Group+" "+f.Resource, c) {
			f.tries++
		}
	}
}

// maxNotes bounds the lines that wait for a leader; the oldest are dropped.
const maxNotes = 64

func (n *Node) note(e cluster.Event) {
	n.keepNote(cluster.Command{
		Kind: cluster.KindNote, Server: n.name, Group: e.Group, Severity: e.Severity, Code: e.Code, Text: e.Text,
	})
	n.sendNotes()
}

func (n *Node) keepNote(c cluster.Command) {
	n.notes = append(n.notes, c)
	if len(n.notes) > maxNotes {
		n.notes = n.notes[1:]
	}
}

func (n *Node) sendNotes() {
	for len(n.notes) > 0 && n.proposeNow(n.notes[0]) {
		n.notes = n.notes[1:]
	}
}

// retryAsking repeats what has not been decided yet.
func (n *Node) retryAsking() {
	n.asked = slices.DeleteFunc(n.asked, func(a asked) bool { return n.now.Mono.Sub(a.at) > n.p.Timeout })
	n.runSteps()
	n.askRequests()
	n.answerRequests()
	n.askFaults()
	n.sendNotes()
}

// leaving is a batond that has been told to stop.
type leaving struct {
	op    cluster.Op // what was asked for; none where an operator shut the server down
	since lease.Instant
	gone  lease.Instant // when everything was handed over; 0: not yet
	alone lease.Instant // when it began to wait for others to vote; 0: not
	// removed: a leader with a lease says that this server does not vote any more. The
	// log does not tell it: who is removed gets no more of it.
	removed bool
	then    cluster.Then // what the operator wants of the machine
}

// alone is how long a server that has founded an epoch, and is to end, waits for others to
// vote in it, in T. To take in one that is heard takes a quarter of that.
const alone = 2

// othersJoin reports whether this leader is the only voter, as a founder is at first, while
// somebody is there who is about to become one: without this one's vote nobody ever would.
func (n *Node) othersJoin() bool {
	if n.lead == nil || len(n.members.Voters) > 1 || n.lacks(NoFarewell) {
		return false
	}
	for s := 1; s < len(n.peers); s++ {
		if p := &n.peers[s]; s != n.cfg.Self && p.ever && !p.leaving && n.now.Mono.Sub(p.heard) < n.p.Elect {
			return true
		}
	}
	return false
}

// handOff is how long a leader that has nothing left to do waits for a successor.
const handOff = time.Second

// lastWord is how many rounds a leader whose followers all leave stays to tell them
// what has been committed.
const lastWord = 2

// over reports whether this server has let go of everything and only waits for a
// successor.
func (l *leaving) over(n *Node) bool { return l != nil && l.gone != 0 }

func (n *Node) beginLeaving(l Leave) {
	if n.leave != nil {
		return
	}
	who := l.Who
	who.On = n.name
	n.leave = &leaving{since: n.now.Mono, op: cluster.Op{
		ID:   "leave-" + itoa(uint64(n.id.Raft)) + "-" + itoa(n.id.Start),
		Verb: cluster.VerbShutdown, Server: n.name, Who: who,
	}}
	n.out.Changed = true
	n.tryLeaving()
}

// tryLeaving hands over: groups first, then the leadership, then the process ends.
func (n *Node) tryLeaving() {
	l := n.leave
	if l == nil {
		return
	}
	s := n.server()
	// What a leader has said of the session counts even where the log does not say so any
	// more: a server that does not vote any longer gets no more of it.
	open := s != nil && s.Session != 0 && s.Session == n.id.Session && n.floor < n.id.Session
	switch {
	case open && !n.held.Lapsed && (n.held.End != 0 || n.leader() != 0):
		// It may have let go already: a leader had heard of this session before it was
		// withdrawn, and has opened it. What it wants done under it only this server can do
		// (S4), which takes a lease, so the session is named again.
		n.retired, l.gone = false, 0
		if s.State != cluster.ServerLeaving && l.op.ID != "" {
			n.propose("leave", cluster.Command{Kind: cluster.KindOperate, Op: &l.op})
		}
		return
	case n.held.Lapsed && !n.clean:
		return // the guard is still clearing
	case n.held.Valid(n.now.Mono) && n.mayRunHere():
		return // ended by others; the guard will clear
	}
	n.retired = true
	if l.gone == 0 {
		if n.othersJoin() {
			if l.alone == 0 {
				l.alone = n.now.Mono
			}
			if n.now.Mono.Sub(l.alone) < alone*n.p.Timeout {
				return // to end now would leave them an epoch without a voter
			}
		}
		l.gone = n.now.Mono
		n.out.Changed = true
		n.beat() // the others hear at once that it has let go, and then that it is silent
		return
	}
	if n.lead != nil && n.now.Mono.Sub(l.gone) < handOff && len(n.members.Voters) > 1 {
		if to := n.successor(); to != 0 {
			n.rn.TransferLeader(to)
			return
		}
		if n.now.Mono.Sub(l.gone) < lastWord*n.p.Round {
			return // the others are leaving too, and have to learn that they may (D11)
		}
	}
	// A cluster that is being shut down cannot take the vote away, and may take as long
	// as its scripts do.
	if !n.lacks(NoFarewell) && n.isNeeded() && (n.state.Phase == cluster.PhaseStopping || n.now.Mono.Sub(l.gone) < n.p.Timeout) {
		return
	}
	n.out.Exit, n.out.Then = true, l.then
}

// isNeeded reports whether the voters that stay can do nothing without this server's
// vote. It waits then until they have taken it away, for which they need it (D11).
func (n *Node) isNeeded() bool {
	if n.rn == nil || n.state.Phase == cluster.PhaseForming || !n.members.IsVoter(n.id.Raft) || n.leave.removed {
		return false
	}
	stay := 0
	for _, v := range n.members.Voters {
		s := v.Server()
		if v == n.id.Raft || !n.hearsUs(s) || n.peers[s].life.Raft != v || n.peers[s].leaving {
			continue
		}
		if srv := n.state.Server(n.cfg.Servers[s-1]); srv != nil && srv.Present {
			stay++
		}
	}
	return stay > 0 && stay < len(n.members.Voters)/2+1
}

// successor is the voter with the longest log that is heard; 0: none.
func (n *Node) successor() uint64 {
	progress := n.rn.Status().Progress
	best := uint64(0)
	for _, v := range n.members.Voters {
		if v == n.id.Raft || !n.hearsUs(v.Server()) || n.peers[v.Server()].life.Raft != v || n.peers[v.Server()].leaving {
			continue
		}
		if best == 0 || progress[uint64(v)].Match > progress[best].Match {
			best = uint64(v)
		}
	}
	return best
}
