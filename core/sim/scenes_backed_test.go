package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/core/node"
)

// backedRule is a rule whose loss does no harm as long as other ones are kept: the scene
// that it is for passes without it, and without the other one (also) as well, and only
// without both something is violated. Where also is empty, what keeps it cannot be left
// out of the simulator, and the scene shows only that it passes.
type backedRule struct {
	name, also string
	scene      *scene
	why        string
	live       bool // without both, what is violated is that it goes on
}

var backed = []backedRule{
	{name: "support-term", also: "echo-term", scene: &sceneTerm, why: "an echo carries the term of its sender's disk, and the leader counts it only if that is its own: the rule is kept at both ends"},
	{name: "echo-term", also: "support-term", scene: &sceneTerm, why: "the same from the other end"},
	{name: "enter-first", also: "ack-order", scene: &sceneEntering, why: "whatever is promised in an epoch, a vote, an acknowledgment, support for a term, waits for a write that comes after that of the entering in the same store"},
	{name: "fresh-word", also: "session-boot", scene: &sceneOpened, why: "a number that was used under another boot is noticed by the leader, which ends it", live: true},
	{name: "session-order", scene: &sceneForgotten, why: "a step is known from entries, and is begun by a write, that come after the number's in the same store: nothing has run under a number that a crash takes back"},
	{name: "sticky", scene: &sceneLapsed, why: "the guard has fired by its own clock and refuses, and its word that it has cleared ends the session whatever the node holds"},
	{name: "outcome-order", scene: &sceneReported, why: "the step's own file outlives batond, so that the same outcome is reported again, and the state has taken the token away with the first report; with the power the session goes, and the token with it"},
}

// Goal: the second line is one. Method: the scene is played without the rule, without
// those that back it, and without both.
func TestBacked(t *testing.T) {
	for _, tc := range backed {
		t.Run(tc.name, func(t *testing.T) {
			for _, without := range []string{tc.name, tc.also} {
				for seed := uint64(1); seed <= 10; seed++ {
					if v := tc.scene.judge(t, seed, without); v != nil {
						t.Errorf("without %q, seed %d: %v; was thought to be harmless: %s", without, seed, v, tc.why)
					}
				}
			}
			if tc.also == "" {
				return
			}
			for seed := uint64(1); seed <= 10; seed++ {
				if v := tc.scene.judge(t, seed, tc.name+","+tc.also); v != nil && (tc.live || v.Kind != BrokenLiveness) {
					t.Logf("without %s and %s, seed %d: %.150v", tc.name, tc.also, seed, v)
					return
				}
			}
			t.Errorf("without %s and %s nothing is violated either", tc.name, tc.also)
		})
	}
}

