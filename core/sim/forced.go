package sim

import (
	"time"

	"baton/core/node"
)

// forceSome is an honest operator's forced return: where nothing goes on he switches all
// other servers off, lets one go on alone, and gives the others their power back when it
// has, on a network that works. Meanwhile nothing else goes wrong: what a forced return
// promises, it promises only for that.
func (w *world) forceSome() {
	s := w.any()
	if !w.opt.Forced || w.peace || w.wiped != nil || s.life == nil || w.now < s.life.stalled || s.life.leaving || w.now < s.disk.hung {
		return
	}
	for _, o := range w.servers {
		if o.life != nil && o.life.node.View(o.reading()).Quorum {
			return // the cluster goes on by itself
		}
	}
	w.fault(s, "forced return", "")
	w.peace, w.forced, w.forcing = true, true, s
	w.net.calm()
	for _, o := range w.servers {
		if o != s {
			if o.power {
				o.powerOff()
			}
			o.kept = true
		}
	}
	w.after(w.dice.between(0, 2*time.Second), func() {
		if s.life != nil {
			s.input(s.life, node.Input{Force: &node.Force{Who: who(s)}})
		}
	})
	w.awaitForced(s, w.now+20*time.Second)
}

// awaitForced lets the others boot when the server goes on.
func (w *world) awaitForced(s *server, until time.Duration) {
	w.after(200*time.Millisecond, func() {
		if !w.healed && w.now < until && (s.life == nil || !s.life.node.View(s.reading()).Quorum) {
			w.awaitForced(s, until)
			return
		}
		for _, o := range w.servers {
			if o != s {
				o.kept = false
				w.after(w.dice.between(0, 3*time.Second), o.boot)
			}
		}
		w.awaitUnited(w.now + 20*time.Second)
	})
}

// awaitUnited lets the faults go on when all servers are in one epoch.
func (w *world) awaitUnited(until time.Duration) {
	w.after(200*time.Millisecond, func() {
		if w.now < until && !w.isUnited() {
			w.awaitUnited(until)
			return
		}
		w.peace, w.forcing = false, nil
	})
}

// coldStart is the building's power, and one server whose disk had to be replaced: the
// others boot in any order, one may take long.
func (w *world) coldStart() {
	if !w.opt.Late || w.peace || w.wiped != nil || len(w.servers) < 3 || w.opt.Tie == TiePing || !w.isUnited() {
		return
	}
	lost := w.any()
	if w.dice.chance(0.5) {
		lost = w.servers[0] // who would found a new cluster
	}
	w.fault(lost, "cold start", "without its disk")
	w.wiped = lost
	for _, s := range w.servers {
		if s.power {
			s.powerOff()
		}
		s.away = false
	}
	lost.wipe()
	for _, s := range w.servers {
		w.after(w.dice.between(300*time.Millisecond, 15*time.Second), s.boot)
	}
}
