package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/core/node"
)

// scripted begins a run without random faults: the servers are there and nothing is
// switched on.
func scripted(t *testing.T, o Options) *world {
	t.Helper()
	seedRaft(t, o.Seed)
	w := newWorld(o.withDefaults())
	w.healed, w.failing = true, 0
	for i := range w.rules.Groups {
		w.rules.Groups[i].FailbackAuto = false
		w.rules.Groups[i].Policy = rotate(w.rules.Servers, i)
	}
	return w
}

// until lets time pass until what is asked for is true; it fails the test after d.
func (w *world) until(t *testing.T, d time.Duration, what string, is func() bool) {
	t.Helper()
	for end := w.now + d; !is(); {
		if w.violation != nil {
			t.Fatalf("seed %d: %v", w.opt.Seed, w.violation)
		}
		if w.now >= end {
			t.Fatalf("seed %d: not within %v: %s: %s%s", w.opt.Seed, d, what, w.missing(), w.standing())
		}
		w.runUntil(w.now + 100*time.Millisecond)
	}
}

func (w *world) allWell() bool { return w.violation == nil && w.missing() == "" }

// pass lets time pass in which nothing must be broken.
func (w *world) pass(t *testing.T, d time.Duration) {
	t.Helper()
	if w.runUntil(w.now + d); w.violation != nil {
		t.Fatalf("seed %d: %v", w.opt.Seed, w.violation)
	}
}

func (w *world) force(s *server) {
	w.note(s, "is forced")
	s.input(s.life, node.Input{Force: &node.Force{Who: who(s)}})
}

// careUntilWell is an operator who returns servers until all is well.
func (w *world) careUntilWell(t *testing.T, d time.Duration) {
	t.Helper()
	w.until(t, d, "all is well", func() bool {
		if w.allWell() {
			return true
		}
		w.operators.care()
		return false
	})
}

var bothKinds = []Tie{TieNone, TieRegister}

// Goal: the first start waits for every server, in whatever order and however late they
// come, and is one cluster then; a blank server beside a former one that it does not
// hear waits, too. Method: the last server comes after a minute; nobody may have founded
// before.
func TestFirstStartWaitsForAll(t *testing.T) {
	for _, tie := range Ties() {
		for servers := 2; servers <= 4; servers++ {
			for last := range servers {
				w := scripted(t, Options{Servers: servers, Seed: uint64(10*servers + last), Tie: tie})
				for i, s := range w.servers {
					if i != last {
						w.after(w.dice.between(0, 10*time.Second), s.boot)
					}
				}
				w.pass(t, time.Minute)
				if w.stats.Foundings != 0 {
					t.Fatalf("%s, %d servers: founded without s%d", tie, servers, last+1)
				}
				w.servers[last].boot()
				w.until(t, 20*time.Second, "the cluster runs", w.allWell)
			}
		}
	}
}

// Goal: a server that lost its state never founds a second cluster beside one that
// exists (H20), even if it is the one that founds first ones; the cluster goes on
// without it where it can, waits for an operator where not, and takes it in.
func TestBlankServerWaits(t *testing.T) {
	for _, tie := range bothKinds {
		for servers := 2; servers <= 3; servers++ {
			for first := range 2 { // who boots first: the blank one or the others
				w := scripted(t, Options{Servers: servers, Seed: uint64(20*servers + first), Tie: tie})
				w.judge.forks = servers == 2 // an operator decides at the end
				w.bootAll()
				w.until(t, 30*time.Second, "the first start", w.allWell)
				for _, s := range w.servers {
					s.powerOff()
				}
				blank := w.servers[0]
				blank.wipe()
				for i, s := range w.servers {
					if (i == 0) == (first == 0) {
						s.boot()
					}
				}
				w.pass(t, 20*time.Second)
				founded := w.stats.Foundings
				for _, s := range w.servers {
					s.boot()
				}
				if servers == 2 {
					// Half of the votes is gone: nobody may go on by himself.
					w.pass(t, 30*time.Second)
					v := w.servers[1].life.node.View(w.servers[1].reading())
					if w.stats.Foundings != founded && tie == TieNone || v.Quorum && tie == TieNone {
						t.Fatalf("%s: somebody goes on with half of the votes", tie)
					}
					if tie == TieNone && !strings.Contains(v.Waiting, "before it lost its state") {
						t.Errorf("it waits for %q and does not say why", v.Waiting)
					}
					if !v.Quorum {
						w.force(w.servers[1])
					}
				}
				w.careUntilWell(t, 40*time.Second)
				if blank.line.Founder.Server() == 1 && blank.line.Number == 1 && servers == 2 {
					t.Errorf("%s: s1 has founded a cluster of its own", tie)
				}
			}
		}
	}
}

