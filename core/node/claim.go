package node

import (
	"fmt"
	"slices"
	"strings"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// This file is what comes after the seal: to claim the next epoch, and to found it.

// tryClaim claims the next epoch (D5): by the sealed server with the best log of
// those that vote in the configurations of the own one, if they are at least half of
// each. Whoever may not claim asks whether an earlier claim of its own has won.
func (n *Node) tryClaim() {
	if !n.cfg.Tiebreaker || !n.id.Sealed || n.forced != nil || n.half.founded || n.sealing || n.now.Mono.Sub(n.half.asked) < n.p.Timeout/askAgain {
		return
	}
	if n.nextID.Yield != 0 || !n.mayAskWeak() {
		if n.cfg.WeakTiebreaker {
			n.yieldToBest() // whoever must not claim itself may help another one
		} else {
			n.ask(RegisterCall{}, registerUse{kind: useRead}) // a forced return founds above it
		}
		return
	}
	confs := n.raftConfigurations()
	voters := union(confs)
	term, index := n.lastLog()
	sealed := []epoch.RaftID{n.id.Raft}
	sup := max(n.support.Last, n.support.Former)
	best := slices.Contains(voters, n.id.Raft)
	for s, w := range n.half.seals {
		if w.id == 0 || s == n.cfg.Self || !slices.Contains(voters, w.id) {
			continue
		}
		sup = max(sup, w.supported)
		if n.isBetter(w, term, index) {
			best = false
		}
		if n.cfg.WeakTiebreaker && w.seal.Yield != n.id.Raft && !n.lacks(NoYield) {
			continue // its seal may be another's
		}
		sealed = append(sealed, w.id)
	}
	switch {
	case n.lacks(NotBest):
		best = true
	case n.lacks(AnyClaims):
		best = best || !slices.Contains(voters, n.id.Raft)
	}
	if !best && n.cfg.WeakTiebreaker {
		n.yieldToBest()
		return
	}
	if !best && !n.id.Claimed && n.half.top == (epoch.ID{Number: n.id.Epoch.Number + 1, Founder: n.id.Raft}) {
		// The register has it from a forced return that was cut short. This server does not
		// claim it, having no such log, and while it might nobody else can go on.
		n.yieldToBest()
	}
	if !best || !isHalfOfEach(confs, sealed) && !n.lacks(NoRule2) {
		n.ask(RegisterCall{}, registerUse{kind: useRead})
		return
	}
	want := epoch.ID{Number: n.claimable(), Founder: n.id.Raft}
	// A server that is heard under another id has lost its log: whoever it was is no
	// more, and its answer to a ping says nothing of that one.
	missing := slices.DeleteFunc(serversOutside(voters, sealed), func(s int) bool {
		return n.isAnother(s, voters)
	})
	e := n.id.Epoch
	claim := func() {
		if n.id.Sealed && n.id.Epoch == e {
			n.ask(RegisterCall{Claim: want, Missing: missing}, registerUse{kind: useClaim, want: want, sup: sup})
		}
	}
	if n.id.Claimed && n.id.Claim == want.Number {
		claim()
		return
	}
	n.half.asked = n.now.Mono
	n.writeIdentity(ClaimEarly, func(id *identity) {
		id.Claimed = !n.lacks(ClaimVolatile) && (id.Claimed || id.Epoch == e && id.Sealed)
		if id.Claimed && id.Epoch == e {
			id.Claim = want.Number
		}
	}, claim)
}

// claimable is the number that this server claims: the next one, or the one after it
// where the register has given that to a server that has sealed here, and has promised
// never to found it. Nothing further: what lies between may be alive. Nor where the owner
// has lost its log: others may have joined what it had founded.
func (n *Node) claimable() uint64 {
	next, top := n.id.Epoch.Number+1, n.half.top
	s := top.Founder.Server()
	switch {
	case top.Number == next && s >= 1 && s < len(n.half.seals) && n.half.seals[s].id == top.Founder && n.half.seals[s].seal.Yield != 0:
		return next + 1
	case n.id.Claim > next:
		return n.id.Claim // by which the owner had yielded
	}
	return next
}

// serversOutside are the numbers of the servers of those voters that are not in.
func serversOutside(voters, in []epoch.RaftID) (out []int) {
	for _, v := range voters {
		if s := v.Server(); !slices.Contains(in, v) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// isBetter reports whether another sealed server should claim rather than this one:
// a later log, or as good a one and a lower id while it is there. Where it needs this
// one's yield for that, it matters only while it is there.
func (n *Node) isBetter(w sealWord, term, index uint64) bool {
	switch {
	case n.cfg.WeakTiebreaker && !n.isRecent(w.id.Server()) && !n.lacks(NoYield):
		return false
	case w.seal.LastTerm != term:
		return w.seal.LastTerm > term
	case w.seal.LastIndex != index:
		return w.seal.LastIndex > index
	}
	return w.id < n.id.Raft && n.isRecent(w.id.Server())
}

// found founds an epoch whose claim has won (D7): the whole log applied, this server
// alone, in one transaction. sup is when one of the half last supported a leader.
func (n *Node) found(e epoch.ID, sup lease.Instant) {
	if n.half.founded {
		return
	}
	n.half.founded = true
	forced := n.forced != nil
	if forced {
		n.follow(e)
	}
	with, without := n.halves()
	snap, events := n.wholeLog()
	n.out.Events = append(n.out.Events, events...)
	snap.Metadata.ConfState = &pb.ConfState{Voters: []uint64{uint64(n.id.Raft)}}
	term, index := snap.GetMetadata().GetTerm(), snap.GetMetadata().GetIndex()
	hard := &pb.HardState{Term: proto.Uint64(max(term, n.durableTerm())), Vote: proto.Uint64(0), Commit: proto.Uint64(index)}
	n.enter(e, n.id.Raft, hard, snap, func() {
		n.support.Former = max(n.support.Former, n.support.Last, sup)
		_ = n.rn.Campaign()
		switch {
		case forced:
		case without == "":
			n.note(cluster.Event{
				Severity: cluster.Warn, Code: cluster.CodeAllAgreed,
				Text: fmt.Sprintf("all servers are there, and have agreed that %s goes on with epoch %d", n.name, e.Number),
			})
		default:
			n.note(cluster.Event{
				Severity: cluster.Warn, Code: cluster.CodeHalfGoesOn,
				Text: fmt.Sprintf("the tie-breaker has let %s go on without %s (epoch %d)", with, without, e.Number),
			})
		}
	})
}

// wholeLog is the state with the whole log applied, committed or not, and what that
// yields. Where this server has joined its epoch and has nothing of it yet, it is what it
// had of the one before (D9); and where it never had anything, the beginning.
func (n *Node) wholeLog() (*pb.Snapshot, []cluster.Event) {
	term, index := n.lastLog()
	if index == 0 && n.kept != nil {
		return proto.Clone(n.kept).(*pb.Snapshot), nil
	}
	state, events := n.state.Clone(), []cluster.Event(nil)
	if index == 0 {
		state = firstState(n.cfg.Random)
		term, index = 1, state.Index
	}
	n.eachTail(func(en *pb.Entry) {
		if en.GetType() == pb.EntryNormal && len(en.GetData()) > 0 {
			events = append(events, applyTo(state, en)...)
		}
	})
	return &pb.Snapshot{Data: state.Encode(), Metadata: &pb.SnapshotMetadata{
		Index: proto.Uint64(index), Term: proto.Uint64(term),
	}}, events
}

// halves are the names of the servers that have sealed with this one, and of the
// other voters'.
func (n *Node) halves() (with, without string) {
	in := []epoch.RaftID{n.id.Raft}
	for s, w := range n.half.seals {
		if w.id != 0 && s != n.cfg.Self {
			in = append(in, w.id)
		}
	}
	names := func(servers []int) string {
		var out []string
		for _, s := range servers {
			out = append(out, n.serverName(s))
		}
		return strings.Join(out, ", ")
	}
	var sealed []int
	for _, id := range in {
		sealed = append(sealed, id.Server())
	}
	slices.Sort(sealed)
	return names(sealed), names(serversOutside(union(n.raftConfigurations()), in))
}

// foundIfMine carries out a claim of this server that has won. What the register has of a
// forced return that was cut short is no claim: nobody has met half of the voters for it,
// and the others may have gone on meanwhile.
func (n *Node) foundIfMine(top epoch.ID, sup lease.Instant) {
	mine := epoch.ID{Number: max(n.id.Epoch.Number+1, n.id.Claim), Founder: n.id.Raft}
	claimed := n.id.Claimed || n.lacks(ClaimVolatile|ClaimEarly|RaiseClaims)
	if claimed && n.id.Sealed && top == mine && n.nextID.Yield == 0 && !n.isEntering() {
		n.found(mine, sup)
	}
}
