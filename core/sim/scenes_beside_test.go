package sim

import (
	"time"

	"baton/core/cluster"
)

// This file has the scenes for a forced return beside servers that are not off, though the
// operator has said so: two carriers are his risk, until they hear each other.

// untilOne lets time pass until no group has two carriers; from then on none may have.
func (w *world) untilOne(d time.Duration) string {
	one := func() bool {
		for g := range w.rules.Groups {
			if len(w.carriers(g)) > 1 {
				return false
			}
		}
		return true
	}
	if !w.eventually(d, one) {
		return "groups go on having two carriers"
	}
	w.judge.lax = false
	if !w.eventually(60*time.Second, func() bool { w.operators.care(); return w.allWell() }) {
		return w.missing()
	}
	return ""
}

// besideLease plays what these scenes begin with. F is cut off, A and B take its groups over,
// and A one of B's. F is forced, A loses B, and hears F when its own lease has no more left
// than that of a survivor has, whose half was let go on.
func (w *world) besideLease(p []*server, hears func()) string {
	a, b, f := p[0], p[1], p[2]
	w.gate(around(f))
	for i := range w.register.down {
		w.register.down[i] = true
	}
	if !w.eventually(10*time.Second, func() bool { return w.allOn(a, b) && a.votersAre(2) }) {
		return "A and B do not take F's groups"
	}
	moved := w.rules.Groups[b.number-1].Name
	w.operators.ask(a, cluster.Op{Verb: cluster.VerbMove, Group: moved, Server: a.name})
	if !w.eventually(5*time.Second, func() bool { return w.allOn(a, b) && w.carriers(b.number - 1)[0] == a }) {
		return "nothing is moved to A"
	}
	w.runUntil(w.now + time.Second)
	w.judge.lax, w.forced = true, true
	w.gate(between(a, b))
	w.runUntil(w.now + 300*time.Millisecond)
	b.kept = true
	b.powerOff()
	w.force(f)
	if !w.when(time.Second, func() bool { return f.seen.leads && f.line.Number == 2 }) {
		return "F does not go on"
	}
	left := w.dice.between(600*time.Millisecond, 1000*time.Millisecond)
	if !w.when(3*time.Second, func() bool { return a.guard.end.Sub(a.local()) < left }) {
		return "A's lease goes on"
	}
	w.gates = nil
	hears()
	w.runUntil(w.now + 5*time.Second)
	clear(w.register.down)
	b.kept = false
	b.boot()
	return w.untilOne(5 * time.Second)
}

// D1, L7: two histories are two, however little is left of a lease. F takes A's session
// for one of its own history, and would extend it.
var sceneBeside = scene{"forced beside a lease", Options{Servers: 3, Tie: TieRegister, Forced: true}, func(w *world) string {
	p := w.cast()
	if p == nil {
		return noStart
	}
	return w.besideLease(p, func() {})
}}

// meets has F forced at some moment while A and B carry everything, and, by the dice, something
// else go wrong around that moment: A and B lose each other, A's batond is killed, A is forced
// too, one of them loses its power, the register is out of reach.
func (w *world) meets(a, b, f *server) {
	d := w.dice
	force := func(s *server) {
		if s.life != nil {
			w.force(s)
		}
	}
	reboot := func(s *server) {
		s.powerOff()
		w.after(d.between(100*time.Millisecond, 5*time.Second), s.boot)
	}
	w.after(d.between(0, 2*time.Second), func() { force(f) })
	for _, do := range []func(){
		func() { w.gate(between(a, b)) },
		func() {
			a.crash()
			w.after(d.between(0, 1500*time.Millisecond), a.start)
		},
		func() { force(a) },
		func() { reboot(b) },
		func() { reboot(f) },
		func() {
			for i := range w.register.down {
				w.register.down[i] = true
			}
		},
	} {
		if d.chance(0.5) {
			w.after(d.between(0, 3*time.Second), do)
		}
	}
}

// D1: whenever the forced one and the others meet again, one history is left, and all are in
// it without anybody's help.
var sceneMeet = scene{"forced, and meets the others", Options{Servers: 3, Tie: TieRegister, Forced: true}, func(w *world) string {
	p := w.cast()
	if p == nil {
		return noStart
	}
	d := w.dice
	for range d.IntN(3) { // F is the leader as well
		p = append(p[1:], p[0])
	}
	a, b, f := p[0], p[1], p[2]
	w.gate(around(f))
	w.register.down[f.number] = d.chance(0.8)
	w.runUntil(w.now + d.between(w.times.Elect, 7*time.Second))
	if l := w.leader(); l != nil && d.chance(0.7) {
		moved := w.rules.Groups[d.IntN(len(w.rules.Groups))].Name
		w.operators.ask(l, cluster.Op{Verb: cluster.VerbMove, Group: moved, Server: p[d.IntN(2)].name})
		w.runUntil(w.now + d.between(0, time.Second))
	}
	w.judge.lax, w.forced = true, true
	w.meets(a, b, f)
	w.runUntil(w.now + d.between(0, 7*time.Second))
	w.atPeace()
	w.runUntil(w.now + 4*time.Second)
	w.atPeace()
	return w.untilOne(5 * time.Second)
}}
