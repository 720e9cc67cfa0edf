package sim

import "time"

// moment is a point at which a fault is more likely to show something than at a
// point drawn by chance. They are seen from outside the nodes.
type moment int

const (
	momentLeader  moment = iota // a leader's first heartbeat
	momentConf                  // another configuration
	momentLost                  // the end of a session is being replicated
	momentArrive                // an arrival is being replicated
	momentResult                // a result is being replicated
	momentSession               // a server names a new session
	momentRun                   // a step is handed to the hands
	momentBegun                 // a step has begun
	momentSeal                  // a server says that it has sealed its epoch
	momentClaim                 // a claim is sent to the tie-breaker
	momentEpoch                 // a server speaks in another epoch than before
	moments                     // how many there are
)

// moment draws a fault, sometimes. It happens at once or a little later.
func (w *world) moment(m moment, s *server) {
	if w.aim == 0 || w.healed || w.peace || w.now < w.from || w.violation != nil {
		return
	}
	if last := w.lastMoment[m]; last != 0 && w.now-last < 400*time.Millisecond {
		return
	}
	w.lastMoment[m] = w.now
	if !w.dice.chance(w.aim) {
		return
	}
	w.stats.count("aimed fault")
	d := time.Duration(0)
	if w.dice.chance(0.5) {
		d = w.dice.between(0, 12*time.Millisecond)
	}
	// Never inside the step that is going on: its outputs are carried out first, or
	// the halt drops them.
	w.after(d, func() {
		if !w.healed && !w.peace {
			w.strike(m, s)
		}
	})
}

func (w *world) strike(m moment, s *server) {
	k := w.dice.IntN(10)
	if m == momentConf && w.dice.chance(0.5) {
		// The leader alone on one side, everyone else, back on the other.
		k = 1
		for _, o := range w.servers {
			if o.life == nil {
				o.boot()
			}
		}
	}
	if m == momentLost && w.dice.chance(0.7) {
		// The one that is given up is heard again just now (H3), or the leader goes
		// and leaves its proposal to a successor who hears him (H4).
		k = 4 - 3*w.dice.IntN(2)
	}
	if m == momentSeal && w.dice.chance(0.6) {
		// The one that has sealed starts anew, and everybody is back.
		w.net.calm()
		for _, o := range w.servers {
			if o.life == nil {
				o.boot()
			}
		}
		k = 2
	}
	if m == momentClaim && w.opt.Tie == TieRegister && w.dice.chance(0.3) {
		// What it has just given away is forgotten before anybody lives by it.
		w.wipeRegister()
		return
	}
	switch k {
	case 0:
		w.partition(false)
	case 1:
		w.net.calm()
		w.isolate(s)
	case 2, 3:
		w.crashFor(s, 5*time.Millisecond, 1500*time.Millisecond)
	case 4:
		w.note(nil, "the network heals")
		w.net.calm()
	case 5, 6:
		w.stallFor(s, 6*time.Second)
	case 7:
		w.crashFor(w.any(), 5*time.Millisecond, 1500*time.Millisecond)
	case 8:
		w.rebootIn(s, 300*time.Millisecond, 3*time.Second)
	case 9:
		w.partition(true)
	}
}
