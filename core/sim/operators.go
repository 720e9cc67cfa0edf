package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"baton/core/cluster"
	"baton/core/node"
)

// operators are the people, and what came of what they asked for.
type operators struct {
	w     *world
	asked map[string]*request
	order []*request
	count int
	rush  dice // of the second one (Options.Rush)
}

// request is one operation that somebody asked a server for.
type request struct {
	op       cluster.Op
	at       time.Duration
	life     *life // of the server that was asked
	server   *server
	replied  bool
	accepted bool
	begun    bool // the log has it
	ended    bool
}

func who(s *server) cluster.Who {
	return cluster.Who{User: "operator", UID: 1000, From: "pts/1", On: s.name}
}

// startOperators lets people do things at random, and applications fail.
func (w *world) startOperators() {
	w.after(6*time.Second, w.operators.next)
	w.after(4*time.Second, w.operators.remark)
}

func (o *operators) next() {
	w := o.w
	if w.healed {
		return
	}
	g := w.rules.Groups[w.dice.IntN(len(w.rules.Groups))].Name
	switch k := w.dice.IntN(24); {
	case k < 5:
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbMove, Group: g, Server: o.target(g)})
	case k < 6:
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbRestart, Group: g})
	case k < 8:
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbStop, Group: g})
	case k < 10:
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbStart, Group: g, Server: o.target(g)})
	case k < 12:
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbFailover, Group: g})
	case k < 13:
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbDisconnect, Server: w.any().name})
	case k < 14:
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbReturn, Server: w.any().name, Revision: w.judge.newest.Revision})
	case k < 15:
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbShutdown, Server: w.any().name})
	case k < 16 && w.dice.chance(0.2):
		o.ask(o.desk(), cluster.Op{Verb: cluster.VerbShutdownCluster})
	case k < 19:
		o.anomaly()
	default:
		o.care()
	}
	if w.opt.Rush {
		o.second(g)
	}
	w.after(w.dice.between(300*time.Millisecond, 4*time.Second), o.next)
}

// second is another operator, who acts at the same moment as the first one, often on the
// same group or server and on another desk, and sometimes does the very same.
func (o *operators) second(g string) {
	w, d := o.w, o.rush
	desk := w.servers[d.IntN(len(w.servers))]
	server := w.servers[d.IntN(len(w.servers))].name
	if d.chance(0.4) {
		return
	}
	w.stats.count("two operators at once")
	switch k := d.IntN(14); {
	case k < 3 && len(o.order) > 0: // the first one's own operation, asked for twice
		op := o.order[len(o.order)-1].op
		o.ask(desk, cluster.Op{Verb: op.Verb, Group: op.Group, Server: op.Server, Revision: op.Revision})
	case k < 6:
		o.ask(desk, cluster.Op{Verb: cluster.VerbMove, Group: g, Server: server})
	case k < 8:
		o.ask(desk, cluster.Op{Verb: cluster.VerbStop, Group: g})
	case k < 10:
		o.ask(desk, cluster.Op{Verb: cluster.VerbStart, Group: g, Server: server})
	case k < 11:
		o.ask(desk, cluster.Op{Verb: cluster.VerbFailover, Group: g})
	case k < 12:
		o.ask(desk, cluster.Op{Verb: cluster.VerbDisconnect, Server: server})
	default:
		o.ask(desk, cluster.Op{Verb: cluster.VerbReturn, Server: server})
	}
}

// desk is the server that an operator asks: mostly one where things can be decided.
func (o *operators) desk() *server {
	if l := o.w.leader(); l != nil && o.w.dice.chance(0.5) {
		return l
	}
	return o.w.any()
}

// target is where an operator wants a group: nowhere in particular, somewhere
// sensible, or anywhere.
func (o *operators) target(group string) string {
	w := o.w
	switch k := w.dice.IntN(10); {
	case k < 3:
		return ""
	case k < 9:
		st := w.judge.newest
		g := st.Group(group)
		var good []string
		for i := range st.Servers {
			if s := &st.Servers[i]; s.State == cluster.ServerOnline && (g == nil || s.Name != g.Server) {
				good = append(good, s.Name)
			}
		}
		if len(good) > 0 {
			return good[w.dice.IntN(len(good))]
		}
	}
	return w.any().name
}