// Goal: a forced return by an honest operator, who forces one server when all others are
// off, puts everything on it, and the others join when they boot. No carrier is doubled
// and no server keeps waiting.
func TestForcedReturn(t *testing.T) {
	for _, tie := range bothKinds {
		for servers := 2; servers <= 5; servers++ {
			for seed := uint64(1); seed <= 5; seed++ {
				w := scripted(t, Options{Servers: servers, Seed: seed, Tie: tie, Forced: true})
				w.bootAll()
				w.until(t, 30*time.Second, "the first start", w.allWell)
				w.pass(t, 2*time.Second)
				s := w.any()
				for _, o := range w.servers {
					if o != s {
						o.powerOff()
					}
					for i := range w.register.down { // else it would not have to be forced
						w.register.down[i] = true
					}
				}
				w.pass(t, 10*time.Second)
				if v := s.life.node.View(s.reading()); v.Quorum {
					t.Fatalf("%s goes on alone without being forced", s.name)
				}
				clear(w.register.down)
				w.force(s)
				w.forced = true
				w.until(t, 20*time.Second, "the forced server has all groups", func() bool {
					for g := range w.rules.Groups {
						if on := w.carriers(g); len(on) != 1 || on[0] != s {
							return false
						}
					}
					return true
				})
				for _, o := range w.servers {
					w.after(w.dice.between(0, 5*time.Second), o.boot)
				}
				w.careUntilWell(t, 40*time.Second)
			}
		}
	}
}

// Goal: a forced return that ends after it has sealed, because batond is killed, leaves
// nobody out: the others boot and go on with or without that server, and take it in again.
func TestForcedReturnCutShort(t *testing.T) {
	for _, tie := range Ties() {
		for servers := 2; servers <= 5; servers++ {
			w := scripted(t, Options{Servers: servers, Seed: uint64(servers), Tie: tie, Forced: true})
			w.bootAll()
			w.until(t, 30*time.Second, "the first start", w.allWell)
			w.pass(t, 2*time.Second)
			s := w.any()
			for _, o := range w.servers {
				if o != s {
					o.powerOff()
				}
				w.register.down[o.number] = true
			}
			w.pass(t, 10*time.Second)
			w.force(s)
			w.forced = true
			for !s.seen.sealed {
				w.runUntil(w.now + time.Millisecond)
			}
			s.crash()
			for _, o := range w.servers {
				w.after(w.dice.between(0, 5*time.Second), o.boot)
			}
			w.pass(t, 5*time.Second)
			clear(w.register.down)
			w.careUntilWell(t, 60*time.Second)
			t.Logf("%s, %d servers: epoch %d", tie, servers, s.line.Number)
		}
	}
}

// Goal: what a dishonest forced return does, and that it ends: both servers are forced
// while both run, so every group has two carriers; that is what the promise excludes,
// and is counted here. When they hear each other one history gives up at once, says so
// as an error, and all is one cluster again.
func TestDishonestForcedReturn(t *testing.T) {
	for _, tie := range bothKinds {
		for seed := uint64(1); seed <= 6; seed++ {
			t.Run(fmt.Sprintf("%s, seed %d", tie, seed), func(t *testing.T) {
				w := scripted(t, Options{Servers: 2, Seed: seed, Tie: tie, Forced: true})
				w.judge.lax = true
				w.bootAll()
				w.until(t, 30*time.Second, "the first start", w.allWell)
				for i := range w.register.down {
					w.register.down[i] = true
				}
				w.cut(w.linksOf(w.servers[0]), time.Hour)
				w.pass(t, 10*time.Second)
				for _, s := range w.servers {
					w.force(s)
				}
				w.forced = true
				w.pass(t, 15*time.Second)
				if w.judge.twoCarry == 0 {
					t.Fatal("no group has two carriers: nothing was forced")
				}
				w.net.calm()
				clear(w.register.down)
				// The loser stops within the stop budget of hearing the other one.
				w.until(t, 5*time.Second, "one carrier for each group", func() bool {
					for g := range w.rules.Groups {
						if len(w.carriers(g)) > 1 {
							return false
						}
					}
					return true
				})
				w.judge.lax = false
				w.careUntilWell(t, 40*time.Second)
				alarm := false
				for _, e := range w.judge.newest.Events {
					alarm = alarm || e.Code == cluster.CodeTwoHistories
				}
				if !alarm {
					t.Error("nobody says that there were two histories")
				}
			})
		}
	}
}

// Goal: a register that forgets, just after it has given an epoch to one half, that it has,
// does not give it to the other one: it knows the cluster no more, and the leader of the
// other half, whose lease still runs, does not tell it of the old epoch. Method: two
// servers are cut apart, and the register is wiped when the first claim has won; the same
// with a register that answers clusters it does not know must go wrong.
func TestRegisterWipedAfterTheClaim(t *testing.T) {
	play := func(seed uint64, world WorldWeakness) *Violation {
		w := scripted(t, Options{Servers: 2, Seed: seed, Tie: TieRegister, World: world})
		w.bootAll()
		w.until(t, 30*time.Second, "the first start", w.allWell)
		w.pass(t, w.dice.between(0, 3*time.Second))
		w.cut(w.linksOf(w.servers[0]), time.Hour)
		w.eventually(10*time.Second, func() bool { return w.register.isAhead(1) })
		w.pass(t, w.dice.between(0, 300*time.Millisecond))
		w.wipeRegister()
		w.runUntil(w.now + 15*time.Second)
		return w.violation
	}
	noticed := false
	for seed := uint64(1); seed <= 60; seed++ {
		if v := play(seed, 0); v != nil {
			t.Errorf("seed %d: %v", seed, v)
		}
		noticed = noticed || seed <= 20 && play(seed, EnrolAnyone) != nil
	}
	if !noticed {
		t.Error("a register that gives an epoch away twice is not noticed")
	}
}
