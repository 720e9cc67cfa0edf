package node

import (
	"slices"

	"baton/core/epoch"
	"baton/core/lease"

	pb "go.etcd.io/raft/v3/raftpb"
)

// half is what a server knows while it may have to go on with exactly half of the
// voters: the seals of the others and the word of the register.
type half struct {
	seals    []sealWord    // by server number
	readAt   lease.Instant // when it last said that nothing is above this epoch
	top      epoch.ID      // the highest epoch that it has said
	refusal  string        // why it last refused, "" if it did not
	heardAt  lease.Instant // when it last said anything
	asked    lease.Instant // when the register was last asked
	call     uint64        // id of the newest call
	calls    []registerUse // open ones, the newest few
	founded  bool          // the founding is being written
	sealedAt lease.Instant // when this life first knew that it has sealed; 0: not
	raised   bool          // the register has confirmed this epoch to this server as its leader
}

// sealWord is a server's seal of this epoch, as it told us.
type sealWord struct {
	id        epoch.RaftID // 0: none
	seal      Seal
	supported lease.Instant // upper bound of when it last supported a leader, our clock
}

type registerUse struct {
	id   uint64
	kind useKind
	want epoch.ID // claim: what for
	sup  lease.Instant
}

type useKind uint8

const (
	useRead useKind = iota
	useClaim
	useRaise
)

const (
	// keepCalls bounds the calls whose answers are still waited for.
	keepCalls = 8
	// askAgain: a call that has no answer is repeated after this part of T. Between the
	// seal and the end of a survivor's lease lie some T/6; three calls fit into that, so
	// that two of them may be lost. Reads and claims may be repeated for ever (D5).
	askAgain = 20
)

func newHalf(servers int) half { return half{seals: make([]sealWord, servers+1)} }

// ask sends a call to the register.
func (n *Node) ask(c RegisterCall, use registerUse) {
	n.half.call++
	c.ID, use.id = n.half.call, n.half.call
	c.Cluster = n.state.ID
	n.half.calls = append(n.half.calls, use)
	if len(n.half.calls) > keepCalls {
		n.half.calls = n.half.calls[1:]
	}
	n.half.asked = n.now.Mono
	n.out.Register = append(n.out.Register, c)
}

// registerAnswered takes an answer of the register. A claim that won is carried out
// whenever the answer comes, also after a restart.
func (n *Node) registerAnswered(a RegisterAnswer) {
	i := slices.IndexFunc(n.half.calls, func(u registerUse) bool { return u.id == a.ID })
	if i < 0 {
		return
	}
	use := n.half.calls[i]
	n.half.calls = slices.Delete(n.half.calls, i, i+1)
	n.half.refusal, n.half.heardAt = a.Text, n.now.Mono
	if a.Top.Number >= n.half.top.Number { // a late answer is not taken for a newer one
		n.half.top = a.Top
	}
	switch use.kind {
	case useRead:
		if a.Top.Number <= n.id.Epoch.Number && a.Text == "" {
			n.half.readAt = n.now.Mono
		}
		n.foundIfMine(a.Top, n.now.Mono)
	case useClaim:
		n.foundIfMine(a.Top, use.sup)
	case useRaise:
		n.half.raised = a.Text == "" && a.Top == n.id.Epoch
	}
}

// trySeal seals the epoch (D4): nobody was supported for Te (or, as a leader, no
// majority has supported us), those heard are at least half of every configuration of
// the own log, the unsealed of them could elect nobody (are no majority, or for T not linked so that
// one of them could be elected), this server votes in some
// such configuration, and the register has just said that nothing higher exists.
func (n *Node) trySeal() {
	// Where a peer has sealed there is no going back, and its seal may be of no use
	// without this one; to claim is another thing.
	// And where all servers are there, and have no leader for long, they agree (D12).
	// Without a tie-breaker nobody seals but one that is forced, or that must agree with
	// such a one.
	forLong := n.allAreHere() && n.now.Mono.Sub(max(n.support.Last, n.start)) > agreeAfter*n.p.Timeout
	sealed := n.leader() == 0 && (n.sealedPeer() || forLong)
	if !n.cfg.Tiebreaker {
		sealed = sealed && n.sealedPeer() && forLong
	}
	if !n.cfg.Tiebreaker && !sealed || n.forced != nil || !n.mayAskWeak() && !sealed || n.rn == nil || n.busy || n.id.Sealed || n.leave != nil || len(n.members.Voters) == 0 && !sealed || n.isStuck() {
		return
	}
	last := n.support.Last
	if n.lead != nil {
		last = n.basis()
	}
	// A little later than an election, which is to be preferred. The register is asked
	// before that: a survivor's lease leaves little time for a slow one (ping).
	due := n.p.Elect + n.p.Timeout/30
	silence := n.now.Mono.Sub(max(last, n.start))
	if silence < due {
		if silence >= due-n.p.Timeout/10 {
			n.hasRead()
		}
		return
	}
	heard, unsealed := []epoch.RaftID{n.id.Raft}, []epoch.RaftID{n.id.Raft}
	for s := 1; s < len(n.peers); s++ {
		if s == n.cfg.Self || !n.isRecent(s) {
			continue
		}
		id := n.peers[s].life.Raft
		heard = append(heard, id)
		if n.half.seals[s].id != id && !n.peers[s].stuck {
			unsealed = append(unsealed, id)
		}
	}
	confs := n.raftConfigurations()
	isMember := slices.Contains(union(confs), n.id.Raft)
	for _, w := range n.half.seals {
		isMember = isMember || w.id != 0 && slices.Contains(w.seal.Voters, n.id.Raft)
	}
	isMember = isMember || sealed && n.allAreHere() // D12 needs everybody's seal
	// Those that could elect somebody may not be able to agree on whom: each of them would
	// need the vote of one with a better log that is no voter any more, or has sealed.
	inVain := forLong && n.sealedPeer() && silence > 2*agreeAfter*n.p.Timeout
	if !isMember || !isHalfOfEach(confs, heard) && !n.lacks(NoRule2) ||
		isMajorityOfEach(confs, unsealed) && !inVain && (silence < n.p.Timeout || n.cfg.WeakTiebreaker || n.canElect(confs, unsealed)) {
		return
	}
	if n.lacks(NoReadFirst) || sealed || n.hasRead() {
		n.seal()
	}
}

