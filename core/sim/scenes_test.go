package sim

import (
	"os"
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/core/node"
)

// scene is a course of events that one rule is for: it returns what is wrong at its end,
// "" if nothing is. Each must pass with all rules in place.
type scene struct {
	name string
	o    Options
	play func(w *world) string
}

// started lets the cluster begin.
func (w *world) started() bool {
	w.bootAll()
	return w.eventually(30*time.Second, w.allWell)
}

// eventually lets time pass until it is true; false if it never is, or something breaks.
func (w *world) eventually(d time.Duration, is func() bool) bool {
	for end := w.now + d; w.now < end && w.violation == nil; {
		if is() {
			return true
		}
		w.runUntil(w.now + 100*time.Millisecond)
	}
	return false
}

// allOn says whether each group is carried by one server of those.
func (w *world) allOn(servers ...*server) bool {
	for g := range w.rules.Groups {
		on := w.carriers(g)
		if len(on) != 1 {
			return false
		}
		found := false
		for _, s := range servers {
			found = found || s == on[0]
		}
		if !found {
			return false
		}
	}
	return true
}

func (w *world) otherThan(s *server) *server { return w.servers[s.number%len(w.servers)] }

var (
	// D10: of three, one is gone for long; when it is back the other one goes. Three
	// votes are left to count, of which two are there.
	sceneOdd = scene{"odd", Options{Servers: 3}, func(w *world) string {
		if !w.started() {
			return "no start"
		}
		l := w.leader()
		second, third := w.otherThan(l), w.otherThan(w.otherThan(l))
		third.powerOff()
		w.runUntil(w.now + 10*time.Second)
		second.powerOff()
		third.boot()
		w.runUntil(w.now + 5*time.Second)
		if !w.eventually(20*time.Second, func() bool { return l.life.node.View(l.reading()).Quorum }) {
			return "two of three are there and do not go on"
		}
		return ""
	}}
	// D11: of two, one is shut down in order; the other one takes its groups.
	sceneFarewell = scene{"farewell", Options{Servers: 2}, func(w *world) string {
		if !w.started() {
			return "no start"
		}
		s := w.any()
		s.leave(node.Input{Leave: &node.Leave{Who: who(s)}})
		end := w.now + 15*time.Second
		for w.now < end && w.violation == nil {
			s.away = false // it stays off
			s.kept = true
			w.runUntil(w.now + 100*time.Millisecond)
		}
		if !w.allOn(w.otherThan(s)) {
			return "the other server does not carry all groups"
		}
		return ""
	}}
	// T1: the register is wiped, and told of the cluster again; then the leader's power
	// fails.
	sceneWiped = scene{"wiped register", Options{Servers: 2, Tie: TieRegister}, func(w *world) string {
		if !w.started() {
			return "no start"
		}
		w.wipeRegister()
		w.runUntil(w.now + 3*w.times.Timeout)
		l := w.leader()
		l.powerOff()
		if o := w.otherThan(l); !w.eventually(15*time.Second, func() bool { return w.allOn(o) }) {
			return "the other server does not go on"
		}
		return ""
	}}
	// T1: the cluster has been through an epoch, and is made anew on the same register;
	// then the leader's power fails.
	sceneAnew = scene{"re-created", Options{Servers: 2, Tie: TieRegister}, func(w *world) string {
		if !w.started() {
			return "no start"
		}
		w.leader().powerOff()
		w.runUntil(w.now + 15*time.Second)
		for _, s := range w.servers {
			s.powerOff()
			s.wipe()
			s.line = w.servers[0].w.judge.goesOn
		}
		w.judge = newJudge(w)
		for _, s := range w.servers {
			s.line.Number, s.line.Founder = 0, 0
		}
		if !w.started() {
			return "no second start"
		}
		w.runUntil(w.now + 2*w.times.Timeout)
		l := w.leader()
		l.powerOff()
		if o := w.otherThan(l); !w.eventually(15*time.Second, func() bool { return w.allOn(o) }) {
			return "the other server does not go on"
		}
		return ""
	}}
	// H23: of two the leader's disk hangs. It can decide nothing, so the other one must,
	// though it hears its leader.
	sceneStuck = scene{"stuck", Options{Servers: 2, Tie: TieRegister}, func(w *world) string {
		if !w.started() {
			return "no start"
		}
		l := w.leader()
		l.disk.hung = w.now + time.Hour
		l.input(l.life, node.Input{Note: &cluster.Event{Severity: cluster.Info, Code: "remark", Server: l.name, Text: "something to write"}})
		if !w.eventually(20*time.Second, func() bool { n := w.leader(); return n != nil && n != l }) {
			return "nobody else leads"
		}
		return ""
	}}
)

// scenes are all of them, but for those that break an assumption.
var scenes = []*scene{
	&sceneOdd, &sceneFarewell, &sceneWiped, &sceneAnew, &sceneStuck,
	&sceneLeaver, &scenePause, &sceneJoint, &sceneAppends, &sceneStamp, &sceneOnce, &sceneOrder, &sceneStart,
	&sceneClaimed, &sceneClaiming, &sceneUnread, &sceneDeaf, &sceneYielding, &sceneForced, &sceneForcedCut, &sceneForcedOwner, &sceneForcedBehind, &sceneForcedTwice,
	&sceneForcedBetween, &sceneForcedBoth, &sceneOpened, &sceneLateLeave,
	&sceneReopened, &sceneNoEars, &sceneNoEarsOfFour, &sceneTerm, &sceneEntering, &sceneForgotten, &sceneLapsed, &sceneReported, &sceneDarkEnd, &sceneLateEnd, &sceneBeside, &sceneMeet,
	&sceneFounderEnds, &sceneDeafEnd,
}

// Goal: the scenes say nothing where no rule is left out.
func TestScenes(t *testing.T) {
	for _, sc := range scenes {
		for seed := uint64(1); seed <= 10; seed++ {
			if v := sc.judge(t, seed, ""); v != nil {
				t.Errorf("%s, seed %d: %v", sc.name, seed, v)
			}
		}
	}
}

// judge plays the scene without some rules (names with commas) and says what went wrong.
func (sc *scene) judge(t *testing.T, seed uint64, without string) *Violation {
	t.Helper()
	o := sc.o
	o.Seed = seed
	if err := o.Weakenings(without); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("BATON_SIM_TRACE") != "" {
		o.Trace, o.Packets = os.Stdout, os.Getenv("BATON_SIM_TRACE") == "packets"
	}
	w := scripted(t, o)
	w.play(func() {
		if text := sc.play(w); text != "" {
			w.break_(BrokenLiveness, "%s%s", text, w.standing())
		}
	})
	if v := w.violation; v != nil && v.Kind == BrokenPanic {
		if lines := strings.Split(v.Text, "\n"); len(lines) < 5 || strings.Contains(lines[4], "_test.go") {
			t.Fatalf("the scene %s itself: %v", sc.name, v)
		}
	}
	return w.violation
}
