package sim

import "baton/core/node"

// point is a kind of moment at which the outside sees something of a server.
type point int

const (
	pointBatch    point = iota // a batch was handed to the disk
	pointDurable               // it is durable, and batond has not been told
	pointRaft                  // a message of raft, or to the leader, was sent
	pointBeat                  // a datagram was sent that says something new of its sender
	pointLease                 // the guard has a new end of the lease
	pointRun                   // a step was handed to its process
	pointBegun                 // it has taken its first action
	pointRegister              // the tie-breaker was asked
	pointResult                // a step's outcome is about to be reported
	pointKinds                 // how many there are
)

func (p point) String() string {
	return [...]string{"batch", "durable", "raft message", "datagram", "lease", "run", "begun", "register", "result"}[p]
}

// points counts them, and does something at one of them.
type points struct {
	count [pointKinds]int
	kind  point
	at    int // the how many-th of that kind; 0: never
	do    func(*server)
	said  map[int]node.Message // by server: the newest datagram that counted
}

func (w *world) point(s *server, p point) {
	ps := w.points
	if ps == nil || w.violation != nil {
		return
	}
	if ps.count[p]++; p == ps.kind && ps.count[p] == ps.at {
		w.note(s, "POINT %v %d", p, ps.at)
		ps.do(s)
	}
}

// sentPoint counts messages. Of the many datagrams only those count that say something
// else of their sender than the one before.
func (w *world) sentPoint(s *server, m *node.Message) {
	if w.points == nil {
		return
	}
	if m.Kind == node.MsgRaft || m.Kind == node.MsgPropose {
		w.point(s, pointRaft)
		return
	}
	last, said := w.points.said[s.number], *m
	if said.Life != last.Life || said.Epoch != last.Epoch || said.Term != last.Term || said.Leader != last.Leader || said.Session != last.Session ||
		said.Support != last.Support || said.GrantSession != last.GrantSession || (said.Seal == nil) != (last.Seal == nil) ||
		said.Leaving != last.Leaving || said.Ended != last.Ended {
		w.points.said[s.number] = said
		w.point(s, pointBeat)
	}
}
