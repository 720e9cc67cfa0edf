package sim

import (
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

// register is the tie-breaker: a write-once record of epochs for each cluster. It
// keeps its promise; what fails is the way to it.
type register struct {
	tops map[uint64]epoch.ID // by cluster id; looked up, never ranged over
	down []bool              // by server number: cannot reach it
}

// call is what the owner does with Output.Register. What the register does happens
// even if the caller is gone by then; the answer may get lost.
func (w *world) call(s *server, l *life, c node.RegisterCall) {
	r := &w.register
	if c.Claim != (epoch.ID{}) {
		w.stats.count("claim")
		w.moment(momentClaim, s)
	}
	if r.down[s.number] || w.dice.chance(0.03) {
		return
	}
	w.after(w.dice.between(time.Millisecond, 30*time.Millisecond), func() {
		if r.down[s.number] {
			return
		}
		a := w.register.do(c)
		if a.Top == c.Claim && c.Claim != (epoch.ID{}) {
			w.note(s, "the register says epoch %v is its", c.Claim)
		}
		if r.down[s.number] || !w.healed && w.dice.chance(0.05) {
			return
		}
		w.after(w.dice.between(time.Millisecond, 30*time.Millisecond), func() {
			s.input(l, node.Input{Register: &a})
		})
	})
}

func (r *register) do(c node.RegisterCall) node.RegisterAnswer {
	top, known := r.tops[c.Cluster]
	switch {
	case !known && c.Raise == (epoch.ID{}):
		return node.RegisterAnswer{ID: c.ID, Text: "the cluster is not enrolled"}
	case c.Raise.Number > top.Number:
		top = c.Raise
	case c.Claim.Number > top.Number:
		top = c.Claim
	}
	r.tops[c.Cluster] = top
	return node.RegisterAnswer{ID: c.ID, Top: top}
}

// registerFault cuts servers off from the register for a while.
func (w *world) registerFault() {
	if !w.opt.Tiebreaker {
		return
	}
	w.fault(nil, "register lost", "")
	for i := range w.register.down {
		if w.dice.IntN(3) == 0 {
			continue
		}
		w.register.down[i] = true
		w.after(w.dice.between(500*time.Millisecond, 8*time.Second), func() { w.register.down[i] = false })
	}
}
