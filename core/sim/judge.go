package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/node"
)

// judge knows what must never happen, and remembers what it needs to see it.
type judge struct {
	w *world
	// forks: histories may part, where a tie-breaker keeps no record or an operator
	// decides. Then each line of epochs is one history; else there is one, and every
	// line is the zero one.
	forks  bool
	forked bool // two lines of one number were seen
	lines  map[epoch.ID]line
	epochs []epoch.ID // the keys of lines, in the order in which they were seen
	// begun says where a token was begun.
	begun map[place]string
	// history has what the state was at each index of the log, as one number, and
	// who was the first to have it.
	history map[place]record
	// told has each event of the log by its ID.
	told map[place]cluster.Event
	// newest is the newest state that anyone has of the history that goes on, and
	// newestOf that of each line.
	newest    *cluster.State
	goesOn    epoch.ID
	newestOf  map[epoch.ID]*cluster.State
	voters    []string // of the newest view with a quorum
	anomalies int      // told of so far
	// lax: two carriers are counted, not judged, and the ends of sessions not either (a
	// dishonest operator).
	lax      bool
	twoCarry int
}

// line is an epoch as part of a history: it goes on from another one behind an index.
type line struct {
	parent epoch.ID
	base   uint64
}

// place is an index, or what is counted by one, in a line.
type place struct {
	line epoch.ID
	at   uint64
}

type record struct {
	digest uint64
	by     *server
	at     time.Duration
}

func newJudge(w *world) judge {
	return judge{
		w: w, forks: w.opt.Tie.isWeak() || w.opt.Forced,
		lines: map[epoch.ID]line{}, begun: map[place]string{}, history: map[place]record{}, told: map[place]cluster.Event{},
		newest: &cluster.State{}, newestOf: map[epoch.ID]*cluster.State{},
	}
}

// enters notices a server in another epoch than before. A founder is always the first
// to be seen in its epoch: nobody else hears of it before.
func (j *judge) enters(s *server, v *node.View) {
	e := v.Epoch
	if e == s.line {
		return
	}
	if _, known := j.lines[e]; !known && e != (epoch.ID{}) {
		for _, o := range j.epochs {
			if o.Number == e.Number || j.lines[o].parent == s.line {
				j.forked = true
				j.w.stats.count("fork")
				if !j.forks && o.Number == e.Number {
					j.w.break_(BrokenHistory, "epoch %d is founded by %v and by %v", e.Number, o.Founder, e.Founder)
				}
			}
		}
		parent := s.line
		if j.forks {
			parent = s.had // it may have founded from what it had of an earlier line
		}
		base := v.State.Index
		if s == j.w.forcing {
			// The rest of its log may never have been agreed on, while others that are
			// off now have agreed on something else: that is what the operator gives up.
			base = min(base, s.hadAt)
		}
		j.lines[e] = line{parent: parent, base: base}
		s.had, s.hadAt = e, v.State.Index
		j.epochs = append(j.epochs, e)
		j.w.stats.Foundings++
	}
	s.line = e
}

// lineOf is the history that a server is in.
func (j *judge) lineOf(s *server) epoch.ID {
	if !j.forks {
		return epoch.ID{}
	}
	return s.line
}

// lookUp finds what a line has at an index, be it from before it parted.
func lookUp[V any](j *judge, m map[place]V, at place) (V, bool) {
	for {
		if v, ok := m[at]; ok {
			return v, true
		}
		l, ok := j.lines[at.line]
		if !ok || at.at > l.base || l.parent == at.line {
			var none V
			return none, false
		}
		at.line = l.parent
	}
}

// takes: a server's start step takes its first action; from now on it carries the
// group, until a stop has ended, the guard has cleared it, or the power is off.
func (w *world) takes(s *server, g int, step cluster.Step) {
	name := w.rules.Groups[g].Name
	w.note(s, "takes %s session %x token %d", name, step.Session, step.Token)
	for _, o := range w.servers {
		if o != s && o.carries[g].on && w.judge.lax {
			w.judge.twoCarry++
		} else if o != s && o.carries[g].on {
			w.break_(BrokenCarrier, "%s takes %s (session %x token %d) while %s carries it (session %x token %d, guard ends in %v)",
				s.name, name, step.Session, step.Token, o.name, o.carries[g].session, o.carries[g].token, o.guard.end.Sub(o.local()))
		}
	}
	s.carries[g] = carry{on: true, session: step.Session, token: step.Token}
	w.stats.Takes++
	if step.Env.Event == cluster.EventFailover {
		w.stats.Failovers++
	}
}

// drops: nothing of the group is left on the server.
func (w *world) drops(s *server, g int, why string) {
	if !s.carries[g].on {
		return
	}
	w.note(s, "drops %s (%s)", w.rules.Groups[g].Name, why)
	s.carries[g] = carry{}
}

