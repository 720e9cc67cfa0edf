package cluster

import (
	"fmt"
	"slices"
)

// result takes away the step that has ended and goes on with the plan. A result of
// any other step (an old token, an ended session) is nothing to anybody (S4).
func (x *change) result(c Command) {
	if c.Outcome == nil {
		x.ignore("a result without an outcome, of %q", c.Server)
		return
	}
	sv := x.s.Server(c.Server)
	if sv == nil {
		x.ignore("a result of unknown server %q", c.Server)
		return
	}
	is := func(st *Step) bool {
		return st.Token == c.Token && st.Server == c.Server && st.Session == c.Session
	}
	if len(sv.Recovering) > 0 && is(&sv.Recovering[0]) {
		x.recovered(sv, *c.Outcome)
		return
	}
	for i := range x.s.Groups {
		if g := &x.s.Groups[i]; g.Step != nil && is(g.Step) {
			step := *g.Step
			g.Step = nil
			x.touch(g)
			switch step.Kind {
			case StepStart:
				x.started(g, step, *c.Outcome)
			case StepStop:
				x.stopped(g, step, *c.Outcome)
			case StepRecover:
				x.sayRecovered(step, *c.Outcome)
				x.goOn(g)
			}
			return
		}
	}
}

// started handles the end of a start.
func (x *change) started(g *Group, step Step, o Outcome) {
	if o.Ran || o.OK || o.Held { // Held: a stop will have to release it
		g.LastServer, g.LastStart = step.Server, step.Env
		g.LastStart.Disk = o.Disk
	}
	g.StartMillis = o.Millis
	switch {
	case !o.OK && o.Held:
		x.stick(g, step.Server, describe(o))
		return
	case !o.OK && !o.Ran:
		x.activationFailed(g, step.Server, describe(o))
		return
	}
	x.set(g, GroupOnline, step.Server, g.Reason)
	failed := !o.OK || o.Exit != 0
	if failed {
		x.warn(g, "start script: "+describe(o))
		x.say(CodeScriptFailed, step.Server, g.Name, "start script of %s on %s: %s", g.Name, step.Server, describe(o))
	}
	if x.advance(g) {
		return // a stop was asked for meanwhile
	}
	if failed && x.rules(g).MonitorScript {
		x.anomaly(g, "start script: "+describe(o))
		return
	}
	x.say(CodeGroupOnline, step.Server, g.Name, "%s is online on %s (%s, %d ms)", g.Name, g.Reason, step.Env.Event, o.Millis)
}

// stopped handles the end of a stop.
func (x *change) stopped(g *Group, step Step, o Outcome) {
	g.StopMillis = o.Millis
	if !o.OK {
		x.stick(g, step.Server, describe(o))
		return
	}
	if o.Exit != 0 {
		x.warn(g, "stop script on "+step.Server+": "+describe(o))
		x.say(CodeScriptFailed, step.Server, g.Name, "stop script of %s on %s: %s", g.Name, step.Server, describe(o))
	}
	x.goOn(g)
}

// goOn carries on a plan whose group is inactive now.
func (x *change) goOn(g *Group) {
	if !x.advance(g) {
		x.rest(g, g.Reason)
	}
}

// activationFailed handles a start that did not come as far as the script: nothing
// to stop or recover, so the next server at once.
func (x *change) activationFailed(g *Group, server, text string) {
	gc := x.rules(g)
	g.Next = nil
	x.say(CodeActivateFailed, server, g.Name, "%s could not be activated on %s: %s", g.Name, server, text)
	x.record(g, server, text)
	if !g.Wanted || x.s.Phase != PhaseRunning {
		x.rest(g, server+": "+text)
		return
	}
	if gc.OnAnomaly == "stop" {
		g.Wanted = false
		x.fail(g, server, text+" on "+server+", and on_anomaly is stop")
		return
	}
	if refusal := x.s.cannotFailOver(g); refusal != nil {
		x.fail(g, server, text+" on "+server+"; "+refusal.Message)
		return
	}
	g.Failovers++
	to := x.s.failoverTarget(g, gc, server, true)
	x.startOn(g, to, EventFailover, x.s.why(gc, to, server, text+" on "+server), false)
}

// recovered handles the end of one RECOVER run of a server's return.
func (x *change) recovered(sv *Server, o Outcome) {
	step := sv.Recovering[0]
	if sv.Recovering = sv.Recovering[1:]; len(sv.Recovering) == 0 {
		sv.Recovering = nil
	}
	if i := slices.Index(sv.FailedWith, step.Group); i >= 0 {
		if sv.FailedWith = slices.Delete(sv.FailedWith, i, i+1); len(sv.FailedWith) == 0 {
			sv.FailedWith = nil
		}
	}
	x.touchServer(sv)
	x.sayRecovered(step, o)
	switch {
	case sv.State != ServerReturning:
	case len(sv.Recovering) == 0:
		x.online(sv, "returned")
	default:
		sv.Reason = recoverRuns(sv)
	}
}

func (x *change) sayRecovered(step Step, o Outcome) {
	if o.OK && o.Exit == 0 {
		x.say(CodeGroupRecovered, step.Server, step.Group, "%s: RECOVER has ended on %s", step.Group, step.Server)
		return
	}
	if g := x.s.Group(step.Group); g != nil {
		x.warn(g, "RECOVER on "+step.Server+": "+describe(o))
	}
	x.say(CodeRecoverFailed, step.Server, step.Group, "%s: RECOVER on %s: %s", step.Group, step.Server, describe(o))
}

// describe says what went wrong, never nothing.
func describe(o Outcome) string {
	if o.Text != "" {
		return o.Text
	}
	if o.Exit != 0 {
		return fmt.Sprintf("exit code %d", o.Exit)
	}
	return "no reason given"
}

// anomalyReport takes a server's word that a resource has failed in operation. It
// counts only while the group is online there under that session.
func (x *change) anomalyReport(c Command) {
	g := x.s.Group(c.Group)
	if g == nil {
		x.ignore("an anomaly of unknown group %q", c.Group)
		return
	}
	if !x.runsAs(g, c) {
		return
	}
	text := c.Text
	if text == "" {
		text = "fault of its " + c.Resource
	}
	x.anomaly(g, text)
}

// normal resets what anomalies have counted up.
func (x *change) normal(c Command) {
	g := x.s.Group(c.Group)
	if g == nil {
		x.ignore("word that unknown group %q is normal", c.Group)
		return
	}
	if !x.runsAs(g, c) || g.Failovers == 0 && !g.Degraded {
		return
	}
	g.Failovers, g.Degraded = 0, false
	x.set(g, GroupOnline, g.Server, g.Server+": its resources are normal")
	x.say(CodeGroupNormal, g.Server, g.Name, "%s: its resources have been normal for reset_after", g.Name)
}

// runsAs says whether the group is online under the server and session of a command.
func (x *change) runsAs(g *Group, c Command) bool {
	sv := x.s.Server(c.Server)
	return g.State == GroupOnline && sv != nil && g.Server == sv.Name && sv.Session != 0 && sv.Session == c.Session
}
