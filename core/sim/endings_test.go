package sim

import (
	"fmt"
	"os"
	"testing"
	"time"

	"baton/core/cluster"
)

// This file is about operations that end something in order, cut short by a power failure.

// ending is an operation that ends something in order, or takes it back in.
type ending struct {
	name string
	op   func(p []*server) cluster.Op
}

var endings = []ending{
	{"cluster shutdown", func([]*server) cluster.Op { return cluster.Op{Verb: cluster.VerbShutdownCluster} }},
	{"cluster power off", func([]*server) cluster.Op {
		return cluster.Op{Verb: cluster.VerbShutdownCluster, Then: cluster.ThenPowerOff}
	}},
	{"leader's shutdown", func(p []*server) cluster.Op { return cluster.Op{Verb: cluster.VerbShutdown, Server: p[0].name} }},
	{"shutdown", func(p []*server) cluster.Op { return cluster.Op{Verb: cluster.VerbShutdown, Server: p[1].name} }},
	{"disconnect", func(p []*server) cluster.Op { return cluster.Op{Verb: cluster.VerbDisconnect, Server: p[1].name} }},
	{"leader's disconnect", func(p []*server) cluster.Op { return cluster.Op{Verb: cluster.VerbDisconnect, Server: p[0].name} }},
	{"return", func(p []*server) cluster.Op { return cluster.Op{Verb: cluster.VerbReturn, Server: p[1].name} }},
}

// powerCut is a power failure in the middle of it.
type powerCut struct {
	after time.Duration // since the operation was asked for
	off   func(p []*server) []*server
	stay  time.Duration // how long they are off
	back  bool          // they boot in the reverse order
	gap   time.Duration // between two boots
}

// playEnding lets the operation begin, cuts the power, and boots everything. The second group
// has no autostart and was started by hand.
func (w *world) playEnding(e ending, c powerCut) string {
	byHand := w.rules.Groups[1].Name
	w.rules.Groups[1].Autostart = false
	p := w.cast()
	if p == nil {
		return noStart
	}
	w.operators.ask(p[0], cluster.Op{Verb: cluster.VerbStart, Group: byHand, Server: p[1].name})
	w.runUntil(w.now + 2*time.Second)
	op := e.op(p)
	if op.Verb == cluster.VerbReturn {
		p[1].powerOff()
		w.runUntil(w.now + 6*time.Second)
		p[1].boot()
		if !w.eventually(10*time.Second, func() bool { return w.judge.newest.Server(p[1].name).State == cluster.ServerDetached }) {
			return "it is not detached"
		}
		w.runUntil(w.now + time.Second)
	}
	var ran []string
	for g := range w.rules.Groups {
		on := w.carriers(g)
		if len(on) != 1 {
			return "not all groups run"
		}
		ran = append(ran, on[0].name)
	}
	for _, s := range p {
		s.kept = true // whoever ends, or loses its power, stays off
	}
	w.operators.ask(p[0], op)
	id := fmt.Sprintf("op-%d", w.operators.count)
	w.runUntil(w.now + c.after)
	for _, s := range c.off(p) {
		s.powerOff()
	}
	w.runUntil(w.now + c.stay)
	for i := range p {
		s := p[i]
		if c.back {
			s = p[len(p)-1-i]
		}
		s.kept = false
		if s.life == nil {
			s.boot()
		}
		w.runUntil(w.now + c.gap)
	}
	accepted := func() bool { o := w.judge.newest.Op(id); return o != nil && o.State != cluster.OpRefused }
	lost := ""
	if !w.eventually(60*time.Second, func() bool {
		st, desk := w.judge.newest, w.leader()
		for i := range st.Servers {
			if desk == nil {
				break
			}
			if s := &st.Servers[i]; s.State == cluster.ServerDetached && s.Present {
				w.operators.ask(desk, cluster.Op{Verb: cluster.VerbReturn, Server: s.Name})
			}
		}
		if st.Phase == cluster.PhaseForming && op.Verb == cluster.VerbShutdownCluster {
			for g, name := range ran {
				if got := st.Groups[g].LastServer; got != name {
					lost = fmt.Sprintf("%s ran last on %s, the cluster says on %s", st.Groups[g].Name, name, got)
				}
			}
		}
		return lost != "" || w.allWell()
	}) {
		return "not well: " + w.missing()
	}
	if lost != "" {
		return lost
	}
	st := w.judge.newest
	if op.Verb == cluster.VerbShutdownCluster && accepted() == st.Group(byHand).Wanted {
		return fmt.Sprintf("the shutdown is accepted %v, and %s, without autostart, is %s", accepted(), byHand, st.Group(byHand).State)
	}
	return ""
}

// cuts are whose power fails; p[0] leads.
var cuts = []struct {
	name string
	off  func(p []*server) []*server
}{
	{"the leader", func(p []*server) []*server { return p[:1] }},
	{"a follower", func(p []*server) []*server { return p[1:2] }},
	{"half with the leader", func(p []*server) []*server { return p[:(len(p)+1)/2] }},
	{"half without the leader", func(p []*server) []*server { return p[len(p)/2:] }},
	{"all but the leader", func(p []*server) []*server { return p[1:] }},
	{"all", func(p []*server) []*server { return p }},
}

// Goal: a shutdown of the cluster or of a server, a disconnect and a return that a power
// failure cuts short, at whatever point of it, leave a cluster that starts when everything
// boots, in whatever order: nobody waits for ever, where each group ran last is known, and
// a group without autostart stays stopped if and only if the cluster's shutdown was begun.
// Method: the power is cut at ever later moments, for one server, some, or all; which
// cluster plays which moment goes round. BATON_SIM_ENDINGS=1 has all play all.
func TestEndingsCutShort(t *testing.T) {
	kinds := []Options{
		{Servers: 2, Tie: TieNone},
		{Servers: 3, Tie: TieNone},
		{Servers: 2, Tie: TieRegister},
		{Servers: 3, Tie: TieRegister},
		{Servers: 4, Tie: TieRegister},
		{Servers: 2, Tie: TieFence},
		{Servers: 2, Tie: TiePing},
	}
	all := os.Getenv("BATON_SIM_ENDINGS") != ""
	seed := uint64(0)
	for _, e := range endings {
		for _, of := range cuts {
			for after := 2 * time.Millisecond; after < 1500*time.Millisecond; after += after/3 + 4*time.Millisecond {
				seed++
				for i, o := range kinds {
					if !all && seed%uint64(len(kinds)) != uint64(i) || e.name == "return" && o.Servers == 2 && o.Tie == TieNone {
						continue // of two without a tie-breaker none goes on alone, to take the other one back
					}
					c := powerCut{
						after: after, off: of.off, back: seed%2 == 0,
						stay: []time.Duration{300 * time.Millisecond, 2 * time.Second, 8 * time.Second}[seed%3],
						gap:  []time.Duration{0, time.Second, 4 * time.Second, 12 * time.Second}[seed/3%4],
					}
					o.Seed = seed
					w := scripted(t, o)
					w.play(func() {
						if text := w.playEnding(e, c); text != "" {
							w.break_(BrokenLiveness, "%s%s", text, w.standing())
						}
					})
					if w.violation != nil {
						t.Errorf("seed %d, %d servers, %s: %s, power of %s off after %v for %v, backwards %t, %v apart: %v",
							seed, o.Servers, o.Tie, e.name, of.name, after, c.stay, c.back, c.gap, w.violation)
					}
				}
			}
		}
	}
}