// begins: a step of a line takes its first action.
func (j *judge) begins(s *server, in epoch.ID, step cluster.Step) {
	j.w.note(s, "begins %s %s token %d", step.Kind, step.Group, step.Token)
	at := place{in, step.Token}
	if where, ok := lookUp(j, j.begun, at); ok {
		j.w.break_(BrokenToken, "%s begins token %d (%s %s), which %s began", s.name, step.Token, step.Kind, step.Group, where)
	}
	j.begun[at] = s.name
}

// events checks what a node says has happened.
func (j *judge) events(s *server, l *life, events []cluster.Event) {
	for _, e := range events {
		if j.w.trace != nil {
			j.w.note(s, "event %d %s: %s", e.ID, e.Code, e.Text)
		}
		if e.ID <= l.lastEvent {
			j.w.break_(BrokenEvent, "%s tells event %d after %d", s.name, e.ID, l.lastEvent)
		}
		l.lastEvent = e.ID
		at := place{j.lineOf(s), e.ID}
		// Who is forced tells what it decides by itself before it says that it is in
		// another epoch.
		if o, ok := j.told[at]; ok && o != e && !j.w.opt.Forced {
			j.w.break_(BrokenHistory, "%s tells event %d as %+v, earlier it was %+v", s.name, e.ID, e, o)
		}
		if _, ok := j.told[at]; !ok && e.Code == cluster.CodeGroupAnomaly {
			j.anomalies++
		}
		j.told[at] = e
	}
}

// view checks the picture that a node gives.
func (j *judge) view(s *server, l *life, v *node.View) {
	if v.Quorum && !slices.Equal(j.voters, v.Voters) && len(v.Voters) > 0 {
		j.w.note(s, "voters %v learners %v", v.Voters, v.Learner)
		j.voters = v.Voters
		j.w.moment(momentConf, s)
	}
	st := v.State
	if j.enters(s, v); j.lineOf(s) != l.line {
		l.line, l.lastIndex, l.lastEvent, l.isOfLine = j.lineOf(s), 0, 0, false
	}
	j.replaced(v)
	// Who has just joined a line still shows the state of the one it comes from.
	l.isOfLine = l.isOfLine || v.Quorum || !j.forks
	if st == nil || st.Index == 0 || !l.isOfLine {
		return
	}
	if st.Index < l.lastIndex {
		j.w.break_(BrokenHistory, "%s goes back from index %d to %d", s.name, l.lastIndex, st.Index)
	}
	l.lastIndex, s.had, s.hadAt = st.Index, s.line, st.Index
	d, at := digest(st), place{l.line, st.Index}
	if r, ok := lookUp(j, j.history, at); !ok {
		j.history[at] = record{d, s, j.w.now}
	} else if r.digest != d {
		j.w.break_(BrokenHistory, "%s has another state at index %d than %s had at %.3fs", s.name, st.Index, r.by.name, r.at.Seconds())
	}
	j.progress(s, v)
}

// progress takes note of the newest state of a line.
func (j *judge) progress(s *server, v *node.View) {
	of, st := j.lineOf(s), v.State
	before := j.newestOf[of]
	if before == nil {
		before = &cluster.State{}
		if l := j.lines[of]; j.newestOf[l.parent] != nil && j.newestOf[l.parent].Index <= l.base {
			p := j.newestOf[l.parent]
			before = p
		}
	}
	if st.Index > before.Index || j.newestOf[of] == nil {
		j.sessions(s, before, st)
		j.newestOf[of] = st
	}
	if v.Quorum && of != j.goesOn && (of.Number >= j.goesOn.Number || !j.w.anyIn(j.goesOn)) {
		j.goesOn = of
	}
	if of == j.goesOn && (st.Index > j.newest.Index || j.newest != j.newestOf[of] && j.forks) {
		j.newest = j.newestOf[of]
		j.w.operators.see(j.newest)
	}
}

// anyIn says whether a running server was last seen in an epoch.
func (w *world) anyIn(e epoch.ID) bool {
	return slices.ContainsFunc(w.servers, func(s *server) bool { return s.life != nil && s.line == e })
}

// replaced notices when a server that was wiped is a voter again: its old vote is
// gone, and the new one is there.
func (j *judge) replaced(v *node.View) {
	w := j.w
	if w.wiped == nil || !v.Quorum || v.State == nil || v.State.Index < j.newest.Index {
		return
	}
	switch votes := slices.Contains(v.Voters, w.wiped.name); {
	case !votes && slices.Contains(v.Learner, w.wiped.name):
		w.unvoted = true
	case votes && w.unvoted:
		w.wiped, w.unvoted = nil, false
	}
}

