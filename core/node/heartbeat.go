package node

import (
	"hash/fnv"
	"slices"
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"
)

// peer is another server as this one hears it.
type peer struct {
	ever    bool
	life    Life
	seq     uint64        // newest number heard of that life
	window  uint64        // bit i: number seq-i has been taken
	heard   lease.Instant // newest message on any path; the start of this life before the first
	paths   []lease.Instant
	epoch   epoch.ID
	term    uint64
	leads   bool
	session uint64
	boot    string
	leaving bool
	stuck   bool
	stuckAt lease.Instant // when it first said so
	here    lease.Instant // newest message of this server's epoch
	hears   [MaxServers]uint8
	rules   uint64
	echoed  lease.Instant // sending of the newest message of ours it has shown to have received

	// unproven and unprovenSeq are what was heard of a life that has not shown to be the
	// present one. The server is told so, or two that have changed their ids while they
	// did not hear each other would both wait for that.
	unproven    Life
	unprovenSeq uint64

	sent   uint64 // newest number sent to it
	stamps [stampRing]stamp
}

// stampRing is how many of our messages to one server are remembered with their
// time. At most three go out in a round, so with the usual ten rounds in T this
// covers several T; an answer to an older one is of no use.
const stampRing = 256

type stamp struct {
	seq uint64
	at  lease.Instant
}

// stampOf returns when message seq was sent to the peer.
func (p *peer) stampOf(seq uint64) (lease.Instant, bool) {
	s := p.stamps[seq%stampRing]
	return s.at, seq != 0 && s.seq == seq
}

// isNew takes a message number once. What is more than 63 behind is old.
func (p *peer) isNew(seq uint64) bool {
	switch {
	case seq > p.seq:
		if d := seq - p.seq; d < 64 {
			p.window = p.window<<d | 1
		} else {
			p.window = 1
		}
		return true
	case p.seq-seq >= 64 || p.window>>(p.seq-seq)&1 == 1:
		return false
	}
	p.window |= 1 << (p.seq - seq)
	return true
}

func (n *Node) life() Life { return Life{n.id.Raft, n.id.Start} }

// isRecent reports whether server s has been heard in this epoch within Te.
func (n *Node) isRecent(s int) bool {
	p := &n.peers[s]
	return p.ever && p.epoch == n.id.Epoch && n.now.Mono.Sub(p.heard) < n.p.Elect
}

// isAnother reports whether server s is heard, in this epoch or blank, under an id that
// is none of these.
func (n *Node) isAnother(s int, voters []epoch.RaftID) bool {
	p := &n.peers[s]
	return p.ever && n.now.Mono.Sub(p.heard) < n.p.Elect && (p.epoch == n.id.Epoch || p.epoch.Number == 0) &&
		!slices.Contains(voters, p.life.Raft)
}

// hearsUs reports whether messages pass in both directions.
func (n *Node) hearsUs(s int) bool {
	p := &n.peers[s]
	return n.isRecent(s) && p.echoed != 0 && n.now.Mono.Sub(p.echoed) < n.p.Elect
}

// message begins a message to server s. Datagrams are stamped: the time of the step,
// which lies before the sending, so that every error is to the safe side.
func (n *Node) message(kind MessageKind, s int) Message {
	p := &n.peers[s]
	m := Message{
		Kind: kind, From: n.cfg.Self, To: s, Life: n.life(), Epoch: n.id.Epoch,
		Term: n.durableTerm(), Leader: n.isLeading(), HeardLife: p.life, HeardSeq: p.seq,
	}
	if kind == MsgRaft || kind == MsgPropose {
		return m
	}
	if p.unproven != (Life{}) && n.silentFor(s) >= n.p.Elect {
		m.HeardLife, m.HeardSeq = p.unproven, p.unprovenSeq
	}
	p.sent++
	p.stamps[p.sent%stampRing] = stamp{p.sent, n.now.Mono}
	m.Seq = p.sent
	m.Session = n.offer()
	m.Boot = n.cfg.Boot
	m.Leaving, m.Stuck = n.leave != nil, n.isStuck()
	m.Rules = n.rulesHash
	m.Hears = n.hears()
	if n.leaderLease() > n.now.Mono {
		m.Ended, m.Opened = n.endedFor(s), n.openedFor(s)
		// One that has booted since then is not meant, whatever number it offers.
		srv := n.state.Server(n.cfg.Servers[s-1])
		if m.Ended != 0 && srv.State == cluster.ServerStopped && srv.Boot == p.boot {
			m.Shut, m.Then = true, srv.Then
		}
		m.Voters, m.Applied = n.members.Voters, n.applied
	}
	m.Seal, m.Forced = n.ownSeal(), n.id.Forced
	return m
}

