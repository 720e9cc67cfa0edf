package node

import (
	"slices"

	"baton/core/epoch"
)

// This file is about yielding: a sealed server promises one other server, durably, never
// to found the next epoch itself. Two rules need it.
//
// T3: a tie-breaker without a record cannot say that an epoch has been founded already,
// and a server that has been powered off goes on with what it had founded when it boots.
// So a seal must not serve two claimants: who claims counts those that have yielded to it
// for its half, and has all other voters powered off (or found silent), sealed or not.
// Another founder would have needed this claimant's yield, or have powered it off.
//
// D12: where every server of the configuration is there again and
// all voters have sealed the epoch, nobody has to decide between halves, and waiting
// for the tie-breaker could be for ever: it was wiped, or keeps no record and all have
// booted since (T3). The one with the best log founds the next epoch when each other
// voter has durably yielded to it, which means never to found that epoch itself.
//
// Why no claim can found the epoch beside that: who claims votes in a configuration of
// its own log and has met half of the last committed one; so does the one yielded to,
// whose configurations include it. Either the claimant is one of those that must
// yield, or it votes only by an entry that none of them has; and then it is a server of
// the configuration that would have to be here, sealed and no better.

// agreeAfter is how long a server waits for the tie-breaker before it yields to another
// one, in parts of T: in all usual cases the tie-breaker has decided by then.
const agreeAfter = 2

// sealedPeer reports whether a server is heard that has sealed this epoch. Then a seal
// costs nothing more: those that could elect a leader are asked for all the same.
func (n *Node) sealedPeer() bool {
	for s := 1; s < len(n.peers); s++ {
		if s != n.cfg.Self && n.isRecent(s) && n.half.seals[s].id == n.peers[s].life.Raft {
			return true
		}
	}
	return false
}

// allAreHere reports whether messages pass both ways between this server and every
// other one of the configuration, and none of them knows a later epoch.
func (n *Node) allAreHere() bool {
	for s := 1; s < len(n.peers); s++ {
		p := &n.peers[s]
		if s != n.cfg.Self && (!p.ever || n.now.Mono.Sub(p.heard) >= n.p.Elect || p.echoed == 0 || n.now.Mono.Sub(p.echoed) >= n.p.Elect ||
			p.epoch.Number > n.id.Epoch.Number || p.epoch.Number == n.id.Epoch.Number && p.epoch != n.id.Epoch) {
			return false
		}
	}
	return true
}

// chosen is the sealed server with the best log of those that vote in their own
// configurations, the lower id of two as good. Seals are frozen, so all who have heard
// the same ones choose the same.
func (n *Node) chosen() (best epoch.RaftID, seal Seal) {
	consider := func(id epoch.RaftID, s Seal) {
		switch {
		case !slices.Contains(s.Voters, id):
		case best == 0, s.LastTerm > seal.LastTerm, s.LastTerm == seal.LastTerm && s.LastIndex > seal.LastIndex,
			s.LastTerm == seal.LastTerm && s.LastIndex == seal.LastIndex && id < best:
			best, seal = id, s
		}
	}
	consider(n.id.Raft, *n.ownSeal())
	for s, w := range n.half.seals {
		if s != n.cfg.Self && w.id != 0 && w.id == n.peers[s].life.Raft {
			consider(w.id, w.seal)
		}
	}
	return best, seal
}

// yieldToBest yields to the best of the sealed servers that are heard, once all voters
// that are heard have sealed or have had the time for it. Only for a tie-breaker without
// a record.
func (n *Node) yieldToBest() {
	best, seal := n.id.Raft, *n.ownSeal()
	waits := false
	for s, w := range n.half.seals {
		p := &n.peers[s]
		switch {
		case s == 0 || s == n.cfg.Self || !n.isRecent(s):
		case w.id != p.life.Raft:
			waits = true
		case w.seal.LastTerm > seal.LastTerm, w.seal.LastTerm == seal.LastTerm && w.seal.LastIndex > seal.LastIndex,
			w.seal.LastTerm == seal.LastTerm && w.seal.LastIndex == seal.LastIndex && w.id < best:
			if slices.Contains(w.seal.Voters, w.id) {
				best, seal = w.id, w.seal
			}
		}
	}
	if best != n.id.Raft && (!waits || n.half.sealedAt != 0 && n.now.Mono.Sub(n.half.sealedAt) > n.p.Timeout/4) {
		n.yield(best)
	}
}

