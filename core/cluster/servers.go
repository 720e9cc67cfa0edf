package cluster

import (
	"slices"
	"strings"
)

// arrive takes note of a server that has no open session and offers one. What it may
// do then depends on how it went away.
func (x *change) arrive(c Command) {
	sv := x.s.Server(c.Server)
	if sv == nil {
		x.ignore("the arrival of unknown server %q", c.Server)
		return
	}
	switch {
	case sv.Session != 0, c.Session <= sv.LastSession: // S2
		return
	case sv.Present && sv.Offered == c.Session && sv.Boot == c.Boot:
		return
	case x.s.Phase != PhaseStopping && sv.State == ServerStopped && sv.Boot == c.Boot && sv.Life == c.Life && c.Life != "":
		// It was shut down, has not heard of that before its lease was over, and comes with
		// the next session. That one is used up as well, so that it hears of it now.
		sv.LastSession = c.Session
		x.touchServer(sv)
		return
	}
	cutOff := sv.Failed && sv.FailedBoot == c.Boot
	again := sv.State == ServerDetached
	sv.Present, sv.Offered, sv.Boot, sv.Life, sv.Then = true, c.Session, c.Boot, c.Life, ""
	x.touchServer(sv)
	switch {
	case sv.Disconnected:
		x.setServer(sv, ServerDetached, "disconnected by an operator")
		if !again {
			x.say(CodeServerDisconnected, sv.Name, "", "%s is there, and stays out of the cluster: an operator has disconnected it", sv.Name)
		}
	case x.s.Phase == PhaseStopping:
		x.setServer(sv, ServerDetached, "arrived while the cluster was being shut down")
	case x.s.Phase == PhaseForming:
		x.takeIn(sv)
	case sv.Failed && !cutOff && !x.s.Config.ReturnAuto:
		x.setServer(sv, ServerDetached, "booted again after a failure, waits to be returned")
		if !again {
			x.say(CodeServerDetached, sv.Name, "", "%s is detached: it failed and has booted again; baton return %s takes it back in", sv.Name, sv.Name)
		}
	default:
		x.takeIn(sv)
	}
}

// takeIn opens the session that a server offers.
func (x *change) takeIn(sv *Server) {
	sv.Session, sv.LastSession, sv.Offered = sv.Offered, sv.Offered, 0
	sv.Disconnected = false
	x.touchServer(sv)
	if cutOff := sv.Failed && sv.FailedBoot == sv.Boot; !cutOff {
		x.resetFailovers(sv.Name)
	}
	if x.s.Phase == PhaseForming {
		x.setServer(sv, ServerStarting, "waits for the cluster to start")
		x.say(CodeServerStarting, sv.Name, "", "%s is there and waits for the cluster to start", sv.Name)
		return
	}
	if !sv.Failed {
		x.online(sv, "joined")
		return
	}
	for _, name := range sv.FailedWith {
		gc := x.s.Config.Group(name)
		if gc == nil || gc.Priority(sv.Name) == 0 {
			continue
		}
		sv.Recovering = append(sv.Recovering, Step{
			Token: x.next(), Kind: StepRecover, Group: name, Server: sv.Name, Session: sv.Session,
			Env: startEnv(gc, sv.Name, EventRecover), Pushed: x.at,
		})
	}
	if len(sv.Recovering) == 0 {
		x.online(sv, "returned")
		return
	}
	x.setServer(sv, ServerReturning, recoverRuns(sv))
	x.say(CodeServerReturning, sv.Name, "", "%s returns; RECOVER runs there first for %s", sv.Name, strings.Join(sv.FailedWith, ", "))
}

// recoverRuns is how far a return has come.
func recoverRuns(sv *Server) string {
	names := make([]string, 0, len(sv.Recovering))
	for i := range sv.Recovering {
		names = append(names, sv.Recovering[i].Group)
	}
	out := "RECOVER of " + names[0] + " runs first"
	if len(names) > 1 {
		out += ", then of " + strings.Join(names[1:], ", ")
	}
	return out
}

// online makes a server of a running cluster a full member and gives it what was
// waiting for it.
func (x *change) online(sv *Server, why string) {
	sv.Failed, sv.FailedBoot, sv.FailedWith = false, "", nil
	x.setServer(sv, ServerOnline, why)
	x.say(CodeServerOnline, sv.Name, "", "%s is online: %s", sv.Name, why)
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		gc := x.rules(g)
		priority := gc.Priority(sv.Name)
		if priority == 0 || !g.Wanted {
			continue
		}
		switch {
		case g.State == GroupFailed && !g.Stuck:
			x.startAt(g, Intent{Kind: StepStart, Event: startEvent(g, gc, sv.Name), Server: sv.Name, Why: "it has come online"})
		case gc.FailbackAuto && g.Server != "" && priority < gc.Priority(g.Server):
			x.failBack(g, sv.Name)
		}
	}
}

// failBack moves a group with failback = "auto" to a higher-priority server that has
// just come online: at once, or behind the start that is under way.
func (x *change) failBack(g *Group, to string) {
	why := "failback is auto and " + to + " is online again"
	start := Intent{Kind: StepStart, Event: EventStart, Server: to, Why: why, Handover: true}
	switch {
	case g.State == GroupOnline:
		x.stop(g, FactorGroupMove, why, start)
	case g.State == GroupStarting && len(g.Next) == 0 && !x.s.isPlaced(g):
		g.Next = []Intent{{Kind: StepStop, Factor: FactorGroupMove, Why: why}, start}
		x.touch(g)
	}
}

