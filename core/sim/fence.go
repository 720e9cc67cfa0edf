package sim

import (
	"slices"
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

// fence is the kind that powers missing servers off, as daemon/tiebreak/fence does: one
// shot at a time and server, which goes on between calls as long as somebody asks, and
// wins when every missing server is off. What an agent was told happens even if the
// server that told it is off by then, so two may shoot each other.
type fence struct {
	w     *world
	shots []*shot // by number of the server that shoots; nil: none
	hits  int     // servers that were powered off
	// deaf and lying are agents as a scene makes them, by number of the server they are
	// for: the one says that it has powered it off and has not, the other says by its
	// status, too, that the server is off.
	deaf, lying []bool
}

// shot is the work of one claim.
type shot struct {
	by      *server
	life    *life
	claim   epoch.ID
	missing []int
	open    int    // servers whose agent has not answered
	failed  string // why it failed
	over    bool
	at      time.Duration // of its end
	wanted  time.Duration // when somebody last asked
	waiting []uint64      // calls to answer
}

// Times of a shot. The first server of the configuration is preferred: who shoots at it
// waits.
const (
	preferred  = time.Second
	agentLeast = 200 * time.Millisecond
	agentMost  = 3 * time.Second
)

func (f *fence) call(s *server, l *life, c node.RegisterCall) {
	w := f.w
	fails := !w.healed && w.dice.chance(0.1)
	switch {
	case c.Claim != (epoch.ID{}):
		f.shoot(s, l, c)
		return
	case c.Raise == (epoch.ID{}) && fails:
		w.answer(s, l, node.RegisterAnswer{ID: c.ID, Text: "the agents do not answer"})
		return
	}
	w.after(w.dice.between(10*time.Millisecond, 300*time.Millisecond), func() {
		w.answer(s, l, node.RegisterAnswer{ID: c.ID})
	})
}

// shoot joins the shot under way, tells the outcome of the last one, or begins one.
func (f *fence) shoot(s *server, l *life, c node.RegisterCall) {
	w, sh := f.w, f.shots[s.number]
	same := sh != nil && sh.life == l && sh.claim == c.Claim && slices.Equal(sh.missing, c.Missing)
	switch {
	case same && !sh.over:
		sh.wanted = w.now
		sh.waiting = append(sh.waiting, c.ID)
		return
	case sh != nil && sh.life == l && !sh.over:
		w.answer(s, l, node.RegisterAnswer{ID: c.ID, Text: "another claim's agents are still running"})
		return
	case same && (sh.failed == "" || w.now-sh.at < w.times.Timeout):
		sh.tell(c.ID)
		return
	}
	sh = &shot{by: s, life: l, claim: c.Claim, missing: slices.Clone(c.Missing), open: len(c.Missing), wanted: w.now, waiting: []uint64{c.ID}}
	f.shots[s.number] = sh
	w.note(s, "fences %v for epoch %v", sh.missing, sh.claim)
	if sh.open == 0 {
		sh.end()
	}
	for _, m := range sh.missing {
		d := w.dice.between(0, 300*time.Millisecond) // a look at the status first
		if m == 1 {
			d += preferred
		}
		w.after(d, func() { sh.fire(w.servers[m-1]) })
	}
}

// isWanted: batond is there, and has asked a moment ago.
func (sh *shot) isWanted() bool {
	w := sh.by.w
	return sh.by.life == sh.life && w.now-sh.wanted < w.times.Timeout
}

// fire tells the agent of one server to power it off.
func (sh *shot) fire(target *server) {
	w := sh.by.w
	switch {
	case sh.over:
		return
	case !target.power:
		sh.confirm(target) // off already
		return
	case !sh.isWanted() || w.register.down[sh.by.number]:
		sh.fail("nobody asks any more, or the agent does not answer")
		return
	}
	fails := !w.healed && w.dice.chance(0.15)
	w.after(w.dice.between(agentLeast, agentMost), func() {
		switch {
		case sh.over && w.healed:
			return // calm: what was under way is over, too
		case fails:
			sh.fail("the agent fails")
			return
		}
		if target.power && !w.fence.deaf[target.number] {
			w.stats.count("fenced")
			w.fence.hits++
			w.note(target, "is powered off by %s", sh.by.name)
			target.powerOff()
			most := 15 * time.Second
			if w.healed {
				most = 3 * time.Second
			}
			w.after(w.dice.between(300*time.Millisecond, most), func() {
				if !target.away {
					target.boot()
				}
			})
		}
		// Only the status tells, a little later. Who boots in between is on.
		w.after(w.dice.between(10*time.Millisecond, 500*time.Millisecond), func() {
			if target.power && w.opt.World&UnverifiedOff == 0 && !w.fence.lying[target.number] {
				sh.fail("the status says on")
				return
			}
			sh.confirm(target)
		})
	})
}

func (sh *shot) confirm(target *server) {
	w := sh.by.w
	w.note(sh.by, "%s is off", target.name)
	if sh.open--; sh.open == 0 && !sh.over {
		sh.end()
	}
}

func (sh *shot) fail(why string) {
	if !sh.over {
		sh.failed = why
		sh.end()
	}
}

func (sh *shot) end() {
	sh.over, sh.at = true, sh.by.w.now
	sh.by.w.note(sh.by, "the fencing for epoch %v has ended: %q", sh.claim, sh.failed)
	for _, id := range sh.waiting {
		sh.tell(id)
	}
	sh.waiting = nil
}

func (sh *shot) tell(id uint64) {
	a := node.RegisterAnswer{ID: id, Text: sh.failed}
	if sh.failed == "" {
		a.Top = sh.claim
	}
	sh.by.w.answer(sh.by, sh.life, a)
}
