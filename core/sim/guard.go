package sim

import (
	"time"

	"baton/core/lease"
	"baton/core/node"
)

// guard is the small process beside batond that clears the groups when the lease is
// over. It survives batond and dies with the power. Once it has fired, that session
// is over for ever.
type guard struct {
	state   guardState
	session uint64
	end     lease.Instant // of the lease, on the machine's clock
	cleared uint64        // the last session that was cleared since the boot
	shift   uint64        // grows with every change, so that old alarms are ignored
}

type guardState int

const (
	guardIdle     guardState = iota // nothing runs
	guardArmed                      // groups may run until end
	guardClearing                   // fired, not finished
)

// holds says whether groups may run now under the session.
func (s *server) holds(session uint64) bool {
	return s.guard.state == guardArmed && s.guard.session == session && s.local() < s.guard.end
}

// extend is what the owner does with Output.Lease. It reports whether the guard took
// it.
func (s *server) extend(l *life, le *node.Lease) bool {
	w, g := s.w, &s.guard
	if le.End == 0 {
		return s.standDown(l, le.Session)
	}
	l.leases(le)
	switch {
	case le.Session == 0:
		w.break_(BrokenLease, "s%d: a lease without a session", s.number)
	case le.End.Sub(l.readAt) > w.times.Lease:
		w.break_(BrokenLease, "s%d: a lease of %v is above L=%v", s.number, le.End.Sub(l.readAt), w.times.Lease)
	case le.Session == g.session && g.state != guardArmed:
		w.note(s, "guard refuses session %x: it has fired", le.Session)
		w.stats.Refused++
		return false
	case le.Session < g.session:
		w.break_(BrokenLease, "s%d: lease for session %x, the guard knows %x", s.number, le.Session, g.session)
	case le.Session > g.session && g.state != guardIdle:
		w.break_(BrokenLease, "s%d: lease for session %x before the guard has finished %x", s.number, le.Session, g.session)
	case le.Session > g.session && le.End <= s.local():
		w.note(s, "guard refuses session %x: it is over before it begins", le.Session)
		w.stats.Refused++
		return false
	case le.Session > g.session:
		w.note(s, "guard begins session %x", le.Session)
		if w.opt.World&LateGuard != 0 {
			le := *le
			w.after(w.dice.between(0, 2*time.Second), func() {
				if s.life == l && s.guard.state == guardIdle && le.End > s.local() {
					s.guard = guard{state: guardArmed, session: le.Session, end: le.End, cleared: s.guard.cleared, shift: s.guard.shift + 1}
					s.setAlarm()
				}
			})
			return true
		}
		*g = guard{state: guardArmed, session: le.Session, end: le.End, cleared: g.cleared, shift: g.shift + 1}
		s.setAlarm()
	case le.End > g.end:
		// The alarm that is set finds the later end and sets itself anew.
		g.end = le.End
	}
	return true
}

// standDown ends a session of which nothing is left.
func (s *server) standDown(l *life, session uint64) bool {
	w, g := s.w, &s.guard
	if session != g.session || g.state != guardArmed {
		w.note(s, "guard is to stand down for session %x, it has %x", session, g.session)
		return session != g.session
	}
	for i := range s.carries {
		if s.carries[i].on {
			w.break_(BrokenLease, "s%d: the guard is to stand down for session %x, but %s is carried", s.number, session, w.rules.Groups[i].Name)
		}
	}
	w.note(s, "guard stands down, session %x", session)
	l.lease = node.Lease{}
	g.state = guardIdle
	g.shift++
	s.killChildren()
	return true
}

func (s *server) setAlarm() {
	shift := s.guard.shift
	s.w.at(max(s.clock.when(s.guard.end), s.w.now), func() {
		if s.guard.shift != shift || s.guard.state != guardArmed {
			return
		}
		if s.local() < s.guard.end {
			s.setAlarm()
			return
		}
		s.whenThawed(func() {
			// On a machine that stood still the page may have been extended before
			// the guard looks at it.
			if s.guard.shift == shift && s.guard.state == guardArmed {
				s.fire("lease over")
			}
		})
	})
}

// fire ends the session: every group is cleared within the stop budget.
func (s *server) fire(why string) {
	w, g := s.w, &s.guard
	g.state = guardClearing
	g.shift++
	shift := g.shift
	carried := 0
	last := s.clock.span(w.dice.between(0, w.times.Stop/4))
	for i := range s.carries {
		if !s.carries[i].on {
			continue
		}
		carried++
		d := s.clock.span(w.dice.between(w.times.Stop/2, w.times.Stop))
		last = max(last, d)
		w.after(d, func() {
			s.whenThawed(func() {
				if s.guard.shift == shift {
					w.drops(s, i, "guard")
				}
			})
		})
	}
	w.stats.Interrupted += carried
	s.interrupted += carried
	w.note(s, "guard fires for session %x (%s), %d groups to clear", g.session, why, carried)
	s.killChildren()
	w.after(last, func() {
		s.whenThawed(func() {
			if s.guard.shift == shift {
				s.cleared()
			}
		})
	})
}

// cleared is the end of firing: nothing of the session is left.
func (s *server) cleared() {
	for i := range s.carries {
		s.w.drops(s, i, "guard")
	}
	s.children = nil
	s.guard.state = guardIdle
	s.guard.shift++
	s.w.note(s, "guard has cleared session %x", s.guard.session)
	s.guard.cleared = s.guard.session
	if s.startWaits {
		s.startWaits = false
		s.start()
	}
}

// clearing is how the owner learns of it: it looks at every tick. What the guard has
// refused to begin is clear as soon as it is idle.
func (s *server) clearing(l *life) uint64 {
	if s.guard.state == guardClearing {
		return 0
	}
	was, refused := l.cleared, l.refused
	l.cleared, l.refused = s.guard.cleared, 0
	if refused != 0 {
		return refused
	}
	if l.cleared != was {
		return l.cleared
	}
	return 0
}
