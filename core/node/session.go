package node

import (
	"cmp"
	"slices"

	"baton/core/cluster"
	"baton/core/lease"
)

// extend moves the end of this server's lease; the guard gets it with this step's
// output.
func (n *Node) extend(end lease.Instant) {
	if n.retired || n.renewing {
		return
	}
	if n.lacks(NoSticky) && n.held.End != 0 && n.now.Mono >= n.held.End {
		n.held = lease.Held{}
	}
	if !n.held.Extend(n.now.Mono, end) {
		return
	}
	if !n.hadLease {
		n.out.Changed = true
	}
	n.hadLease = true
	if n.nextID.Quorate != n.cfg.Boot {
		boot := n.cfg.Boot
		n.writeIdentity(0, func(id *identity) { id.Quorate = boot }, func() {})
	}
	n.out.Lease = &Lease{Session: n.id.Session, End: end}
}

// checkLease notices the end of the lease. From here on nothing is executed under
// this session; the guard clears what runs.
func (n *Node) checkLease() {
	if n.renewLater {
		n.renew()
	}
	if n.held.Lapse(n.now.Mono) {
		n.clean = false
		n.out.Changed = true
		if n.lacks(RenewDirty) {
			n.clean = true
			n.newSession()
		}
	}
}

// guardFired: the guard was faster than this node's own clock reading.
func (n *Node) guardFired(session uint64) {
	if session == n.id.Session && !n.held.Lapsed {
		n.held.Lapsed, n.clean = true, false
		n.out.Changed = true
	}
}

// cleared: nothing of the ended session is left (rule S1), so a new one may begin.
// Where this life has had no lease, the clearing was that of what an earlier batond
// left, under whatever number.
func (n *Node) cleared(session uint64) {
	if session == n.id.Session && n.held.End != 0 {
		n.held.Lapsed = true // the guard has fired, whatever we thought
	}
	if !n.held.Lapsed || n.held.End != 0 && session != n.id.Session {
		return
	}
	n.clean = true
	if n.mayRunHere() {
		n.quietUntil = n.now.Mono.Add(n.p.Round)
	}
	n.active, n.inherited = nil, false
	n.renew()
}

// newSession takes the next number. It is offered once the disk has it.
func (n *Node) newSession() {
	if n.renewing || !n.clean || n.id.Session == 0 && !n.floorKnown {
		return
	}
	n.renewing = true
	n.journal.forget(n)
	session := max(n.id.Session, n.floor) + 1
	n.writeIdentity(SessionEarly, func(id *identity) { id.Session = session }, func() {
		n.held = lease.Held{}
		n.active, n.inherited = nil, false
		n.renewing = false
		n.out.Changed = true
		if n.floor >= n.id.Session {
			n.newSession()
		}
	})
}

// firstSession takes the first number on an empty disk, above all that a leader has
// ever opened for this server: an earlier disk may have been lost, and its numbers
// must not come back (S1).
func (n *Node) firstSession(opened uint64) {
	if n.id.Session != 0 || n.renewing {
		return
	}
	n.floor, n.floorKnown = max(n.floor, opened), true
	if n.leave == nil {
		n.newSession()
	}
}

// openedFor is Message.Opened for server s.
func (n *Node) openedFor(s int) uint64 {
	srv := n.state.Server(n.cfg.Servers[s-1])
	if srv == nil {
		return 0
	}
	return srv.LastSession + 1
}

// offer is the session that this server names to others: 0 while something of an
// ended one may be left, or while it is leaving for good.
func (n *Node) offer() uint64 {
	if n.renewing || n.held.Lapsed || !n.clean || n.retired || n.held.End != 0 && n.now.Mono >= n.held.End {
		return 0
	}
	return n.id.Session
}

// endedFor is the number up to which the sessions of server s are over, as the
// leader tells it; 0 if it runs under the open one.
func (n *Node) endedFor(s int) uint64 {
	srv := n.state.Server(n.cfg.Servers[s-1])
	p := &n.peers[s]
	if srv == nil || p.session == 0 || p.session > srv.LastSession || srv.Session == p.session {
		return 0
	}
	return srv.LastSession
}

// followSession compares this server's session with what its own state says.
func (n *Node) followSession() {
	s := n.server()
	if s == nil || !n.caughtUp() || s.LastSession < n.id.Session || s.Session != 0 && s.Session <= n.id.Session {
		return
	}
	// An open one above its own is one that it has offered before it lost its disk. Nobody
	// but itself can say that it is over, and a leader is told nothing by others.
	if s.State == cluster.ServerStopped && s.Boot == n.cfg.Boot {
		n.shutDown(s.Then)
	}
	n.sessionOver(s.LastSession)
}

// shutDown: an operator has shut this server down, or the cluster, and that ended the
// session of this batond or used up the one it offers. So batond ends. One that is
// started later has a newer session: what it reads of that end does not concern it.
func (n *Node) shutDown(then cluster.Then) {
	if n.renewing || n.held.Lapsed || n.id.Session == 0 {
		return
	}
	if n.leave != nil {
		// Init has told batond to end as well, after the operator did.
		n.leave.then = cmp.Or(n.leave.then, then)
		return
	}
	n.leave = &leaving{since: n.now.Mono, then: then}
	n.out.Changed = true
}

// sessionOver: all sessions of this server up to the given number are over. What
// runs under one is stopped by the guard at the end of its lease, which nobody
// extends; where nothing runs, the guard is told to stand down.
func (n *Node) sessionOver(number uint64) {
	if number < n.id.Session || n.renewing || !n.ready {
		return
	}
	n.floor = max(n.floor, number)
	switch {
	case n.held.Lapsed:
		// cleared goes on.
	case n.held.End == 0:
		n.renew()
	case !n.mayRunHere():
		n.out.Lease = &Lease{Session: n.id.Session}
		n.held = lease.Held{}
		n.renew()
	}
}

// renew begins a session after the one that is over, or ends this life. Where groups
// have been cleared it waits for a round first: the next owner of an address is not to answer
// within a heartbeat of what clients have heard from here last.
func (n *Node) renew() {
	if n.renewLater = n.now.Mono < n.quietUntil; n.renewLater {
		return
	}
	if n.leave != nil {
		n.retired = true
		n.out.Changed = true
		return
	}
	n.newSession()
}

// mayRunHere reports whether something of this session may be active.
func (n *Node) mayRunHere() bool { return n.inherited || len(n.active) > 0 }

func (n *Node) noteActive(st cluster.Step) {
	if st.Kind == cluster.StepStart && !slices.Contains(n.active, st.Group) {
		n.active = append(n.active, st.Group)
	}
}

func (n *Node) noteInactive(group string) {
	n.active = slices.DeleteFunc(n.active, func(g string) bool { return g == group })
}
