package node

import (
	"fmt"

	"baton/core/cluster"
	"baton/core/epoch"

	pb "go.etcd.io/raft/v3/raftpb"
)

// This file is what happens where the cluster's own judgement does not decide: an
// operator's forced return, and what it can lead to, two histories.

// mayAskWeak reports whether this server may use its tie-breaker (T3): one that keeps
// no record would let a server that has booted found an epoch a second time.
func (n *Node) mayAskWeak() bool {
	return !n.cfg.WeakTiebreaker || n.lacks(NoT3) || n.id.Quorate == n.cfg.Boot
}

// force begins a forced return. Where this server has a leader there is nothing to
// force.
func (n *Node) force(f Force) {
	if n.forced == nil && n.leave == nil && !n.isEntering() && !n.hasQuorum() {
		n.forced = &f
		n.out.Changed = true
	}
}

// hasQuorum reports whether this server has a leader that holds a lease.
func (n *Node) hasQuorum() bool {
	if n.lead != nil {
		return n.leaderLease() > n.now.Mono
	}
	return n.leader() != 0
}

// tryForce carries a forced return out: it seals the epoch, and founds the next alone
// with the operator in place of the tie-breaker. The register is told, but not asked
// (T4).
func (n *Node) tryForce() {
	if n.forced == nil || n.busy || n.sealing || n.half.founded || n.isEntering() {
		return
	}
	switch {
	case n.hasQuorum():
		n.forced = nil
	case n.id.Epoch == (epoch.ID{}):
		n.follow(epoch.ID{Number: 1, Founder: n.id.Raft})
		n.foundAlone()
	case !n.id.Sealed:
		n.seal()
	default:
		// Nobody knows when the others last supported a leader: it counts as now.
		// An epoch that may be somebody else's, because the register has given it to him
		// or this server has yielded it to him, is not founded a second time: he is to
		// join this one when he boots, and not this one him. Whom it has yielded to founds
		// at most the one above what the register has given away.
		e := epoch.ID{Number: max(n.id.Epoch.Number, n.half.top.Number) + 1, Founder: n.id.Raft}
		if n.nextID.Yield != 0 {
			e.Number++
		}
		if n.cfg.Tiebreaker && !n.cfg.WeakTiebreaker && !n.lacks(ForceUnsaid) {
			n.ask(RegisterCall{Raise: e}, registerUse{kind: useRaise})
		}
		n.found(e, n.now.Mono)
	}
}

// sayForced writes the forced return into the log of the epoch that it founded.
func (n *Node) sayForced() {
	f := n.forced
	if f == nil {
		return
	}
	n.forced = nil
	n.note(cluster.Event{
		Severity: cluster.Warn, Code: cluster.CodeForcedReturn,
		Text: fmt.Sprintf("%s goes on alone: forced return by %s", n.name, f.Who.String()),
	})
}

// meetHistory: another history of the epoch's number is alive, which only operators
// or a weak tie-breaker can bring about. The one whose founder comes later in the
// configuration stops its groups at once and joins the other (D1).
func (n *Node) meetHistory(m Message) {
	if m.Seal != nil || n.isEntering() || n.lacks(NoAlarm) {
		return
	}
	mine, other := n.id.Epoch.Founder, m.Epoch.Founder
	yields := mine.Server() > other.Server() || mine.Server() == other.Server() && mine > other
	id := n.id.Raft
	if !yields && n.hasGivenUp(m) {
		yields, id = true, epoch.NewRaftID(n.cfg.Self, n.cfg.Random()>>9|1)
	}
	if !yields {
		if key := "histories " + m.Epoch.String(); n.once(key) {
			n.note(cluster.Event{
				Severity: cluster.Error, Code: cluster.CodeTwoHistories,
				Text: fmt.Sprintf("%s went on without this cluster under epoch %v; it stops its groups and joins; what it has decided since is lost", n.serverName(other.Server()), m.Epoch),
			})
		}
		return
	}
	n.stopAtOnce()
	n.follow(m.Forced)
	// The other one may never have heard of this history: it is told here too.
	n.enter(m.Epoch, id, &pb.HardState{}, nil, func() {
		n.note(cluster.Event{
			Severity: cluster.Error, Code: cluster.CodeTwoHistories,
			Text: fmt.Sprintf("%s went on without %s (epoch %d, founded by both): groups may have run on both sides; it has stopped its groups and joins, and what it has decided since is lost",
				n.name, n.serverName(other.Server()), m.Epoch.Number),
		})
	})
}

// hasGivenUp reports whether this server has sealed its history without ever claiming, and
// nothing has come of that for long, while the other history has a leader with a lease. It
// would not come over by itself: the others do not hear of a sealed epoch, so they go on
// without it. It does so under a new raft id (D8): somebody who still takes part in its
// own history may take it back there.
func (n *Node) hasGivenUp(m Message) bool {
	// A claim that a tie-breaker without a record was to answer before the boot is nothing
	// any more, and this server makes no other one (T3).
	claimed := n.id.Claimed && n.mayAskWeak()
	return n.id.Sealed && !claimed && n.forced == nil && !n.half.founded && n.half.sealedAt != 0 &&
		n.now.Mono.Sub(n.half.sealedAt) > 2*agreeAfter*n.p.Timeout && m.Leader && len(m.Voters) > 0
}

// overtaken: a higher epoch is heard of, and is joined.
//
// Where the tie-breaker keeps its promise, the half that founded it had supported no
// leader of this epoch for Te, so no lease under one lasts longer than L - Te from now
// on; this server's sessions may go on under the new leader (L7). A lease that lasts
// longer shows that this history has been alive beside the other one, and is given up
// (D1). The tenth of Te is for the rates of the clocks.
//
// Where an operator has founded one of the two, how long the lease lasts shows nothing:
// the other one may have decided on these groups meanwhile, and takes this session for
// the one that it knows of.
func (n *Node) overtaken(m Message) {
	left := n.held.End.Sub(n.now.Mono)
	isOne := m.Forced == n.nextID.Forced || n.lacks(NoLine)
	if !n.held.Valid(n.now.Mono) || isOne && left <= n.p.Lease-n.p.Elect*9/10 {
		n.join(m.Epoch, m.Forced, nil)
		return
	}
	n.stopAtOnce()
	mine := n.id.Epoch
	n.join(m.Epoch, m.Forced, func() {
		n.note(cluster.Event{
			Severity: cluster.Error, Code: cluster.CodeTwoHistories,
			Text: fmt.Sprintf("%s still had a leader (epoch %d) while %s went on without it (epoch %d): groups may have run on both sides; it has stopped its groups and joins, and what was decided under epoch %d since is lost",
				n.name, mine.Number, n.serverName(m.Epoch.Founder.Server()), m.Epoch.Number, mine.Number),
		})
	})
}

// stopAtOnce has the guard clear this server's groups, whatever is left of the lease.
func (n *Node) stopAtOnce() {
	if n.held.End != 0 && !n.held.Lapsed {
		n.held.Lapsed, n.clean = true, false
		n.out.Fire = true
	}
}

// once reports whether the key was not asked about within the last T.
func (n *Node) once(key string) bool {
	for _, a := range n.asked {
		if a.key == key {
			return false
		}
	}
	n.asked = append(n.asked, asked{key, n.now.Mono})
	return true
}
