package node

import (
	"fmt"
	"slices"
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	// maxTicks bounds how many raft ticks are made up for after a stall: a server
	// that slept must hear its leader before it doubts him.
	maxTicks = 3
	// snapshotEvery is how many entries are applied between two snapshots, and
	// keepEntries how many stay behind the newest one for servers that lag a little.
	snapshotEvery = 2000
	keepEntries   = 500
	// caughtUpWithin is how many entries a learner may lack when it gets its vote.
	caughtUpWithin = 5
)

// storage is raft's view of the log. Its snapshot is made at the applied index when
// raft asks for one: a snapshot that does not name its receiver in the configuration
// would be dropped by it without a word.
type storage struct {
	*raft.MemoryStorage
	n *Node
}

// Snapshot implements raft.Storage.
func (s *storage) Snapshot() (*pb.Snapshot, error) {
	return s.n.snapshotNow(), nil
}

// snapshotNow is the state as applied.
func (n *Node) snapshotNow() *pb.Snapshot {
	term, err := n.store.Term(n.applied)
	if err != nil {
		panic(fmt.Sprintf("term of applied entry %d: %v", n.applied, err))
	}
	return &pb.Snapshot{
		Data: n.state.Encode(),
		Metadata: &pb.SnapshotMetadata{
			ConfState: n.confState(), Index: proto.Uint64(n.applied), Term: proto.Uint64(term),
		},
	}
}

func (n *Node) confState() *pb.ConfState {
	cs := &pb.ConfState{}
	for _, v := range n.members.Voters {
		cs.Voters = append(cs.Voters, uint64(v))
	}
	for _, l := range n.members.Learners {
		cs.Learners = append(cs.Learners, uint64(l))
	}
	return cs
}

func (n *Node) setMembers(cs *pb.ConfState) {
	m := epoch.Members{}
	for _, v := range cs.GetVoters() {
		m.Voters = append(m.Voters, epoch.RaftID(v))
	}
	for _, l := range cs.GetLearners() {
		m.Learners = append(m.Learners, epoch.RaftID(l))
	}
	slices.Sort(m.Voters)
	slices.Sort(m.Learners)
	n.members = m
}

// openRaft starts taking part in the epoch of n.id with what the disk holds of it.
func (n *Node) openRaft(hard *pb.HardState, snap *pb.Snapshot, entries []*pb.Entry) {
	st := &storage{raft.NewMemoryStorage(), n}
	n.store, n.applied, n.changedAt, n.members, n.mustSee = st, 0, 0, epoch.Members{}, 0
	if snap != nil {
		if err := st.ApplySnapshot(snap); err != nil {
			panic(fmt.Sprintf("snapshot of the disk: %v", err))
		}
		n.restore(snap)
	}
	if err := st.Append(entries); err != nil {
		panic(fmt.Sprintf("log of the disk: %v", err))
	}
	if err := st.SetHardState(hard); err != nil {
		panic(fmt.Sprintf("raft state of the disk: %v", err))
	}
	n.replayTo = hard.GetCommit()
	rn, err := raft.NewRawNode(&raft.Config{
		ID: uint64(n.id.Raft), ElectionTick: lease.ElectionTicks, HeartbeatTick: 2,
		Storage: st, Applied: n.applied, MaxSizePerMsg: 1 << 16, MaxInflightMsgs: 64,
		PreVote: true, CheckQuorum: true, DisableProposalForwarding: true, StepDownOnRemoval: true,
		Logger: silent{},
	})
	if err != nil {
		panic(fmt.Sprintf("open raft: %v", err))
	}
	n.rn, n.busy, n.lead = rn, false, nil
	n.lastTick = n.now.Mono
	n.out.Changed = true
}

func (n *Node) restore(snap *pb.Snapshot) {
	st, err := cluster.Decode(snap.GetData())
	if err != nil {
		panic(fmt.Sprintf("state in snapshot %d: %v", snap.GetMetadata().GetIndex(), err))
	}
	n.state, n.agreed = st, 0
	n.applied = snap.GetMetadata().GetIndex()
	n.changedAt = n.applied
	n.setMembers(snap.GetMetadata().GetConfState())
	n.out.Changed = true
}

// durableTerm is the raft term that the disk has.
func (n *Node) durableTerm() uint64 {
	if n.store == nil {
		return 0
	}
	hs, _, _ := n.store.InitialState()
	return hs.GetTerm()
}

