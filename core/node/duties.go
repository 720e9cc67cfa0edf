package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// duties is what a leader decides by itself: the rules to follow, whose session is
// over, who has arrived, when the cluster begins, who votes.
func (n *Node) duties() {
	if !n.canPropose() || n.leaderLease() <= n.now.Mono {
		return
	}
	// Before a change of the voters is proposed: behind it the lease may rest on others,
	// and what this leader founds then must not forget what it rested on.
	n.supportSelf()
	if n.agreed == 0 {
		n.agreed = hashRules(n.state.Config)
	}
	if n.agreed != n.rulesHash {
		rules := n.cfg.Rules
		n.propose("configure", cluster.Command{Kind: cluster.KindConfigure, Config: &rules})
		return
	}
	n.endSessions()
	n.letIn()
	n.beginCluster()
	n.changeMembers()
	n.raiseRegister()
}

// verdict on an open session.
type verdict uint8

const (
	undecided verdict = iota
	alive             // its server is heard under it
	over
)

// judge decides on the open session of server number s.
func (n *Node) judge(s int, srv *cluster.Server, w lease.Instant) (verdict, cluster.Loss) {
	session, boot, recent := n.offer(), n.cfg.Boot, true
	p := &n.peers[s]
	if s != n.cfg.Self {
		session, boot, recent = p.session, p.boot, n.isRecent(s)
	}
	if n.lead.members[s].ending == srv.Session {
		// Once proposed it stays proposed: it gets no more grants (L5).
		return over, n.loss(s, srv, session, boot)
	}
	switch {
	case recent && (session > srv.Session || session == srv.Session && boot != srv.Boot && !n.lacks(AnyBoot) || n.lacks(AnyWord) && session != 0 && session != srv.Session):
		// The server's own word: nothing of an older session is left there (S1). So it is with
		// the same number under another boot: the server has lost its disk, and was told by a
		// leader that had been replaced and did not know it yet which numbers are used up.
		return over, n.loss(s, srv, session, boot)
	case recent && session == srv.Session && (s == n.cfg.Self || !n.isUseless(s)):
		return alive, cluster.Loss{}
	case s != n.cfg.Self && (lease.Silence{
		Heard: p.heard, Echoed: p.echoed, Granted: n.lead.members[s].granted, Led: n.lead.since,
		Here: p.here, Useless: n.isUseless(s),
	}).Over(n.now.Mono, w, n.p) || n.lacks(LossEarly) && s != n.cfg.Self && n.now.Mono >= w && n.silentFor(s) >= n.p.Elect:
		return over, n.loss(s, srv, session, boot)
	}
	return undecided, cluster.Loss{}
}

// loss tells of a server whose session is over, and which names another one.
func (n *Node) loss(s int, srv *cluster.Server, session uint64, boot string) cluster.Loss {
	l := cluster.Loss{Server: srv.Name, Session: srv.Session, Reason: n.lossReason(s, srv, boot)}
	if isHere := s == n.cfg.Self || n.isRecent(s); isHere && session > srv.Session && boot == srv.Boot {
		l.Offers = session
	}
	return l
}

// lossReason says why a session is over, in one clause.
func (n *Node) lossReason(s int, srv *cluster.Server, boot string) string {
	p := &n.peers[s]
	switch {
	case s != n.cfg.Self && n.now.Mono.Sub(p.heard) >= n.p.Elect:
		return n.silence(s)
	case boot != srv.Boot && boot != "":
		return "it has rebooted"
	case s != n.cfg.Self && p.stuck:
		return "its own disk does not answer, so that it can neither stop nor start anything"
	case s != n.cfg.Self && p.epoch != n.id.Epoch:
		return fmt.Sprintf("it has not come over to epoch %d", n.id.Epoch.Number)
	case s != n.cfg.Self && p.session <= srv.Session:
		return fmt.Sprintf("it does not hear the leader %s any more", n.name)
	}
	return "its lease was over, it has stopped its groups itself"
}

