package cluster

import (
	"slices"
	"strings"
)

// This file is what may be pushed onto a group, and in which order: plans. A plan is
// a step and the intents behind it; results and losses carry it on.

// push makes a step due. A group has one step at a time, and a step needs an open
// session (S3).
func (x *change) push(g *Group, sv *Server, kind StepKind, env Env, handover bool) {
	g.Step = &Step{
		Token: x.next(), Kind: kind, Group: g.Name, Server: sv.Name, Session: sv.Session,
		Env: env, Pushed: x.at, Handover: handover,
	}
	x.touch(g)
}

// startEnv are the variables of a start script on a server.
func startEnv(gc *GroupConfig, server, event string) Env {
	p := gc.Priority(server)
	return Env{Event: event, Home: p == 1, Priority: p}
}

// startAt pushes the start that an intent asks for, and reports whether there was a
// server for it.
func (x *change) startAt(g *Group, in Intent) bool {
	if x.s.Phase != PhaseRunning {
		return false
	}
	gc := x.rules(g)
	var server, event, why string
	if in.Server != "" && gc.Priority(in.Server) > 0 && x.s.isOnline(in.Server) {
		server, event, why = in.Server, in.Event, in.Server+": "+in.Why
	} else {
		cause := in.Why
		if in.Server != "" {
			// It was to go to a server that is no longer there for it.
			in.Event, cause = "", x.s.whyNot(in.Server)
		}
		if in.Avoid != "" {
			server = x.s.failoverTarget(g, gc, in.Avoid, false)
		}
		if server == "" {
			server = x.s.best(gc)
		}
		if server == "" {
			return false
		}
		event, why = in.Event, x.s.why(gc, server, in.Avoid, cause)
		if server == in.Avoid {
			event = "" // back where it was, because the others have gone meanwhile
		}
	}
	if event == "" {
		event = startEvent(g, gc, server)
	}
	x.startOn(g, server, event, why, in.Handover)
	return true
}

func (x *change) startOn(g *Group, server, event, why string, handover bool) {
	g.Degraded = false
	if !handover {
		g.Warning = "" // else it is about the stop just before, on the server that was left
	}
	if event != EventFailover {
		g.Left = Left{}
	}
	x.set(g, GroupStarting, server, why)
	x.push(g, x.s.Server(server), StepStart, startEnv(x.rules(g), server, event), handover)
	x.say(CodeGroupStarting, server, g.Name, "%s is being started on %s (%s)", g.Name, why, event)
}

// stop pushes a stop on the server that carries the group, with what follows it.
func (x *change) stop(g *Group, factor, why string, then ...Intent) {
	g.Next = slices.Clone(then)
	x.pushStop(g, factor, why)
}

func (x *change) pushStop(g *Group, factor, why string) {
	env := g.LastStart
	env.Factor = factor
	x.set(g, GroupStopping, g.Server, why)
	g.Stuck, g.Warning = false, ""
	x.push(g, x.s.Server(g.Server), StepStop, env, false)
	x.say(CodeGroupStopping, g.Server, g.Name, "%s is being stopped on %s (%s): %s", g.Name, g.Server, factor, why)
}

// advance pushes the next step of the group's plan. Nothing of the group is active
// now, or it is on g.Server and a stop comes next. It reports whether something was
// pushed; if not, the plan is over.
func (x *change) advance(g *Group) bool {
	for len(g.Next) > 0 {
		in := g.Next[0]
		if g.Next = g.Next[1:]; len(g.Next) == 0 {
			g.Next = nil
		}
		switch in.Kind {
		case StepStop:
			x.pushStop(g, in.Factor, in.Why)
			return true
		case StepRecover:
			sv := x.s.Server(in.Server)
			if sv == nil || sv.Session == 0 || x.rules(g).Priority(in.Server) == 0 {
				continue
			}
			x.set(g, GroupStopping, in.Server, g.Reason)
			x.push(g, sv, StepRecover, startEnv(x.rules(g), in.Server, EventRecover), false)
			x.say(CodeGroupRecovering, in.Server, g.Name, "%s: RECOVER runs on %s", g.Name, in.Server)
			return true
		case StepStart:
			if x.startAt(g, in) {
				return true
			}
			g.Next = nil
		}
	}
	return false
}