var (
	// L1, support is for the term on disk (H7). B does not hear its leader A, C does. C's
	// batond starts anew and elects B; A's streams are gone, so that it does not learn of
	// the new term, and C goes on hearing its heartbeats.
	sceneTerm = scene{"term", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c := p[0], p[1], p[2]
		w.gate(between(a, b))
		w.runUntil(w.now + w.times.Elect)
		w.gate(streams(between(a, c)))
		c.crash()
		w.runUntil(w.now + 10*time.Millisecond)
		c.start()
		if !w.when(2*time.Second, func() bool { return b.seen.leads }) {
			return "B is not elected"
		}
		if !a.seen.leads {
			return "A does not lead any more"
		}
		return w.endsOn(15*time.Second, b, c)
	}}
	// D9, an epoch is entered on disk before anything is said in it. Of two A has founded
	// the next epoch; B hears of it when its disk hangs, and is killed.
	sceneEntering = scene{"entering", Options{Servers: 2, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b := p[0], p[1]
		w.register.down[b.number] = true
		apart := w.gate(between(a, b))
		if !w.eventually(10*time.Second, func() bool { return w.allOn(a) }) {
			return "A does not go on"
		}
		b.hang()
		apart.open()
		w.runUntil(w.now + time.Second)
		b.crash()
		b.unhang()
		b.start()
		w.register.down[b.number] = false
		if !w.eventually(20*time.Second, func() bool { return a.votersAre(2) && b.view().Quorum }) {
			return "B does not come over"
		}
		return w.endsOn(10*time.Second, a, b)
	}}
	// Order 4, a session's number is durable before it is named. B begins a new session with
	// a disk that hangs, an operator moves a group there, and B loses its power.
	sceneForgotten = scene{"forgotten session", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b := p[0], p[1]
		old := b.view().Session
		away := w.gate(around(b))
		if !w.when(4*time.Second, func() bool { return b.guard.state == guardClearing }) {
			return "B's lease goes on"
		}
		b.hang()
		w.runUntil(w.now + 1100*time.Millisecond)
		away.open()
		w.when(600*time.Millisecond, func() bool { return b.holds(old + 1) })
		for i := range w.rules.Groups {
			w.operators.ask(a, cluster.Op{Verb: cluster.VerbMove, Group: w.rules.Groups[i].Name, Server: b.name})
		}
		w.runUntil(w.now + 200*time.Millisecond)
		if w.opt.Weaken&node.SessionEarly != 0 && !b.holds(old+1) {
			return "B has no lease under a session that its disk does not know"
		}
		b.powerOff()
		b.unhang()
		b.boot()
		w.runUntil(w.now + 3*time.Second)
		return w.endsOn(10*time.Second, p...)
	}}
	// S1, a lease that is over stays over. The last heartbeat of B before that reaches the
	// leader just after it, and the grant that answers it would last.
	sceneLapsed = scene{"lapsed", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b := p[0], p[1]
		old := b.view().Session
		out := w.gate(way(b, a))
		in := w.gate(way(a, b))
		if !w.when(4*time.Second, func() bool { return b.guard.state == guardClearing }) {
			return "B's lease goes on"
		}
		beat := out.last(func(m *node.Message) bool { return m.Kind == node.MsgHeartbeat && m.Session == old })
		if beat == nil {
			return "no heartbeat was kept"
		}
		out.deliver(*beat)
		w.runUntil(w.now + time.Millisecond)
		grant := in.last(func(m *node.Message) bool { return m.Kind == node.MsgGrant && m.AnswerSeq == beat.Seq })
		if grant == nil {
			return "the leader does not grant"
		}
		in.deliver(*grant)
		w.runUntil(w.now + 200*time.Millisecond)
		if w.opt.Weaken&node.NoSticky != 0 && w.stats.Refused == 0 {
			return "the guard was not asked to go on"
		}
		w.gates = nil
		if !w.eventually(15*time.Second, func() bool { return w.allOn(p...) && b.holds(b.guard.session) && b.guard.session > old }) {
			return "B does not come back, or its groups are nowhere"
		}
		return ""
	}}
	// Order 6, an outcome is durable before it is reported. B reports that it has stopped a
	// group that is to be moved, and is killed before it has that on disk; the report is late.
	sceneReported = scene{"reported", Options{Servers: 3}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, c := p[0], p[1], p[2]
		g := -1
		for i := range w.rules.Groups {
			if w.carriers(i)[0] == b {
				g = i
			}
		}
		if g < 0 {
			return ""
		}
		w.operators.ask(a, cluster.Op{Verb: cluster.VerbMove, Group: w.rules.Groups[g].Name, Server: c.name})
		stops := func() bool {
			return slices.ContainsFunc(b.children, func(c *child) bool { return c.step.Kind == cluster.StepStop && c.begun && !c.ended })
		}
		if !w.when(2*time.Second, stops) {
			return "nothing is stopped"
		}
		late := w.gate(func(m *node.Message) bool { return m.From == b.number && m.Kind == node.MsgPropose })
		b.hang()
		if !w.when(2*time.Second, func() bool { return len(w.carriers(g)) == 0 }) {
			return "it is not stopped"
		}
		w.runUntil(w.now + 30*time.Millisecond)
		b.crash()
		b.unhang()
		b.start()
		w.runUntil(w.now + 600*time.Millisecond)
		if reports := len(late.kept); w.opt.Weaken&node.OutcomeEarly != 0 && reports < 2 {
			return fmt.Sprintf("%d reports, not one of each life", reports)
		}
		late.release()
		return w.endsOn(10*time.Second, p...)
	}}
)