// silence says how silent a server is.
func (n *Node) silence(s int) string {
	paths := len(n.peers[s].paths)
	silent, still := paths, ""
	if n.isSeen(s) {
		silent, still = paths-1, ", but it still writes to the CLUSTER partition"
	}
	return fmt.Sprintf("silent on %d of %d paths for %v%s", silent, paths, tenths(n.silentFor(s)), still)
}

func tenths(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// endSessions ends the sessions of servers that cannot hold a lease any more (L5).
//
// While this leader itself has no open session and hears nobody who has one, it
// decides on all of them together: if every session is over, the cluster is starting
// rather than failing over from one dead server to the next.
func (n *Node) endSessions() {
	w, _ := n.formerOver()
	var lost []cluster.Loss
	anyAlive, waiting := false, false
	for i := range n.state.Servers {
		srv := &n.state.Servers[i]
		s := slices.Index(n.cfg.Servers, srv.Name) + 1
		if s == 0 {
			continue
		}
		if srv.Session == 0 {
			if srv.Present && s != n.cfg.Self && n.silentFor(s) >= n.p.Timeout && n.now.Mono.Sub(n.lead.since) >= n.p.Timeout {
				lost = append(lost, cluster.Loss{Server: srv.Name, Reason: n.lossReason(s, srv, "")})
			}
			continue
		}
		switch v, loss := n.judge(s, srv, w); v {
		case over:
			lost = append(lost, loss)
		case alive:
			anyAlive = true
		default:
			waiting = true
		}
	}
	if len(lost) == 0 || waiting && !anyAlive {
		return
	}
	key := "lost"
	for _, l := range lost {
		key += " " + l.Server + " " + itoa(l.Session)
	}
	// Grants stop before the proposal leaves, whether it is accepted or not.
	for _, l := range lost {
		n.lead.members[slices.Index(n.cfg.Servers, l.Server)+1].ending = l.Session
	}
	n.propose(key, cluster.Command{Kind: cluster.KindLost, Lost: lost})
}

// letIn proposes the arrival of servers that offer a session and have none.
func (n *Node) letIn() {
	for i := range n.state.Servers {
		srv := &n.state.Servers[i]
		s := slices.Index(n.cfg.Servers, srv.Name) + 1
		if s == 0 || srv.Session != 0 {
			continue
		}
		session, boot, life, there := n.offer(), n.cfg.Boot, n.life(), true
		if s != n.cfg.Self {
			p := &n.peers[s]
			session, boot, life, there = p.session, p.boot, p.life, n.hearsUs(s) && !p.leaving
		}
		if !there || session == 0 || session <= srv.LastSession || srv.Present && srv.Offered == session && srv.Boot == boot {
			continue
		}
		n.lead.members[s].ending = 0
		n.propose("arrive "+srv.Name+" "+itoa(session), cluster.Command{
			Kind: cluster.KindArrive, Server: srv.Name, Session: session, Boot: boot, Life: life.String(),
		})
	}
}

// beginCluster ends the forming of the cluster: all servers are there, or
// startup.wait is over. After an outage in which this server went on running there
// is nobody to wait for longer than T.
func (n *Node) beginCluster() {
	if n.state.Phase != cluster.PhaseForming && n.state.Phase != "" || n.leave != nil {
		return
	}
	var here, missing []string
	for _, srv := range n.state.Servers {
		switch {
		case srv.State == cluster.ServerStarting:
			here = append(here, srv.Name)
		case !srv.Disconnected:
			missing = append(missing, srv.Name)
		}
	}
	if len(here) == 0 || n.votesAreMissing(here) && n.now.Mono.Sub(n.lead.since) < 2*n.p.Timeout {
		return
	}
	text := "all servers are there"
	if len(missing) > 0 {
		wait, what := n.cfg.Wait, fmt.Sprintf("startup.wait of %v is over", n.cfg.Wait)
		if n.hadLease {
			wait, what = n.p.Timeout, "the outage is over"
		}
		if n.now.Mono.Sub(n.lead.since) < wait {
			return
		}
		text = what + ", without " + strings.Join(missing, ", ")
	}
	n.propose("begin", cluster.Command{Kind: cluster.KindBegin, Text: text})
}

// votesAreMissing reports whether a server that is here does not vote yet. While it
// does not, the cluster tolerates less than it will: groups wait for that (H22), but
// not for ever.
func (n *Node) votesAreMissing(here []string) bool {
	for _, name := range here {
		s := slices.Index(n.cfg.Servers, name) + 1
		if !slices.ContainsFunc(n.members.Voters, func(v epoch.RaftID) bool { return v.Server() == s }) {
			return true
		}
	}
	return false
}

// changeMembers keeps the voters in step with the servers that are there.
func (n *Node) changeMembers() {
	if n.lead.changing != nil {
		return
	}
	progress := n.rn.Status().Progress
	there := make([]epoch.Presence, len(n.cfg.Servers))
	for s := 1; s < len(n.peers); s++ {
		if s == n.cfg.Self {
			there[s-1] = epoch.Presence{ID: n.id.Raft, Heard: true, CaughtUp: true}
			continue
		}
		p := &n.peers[s]
		sealed := n.half.seals[s].id == p.life.Raft && p.life.Raft != 0
		pr := epoch.Presence{ID: p.life.Raft, Heard: n.hearsUs(s) && !sealed && !p.leaving, Age: n.silentFor(s)}
		pr.Sealed = sealed
		pr.CaughtUp = progress[uint64(p.life.Raft)].Match+caughtUpWithin >= n.applied
		if srv := n.state.Server(n.cfg.Servers[s-1]); srv != nil {
			silent := n.silentFor(s) >= n.p.Timeout && n.now.Mono.Sub(n.lead.since) >= n.p.Timeout
			pr.Gone = srv.Session == 0 && (silent || n.isEnding(p))
		}
		there[s-1] = pr
	}
	c := epoch.Next(n.members, n.id.Raft, there, n.cfg.Tiebreaker || n.lacks(EvenVoters))
	if c == (epoch.Change{}) {
		return
	}
	after := slices.DeleteFunc(slices.Clone(n.members.Voters), func(v epoch.RaftID) bool { return v == c.ID })
	t := pb.ConfChangeRemoveNode
	switch c.Kind {
	case epoch.AddLearner:
		t = pb.ConfChangeAddLearnerNode
	case epoch.Promote:
		t = pb.ConfChangeAddNode
		after = append(after, c.ID)
	}
	i := slices.IndexFunc(n.asked, func(a asked) bool { return a.key == "members" })
	if i >= 0 && n.now.Mono.Sub(n.asked[i].at) < n.p.RaftTick {
		return
	}
	if i < 0 {
		n.asked = append(n.asked, asked{"members", n.now.Mono})
	} else {
		n.asked[i].at = n.now.Mono
	}
	n.lead.changing = after
	if n.rn.ProposeConfChange(&pb.ConfChange{Type: t.Enum(), NodeId: proto.Uint64(uint64(c.ID))}) != nil {
		n.lead.changing = nil // dropped: a transfer of the leadership is going on
	}
}

// isEnding reports whether a server has let go of everything and its process is about
// to end, so that its vote is better taken away while it can still agree to that (D11).
// A cluster shutdown takes nobody's vote.
func (n *Node) isEnding(p *peer) bool {
	return p.leaving && p.session == 0 && n.state.Phase == cluster.PhaseRunning
}

// changeApplied: a change of the configuration is applied; the leader may go on.
func (n *Node) changeApplied() {
	if n.lead != nil {
		n.lead.changing = nil
	}
}

// emptyApplied: raft turns a change that it refuses into an empty entry.
func (n *Node) emptyApplied(term uint64) {
	if n.lead != nil && n.lead.settled && term == n.lead.term {
		n.lead.changing = nil
	}
}