func (n *Node) tickRaft() {
	for i := range n.snapshots {
		s := &n.snapshots[i]
		if s.rn == n.rn && n.now.Mono >= s.at {
			n.rn.ReportSnapshot(uint64(s.to), raft.SnapshotFinish)
			s.rn = nil
		}
	}
	n.snapshots = slices.DeleteFunc(n.snapshots, func(s snapshotSent) bool { return s.rn != n.rn || s.rn == nil })
	if n.rn == nil {
		return
	}
	for i := 0; i < maxTicks && n.now.Mono.Sub(n.lastTick) >= n.p.RaftTick; i++ {
		n.lastTick = n.lastTick.Add(n.p.RaftTick)
		n.rn.Tick()
	}
	if n.now.Mono.Sub(n.lastTick) >= n.p.RaftTick {
		n.lastTick = n.now.Mono
	}
}

// pump takes at most one Ready from raft. It reports whether there may be another.
func (n *Node) pump() bool {
	if n.rn == nil || n.busy {
		return false
	}
	n.followRole()
	if !n.rn.HasReady() {
		return false
	}
	rd, rn := n.rn.Ready(), n.rn
	if !n.putReady(rd) || n.lacks(AckEarly) {
		n.finish(rd)
		return true
	}
	n.busy = true
	n.persist(func() {
		if n.rn == rn { // else the epoch was left meanwhile
			n.finish(rd)
			n.afterApply()
		}
	})
	return false
}

// putReady writes what a Ready wants durable and reports whether there is any. The
// commit index is written too, before anything it commits is acted on: an applied
// entry is applied again after a restart.
func (n *Node) putReady(rd raft.Ready) bool {
	some := false
	if !raft.IsEmptySnap(rd.Snapshot) {
		n.deleteKeys(prefixEntry, endOf(prefixEntry))
		n.putKey(keySnapshot, mustProto(rd.Snapshot))
		n.drop()
		some = true
	}
	if len(rd.Entries) > 0 {
		n.deleteKeys(numbered(prefixEntry, rd.Entries[0].GetIndex()), endOf(prefixEntry))
		for _, e := range rd.Entries {
			n.putKey(numbered(prefixEntry, e.GetIndex()), mustProto(e))
		}
		some = true
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		n.putKey(keyHard, mustProto(rd.HardState))
		some = true
	}
	return some
}

// finish does what a Ready asks for once it is durable: send, apply, advance.
func (n *Node) finish(rd raft.Ready) {
	if !raft.IsEmptySnap(rd.Snapshot) {
		if err := n.store.ApplySnapshot(rd.Snapshot); err != nil {
			panic(fmt.Sprintf("snapshot %d from the leader: %v", rd.Snapshot.GetMetadata().GetIndex(), err))
		}
	}
	if err := n.store.Append(rd.Entries); err != nil {
		panic(fmt.Sprintf("append: %v", err))
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		if err := n.store.SetHardState(rd.HardState); err != nil {
			panic(fmt.Sprintf("raft state: %v", err))
		}
	}
	n.sendRaft(rd.Messages)
	if !raft.IsEmptySnap(rd.Snapshot) {
		n.restore(rd.Snapshot)
	}
	n.followRole()
	n.apply(rd.CommittedEntries)
	n.rn.Advance(rd)
	n.busy = false
	n.followRole()
	n.compact()
}

func (n *Node) apply(entries []*pb.Entry) {
	for _, e := range entries {
		if e.GetIndex() <= n.applied {
			continue
		}
		switch e.GetType() {
		case pb.EntryConfChange:
			var cc pb.ConfChange
			if err := proto.Unmarshal(e.GetData(), &cc); err != nil {
				panic(fmt.Sprintf("configuration change in entry %d: %v", e.GetIndex(), err))
			}
			n.setMembers(n.rn.ApplyConfChange(&cc))
			n.changedAt = e.GetIndex()
			n.changeApplied()
			n.out.Changed = true
		default:
			if len(e.GetData()) == 0 {
				// A leader's first entry, or a refused change of the configuration.
				n.emptyApplied(e.GetTerm())
				break
			}
			n.applyCommand(e)
		}
		n.applied = e.GetIndex()
		if n.lead != nil && e.GetTerm() == n.lead.term && !n.lead.settled {
			// From now on this leader may grant: the survivors' leases are running out, so
			// it asks for their echoes now and not with the next round.
			n.lead.settled = true
			n.beat()
		}
	}
}

func (n *Node) applyCommand(e *pb.Entry) {
	events := applyTo(n.state, e)
	if slices.ContainsFunc(events, func(e cluster.Event) bool { return e.Code == cluster.CodeConfigChanged }) {
		n.agreed = 0
	}
	if e.GetIndex() > n.replayTo {
		n.out.Events = append(n.out.Events, events...)
	}
	n.out.Changed = true
}