// sessions looks at every session that has ended since the last state: nothing may
// run under it any more, and, where the server was given up, no lease may be left.
func (j *judge) sessions(by *server, before, after *cluster.State) {
	w := j.w
	for i := range after.Servers {
		now := &after.Servers[i]
		if now.Session != 0 && now.Session != now.LastSession {
			w.break_(BrokenLoss, "%s: session %x is open, but the last one opened is %x", now.Name, now.Session, now.LastSession)
		}
		if i >= len(before.Servers) {
			continue
		}
		was := &before.Servers[i]
		if now.LastSession < was.LastSession {
			w.break_(BrokenLoss, "%s: last session goes back from %x to %x", now.Name, was.LastSession, now.LastSession)
		}
		if was.Session == 0 || now.Session == was.Session {
			continue
		}
		s := w.server(now.Name)
		w.note(by, "applies the end of session %x of %s: %s, %s", was.Session, now.Name, now.State, now.Reason)
		if j.lax {
			continue
		}
		for g := range s.carries {
			if c := &s.carries[g]; c.on && c.session == was.Session {
				w.break_(BrokenLoss, "session %x of %s is over (applied by %s: %s), but it carries %s", was.Session, s.name, by.name, now.Reason, w.rules.Groups[g].Name)
			}
		}
		lost := now.State == cluster.ServerDown || now.State == cluster.ServerDetached && !now.Disconnected
		if !lost {
			continue
		}
		w.stats.Losses++
		if s.holds(was.Session) {
			w.break_(BrokenLoss, "session %x of %s is over (applied by %s: %s), but its lease lasts %v more",
				was.Session, s.name, by.name, now.Reason, s.guard.end.Sub(s.local()))
		}
	}
}

func (w *world) server(name string) *server {
	for _, s := range w.servers {
		if s.name == name {
			return s
		}
	}
	panic(fmt.Sprintf("sim: a server %q that is not configured", name))
}

// carriers are the servers that carry a group.
func (w *world) carriers(g int) []*server {
	var on []*server
	for _, s := range w.servers {
		if s.carries[g].on {
			on = append(on, s)
		}
	}
	return on
}

// isBehind ends what missing says of a server that has not applied what another one has.
const isBehind = " is behind"

// missing says what is not as it should be in a cluster without faults; "" nothing.
func (w *world) missing() string {
	var views []node.View
	for _, s := range w.servers {
		switch {
		case s.life == nil:
			return s.name + " does not run"
		case s.life.leaving:
			return s.name + " is told to stop and does not"
		}
		views = append(views, s.life.node.View(s.reading()))
		w.judge.view(s, s.life, &views[len(views)-1])
	}
	st := views[0].State
	for i := range views {
		v := &views[i]
		switch {
		case v.Leader == "" || v.Leader != views[0].Leader:
			return fmt.Sprintf("%s takes %q for the leader, %s %q", v.Server, v.Leader, views[0].Server, views[0].Leader)
		case !v.Quorum:
			return fmt.Sprintf("%s has no quorum, waits for %q", v.Server, v.Waiting)
		case v.State == nil || v.State.Index != st.Index:
			return v.Server + isBehind
		}
	}
	if len(views[0].Voters) != len(w.servers) {
		return fmt.Sprintf("voters are %v, learners %v", views[0].Voters, views[0].Learner)
	}
	if st.Phase != cluster.PhaseRunning {
		return fmt.Sprintf("the cluster is %s", st.Phase)
	}
	for i := range st.Servers {
		s := &st.Servers[i]
		if s.State != cluster.ServerOnline {
			return fmt.Sprintf("%s is %s: %s", s.Name, s.State, s.Reason)
		}
		if m := w.server(s.Name); !m.holds(s.Session) {
			return fmt.Sprintf("%s is online under session %x and has no lease for it", s.Name, s.Session)
		}
	}
	for g := range st.Groups {
		if text := w.missingGroup(&st.Groups[g]); text != "" {
			return text
		}
	}
	if w.judge.forked || w.forced {
		return "" // what was accepted in a history that is no more is lost with it
	}
	return w.operators.missing()
}

func (w *world) missingGroup(g *cluster.Group) string {
	on := w.carriers(w.group(g.Name))
	switch {
	case g.Wanted && g.State != cluster.GroupOnline, !g.Wanted && g.State != cluster.GroupStopped:
		return fmt.Sprintf("%s is %s, wanted %v: %s", g.Name, g.State, g.Wanted, g.Reason)
	case g.Wanted && (len(on) != 1 || on[0].name != g.Server):
		return fmt.Sprintf("%s is online at %s and carried by %s", g.Name, g.Server, serverNames(on))
	case !g.Wanted && len(on) != 0:
		return fmt.Sprintf("%s is stopped and carried by %s", g.Name, serverNames(on))
	}
	return ""
}

func serverNames(servers []*server) string {
	var names []string
	for _, s := range servers {
		names = append(names, s.name)
	}
	return "[" + strings.Join(names, " ") + "]"
}