// isPlaced says whether an operation under way wants the group on a certain server. A
// start that names none does not.
func (s *State) isPlaced(g *Group) bool {
	op := s.Op(g.Op)
	return op != nil && (op.Verb != VerbStart || op.Server != "")
}

// resetFailovers begins the count of failovers anew: a server of the policy starts.
func (x *change) resetFailovers(server string) {
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		if g.Failovers != 0 && x.rules(g).Priority(server) > 0 {
			g.Failovers = 0
			x.touch(g)
		}
	}
}

// lost ends sessions. All of them end before any group is placed anew, so that no
// group goes to a server of the same command.
func (x *change) lost(c Command) {
	var ended []string
	for _, l := range c.Lost {
		sv := x.s.Server(l.Server)
		switch {
		case sv == nil:
			x.ignore("the loss of unknown server %q", l.Server)
		case l.Session == 0:
			x.gone(sv, l)
		case l.Session == sv.Session:
			x.endByFailure(sv, l)
			ended = append(ended, sv.Name)
			x.ended = true
		}
	}
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		if slices.Contains(ended, g.Server) && (g.State != GroupFailed || g.Stuck) {
			g.Left = Left{Server: g.Server, At: x.at, Down: true, Why: x.s.Server(g.Server).Reason}
			x.orphaned(g)
		}
	}
}

// gone takes note that a server without a session is no longer heard.
func (x *change) gone(sv *Server, l Loss) {
	if sv.Session != 0 || !sv.Present {
		return
	}
	sv.Present, sv.Offered = false, 0
	x.setServer(sv, ServerDown, l.Reason)
	x.say(CodeServerGone, sv.Name, "", "%s, which was not a member, is gone: %s", sv.Name, l.Reason)
}

// endByFailure ends a server's session because it has failed.
func (x *change) endByFailure(sv *Server, l Loss) {
	with := sv.FailedWith
	sv.FailedWith = nil
	var ran []string
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		runs := g.Server == sv.Name && (g.State == GroupStarting || g.State == GroupOnline || g.State == GroupStopping)
		if runs {
			ran = append(ran, g.Name)
		}
		if runs || slices.Contains(with, g.Name) {
			sv.FailedWith = append(sv.FailedWith, g.Name)
		}
	}
	// A server that the cluster had not begun with has nothing to recover from.
	if x.s.Phase != PhaseForming {
		sv.Failed, sv.FailedBoot = true, sv.Boot
	}
	sv.Session, sv.Offered, sv.Present, sv.Recovering, sv.Leaving, sv.Then = 0, 0, false, nil, "", ""
	x.setServer(sv, ServerDown, l.Reason)
	if x.s.Phase == PhaseStopping && l.Offers > sv.LastSession {
		// Its batond is to end with the others, or it would start the cluster again.
		sv.Present, sv.Offered = true, l.Offers
		x.setServer(sv, ServerDetached, l.Reason)
	}
	text := sv.Name + " is down: " + l.Reason
	if len(ran) > 0 {
		text += "; it was running " + strings.Join(ran, ", ")
	}
	x.say(CodeServerDown, sv.Name, "", "%s", text)
}

// orphaned carries on a group whose server's session has just ended: whatever was
// active there is not any more.
func (x *change) orphaned(g *Group) {
	from := g.Server
	if g.State == GroupStarting {
		g.LastServer = from // its start script may have run
	}
	in := Intent{Kind: StepStart, Event: EventFailover, Why: x.s.whyNot(from)}
	for _, next := range g.Next {
		if next.Kind != StepStart {
			continue
		}
		if next.Server != "" && x.s.isOnline(next.Server) {
			in.Event, in.Server, in.Why = next.Event, next.Server, next.Why+"; "+x.s.whyNot(from)
		}
		break
	}
	g.Step, g.Next, g.Stuck = nil, nil, false
	if !g.Wanted {
		x.rest(g, g.Reason+"; "+x.s.whyNot(from))
	} else if !x.startAt(g, in) {
		x.rest(g, x.s.whyNot(from))
	}
}

// begin starts the cluster with the servers that are there.
func (x *change) begin(c Command) {
	if x.s.Phase != PhaseForming {
		return
	}
	var names []string
	for i := range x.s.Servers {
		if x.s.Servers[i].State == ServerStarting {
			names = append(names, x.s.Servers[i].Name)
		}
	}
	if len(names) == 0 {
		x.ignore("a cluster start without a server")
		return
	}
	x.s.Phase, x.s.Revision = PhaseRunning, x.index
	x.forgetLives()
	text := "the cluster starts with " + strings.Join(names, ", ")
	if c.Text != "" {
		text += ": " + c.Text
	}
	x.say(CodeClusterStarted, "", "", "%s", text)
	for i := range x.s.Servers {
		if sv := &x.s.Servers[i]; sv.State == ServerStarting {
			sv.Failed, sv.FailedBoot, sv.FailedWith = false, "", nil
			x.setServer(sv, ServerOnline, "started with the cluster")
		}
	}
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		x.forgive(g)
		g.Wanted = g.Wanted || x.rules(g).Autostart
		switch {
		case !g.Wanted:
			x.set(g, GroupStopped, "", "not started with the cluster: autostart is off")
		case !x.startAt(g, Intent{Kind: StepStart}):
			x.rest(g, "")
		}
	}
}
