package sim

import (
	"testing"
	"time"

	"baton/core/cluster"
	"baton/core/node"
)

// stepCut is what happens while an operation on a group is under way. The group is on p[1],
// p[0] leads.
type stepCut struct {
	verb   cluster.Verb
	lasts  time.Duration // of each step
	victim int           // whose batond is killed
	at     time.Duration // when, since the operation was asked for
	down   time.Duration // until it is started again
	late   bool          // what the victim tells the leader of its steps is late by 4 s
	leader leaderCut
	leadAt time.Duration
}

type leaderCut int

const (
	leaderStays leaderCut = iota
	leaderCutOff
	leaderOff
	leaderKilled
	leaderCuts // how many
)

func (w *world) playStep(c stepCut) string {
	p := w.cast()
	if p == nil {
		return noStart
	}
	group := w.rules.Groups[0].Name
	if st := w.judge.newest.Group(group); st.Server != p[1].name {
		w.operators.ask(p[0], cluster.Op{Verb: cluster.VerbMove, Group: group, Server: p[1].name})
		w.runUntil(w.now + 2*time.Second)
	}
	w.lasts = c.lasts
	op := cluster.Op{Verb: c.verb, Group: group}
	if c.verb == cluster.VerbMove {
		op.Server = p[2%len(p)].name
	}
	w.operators.ask(p[0], op)
	begin, victim := w.now, p[c.victim%len(p)]
	if c.late {
		late := w.gate(func(m *node.Message) bool { return m.From == victim.number && m.Kind == node.MsgPropose })
		w.after(4*time.Second, late.release)
	}
	w.after(c.at, func() {
		victim.crash()
		w.after(c.down, victim.start)
	})
	w.after(c.leadAt, func() { w.cutLeader(c.leader, p[0]) })
	w.runUntil(begin + 12*time.Second)
	w.lasts = 0
	if !w.eventually(60*time.Second, func() bool { w.operators.care(); return w.allWell() }) {
		return w.missing()
	}
	return ""
}

func (w *world) cutLeader(how leaderCut, or *server) {
	l := w.leader()
	if l == nil {
		l = or
	}
	switch how {
	case leaderCutOff:
		cut := w.gate(around(l))
		w.after(4*time.Second, cut.open)
	case leaderOff:
		l.powerOff()
		w.after(3*time.Second, l.boot)
	case leaderKilled:
		l.crash()
		w.after(300*time.Millisecond, l.start)
	}
}

// Goal: batond is killed inside a step that takes long, and started again before its lease is
// over or after, while the leader changes; what it says of the step comes when the session
// may be another one: no token is begun twice, no group on two servers, no operation
// forgotten. Method: one in 173 of all the courses that these make.
func TestStepsCutShort(t *testing.T) {
	const ms = time.Millisecond
	kinds := []Options{
		{Servers: 3}, {Servers: 2, Tie: TieRegister}, {Servers: 3, Tie: TieRegister}, {Servers: 2, Tie: TieFence}, {Servers: 4, Tie: TieRegister},
	}
	var courses []stepCut
	for _, verb := range []cluster.Verb{cluster.VerbMove, cluster.VerbRestart, cluster.VerbStop, cluster.VerbFailover} {
		for _, lasts := range []time.Duration{0, 600 * ms, 2500 * ms} {
			for victim := range 3 {
				for _, at := range []time.Duration{5 * ms, 20 * ms, 60 * ms, 200 * ms, 700 * ms, 1500 * ms, 2600 * ms} {
					for _, down := range []time.Duration{15 * ms, 200 * ms, 1200 * ms, 1900 * ms, 2600 * ms, 4000 * ms} {
						for leader := range leaderCuts {
							for _, leadAt := range []time.Duration{10 * ms, 300 * ms, 1300 * ms, 2400 * ms} {
								for _, late := range []bool{false, true} {
									courses = append(courses, stepCut{verb, lasts, victim, at, down, late, leader, leadAt})
								}
							}
						}
					}
				}
			}
		}
	}
	stride := 173
	if testing.Short() {
		stride *= 10
	}
	for i := 0; i < len(courses); i += stride {
		o := kinds[i/stride%len(kinds)]
		o.Seed = uint64(i)
		w := scripted(t, o)
		w.play(func() {
			if text := w.playStep(courses[i]); text != "" {
				w.break_(BrokenLiveness, "%s%s", text, w.standing())
			}
		})
		if w.violation != nil {
			t.Errorf("%d servers, %s, course %d, %+v: %v", o.Servers, o.Tie, i, courses[i], w.violation)
		}
	}
}
