package sim

import (
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/node"
)

// child is the process that carries out one step. It survives batond; only the
// guard and the power end it. Its outcome stays in a file until the session ends.
type child struct {
	step    cluster.Step
	begun   bool
	ended   bool
	outcome cluster.Outcome
	line    epoch.ID // the history that the step is of
	parent  *life    // who is told of the end; nil after batond has crashed
}

// carry is what a server has of a group.
type carry struct {
	on      bool
	session uint64
	token   uint64
}

func (s *server) child(token uint64) *child {
	for _, c := range s.children {
		if c.step.Token == token {
			return c
		}
	}
	return nil
}

// run is what the owner does with Output.Run.
func (s *server) run(l *life, r node.Run) {
	w := s.w
	if r.Step.Server != s.name {
		w.break_(BrokenStep, "s%d is to run a step of %s: %+v", s.number, r.Step.Server, r.Step)
	}
	if r.Adopt {
		s.adopt(l, r.Step)
		return
	}
	if r.Step.Session != l.lease.Session || l.readAt >= l.lease.End {
		w.break_(BrokenStep, "s%d: token %d of session %x, but the lease is for %x and ends in %v",
			s.number, r.Step.Token, r.Step.Session, l.lease.Session, l.lease.End.Sub(l.readAt))
	}
	w.note(s, "run %s %s token %d session %x", r.Step.Kind, r.Step.Group, r.Step.Token, r.Step.Session)
	c := &child{step: r.Step, parent: l, line: w.judge.lineOf(s)}
	s.children = append(s.children, c)
	w.moment(momentRun, s)
	w.after(w.dice.between(0, 20*time.Millisecond), func() { s.begin(c) })
}

// begin is the step's first action. The child looks at the guard itself: either it
// sees that the guard has fired, or it is in the cgroup that the guard kills.
func (s *server) begin(c *child) {
	w := s.w
	if s.w.now < s.frozen {
		s.whenThawed(func() { s.begin(c) })
		return
	}
	if !s.alive(c) {
		return
	}
	if !s.holds(c.step.Session) && w.opt.World&LateGuard == 0 {
		w.note(s, "token %d not begun: no lease for session %x", c.step.Token, c.step.Session)
		s.forget(c)
		return
	}
	c.begun = true
	defer w.point(s, pointBegun)
	w.judge.begins(s, c.line, c.step)
	g := w.group(c.step.Group)
	if c.step.Kind == cluster.StepStart {
		w.takes(s, g, c.step)
	}
	d := w.dice.between(5*time.Millisecond, 250*time.Millisecond)
	if !w.healed && w.dice.chance(0.02) {
		d = w.dice.between(time.Second, 15*time.Second)
		w.note(s, "token %d hangs", c.step.Token)
		w.stats.count("hanging step")
	}
	d += w.lasts
	w.moment(momentBegun, s)
	w.after(s.clock.span(d), func() { s.end(c, d) })
}

// end is the step's outcome.
func (s *server) end(c *child, took time.Duration) {
	w := s.w
	if s.w.now < s.frozen {
		s.whenThawed(func() { s.end(c, took) })
		return
	}
	if !s.alive(c) {
		return
	}
	g := w.group(c.step.Group)
	c.ended = true
	c.outcome = cluster.Outcome{OK: true, Ran: true, Disk: cluster.DiskSuccess, Millis: took.Milliseconds()}
	fails := !w.healed && w.dice.chance(w.failing)
	held := fails && w.dice.chance(0.2) // a device stays busy, an address stays
	switch {
	case c.step.Kind == cluster.StepStop && held:
		c.outcome.OK, c.outcome.Text = false, "device is busy"
	case c.step.Kind == cluster.StepStop:
		w.drops(s, g, "stop")
		if fails {
			c.outcome.Exit, c.outcome.Text = 1, "exit code 1"
		}
	case fails && c.step.Kind == cluster.StepStart && w.dice.chance(0.5):
		if !held {
			w.drops(s, g, "activation failed")
		}
		c.outcome = cluster.Outcome{Held: held, Text: "address conflict", Millis: took.Milliseconds()}
	case fails:
		c.outcome.OK, c.outcome.Exit, c.outcome.Text = false, 1, "exit code 1"
	}
	if fails {
		w.stats.count("failing step")
	}
	w.note(s, "token %d ended: ok %v ran %v", c.step.Token, c.outcome.OK, c.outcome.Ran)
	s.report(c)
}

func (s *server) report(c *child) {
	if l := c.parent; l != nil {
		in := node.Input{Result: &node.StepResult{Token: c.step.Token, Outcome: c.outcome}}
		s.w.after(s.w.dice.between(0, 10*time.Millisecond), func() {
			s.w.point(s, pointResult)
			s.input(l, in)
		})
	}
}

// adopt goes on with what an earlier batond has begun. A start that left nothing was
// never begun; a stop that left nothing may have been, and is made good by clearing
// the group, so that the result of a stop always says that nothing is left.
func (s *server) adopt(l *life, step cluster.Step) {
	w := s.w
	w.note(s, "adopt %s %s token %d", step.Kind, step.Group, step.Token)
	if c := s.child(step.Token); c != nil {
		c.parent = l
		if c.ended {
			s.report(c)
		}
		return
	}
	c := &child{step: step, parent: l, begun: true}
	s.children = append(s.children, c)
	w.stats.count("lost step")
	w.after(w.dice.between(time.Millisecond, 20*time.Millisecond), func() {
		if !s.alive(c) {
			return
		}
		c.ended = true
		c.outcome = cluster.Outcome{Exit: -1, Text: "lost"}
		if step.Kind == cluster.StepStop {
			w.drops(s, w.group(step.Group), "lost stop")
			c.outcome.OK = true
		}
		s.report(c)
	})
}

// orphan is what a crash of batond does to the children: those that were not forked
// yet are never begun, the others go on.
func (s *server) orphan() {
	var kept []*child
	for _, c := range s.children {
		c.parent = nil
		if c.begun || s.w.dice.chance(0.5) {
			kept = append(kept, c)
		}
	}
	s.children = kept
}

// killChildren ends every step that has not ended; what it has activated stays for
// the guard to clear.
func (s *server) killChildren() { s.children = nil }

func (s *server) forget(c *child) {
	for i := range s.children {
		if s.children[i] == c {
			s.children = append(s.children[:i:i], s.children[i+1:]...)
			return
		}
	}
}

// alive says whether the child's process is still there.
func (s *server) alive(c *child) bool {
	for _, o := range s.children {
		if o == c {
			return !c.ended
		}
	}
	return false
}