// canElect reports whether one of these servers is linked, both ways, to enough of them to be
// elected. A server that is heard and hears nobody, because its network card fails one way, say,
// would else keep the others from going on without it for ever. It is asked late only: a
// server that has just started may not have shown yet what it hears. And only where the tie-breaker keeps
// a record: to be heard is what shows a server to be there that answers no ping.
func (n *Node) canElect(confs [][]epoch.RaftID, servers []epoch.RaftID) bool {
	for _, c := range servers {
		linked := slices.DeleteFunc(slices.Clone(servers), func(v epoch.RaftID) bool { return !n.areLinked(c.Server(), v.Server()) })
		if isMajorityOfEach(confs, linked) {
			return true
		}
	}
	return false
}

// areLinked reports whether messages pass both ways between two servers, as far as they say
// so. The CLUSTER partition carries none.
func (n *Node) areLinked(a, b int) bool {
	switch n.cfg.Self {
	case a:
		return a == b || n.hearsUs(b)
	case b:
		return n.hearsUs(a)
	}
	mask := ^uint8(0)
	if n.cfg.Disk {
		mask &^= 1 << (n.cfg.Paths - 1)
	}
	return a == b || n.peers[a].hears[b-1]&mask != 0 && n.peers[b].hears[a-1]&mask != 0
}

// hasRead reports whether the register has said within T/4 that nothing is above this
// epoch, and asks it if not.
func (n *Node) hasRead() bool {
	if n.half.readAt != 0 && n.now.Mono.Sub(n.half.readAt) <= n.p.Timeout/4 {
		return true
	}
	if n.now.Mono.Sub(n.half.asked) >= n.p.Timeout/askAgain {
		n.ask(RegisterCall{}, registerUse{kind: useRead})
	}
	return false
}

// seal drops raft and records it. From the moment raft is dropped this server takes
// no part in the epoch; what it tells the others, it tells when the disk has it.
func (n *Node) seal() {
	if n.lead != nil {
		n.supportSelf()
	}
	n.rn, n.lead = nil, nil
	e := n.id.Epoch
	n.sealing = true
	n.writeIdentity(SealEarly, func(id *identity) { id.Sealed = id.Sealed || id.Epoch == e }, func() {
		if n.id.Epoch != e {
			return
		}
		n.sealing, n.half.sealedAt = false, n.now.Mono
		n.out.Changed = true
		n.beat()
	})
}

// ownSeal is what this server tells of its seal; nil without one.
func (n *Node) ownSeal() *Seal {
	if !n.id.Sealed || n.store == nil {
		return nil
	}
	s := &Seal{Voters: union(n.raftConfigurations()), SupportAge: n.now.Mono.Sub(max(n.support.Last, n.support.Former)), Yield: n.id.Yield}
	s.LastTerm, s.LastIndex = n.lastLog()
	return s
}

// hearSeal remembers a seal of this epoch. Its age counts from its first telling:
// a sealed server supports nobody.
func (n *Node) hearSeal(m Message) {
	if m.Seal == nil || m.Epoch != n.id.Epoch {
		return
	}
	w := &n.half.seals[m.From]
	at := n.now.Mono.Add(-m.Seal.SupportAge)
	if w.id == m.Life.Raft {
		at = min(at, w.supported)
	}
	*w = sealWord{id: m.Life.Raft, seal: *m.Seal, supported: at}
}

// sealedForNothing (D8): the others have gone on without this sealed server. If it
// never claimed, it comes back to the same epoch as somebody else, blank.
//
// The leader must know of every change of the voters that is committed in this server's
// log. It does if it has applied as much, or if its term is above all there is in the log:
// it has a lease, so an entry of its own term is applied (D6), and what was not committed
// by then never is.
func (n *Node) sealedForNothing(m Message) bool {
	if n.lacks(NoReborn) || !n.id.Sealed || n.id.Claimed || n.half.founded || m.Epoch != n.id.Epoch || !m.Leader || len(m.Voters) == 0 ||
		slices.Contains(m.Voters, n.id.Raft) {
		return false
	}
	if last, _ := n.lastLog(); m.Applied < n.lastChange() && m.Term <= last {
		return false
	}
	n.enter(n.id.Epoch, epoch.NewRaftID(n.cfg.Self, n.cfg.Random()>>9|1), &pb.HardState{}, nil, nil)
	return true
}

// raiseRegister keeps the register at the epoch that this leader leads (T1). Until it
// has confirmed that, it is asked more often: where it does not know the cluster yet
// nobody could go on without this leader.
func (n *Node) raiseRegister() {
	again := n.p.Timeout
	if !n.half.raised {
		again /= 4
	}
	if n.cfg.Tiebreaker && !n.lacks(NoRaise) && n.now.Mono.Sub(n.half.asked) >= again {
		n.ask(RegisterCall{Raise: n.id.Epoch}, registerUse{kind: useRaise})
	}
}
