package sim

import (
	"baton/core/epoch"
	"baton/core/node"
)

// register is a witness or a disk: a write-once record of epochs for each cluster. It
// keeps its promise; what fails is the way to it, and somebody may wipe it.
type register struct {
	tops map[uint64]epoch.ID // by cluster id; looked up, never ranged over
	down []bool              // by server number: cannot reach it
	mute []bool              // by server number: reaches it, and gets no answer
}

func newRegister(servers int) register {
	return register{tops: map[uint64]epoch.ID{}, down: make([]bool, servers+1), mute: make([]bool, servers+1)}
}

// knownByAll is the key that all clusters share where rule T1 is left out.
const knownByAll = 1

func (r *register) do(w *world, s *server, c node.RegisterCall) node.RegisterAnswer {
	if w.opt.World&KeyedByName != 0 {
		c.Cluster = knownByAll
	}
	top, known := r.tops[c.Cluster]
	switch {
	case !known && c.Raise == (epoch.ID{}) && w.opt.World&EnrolAnyone == 0:
		return node.RegisterAnswer{ID: c.ID, Text: "the cluster is not enrolled"}
	case c.Raise.Number > top.Number:
		top = c.Raise
	case c.Claim.Number > top.Number:
		top = c.Claim
		w.note(s, "the register says epoch %v is its", c.Claim)
	}
	if top != r.tops[c.Cluster] || !known {
		w.note(s, "the register is at %v", top)
	}
	r.tops[c.Cluster] = top
	return node.RegisterAnswer{ID: c.ID, Top: top}
}

// wipeRegister: the witness's disk was replaced, or the partition zeroed.
func (w *world) wipeRegister() {
	w.fault(nil, "register wiped", "")
	clear(w.register.tops)
}

// isAhead: somebody has won an epoch above this one.
func (r *register) isAhead(number uint64) bool {
	for _, top := range r.tops {
		if top.Number > number {
			return true
		}
	}
	return false
}
