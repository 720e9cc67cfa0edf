package sim

import (
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

// Tie is a kind of tie-breaker.
type Tie string

// The kinds. A register is what disk and witness are to a node; how the disk becomes
// one is modelled in daemon/tiebreak/disk.
const (
	TieNone     Tie = "none"
	TieRegister Tie = "register"
	TieFence    Tie = "fence"
	TiePing     Tie = "ping"
)

// Ties are all of them.
func Ties() []Tie { return []Tie{TieNone, TieRegister, TieFence, TiePing} }

// isWeak: it keeps no record.
func (t Tie) isWeak() bool { return t == TieFence || t == TiePing }

// call is what the owner does with Output.Register. What the tie-breaker does may
// happen even if the caller is gone by then; the answer may get lost, come late or
// twice.
func (w *world) call(s *server, l *life, c node.RegisterCall) {
	if c.Claim != (epoch.ID{}) {
		w.stats.count("claim")
		w.moment(momentClaim, s)
	}
	if w.register.down[s.number] || !w.sure && w.dice.chance(0.03) {
		return
	}
	switch w.opt.Tie {
	case TieFence:
		w.fence.call(s, l, c)
	case TiePing:
		w.after(w.dice.between(w.times.Timeout/100, w.times.Timeout/10), func() { w.answer(s, l, w.ping(s, c)) })
	default:
		w.after(w.dice.between(time.Millisecond, 30*time.Millisecond), func() {
			if !w.register.down[s.number] {
				w.answer(s, l, w.register.do(w, s, c))
			}
		})
	}
}

// answer is the way back.
func (w *world) answer(s *server, l *life, a node.RegisterAnswer) {
	if w.register.down[s.number] || w.register.mute[s.number] || !w.healed && w.dice.chance(0.05) {
		return
	}
	d := w.dice.between(time.Millisecond, 30*time.Millisecond)
	if !w.healed && w.dice.chance(0.03) {
		d = w.dice.between(100*time.Millisecond, 5*time.Second)
		w.stats.count("late answer")
	}
	w.after(d, func() { s.input(l, node.Input{Register: &a}) })
	if w.dice.chance(0.02) {
		w.after(d+w.dice.between(0, time.Second), func() { s.input(l, node.Input{Register: &a}) })
	}
}

// registerFault cuts servers off from the tie-breaker for a while, or lets it lose
// everything.
func (w *world) registerFault() {
	switch {
	case w.opt.Tie == TieNone:
		return
	case w.opt.Tie == TieRegister && w.dice.chance(0.3):
		w.wipeRegister()
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
