package node

import (
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// leadership is what a leader knows besides the log.
type leadership struct {
	term    uint64
	since   lease.Instant
	settled bool // an entry of this term is applied (D6a)
	// changing are the voters under a change of the configuration that is proposed
	// and not applied; nil: none (D6b, c).
	changing []epoch.RaftID
	// electors are the voters that elected this leader, and w the moment W when
	// every lease of a former leader is over; fixed once, for them (L4).
	electors []epoch.RaftID
	w        lease.Instant
	wKnown   bool
	members  []memberWord // by server number
}

// memberWord is what a leader knows from one server's echoes and of its own grants.
type memberWord struct {
	id        epoch.RaftID
	supported lease.Instant // our send stamp of the newest heartbeat it supported
	former    lease.Instant // when it last supported a former leader, our clock
	saidWhen  bool
	granted   lease.Instant // when it was last granted a lease
	ending    uint64        // the session of it that we have proposed to end (L5)
}

// followRole takes note of a change of raft's role.
func (n *Node) followRole() {
	if n.rn == nil {
		return
	}
	st := n.rn.BasicStatus()
	if st.RaftState != raft.StateLeader {
		if n.lead != nil {
			n.lead = nil
			n.out.Changed = true
		}
		return
	}
	if n.lead != nil && n.lead.term == st.GetTerm() {
		return
	}
	n.lead = &leadership{
		term: st.GetTerm(), since: n.now.Mono,
		electors: append([]epoch.RaftID(nil), n.members.Voters...),
		members:  make([]memberWord, len(n.peers)),
	}
	n.supportSelf()
	n.out.Changed = true
	n.beat()
}

// isLeading reports whether this server claims to lead. With a disk that does not
// answer it could decide nothing, so it lets others be elected (H23).
func (n *Node) isLeading() bool { return n.lead != nil && !n.isStuck() }

// basis is the send stamp on which the leader's lease rests (L2), under the applied
// configuration and one that is being changed to.
func (n *Node) basis() lease.Instant {
	if n.lead == nil {
		return 0
	}
	if n.lacks(LeaseAlone) {
		return n.now.Mono
	}
	b := n.now.Mono
	confs := [][]epoch.RaftID{n.members.Voters}
	if n.lead.changing != nil && !n.lacks(NoJoint) {
		confs = append(confs, n.lead.changing)
	}
	for _, voters := range confs {
		supported := make([]lease.Instant, 0, len(voters))
		for _, v := range voters {
			switch w := n.word(v); {
			case v == n.id.Raft:
				supported = append(supported, n.now.Mono)
			case w != nil:
				supported = append(supported, w.supported)
			default:
				supported = append(supported, 0)
			}
		}
		b = min(b, lease.Basis(supported))
	}
	return b
}

// word is what the leader knows of a raft id; nil if the server speaks under
// another one.
func (n *Node) word(r epoch.RaftID) *memberWord {
	s := r.Server()
	if n.lead == nil || s < 1 || s >= len(n.lead.members) || n.lead.members[s].id != r {
		return nil
	}
	return &n.lead.members[s]
}

// leaderLease is the end of the lease this leader holds over the cluster; 0: none.
func (n *Node) leaderLease() lease.Instant {
	if !n.isLeading() || !n.lead.settled && !n.lacks(NoOwnTerm) {
		return 0
	}
	b := n.basis()
	if b == 0 {
		return 0
	}
	return b.Add(n.p.Lease)
}

// supportSelf: a leader supports itself up to the newest stamp that its own lease
// was based on. It is noted before each use of that lease. Every lease of a former leader
// needed the support of one of this leader's electors, who had given it before it voted,
// so that this stamp covers those leases too.
func (n *Node) supportSelf() {
	if n.lacks(NoSelfSupport) {
		return
	}
	b := n.basis()
	if b == 0 {
		b = n.support.Last
	}
	n.support.Note(lease.Rank{Epoch: n.id.Epoch.Number, Term: n.lead.term}, b)
	n.supported = n.cfg.Self
}

// formerOver is W; false while it is not known.
func (n *Node) formerOver() (lease.Instant, bool) {
	l := n.lead
	electors := l.electors
	switch {
	case n.lacks(NoW):
		return 0, true
	case n.lacks(WMoves):
		electors, l.wKnown = n.members.Voters, false
	}
	if !l.wKnown {
		former := make([]lease.Instant, 0, len(electors))
		for _, v := range electors {
			switch w := n.word(v); {
			case v == n.id.Raft:
				former = append(former, n.support.Former)
			case w != nil && w.saidWhen:
				former = append(former, w.former)
			default:
				former = append(former, lease.Unknown)
			}
		}
		l.w, l.wKnown = lease.FormerOver(former, n.p)
	}
	return l.w, l.wKnown
}

// leaderSelf does for the leader's own server what grants do for the others.
func (n *Node) leaderSelf() {
	if n.lead == nil {
		return
	}
	n.supportSelf()
	if o := n.openedFor(n.cfg.Self); o != 0 && n.leaderLease() > n.now.Mono {
		n.firstSession(o - 1)
	}
	s := n.server()
	if s == nil || s.Session == 0 || s.Session != n.id.Session || s.Boot != n.cfg.Boot && !n.lacks(AnyBoot) || n.lead.members[n.cfg.Self].ending == s.Session {
		return
	}
	if end := n.leaderLease(); end > n.now.Mono {
		n.extend(end)
	}
}

// elect stands for election after silence (Te), the lower numbers first.
func (n *Node) elect() {
	if n.rn == nil || n.busy || n.lead != nil || !n.members.IsVoter(n.id.Raft) || n.isStuck() || n.retired && n.leave.over(n) {
		return
	}
	last := max(n.heardAndHeard(), n.start)
	stood := n.campaign > max(n.support.Last, n.start) // and nobody was elected
	if n.now.Mono.Sub(last) < n.p.Elect && !stood {
		return
	}
	_ = n.rn.ForgetLeader() // so that this voter answers candidates from now on
	rank := n.rank()
	// The ranks keep candidates from splitting the vote; a round of raft messages
	// fits between two of them.
	first := n.p.Elect + n.p.Timeout/50*time.Duration(rank)
	again := n.p.Timeout/12 + n.p.Timeout/60*time.Duration(rank)
	if n.now.Mono.Sub(last) < first && !stood || n.now.Mono.Sub(n.campaign) < again {
		return
	}
	n.campaign = n.now.Mono
	_ = n.rn.Campaign()
}

// heardAndHeard is when this server last had to do with a leader both ways. One that is
// heard and does not hear can grant no lease for long, nor decide anything: to wait until
// raft makes it step down would cost the others their groups.
func (n *Node) heardAndHeard() lease.Instant {
	if n.isDeaf(n.supported) {
		return n.peers[n.supported].echoed
	}
	return n.support.Last
}

// isDeaf says whether a server is the leader that this one supported last, and has not
// shown for Te to have received anything from here.
func (n *Node) isDeaf(s int) bool {
	if s == 0 || s != n.supported || s == n.cfg.Self {
		return false
	}
	p := &n.peers[s]
	return p.echoed != 0 && n.now.Mono.Sub(p.echoed) >= n.p.Elect
}

// supportNow notes that this voter supports a leader.
func (n *Node) supportNow(leader int, r lease.Rank) {
	n.support.Note(r, n.now.Mono)
	if n.support.Rank == r {
		n.supported = leader
	}
}

// rank is how many voters stand for election before this one: those of lower server
// numbers. The order of raft ids would not do, it is that of their random part.
func (n *Node) rank() (rank int) {
	for _, v := range n.members.Voters {
		if v.Server() < n.cfg.Self {
			rank++
		}
	}
	return rank
}

// foundFirst founds epoch 1: the first server of the configuration, when all of
// them are there, all without a history, and all have the same configuration
// (D7; a first start by fewer would let an empty server found a cluster that exists
// elsewhere, H20).
func (n *Node) foundFirst() {
	if n.id.Epoch != (epoch.ID{}) || n.cfg.Self != 1 || n.rn != nil || n.busy {
		return
	}
	for s := 1; s < len(n.peers); s++ {
		if s == n.cfg.Self {
			continue
		}
		p := &n.peers[s]
		if !n.lacks(FoundAnyway) && (!n.hearsUs(s) || p.epoch != (epoch.ID{}) || p.rules != n.rulesHash) {
			return
		}
	}
	n.foundAlone()
}

// foundAlone founds epoch 1 with an empty state.
func (n *Node) foundAlone() {
	e := epoch.ID{Number: 1, Founder: n.id.Raft}
	st := firstState(n.cfg.Random)
	snap := &pb.Snapshot{Data: st.Encode(), Metadata: &pb.SnapshotMetadata{
		ConfState: &pb.ConfState{Voters: []uint64{uint64(n.id.Raft)}}, Index: proto.Uint64(1), Term: proto.Uint64(1),
	}}
	hard := &pb.HardState{Term: proto.Uint64(1), Vote: proto.Uint64(0), Commit: proto.Uint64(1)}
	n.enter(e, n.id.Raft, hard, snap, func() { _ = n.rn.Campaign() })
}

// firstState is the state of a new cluster.
func firstState(random func() uint64) *cluster.State {
	return &cluster.State{Version: cluster.Version, Index: 1, ID: random() | 1}
}

// join enters another epoch, blank; its leader sends the log (D9). forced is the newest
// epoch of its history that an operator has founded.
func (n *Node) join(e, forced epoch.ID, then func()) {
	n.follow(forced)
	n.enter(e, n.id.Raft, &pb.HardState{}, nil, then)
}

// follow takes note, with the entering of an epoch, of which forced return its history is.
func (n *Node) follow(forced epoch.ID) {
	if n.nextID.Forced != forced {
		n.writeIdentity(EnterEarly, func(id *identity) { id.Forced = forced }, func() {})
	}
}

// keep puts the log of the epoch that is being left aside, applied to its end, until
// there is one of the epoch that is entered: an operator may force this server to go on
// before (D9).
func (n *Node) keep() {
	if last, _ := n.store.LastIndex(); last == 0 {
		return // what was kept before is still all there is
	}
	n.kept, _ = n.wholeLog()
	n.putKey(keyKept, mustProto(n.kept))
}

// drop forgets what was kept.
func (n *Node) drop() {
	if n.kept != nil {
		n.kept = nil
		n.deleteKey(keyKept)
	}
}

// enter leaves the epoch this server is in and enters another. Nothing is said in
// the new one before the disk has it.
func (n *Node) enter(e epoch.ID, raftID epoch.RaftID, hard *pb.HardState, snap *pb.Snapshot, then func()) {
	if snap != nil {
		n.drop()
	} else if n.store != nil {
		n.keep()
	}
	n.rn, n.lead, n.busy, n.sealing = nil, nil, true, false
	n.deleteKeys(prefixEntry, endOf(prefixEntry))
	n.deleteKey(keySnapshot)
	n.putKey(keyHard, mustProto(hard))
	if snap != nil {
		n.putKey(keySnapshot, mustProto(snap))
	}
	enter := func(id *identity) {
		id.Epoch, id.Raft, id.Sealed, id.Claimed, id.Claim, id.Yield = e, raftID, false, false, 0, 0
	}
	if raftID != n.id.Raft {
		n.pastIDs = append(n.pastIDs, n.id.Raft)
	}
	n.writeIdentity(EnterEarly, enter, func() {
		call := n.half.call // goes on: an answer that is late must not be one to a new call
		n.half = newHalf(len(n.cfg.Servers))
		n.half.call = call
		n.sayForced()
		n.openRaft(hard, snap, nil)
		if then != nil {
			then()
		}
	})
}
