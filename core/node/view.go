package node

import (
	"fmt"
	"strings"
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
)

// View makes a picture of the node.
func (n *Node) View(now Now) View {
	n.now = now
	v := View{
		Server: n.name, State: n.state.Clone(), Epoch: n.id.Epoch, Term: n.durableTerm(),
		Session: n.offer(), Waiting: n.waiting(),
	}
	if n.held.Valid(now.Mono) {
		v.Lease = n.held.End.Sub(now.Mono)
	}
	if s := n.leader(); s != 0 {
		v.Leader = n.cfg.Servers[s-1]
		v.Quorum = n.seesQuorum()
	}
	for _, id := range n.members.Voters {
		v.Voters = append(v.Voters, n.serverName(id.Server()))
	}
	for _, id := range n.members.Learners {
		v.Learner = append(v.Learner, n.serverName(id.Server()))
	}
	for s := 1; s < len(n.peers); s++ {
		v.Peers = append(v.Peers, n.peerView(s))
	}
	for _, st := range n.state.Steps(n.name) {
		if e := n.journal.find(st.Token); e != nil && e.running && !e.Done {
			v.Running = append(v.Running, st)
		}
	}
	return v
}

// seesQuorum: a leader with a lease is heard, or this one is it, and the state is no
// older than that.
func (n *Node) seesQuorum() bool {
	switch {
	case n.leader() == 0:
		return false
	case n.isLeading():
		return n.leaderLease() > n.now.Mono
	}
	return n.isCurrent()
}

// Standing is the part of a View that says whether the cluster decides, and costs
// nothing to ask for at every turn of a loop.
func (n *Node) Standing(now Now) Standing {
	n.now = now
	s := Standing{Epoch: n.id.Epoch, Quorum: n.seesQuorum()}
	if !s.Quorum {
		s.Waiting = n.waiting()
	}
	return s
}

func (n *Node) serverName(s int) string {
	if s < 1 || s > len(n.cfg.Servers) {
		return fmt.Sprintf("server number %d", s)
	}
	return n.cfg.Servers[s-1]
}

func (n *Node) peerView(s int) Peer {
	p := &n.peers[s]
	v := Peer{Name: n.cfg.Servers[s-1], Ever: p.ever, Age: n.silentFor(s), Hears: p.hears, SameRules: !p.ever || p.rules == n.rulesHash}
	if s == n.cfg.Self {
		v.Ever, v.Age, v.Hears = true, 0, n.hears()
	}
	for _, at := range p.paths {
		age := time.Duration(-1)
		if at != 0 {
			age = n.now.Mono.Sub(at)
		}
		v.Paths = append(v.Paths, age)
	}
	return v
}

// isCurrent reports whether this server knows what was decided before it began to hear
// the leader.
func (n *Node) isCurrent() bool { return n.mustSee != 0 && n.applied >= n.mustSee }

// waiting says for whom or what the cluster waits, in one sentence; "" for nothing.
func (n *Node) waiting() string {
	if n.isStuck() {
		return "the disk of this server's state directory does not answer"
	}
	if n.id.Epoch.Number == 0 {
		var silent, other []string
		for s := 1; s < len(n.peers); s++ {
			switch p := &n.peers[s]; {
			case s == n.cfg.Self:
			case !p.ever || n.silentFor(s) >= n.p.Elect:
				silent = append(silent, n.cfg.Servers[s-1])
			case p.rules != n.rulesHash:
				other = append(other, n.cfg.Servers[s-1])
			}
		}
		switch {
		case len(silent) > 0:
			return "the first start needs every server; not heard: " + strings.Join(silent, ", ")
		case len(other) > 0:
			return "the first start needs the same configuration everywhere; different on " + strings.Join(other, ", ")
		}
		return "the first start is under way"
	}
	if n.leader() == 0 || n.isLeading() && n.leaderLease() <= n.now.Mono {
		var silent []string
		for _, id := range n.members.Voters {
			switch s := id.Server(); {
			case s == n.cfg.Self || s >= len(n.peers):
			case n.isAnother(s, []epoch.RaftID{id}):
				silent = append(silent, n.serverName(s)+" as it was before it lost its state")
			case !n.isRecent(s) && n.isSeen(s):
				silent = append(silent, n.serverName(s)+" (alive: it writes to the CLUSTER partition)")
			case !n.isRecent(s):
				silent = append(silent, n.serverName(s))
			}
		}
		if text := n.waitingForHalf(silent); text != "" {
			return text
		}
		need := len(n.members.Voters)/2 + 1
		if len(n.members.Voters) > 0 && len(n.members.Voters)-len(silent) < need {
			return fmt.Sprintf("%d of %d votes are needed; not heard: %s", need, len(n.members.Voters), strings.Join(silent, ", "))
		}
		if n.id.Sealed && n.allAreHere() { // D12
			return "nobody was let go on; all servers are there, and agree on the one that does"
		}
		return "a leader is being elected"
	}
	if !n.isLeading() && !n.isCurrent() {
		return "this server is catching up with what was decided while it was away"
	}
	if n.state.Phase == cluster.PhaseForming || n.state.Phase == "" {
		var missing []string
		for _, srv := range n.state.Servers {
			if srv.State != cluster.ServerStarting && !srv.Disconnected {
				missing = append(missing, srv.Name)
			}
		}
		if len(missing) > 0 {
			return fmt.Sprintf("the cluster starts when %s is there, or after startup.wait (%v)", strings.Join(missing, ", "), n.cfg.Wait)
		}
		return "the cluster is starting"
	}
	return ""
}

// waitingForHalf says why exactly half of the voters does not go on; "" where that is
// not the question.
func (n *Node) waitingForHalf(silent []string) string {
	h := &n.half
	switch {
	case !n.cfg.Tiebreaker || 2*len(silent) != len(n.members.Voters) || len(silent) == 0:
		return ""
	case h.top.Number > n.id.Epoch.Number && h.top.Founder != n.id.Raft:
		return fmt.Sprintf("epoch %d belongs to %s, which is not heard", h.top.Number, n.serverName(h.top.Founder.Server()))
	case !n.mayAskWeak():
		return fmt.Sprintf("this server has booted since it last had a quorum, so its tie-breaker must not decide; not heard: %s", strings.Join(silent, ", "))
	case h.refusal != "":
		return fmt.Sprintf("the tie-breaker refuses: %s; not heard: %s", h.refusal, strings.Join(silent, ", "))
	case h.asked != 0 && n.now.Mono.Sub(h.heardAt) > n.p.Timeout:
		return fmt.Sprintf("the tie-breaker does not answer; not heard: %s", strings.Join(silent, ", "))
	}
	return fmt.Sprintf("the tie-breaker decides whether this half goes on; not heard: %s", strings.Join(silent, ", "))
}
