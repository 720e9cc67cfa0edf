package sim

import "time"

// This file has the scenes about servers that are heard and do not hear.

var (
	// D4, who does not hear this server cannot elect it, nor be elected by it. The network card
	// of A, the leader, receives nothing any more and still sends: neither B's word reaches it
	// nor the tie-breaker's.
	sceneNoEars = scene{"no ears", Options{Servers: 2, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b := p[0], p[1]
		w.gate(way(b, a))
		w.register.down[a.number] = true
		return w.endsOn(20*time.Second, b)
	}}
	// The same of four; D fails together with A's card.
	sceneNoEarsOfFour = scene{"no ears of four", Options{Servers: 4, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c, d := p[0], p[1], p[2], p[3]
		w.gate(way(b, a))
		w.gate(way(c, a))
		w.register.down[a.number] = true
		d.kept = true
		d.powerOff()
		return w.endsOn(20*time.Second, b, c)
	}}
)