// hears is which server this one hears on which path.
func (n *Node) hears() (out [MaxServers]uint8) {
	for s := 1; s < len(n.peers); s++ {
		for i, at := range n.peers[s].paths {
			if i < 8 && at != 0 && n.now.Mono.Sub(at) <= 3*n.p.Round {
				out[s-1] |= 1 << i
			}
		}
	}
	return out
}

// beat sends a round of heartbeats.
func (n *Node) beat() {
	if !n.ready {
		return
	}
	n.lastBeat = n.now.Mono
	for s := 1; s < len(n.peers); s++ {
		if s != n.cfg.Self {
			n.out.Send = append(n.out.Send, n.message(MsgHeartbeat, s))
		}
	}
}

// receive takes a message from another server.
func (n *Node) receive(pk Packet) {
	m := pk.Message
	if !n.ready || m.To != n.cfg.Self || m.From < 1 || m.From >= len(n.peers) || m.From == n.cfg.Self ||
		m.Life.Raft.Server() != m.From {
		return
	}
	switch m.Kind {
	case MsgRaft:
		n.receiveRaft(m)
		return
	case MsgPropose:
		n.receiveProposal(m)
		return
	}
	p := &n.peers[m.From]
	if !n.isAlive(p, m) {
		n.hearUnproven(p, m)
		return
	}
	p.ever = true
	p.heard = n.now.Mono
	if pk.Path >= 0 && pk.Path < len(p.paths) && !(n.cfg.Disk && pk.Path == n.cfg.Paths-1) {
		p.paths[pk.Path] = n.now.Mono
	}
	newest := m.Seq > p.seq
	if !p.isNew(m.Seq) {
		return
	}
	if newest {
		n.hear(p, m)
	}
	if m.HeardLife == n.life() {
		if at, ok := p.stampOf(m.HeardSeq); ok && at > p.echoed {
			p.echoed = at
		}
	}
	if n.meetEpoch(m) || n.sealedForNothing(m) {
		return
	}
	n.hearSeal(m)
	if m.Leader && m.Ended != 0 {
		if m.Shut && m.Ended >= n.id.Session {
			n.shutDown(m.Then)
		}
		n.sessionOver(m.Ended)
	}
	// Only what was sent since this life was heard: an older word does not know of the
	// newest sessions of the life before.
	if m.Leader && m.Opened != 0 && (n.isMine(m.HeardLife) || n.lacks(OldWord)) {
		n.firstSession(m.Opened - 1)
	}
	switch m.Kind {
	case MsgHeartbeat:
		if m.Leader {
			n.echo(m)
		}
	case MsgEcho:
		n.takeEcho(m)
	case MsgGrant:
		n.takeGrant(m)
		return
	}
	n.grant(m)
}

// see notes that a server is alive by the CLUSTER partition.
func (n *Node) see(s int) {
	if n.cfg.Disk && s >= 1 && s < len(n.peers) && s != n.cfg.Self {
		n.peers[s].paths[n.cfg.Paths-1] = n.now.Mono
	}
}