// applyTo applies an entry's command to a state. Every server sees the same bytes, so
// skipping what cannot be understood is the same everywhere.
func applyTo(s *cluster.State, e *pb.Entry) []cluster.Event {
	c, err := cluster.DecodeCommand(e.GetData())
	if err != nil {
		return nil
	}
	return s.Apply(e.GetIndex(), c)
}

// replaySealed applies what is known committed in an epoch that this server has
// sealed, and takes no part in it.
func (n *Node) replaySealed() {
	last, _ := n.store.LastIndex()
	if to := min(n.replayTo, last); to > n.applied {
		entries, err := n.store.Entries(n.applied+1, to+1, 1<<62)
		if err != nil {
			panic(fmt.Sprintf("committed entries %d to %d of the disk: %v", n.applied+1, to, err))
		}
		n.apply(entries)
	}
	n.rn = nil
}

// compact makes a snapshot now and then and drops the log behind it.
func (n *Node) compact() {
	first, _ := n.store.FirstIndex()
	if n.applied < first+snapshotEvery {
		return
	}
	snap := n.snapshotNow()
	if _, err := n.store.CreateSnapshot(n.applied, snap.GetMetadata().GetConfState(), snap.GetData()); err != nil {
		panic(fmt.Sprintf("snapshot at %d: %v", n.applied, err))
	}
	keep := n.applied - keepEntries
	if err := n.store.Compact(keep); err != nil {
		panic(fmt.Sprintf("compact to %d: %v", keep, err))
	}
	n.putKey(keySnapshot, mustProto(snap))
	n.deleteKeys(prefixEntry, numbered(prefixEntry, keep+1))
}

type snapshotSent struct {
	to epoch.RaftID
	at lease.Instant // when it counts as arrived
	rn *raft.RawNode
}

// snapshotTakes is how long raft waits before it probes a server that was sent a
// snapshot: a lost one is sent again after this.
const snapshotTakes = 100 * time.Millisecond

func (n *Node) sendRaft(ms []*pb.Message) {
	for _, m := range ms {
		to := epoch.RaftID(m.GetTo())
		s := to.Server()
		if s < 1 || s >= len(n.peers) || s == n.cfg.Self {
			continue
		}
		switch m.GetType() {
		case pb.MsgVoteResp, pb.MsgPreVoteResp:
			if !m.GetReject() {
				// Whoever has just been given a vote is given time to win too: a voter that
				// stood itself now would depose him.
				n.campaign = n.now.Mono
			}
		}
		msg := n.message(MsgRaft, s)
		msg.Payload = mustProto(m)
		n.out.Send = append(n.out.Send, msg)
		if m.GetType() == pb.MsgSnap {
			n.snapshots = append(n.snapshots, snapshotSent{to, n.now.Mono.Add(snapshotTakes), n.rn})
		}
	}
}

func (n *Node) receiveRaft(m Message) {
	if n.rn == nil || m.Epoch != n.id.Epoch && !n.lacks(NoIdentity) {
		return
	}
	rm := &pb.Message{}
	if err := proto.Unmarshal(m.Payload, rm); err != nil {
		return
	}
	if rm.GetTo() != uint64(n.id.Raft) || epoch.RaftID(rm.GetFrom()).Server() != m.From {
		return
	}
	switch rm.GetType() {
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap:
		// What a leader sends keeps this voter from electing another one, so it
		// counts as support (L1, H8).
		if rm.GetTerm() >= n.durableTerm() && !n.lacks(NoAppHear) {
			n.supportNow(m.From, lease.Rank{Epoch: m.Epoch.Number, Term: rm.GetTerm()})
		}
		if rm.GetType() == pb.MsgHeartbeat && n.isDeaf(m.From) {
			return // it would be this voter's leader again, and keep it from voting
		}
	case pb.MsgProp, pb.MsgHup, pb.MsgBeat, pb.MsgCheckQuorum, pb.MsgUnreachable, pb.MsgSnapStatus,
		pb.MsgTransferLeader, pb.MsgForgetLeader:
		return // never from the network
	}
	_ = n.rn.Step(rm) // an error means that raft has no use for it now
}

// silent keeps raft from logging: what matters comes out as events. A broken
// invariant still stops the process.
type silent struct{}

func (silent) Debug(...any)              {}
func (silent) Debugf(string, ...any)     {}
func (silent) Error(...any)              {}
func (silent) Errorf(string, ...any)     {}
func (silent) Info(...any)               {}
func (silent) Infof(string, ...any)      {}
func (silent) Warning(...any)            {}
func (silent) Warningf(string, ...any)   {}
func (silent) Fatal(v ...any)            { panic(fmt.Sprint(v...)) }
func (silent) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
func (silent) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (silent) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