// remark writes lines into the event log, so that something is always being decided.
func (o *operators) remark() {
	w := o.w
	if w.healed {
		return
	}
	o.count++
	if s := w.any(); s.life != nil {
		s.input(s.life, node.Input{Note: &cluster.Event{
			At: s.clock.readWall(w.now), Severity: cluster.Info, Code: "remark", Server: s.name, Text: fmt.Sprintf("remark %d", o.count),
		}})
	}
	w.after(w.dice.between(100*time.Millisecond, 3*time.Second), o.remark)
}

// anomaly lets a resource of a group fail where it runs.
func (o *operators) anomaly() {
	o.anomalyOf(o.w.dice.IntN(len(o.w.rules.Groups)))
}

func (o *operators) anomalyOf(g int) {
	w := o.w
	for _, s := range w.carriers(g) {
		if s.life != nil {
			w.stats.count("anomaly")
			w.note(s, "anomaly of %s", w.rules.Groups[g].Name)
			s.input(s.life, node.Input{Anomaly: &node.LocalFault{Group: w.rules.Groups[g].Name, Resource: "floating_ip", Text: "address is gone"}})
		}
	}
}

// care is what an operator does who wants everything to run: detached servers are
// returned, groups that stand still are started.
func (o *operators) care() {
	st := o.w.judge.newest
	for i := range st.Servers {
		if s := &st.Servers[i]; s.State == cluster.ServerDetached && s.Present {
			o.ask(o.desk(), cluster.Op{Verb: cluster.VerbReturn, Server: s.Name})
		}
	}
	for i := range st.Groups {
		switch g := &st.Groups[i]; {
		case g.State == cluster.GroupFailed && g.Stuck:
			o.ask(o.desk(), cluster.Op{Verb: cluster.VerbStop, Group: g.Name})
		case g.State == cluster.GroupFailed || g.State == cluster.GroupStopped:
			o.ask(o.desk(), cluster.Op{Verb: cluster.VerbStart, Group: g.Name})
		}
	}
}

func (o *operators) ask(s *server, op cluster.Op) {
	w := o.w
	if s.life == nil {
		return
	}
	o.count++
	op.ID = fmt.Sprintf("op-%d", o.count)
	op.Who = who(s)
	r := &request{op: op, at: w.now, life: s.life, server: s}
	o.asked[op.ID] = r
	o.order = append(o.order, r)
	w.stats.Asked++
	w.note(s, "is asked %s: %s %s %s", op.ID, op.Verb, op.Group, op.Server)
	s.input(s.life, node.Input{Request: &op})
}

// reply is what the owner does with Output.Replies.
func (o *operators) reply(s *server, l *life, r node.Reply) {
	w := o.w
	q := o.asked[r.ID]
	switch {
	case q == nil:
		w.break_(BrokenOp, "%s replies to %q, which nobody asked for", s.name, r.ID)
		return
	case q.life != l:
		w.break_(BrokenOp, "%s replies to %s, which was asked of %s in another life", s.name, r.ID, q.server.name)
	case q.replied:
		w.break_(BrokenOp, "%s replies twice to %s", s.name, r.ID)
	}
	q.replied = true
	if r.Refusal != nil {
		w.stats.RefusedOps++
		w.note(s, "%s is refused: %v", r.ID, r.Refusal)
		if r.Refusal.Code == "" || r.Refusal.Message == "" {
			w.break_(BrokenOp, "%s is refused without a reason", r.ID)
		}
		return
	}
	q.accepted = true
	w.note(s, "%s is accepted", r.ID)
}