// isSeen: the CLUSTER partition shows that a server is alive, wherever it is cut off.
func (n *Node) isSeen(s int) bool {
	at := lease.Instant(0)
	if n.cfg.Disk {
		at = n.peers[s].paths[n.cfg.Paths-1]
	}
	return at != 0 && n.now.Mono.Sub(at) < n.p.Elect
}

// isAlive decides whether a message is of the life that the server lives now. A
// later start of one raft id is newer. Of another raft id (the server lost its
// disk) it must show that it has just heard us: an old life cannot.
func (n *Node) isAlive(p *peer, m Message) bool {
	switch {
	case !p.ever:
	case m.Life == p.life:
		return true
	case m.Life.Raft == p.life.Raft:
		if m.Life.Start < p.life.Start {
			return false
		}
	default:
		at, ok := p.stampOf(m.HeardSeq)
		if !n.isMine(m.HeardLife) || !ok || n.now.Mono.Sub(at) > n.p.Timeout {
			return false
		}
	}
	p.life, p.seq, p.window, p.echoed = m.Life, 0, 0, 0
	p.unproven = Life{}
	return true
}

// hearUnproven takes note of another raft id, which may be the present one.
func (n *Node) hearUnproven(p *peer, m Message) {
	switch {
	case m.Life.Raft == p.life.Raft:
	case m.Life != p.unproven:
		p.unproven, p.unprovenSeq = m.Life, m.Seq
	default:
		p.unprovenSeq = max(p.unprovenSeq, m.Seq)
	}
}

// isMine reports whether a life is this one, under whichever raft id: two servers that
// change their ids at once would else wait for each other to notice.
func (n *Node) isMine(l Life) bool {
	return l == n.life() || l.Start == n.id.Start && slices.Contains(n.pastIDs, l.Raft)
}

// hear takes over what the newest message of a server says of it.
func (n *Node) hear(p *peer, m Message) {
	if p.seq == 0 || p.leads != m.Leader || p.session != m.Session || p.epoch != m.Epoch {
		n.out.Changed = true
	}
	p.seq = m.Seq
	if m.Epoch == n.id.Epoch {
		p.here = n.now.Mono
	}
	if m.Stuck && !p.stuck {
		p.stuckAt = n.now.Mono
	}
	p.epoch, p.term, p.leads, p.session = m.Epoch, m.Term, m.Leader, m.Session
	if m.Leader && m.Epoch == n.id.Epoch && len(m.Voters) > 0 && n.leave != nil {
		n.leave.removed = !slices.Contains(m.Voters, n.id.Raft)
	}
	if m.Leader && m.Epoch == n.id.Epoch && n.mustSee == 0 {
		n.mustSee = m.Applied
	}
	p.boot, p.leaving, p.stuck, p.hears, p.rules = m.Boot, m.Leaving, m.Stuck, m.Hears, m.Rules
}

// meetEpoch joins a higher epoch. It reports whether the message concerns an epoch
// that this server is not in.
func (n *Node) meetEpoch(m Message) bool {
	if m.Epoch.Number > n.id.Epoch.Number {
		// Only a server that takes part in it introduces an epoch (D9).
		if !n.isEntering() && m.Seal == nil {
			n.overtaken(m)
		}
		return true
	}
	if m.Epoch != n.id.Epoch && m.Epoch.Number == n.id.Epoch.Number && n.id.Epoch.Number != 0 {
		n.meetHistory(m)
	}
	return m.Epoch != n.id.Epoch
}

// isEntering reports whether an epoch is being entered.
func (n *Node) isEntering() bool { return n.rn == nil && n.busy }

// echo answers a leader's heartbeat at once. It is support only from a member of
// the epoch whose disk has the leader's term (L1).
func (n *Node) echo(m Message) {
	e := n.message(MsgEcho, m.From)
	e.AnswerLife, e.AnswerSeq = m.Life, m.Seq
	if n.rn != nil && n.id.Epoch == m.Epoch && (m.Term == n.durableTerm() || n.lacks(NoTermCheck)) && n.lead == nil {
		n.supportNow(m.From, lease.Rank{Epoch: m.Epoch.Number, Term: m.Term})
		e.Support = true
	}
	e.FormerAge = n.now.Mono.Sub(n.support.Former)
	n.out.Send = append(n.out.Send, e)
}

