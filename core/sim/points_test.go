package sim

import (
	"os"
	"strconv"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/core/node"
)

// life of a cluster of three with a register: first start, a move, the leader's death and
// return, two deaths in a row so that half is left (seal, claim, founding), a session that
// lapses and begins anew, a disk that is replaced, a shutdown of one. Every wait has a
// bound and every act is left out where it cannot be done, so that the same course can be
// played with one more fault in it.
func (w *world) course() {
	wait := func(d time.Duration, is func() bool) { w.eventually(d, is) }
	well := func() {
		wait(25*time.Second, func() bool {
			if w.allWell() {
				return true
			}
			w.operators.care()
			return false
		})
	}
	// lead is the leader, or the first server where there is none.
	lead := func() *server {
		if l := w.leader(); l != nil {
			return l
		}
		return w.servers[0]
	}
	w.started()
	a := lead()
	w.operators.ask(a, cluster.Op{Verb: cluster.VerbMove, Group: w.rules.Groups[0].Name, Server: w.otherThan(a).name})
	w.runUntil(w.now + time.Second)

	a.powerOff()
	wait(8*time.Second, func() bool { return w.allOn(w.otherThan(a), w.otherThan(w.otherThan(a))) })
	a.boot()
	well()

	a = lead()
	b := w.otherThan(a)
	last := w.otherThan(b)
	b.powerOff()
	w.runUntil(w.now + 6*time.Second)
	a.powerOff()
	wait(10*time.Second, func() bool { return w.allOn(last) })
	a.boot()
	b.boot()
	well()

	w.cut(w.linksOf(w.otherThan(lead())), 6*time.Second)
	w.runUntil(w.now + 6500*time.Millisecond)
	well()

	if a = w.otherThan(lead()); w.allWell() {
		a.powerOff()
		a.wipe()
		w.runUntil(w.now + time.Second)
		a.boot()
		well()
	}
	if a = lead(); a.life != nil && !a.life.leaving {
		a.leave(node.Input{Leave: &node.Leave{Who: who(a)}})
		w.runUntil(w.now + 4*time.Second)
	}
}

// playPoint plays the course with a fault at a point and lets all heal. It returns what
// went wrong, "" for nothing.
func playPoint(t *testing.T, o Options, ps *points) (*world, *Violation) {
	t.Helper()
	w := scripted(t, o)
	w.healed = false // nothing else is random about it: no fault is drawn
	w.from, w.aim = time.Hour, 0
	ps.said = map[int]node.Message{}
	w.points = ps
	w.play(func() {
		w.course()
		w.points = nil // from here on all must be quiet
		if w.violation == nil {
			w.heal()
			w.awaitLiveness()
		}
	})
	return w, w.violation
}

// deaths are what happens at a point.
var deaths = []struct {
	name string
	do   func(*server)
}{
	{"batond is killed", func(s *server) {
		s.crash()
		s.w.after(s.w.dice.between(10*time.Millisecond, 300*time.Millisecond), s.start)
	}},
	{"the machine reboots", func(s *server) {
		s.powerOff()
		s.w.after(s.w.dice.between(300*time.Millisecond, 2*time.Second), s.boot)
	}},
}

// Goal: a crash between every two steps of writing and sending does no harm (core/README,
// order of writing and sending). Method: one course of a cluster's life is played to
// count the points at which the outside sees something of a server, then once for each
// point with batond killed there, and once with the machine rebooted; of the points of a
// kind an even sample is taken. BATON_SIM_POINTS=n takes so many of each kind.
func TestCrashAtEveryPoint(t *testing.T) {
	sample := 45
	if testing.Short() {
		sample = 4
	}
	if n, err := strconv.Atoi(os.Getenv("BATON_SIM_POINTS")); err == nil {
		sample = n
	}
	o := Options{Servers: 3, Seed: 7, Tie: TieRegister}
	all := points{}
	if w, v := playPoint(t, o, &all); v != nil {
		t.Fatalf("the course itself: %v%s", v, w.standing())
	} else if w.stats.Foundings < 2 || w.stats.Of("claim") == 0 || w.stats.Of("orderly exit") == 0 {
		t.Fatalf("the course is too short:\n%s", &w.stats)
	}
	played := 0
	for kind := range pointKinds {
		n := all.count[kind]
		if n == 0 {
			t.Errorf("no point of kind %v", kind)
		}
		for k := range min(sample, n) {
			at := 1 + k*n/min(sample, n)
			for _, d := range deaths {
				played++
				ps := points{kind: kind, at: at, do: d.do}
				if _, v := playPoint(t, o, &ps); v != nil {
					t.Errorf("%s after %v %d of %d: %v", d.name, kind, at, n, v)
				}
			}
		}
	}
	t.Logf("%v points, %d played", all.count, played)
}

// Goal: the points notice what is not durable in time. Method: the rules of the order of
// writing are left out, one at a time.
func TestCrashNoticesOrder(t *testing.T) {
	for _, name := range noticedAtPoints {
		t.Run(name, func(t *testing.T) {
			o := Options{Servers: 3, Seed: 7, Tie: TieRegister}
			if err := o.Weakenings(name); err != nil {
				t.Fatal(err)
			}
			all := points{}
			playPoint(t, o, &all)
			for stride := 64; stride >= 1; stride /= 2 {
				for _, kind := range []point{pointRaft, pointBeat, pointRun, pointBegun, pointLease} {
					for at := stride; at <= all.count[kind]; at += 2 * stride {
						for _, d := range deaths {
							ps := points{kind: kind, at: at, do: d.do}
							if _, v := playPoint(t, o, &ps); v != nil && v.Kind != BrokenLiveness {
								t.Logf("%s after %v %d: %.150v", d.name, kind, at, v)
								return
							}
						}
					}
				}
			}
			t.Error("no point shows it")
		})
	}
}

var noticedAtPoints = []string{"begun-order"}