// see looks for operations that have ended.
func (o *operators) see(st *cluster.State) {
	for i := range st.Ops {
		op := &st.Ops[i]
		q := o.asked[op.ID]
		if q == nil {
			continue
		}
		q.begun = true
		if op.State != cluster.OpRunning && !q.ended {
			q.ended = true
			if q.replied && !q.accepted && op.State != cluster.OpRefused {
				// Whoever asked was told that nothing would happen.
				o.w.stats.count("refused and carried out")
			}
			o.w.stats.count("operation " + string(op.State))
			o.w.note(nil, "%s %s: %s", op.ID, op.State, op.Text)
		}
	}
}

// begun is how many operations the log has so far.
func (o *operators) begun() (n int) {
	for _, q := range o.asked {
		if q.begun {
			n++
		}
	}
	return n
}

// missing says which operation is neither ended nor refused.
func (o *operators) missing() string {
	o.order = slices.DeleteFunc(o.order, func(q *request) bool {
		if q.ended {
			return true
		}
		// Nobody waits for a refused one, nor for one asked of a batond that is gone
		// and has not answered.
		return q.replied && !q.accepted || !q.replied && q.server.life != q.life
	})
	for _, q := range o.order {
		switch {
		case !q.replied:
			return fmt.Sprintf("%s got no reply to %s (%s %s %s)", q.server.name, q.op.ID, q.op.Verb, q.op.Group, q.op.Server)
		default:
			return fmt.Sprintf("%s was accepted and has not ended (%s %s %s)", q.op.ID, q.op.Verb, q.op.Group, q.op.Server)
		}
	}
	return ""
}

// awaitLiveness waits until everything runs again, with an operator who returns
// servers and starts what has failed. Then nothing may change any more.
func (w *world) awaitLiveness() {
	begin := w.now
	text := ""
	for w.violation == nil && w.now < begin+w.opt.Heal {
		w.runUntil(w.now + 250*time.Millisecond)
		if w.violation != nil {
			return
		}
		if text = w.missing(); text == "" {
			heal := w.now - begin
			if w.settle() {
				w.stats.LongestHeal = heal
				return
			}
		} else if w.now-begin > 2*time.Second && w.dice.chance(0.3) {
			w.operators.care()
		}
	}
	if w.violation == nil {
		w.break_(BrokenLiveness, "%v after the faults ended: %s%s", w.opt.Heal, text, w.standing())
	}
}

// standing says how far each server is, a line for each.
func (w *world) standing() (text string) {
	for _, s := range w.servers {
		if s.life == nil {
			text += fmt.Sprintf("\n    %s does not run", s.name)
			continue
		}
		v := s.life.node.View(s.reading())
		text += fmt.Sprintf("\n    %s in epoch %v, sealed %v, leader %q, voters %v, waits for %q", s.name, v.Epoch, s.seen.sealed, v.Leader, v.Voters, v.Waiting)
	}
	return text
}

// settle checks that a healthy cluster stays as it is. It reports false if an
// operation that was still on its way has come in between.
func (w *world) settle() bool {
	takes, done, hits, anomalies := w.stats.Takes, w.operators.begun(), w.fence.hits, w.judge.anomalies
	w.runUntil(w.now + 4*time.Second)
	if w.violation != nil {
		return false
	}
	text := w.missing()
	for end := w.now + time.Second; strings.HasSuffix(text, isBehind) && w.now < end; text = w.missing() {
		w.runUntil(w.now + 50*time.Millisecond) // a remark is on its way at this very moment
	}
	switch {
	case w.violation != nil:
		return false
	case w.operators.begun() != done || w.fence.hits != hits || w.judge.anomalies != anomalies:
		// An agent was told before, or a resource failed while there was nobody to tell.
		return false
	case text != "":
		w.break_(BrokenLiveness, "all was well, and 4s later, without a fault: %s", text)
	case w.stats.Takes != takes:
		w.break_(BrokenLiveness, "all was well, and within 4s, without a fault, %d groups were taken", w.stats.Takes-takes)
	}
	return true
}
