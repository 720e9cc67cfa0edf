package sim

import "time"

// This file has the scenes for forced returns that are cut short.

// cutShort forces a server to return, and takes its power when the register knows the epoch
// that it is about to found, and its disk does not; "" if so.
func (w *world) cutShort(f *server) string {
	w.register.down[f.number] = true // else it goes on by itself
	w.runUntil(w.now + 5*time.Second)
	at := w.register.top()
	w.forced = true
	if !f.seen.sealed {
		w.force(f)
		if !w.when(time.Second, func() bool { return f.seen.sealed }) {
			return "it does not seal"
		}
	}
	f.hang()
	w.register.down[f.number] = false
	w.force(f) // the second time it is of no effect
	w.runUntil(w.now + 150*time.Millisecond)
	f.powerOff()
	f.unhang()
	if w.register.top() == at {
		return "the register is not told"
	}
	return ""
}

// top is the highest number that any cluster has reached.
func (r *register) top() (n uint64) {
	for _, top := range r.tops {
		n = max(n, top.Number)
	}
	return n
}

// lags has the second server's log end before the first one's, and ends with all off but
// the second one.
func (w *world) lags() (p []*server, fails string) {
	p = w.cast()
	if p == nil {
		return nil, noStart
	}
	g, f := p[0], p[1]
	w.gate(streams(between(g, f)))
	g.remark()
	w.runUntil(w.now + 100*time.Millisecond)
	w.register.down[f.number] = true
	for _, s := range p {
		if s != f {
			s.kept = true
			s.powerOff()
		}
	}
	w.atPeace()
	return p, ""
}

var (
	// D5: F is forced, and cut short; the register has given the next epoch to it. Then it is
	// back, and G with it, two of three. But F has not the best log: it does not claim what it
	// has, and G could not.
	sceneForcedBehind = scene{"forced behind", Options{Servers: 3, Tie: TieRegister, Forced: true}, func(w *world) string {
		p, fails := w.lags()
		if fails == "" {
			fails = w.cutShort(p[1])
		}
		if fails != "" {
			return fails
		}
		for _, s := range p[:2] {
			s.kept = false
			s.boot()
		}
		return w.endsOn(40*time.Second, p[:2]...)
	}}
	// D12: the same, and F is cut short twice: the register is at the epoch after the next, and
	// what lies between might be alive. When all are there it is known that it is not.
	sceneForcedTwice = scene{"forced twice", Options{Servers: 3, Tie: TieRegister, Forced: true}, func(w *world) string {
		p, fails := w.lags()
		if fails == "" {
			fails = w.cutShort(p[1])
		}
		if fails != "" {
			return fails
		}
		p[1].boot()
		w.runUntil(w.now + time.Second) // it reads the register
		if text := w.cutShort(p[1]); text != "" {
			return text
		}
		for _, s := range p[:2] {
			s.kept = false
			s.boot()
		}
		if !w.when(6*time.Second, func() bool { return p[0].seen.sealed && p[1].seen.sealed }) {
			return "they do not seal"
		}
		w.runUntil(w.now + 2*time.Second)
		p[2].kept = false
		p[2].boot()
		return w.endsOn(40*time.Second, p...)
	}}
	// What a forced return has raised is no way around an epoch that is alive. Z and H have gone
	// on in the next epoch and are off; F, which knows that from the register, is forced and cut
	// short. Z and H go on; F, and G with it, hear nothing of them but the register.
	sceneForcedBetween = scene{"forced between", Options{Servers: 4, Tie: TieRegister, Forced: true}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		z, h, f, g := p[0], p[1], p[2], p[3]
		for _, s := range p[2:] {
			w.gate(between(z, s))
			w.gate(between(h, s))
			w.register.down[s.number] = true
		}
		if !w.eventually(15*time.Second, func() bool { return z.line.Number == 2 && h.line.Number == 2 && w.allOn(z, h) }) {
			return "they do not go on"
		}
		w.register.down[f.number] = false
		if w.dice.chance(0.5) { // F has all there is to claim with
			w.runUntil(w.now + 3*time.Second)
		}
		for _, s := range []*server{z, h, g} {
			s.kept = true
			s.powerOff()
		}
		if f.seen.sealed {
			return "F has sealed"
		}
		w.runUntil(w.now + 2*time.Second)
		if text := w.cutShort(f); text != "" {
			return text
		}
		w.register.down = make([]bool, len(w.register.down))
		for _, s := range p {
			s.kept = false
			s.boot()
		}
		if text := w.endsOn(30*time.Second, z, h); text != "" {
			return text
		}
		w.runUntil(w.now + 10*time.Second)
		return ""
	}}
	// D1: each of two is forced while the other one is off, so that there are two histories of
	// one number. Then the first server of the configuration is forced once more before it has
	// elected itself, and cut short: the history that the other one would join is sealed.
	sceneForcedBoth = scene{"forced both", Options{Servers: 2, Forced: true}, func(w *world) string {
		if w.cast() == nil {
			return noStart
		}
		a, b := w.servers[0], w.servers[1]
		w.forced = true
		for _, s := range []*server{b, a} {
			o := w.otherThan(s)
			o.kept = true
			o.powerOff()
			s.kept = false
			s.boot()
			w.runUntil(w.now + 2*time.Second)
			w.force(s)
			if text := w.endsOn(15*time.Second, s); text != "" {
				return text
			}
		}
		a.powerOff()
		a.boot()
		w.runUntil(w.now + 100*time.Millisecond)
		w.force(a)
		if !w.when(time.Second, func() bool { return a.seen.sealed }) {
			return "it does not seal"
		}
		a.hang()
		w.runUntil(w.now + 100*time.Millisecond)
		a.powerOff()
		a.unhang()
		b.kept = false
		a.boot()
		b.boot()
		if !w.eventually(60*time.Second, func() bool { w.operators.care(); return w.allWell() }) {
			return w.missing()
		}
		return ""
	}}
)