// rest is the end of a plan that has left the group inactive. Where it is wanted it
// can only be waiting for a server.
func (x *change) rest(g *Group, why string) {
	g.Step, g.Next = nil, nil
	if !g.Wanted || x.s.Phase != PhaseRunning {
		x.set(g, GroupStopped, "", why)
		x.say(CodeGroupStopped, "", g.Name, "%s is stopped: %s", g.Name, why)
		return
	}
	x.set(g, GroupStopped, "", x.s.whyNowhere(x.rules(g)))
	x.say(CodeGroupWaiting, "", g.Name, "%s %s", g.Name, g.Reason)
}

// fail ends a plan whose start found no server that could do it. Nothing is active.
func (x *change) fail(g *Group, server, why string) {
	g.Step, g.Next = nil, nil
	x.set(g, GroupFailed, server, why)
	x.say(CodeGroupFailed, server, g.Name, "%s has failed: %s", g.Name, why)
}

// stick ends a plan because something of the group may still be active on a server:
// no start anywhere until that is over.
func (x *change) stick(g *Group, server, text string) {
	g.Step, g.Next, g.Stuck = nil, nil, true
	x.set(g, GroupFailed, server, server+": could not be released: "+text)
	x.say(CodeGroupStuck, server, g.Name, "%s could not be released on %s: %s; it starts nowhere else until it is", g.Name, server, text)
}

// startWaiting starts every wanted group that waits for a server, if there is one; else
// the group says how those it waits for are now.
func (x *change) startWaiting() {
	if x.s.Phase != PhaseRunning {
		return
	}
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		if g.State != GroupStopped || !g.Wanted || x.startAt(g, Intent{Kind: StepStart}) {
			continue
		}
		if why := x.s.whyNowhere(x.rules(g)); g.Reason != why { // a server has come back detached, ...
			g.Reason = why
			x.touch(g)
		}
	}
}

// anomaly answers a fault of a group that is active on g.Server, with no step under
// way (SPEC section 6).
func (x *change) anomaly(g *Group, text string) {
	gc, server := x.rules(g), g.Server
	if gc.OnAnomaly == "stop" {
		x.record(g, server, text)
		x.say(CodeGroupAnomaly, server, g.Name, "anomaly of %s on %s: %s", g.Name, server, text)
		g.Wanted = false
		x.stop(g, FactorGroupStop, text+" on "+server+", and on_anomaly is stop")
		return
	}
	if refusal := x.s.cannotFailOver(g); refusal != nil {
		why := text + "; it stays: " + refusal.Message
		if g.Degraded && g.Reason == server+": "+why {
			return // the same again
		}
		x.record(g, server, text)
		x.set(g, GroupOnline, server, server+": "+why)
		g.Degraded = true
		x.say(CodeGroupDegraded, server, g.Name, "%s is degraded on %s: %s", g.Name, server, why)
		return
	}
	x.say(CodeGroupAnomaly, server, g.Name, "anomaly of %s on %s: %s", g.Name, server, text)
	x.failOver(g, text, text+" on "+server)
}

// failOver is the seed's sequence: stop and RECOVER on the old server, start on the
// new one, which is chosen when it comes to that.
func (x *change) failOver(g *Group, text, why string) {
	server := g.Server
	x.record(g, server, text)
	g.Failovers++
	g.Left = Left{Server: server, At: x.at, Why: text}
	x.stop(g, FactorGroupFailover, why,
		Intent{Kind: StepRecover, Server: server},
		Intent{Kind: StepStart, Event: EventFailover, Avoid: server, Why: why, Handover: true})
}

// record keeps the newest anomaly of each server, the newest one last.
func (x *change) record(g *Group, server, text string) {
	kept := make([]Anomaly, 0, len(g.Anomalies)+1)
	for _, a := range g.Anomalies {
		if a.Server != server {
			kept = append(kept, a)
		}
	}
	g.Anomalies = append(kept, Anomaly{Server: server, At: x.at, Text: text})
	x.touch(g)
}

// warn marks a group with what went wrong and stops nothing, beside what it is marked with.
func (x *change) warn(g *Group, text string) {
	switch {
	case strings.Contains(g.Warning, text):
		return
	case g.Warning != "":
		text = g.Warning + "; " + text
	}
	g.Warning = text
	x.touch(g)
}

// forgive forgets the group's faults: a new start by an operator or the cluster.
func (x *change) forgive(g *Group) {
	g.Failovers, g.Anomalies, g.Warning, g.Degraded = 0, nil, "", false
	x.touch(g)
}