// takeEcho counts a server's support for this leader.
func (n *Node) takeEcho(m Message) {
	if n.lead == nil || !m.Support || m.Term != n.lead.term && !n.lacks(NoEchoTerm) || m.AnswerLife != n.life() {
		return
	}
	at, ok := n.peers[m.From].stampOf(m.AnswerSeq)
	if !ok || at < n.lead.since {
		return
	}
	w := &n.lead.members[m.From]
	if w.id != m.Life.Raft {
		*w = memberWord{id: m.Life.Raft, granted: w.granted, ending: w.ending}
	}
	w.supported = max(w.supported, at)
	if former := n.now.Mono.Add(-m.FormerAge); !w.saidWhen || former < w.former {
		w.former, w.saidWhen = former, true
	}
}

// grant answers a member with what is left of the leader's lease, never more (L3,
// H10), as long as its session is open and not about to be ended (L5).
func (n *Node) grant(m Message) {
	if n.lead == nil || !n.lead.settled && !n.lacks(NoOwnTerm) || m.Session == 0 {
		return
	}
	s := n.state.Server(n.cfg.Servers[m.From-1])
	if s == nil || s.Session == 0 || s.Session != m.Session && !n.lacks(NoSession) || s.Boot != m.Boot && !n.lacks(AnyBoot) {
		return
	}
	w := &n.lead.members[m.From]
	if n.isUseless(m.From) {
		return
	}
	if w.ending == s.Session && !n.lacks(NoEndGuard) {
		return
	}
	p := &n.peers[m.From]
	if p.echoed == 0 || n.now.Mono.Sub(p.echoed) > n.p.Timeout {
		return
	}
	left := n.leaderLease().Sub(n.now.Mono)
	if left <= 0 {
		return
	}
	if n.lacks(GrantFull) {
		left = n.p.Lease
	}
	n.supportSelf()
	w.granted = n.now.Mono
	g := n.message(MsgGrant, m.From)
	g.AnswerLife, g.AnswerSeq, g.GrantSession, g.Grant = m.Life, m.Seq, m.Session, left
	n.out.Send = append(n.out.Send, g)
}

// takeGrant extends this server's lease, counted from the sending of the message
// that the grant answers.
func (n *Node) takeGrant(m Message) {
	if m.AnswerLife != n.life() || m.Grant <= 0 || m.Grant > n.p.Timeout {
		return
	}
	if m.GrantSession != n.id.Session && !n.lacks(NoSession) {
		return
	}
	if at, ok := n.peers[m.From].stampOf(m.AnswerSeq); ok {
		if n.lacks(GrantLate) {
			at = n.now.Mono
		}
		n.extend(at.Add(m.Grant))
	}
}

// stuckLimit is how long a server whose disk hangs is left its session, in T. What it
// runs goes on until then: a disk may come back. But nothing can be stopped or started
// there, for "begun" is not durable (S5), so it is not left it for ever.
const stuckLimit = 10

// isUseless reports whether a server's disk has hung for longer than that.
func (n *Node) isUseless(s int) bool {
	p := &n.peers[s]
	return p.stuck && n.now.Mono.Sub(p.stuckAt) >= stuckLimit*n.p.Timeout
}

// silentFor is how long nothing was heard of a server on any path.
func (n *Node) silentFor(s int) time.Duration { return n.now.Mono.Sub(n.peers[s].heard) }

// hashRules names a configuration, to notice servers whose files differ.
func hashRules(c cluster.Config) uint64 {
	h := fnv.New64a()
	h.Write(mustJSON(c))
	return h.Sum64()
}