// tryAgree yields to the chosen server, or founds the epoch as the one that all others
// have yielded to.
func (n *Node) tryAgree() {
	if !n.id.Sealed || n.sealing || n.forced != nil || n.half.founded || n.half.sealedAt == 0 ||
		n.now.Mono.Sub(n.half.sealedAt) < agreeAfter*n.p.Timeout || !n.allAreHere() || n.lacks(NoAgreement) {
		return
	}
	for s := 1; s < len(n.peers); s++ {
		if p := &n.peers[s]; s != n.cfg.Self && p.epoch == n.id.Epoch && n.half.seals[s].id != p.life.Raft {
			return // not sealed: it may vote yet
		}
	}
	best, seal := n.chosen()
	number := n.nextNumber(best)
	if best == 0 || !n.areSealed(seal.Voters) || number == 0 {
		return
	}
	if best != n.id.Raft {
		n.yield(best)
		return
	}
	if n.nextID.Yield != 0 || !n.isHalfSealed() {
		return
	}
	sup := max(n.support.Last, n.support.Former)
	for s, w := range n.half.seals {
		if s == n.cfg.Self || w.id == 0 {
			continue
		}
		if slices.Contains(seal.Voters, w.id) && w.seal.Yield != best && !n.lacks(NoYield) {
			return
		}
		sup = max(sup, w.supported)
	}
	n.found(epoch.ID{Number: number, Founder: n.id.Raft}, sup)
}

// nextNumber is the number of the epoch that best may found by agreement: the next one,
// or 0 where the register has given that to somebody who may found it yet. Where its
// owner cannot any more, because it has yielded (before it heard that its claim had won,
// or as what a forced return had told the register was none), or has lost its log, nobody
// ever will, and best founds the one after it. One beyond the next is of forced returns
// that were cut short: had it been founded, not all would be here.
func (n *Node) nextNumber(best epoch.RaftID) uint64 {
	next, top := n.id.Epoch.Number+1, n.half.top
	owner, isOver := top.Founder.Server(), false
	switch {
	case top.Number < next:
		return next
	case top.Founder == best:
		return top.Number // had it founded that, it would be there
	case owner == n.cfg.Self:
		// A claim of its own would have been carried out when the register said so. This is
		// what a forced return has left that was cut short; to yield now is to give it up.
		isOver = true
	case owner >= 1 && owner < len(n.peers):
		isOver = n.cannotFound(top.Founder)
	}
	if isOver {
		return top.Number + 1
	}
	return 0
}

// areSealed reports whether each of these has sealed, or has lost its log: who is heard
// under another id is nobody who could found anything.
func (n *Node) areSealed(voters []epoch.RaftID) bool {
	return !slices.ContainsFunc(voters, func(v epoch.RaftID) bool {
		s := v.Server()
		return v != n.id.Raft && s < len(n.peers) && s != n.cfg.Self && n.half.seals[s].id != v && n.peers[s].life.Raft == v
	})
}

// isHalfSealed is rule 2 for this server's log.
func (n *Node) isHalfSealed() bool {
	sealed := []epoch.RaftID{n.id.Raft}
	for s, w := range n.half.seals {
		if w.id != 0 && s != n.cfg.Self {
			sealed = append(sealed, w.id)
		}
	}
	return isHalfOfEach(n.raftConfigurations(), sealed)
}

// yield promises never to found the next epoch, and leaves it to another server. It may
// be left to somebody else later, when that one has yielded too, or is no more: then it
// cannot found it either. The best log never yields, so in the end all have yielded to
// it.
func (n *Node) yield(to epoch.RaftID) {
	if had := n.nextID.Yield; had == to || had != 0 && !n.cannotFound(had) {
		return
	}
	e := n.id.Epoch
	n.writeIdentity(YieldEarly, func(id *identity) {
		if id.Epoch == e {
			id.Yield = to
		}
	}, n.beat)
}

// cannotFound reports whether a server that was yielded to has yielded itself, or has
// lost its log.
func (n *Node) cannotFound(id epoch.RaftID) bool {
	s := id.Server()
	if s < 1 || s >= len(n.peers) {
		return true
	}
	w := n.half.seals[s]
	return w.id == id && w.seal.Yield != 0 || n.isAnother(s, []epoch.RaftID{id})
}
