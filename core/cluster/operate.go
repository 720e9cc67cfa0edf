package cluster

import (
	"slices"
	"strings"
)

// operate records an operator's operation and begins it, or refuses it. A second
// entry with the same ID is the same operation come twice.
func (x *change) operate(c Command) {
	if c.Op == nil || c.Op.ID == "" {
		x.ignore("an operation without an id")
		return
	}
	if x.s.Op(c.Op.ID) != nil {
		return
	}
	op := c.Op.stripped()
	op.State, op.Begun, op.Ended, op.Changed = OpRunning, x.at, 0, x.index
	op.Text, op.Code, op.Hint = "", "", ""
	x.by = op.Who
	if r := x.s.Check(op); r != nil {
		op.State, op.Ended = OpRefused, x.at
		op.Text, op.Code, op.Hint = r.Message, r.Code, r.Hint
		x.s.Ops = append(x.s.Ops, op)
		x.trimOps()
		x.say(CodeOpRefused, op.Server, op.Group, "refused: %s: %s", op.String(), r.Error())
		return
	}
	switch op.Verb {
	case VerbMove:
		if op.Server == "" {
			op.Server = x.s.moveTarget(x.s.Group(op.Group))
		}
	case VerbRestart:
		op.Server = x.s.Group(op.Group).Server
	}
	x.s.Ops = append(x.s.Ops, op)
	x.say(CodeOpAccepted, op.Server, op.Group, "%s, asked for by %s", op.String(), op.Who)
	by := "asked for by " + op.Who.String()
	if g := x.s.Group(op.Group); g != nil {
		x.operateGroup(op, g, by)
		return
	}
	sv := x.s.Server(op.Server)
	switch op.Verb {
	case VerbShutdownCluster:
		x.shutdownCluster("cluster shutdown " + by)
	case VerbReturn:
		x.takeIn(sv)
	case VerbDisconnect:
		sv.Disconnected = true
		if sv.Session != 0 {
			x.leave(sv, FactorClusterLeave, "disconnect "+by)
			return
		}
		x.setServer(sv, ServerDetached, "disconnect "+by)
		x.say(CodeServerDisconnected, sv.Name, "", "%s stays out of the cluster: %s", sv.Name, sv.Reason)
	case VerbShutdown:
		sv.Then = op.Then
		if sv.Session != 0 {
			x.leave(sv, FactorServerShutdown, "shutdown "+by)
			return
		}
		sv.Reason = "shutdown " + by
		x.shut(sv)
	}
}

// operateGroup begins an accepted operation on a group.
func (x *change) operateGroup(op Op, g *Group, by string) {
	if g.Op != "" {
		x.endOp(x.s.Op(g.Op), OpFailed, "overtaken by: "+op.String()+", "+by)
	}
	g.Op = op.ID
	x.touch(g)
	switch op.Verb {
	case VerbStart:
		gc, to, why := x.rules(g), op.Server, by
		if to == "" && x.s.isOnline(g.LastServer) && gc.Priority(g.LastServer) > 0 {
			to, why = g.LastServer, "where it ran last, "+by
		}
		x.forgive(g)
		g.Wanted = true
		if to == "" {
			to = x.s.best(gc)
			x.startOn(g, to, EventStart, x.s.why(gc, to, "", by), false)
			return
		}
		x.startOn(g, to, EventStart, to+": start "+why, false)
	case VerbStop:
		x.operatorStop(g, "stop "+by)
	case VerbMove:
		x.stop(g, FactorGroupMove, "move to "+op.Server+" "+by,
			Intent{Kind: StepStart, Event: EventStart, Server: op.Server, Why: "move " + by, Handover: true})
	case VerbRestart:
		x.stop(g, FactorGroupRestart, "restart "+by,
			Intent{Kind: StepRecover, Server: g.Server},
			Intent{Kind: StepStart, Event: EventStart, Server: g.Server, Why: "restart " + by, Handover: true})
	case VerbFailover:
		x.failOver(g, "failover "+by, "failover "+by)
	}
}

// operatorStop stops a group at once, or behind the step under way, which cannot be
// taken back (S4).
func (x *change) operatorStop(g *Group, why string) {
	g.Wanted = false
	switch {
	case g.Step != nil && g.Step.Kind == StepStart:
		g.Next = []Intent{{Kind: StepStop, Factor: FactorGroupStop, Why: why}}
		g.Reason = why
	case g.Step != nil:
		g.Next = nil
		g.Reason = why
	case g.Stuck && x.s.Phase == PhaseStopping:
		x.stop(g, FactorClusterShutdown, why) // the shutdown waits for it
	case g.State == GroupOnline || g.Stuck:
		x.stop(g, FactorGroupStop, why)
	default: // waiting, or failed with nothing left of it
		x.rest(g, why)
	}
}

// endGroupOps ends the operations whose group has come to rest.
func (x *change) endGroupOps() {
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		if g.Op == "" || g.Step != nil {
			continue
		}
		op := x.s.Op(g.Op)
		g.Op = ""
		x.touch(g)
		state := OpFailed
		switch op.Verb {
		case VerbStop:
			if g.State == GroupStopped {
				state = OpDone
			}
		case VerbFailover:
			if g.State == GroupOnline && !g.Degraded && g.LastStart.Event == EventFailover {
				state = OpDone
			}
		default:
			if g.State == GroupOnline && !g.Degraded && (op.Server == "" || op.Server == g.Server) {
				state = OpDone
			}
		}
		text, why := g.Name+" is "+string(g.State), g.Reason
		if g.State == GroupOnline {
			text += " on " + g.Server
			why = strings.TrimPrefix(why, g.Server+": ")
		}
		switch {
		case state == OpFailed:
			text += ": " + why
		case g.Warning != "":
			text += ", with a warning: " + g.Warning
		}
		x.endOp(op, state, text)
	}
}

// endServerOps ends the operations whose server, or the cluster, has got there or
// never will.
func (x *change) endServerOps() {
	for i := range x.s.Ops {
		op := &x.s.Ops[i]
		if op.State != OpRunning || op.Verb.isOfGroup() {
			continue
		}
		if state, text := x.s.serverOpEnd(op); state != OpRunning {
			x.endOp(op, state, text)
		}
	}
	x.trimOps()
}

// serverOpEnd says how an operation on a server, or on the cluster, has ended.
func (s *State) serverOpEnd(op *Op) (OpState, string) {
	if op.Verb == VerbShutdownCluster {
		if s.Phase == PhaseForming {
			text := "the cluster is shut down"
			if op.Then != "" {
				text += "; every machine" + strings.TrimPrefix(op.Then.text(), " and")
			}
			return OpDone, text
		}
		return OpRunning, ""
	}
	sv := s.Server(op.Server)
	if sv == nil {
		return OpFailed, op.Server + " is no longer in the configuration"
	}
	is := sv.Name + " is " + string(sv.State)
	if op.Verb == VerbReturn {
		switch sv.State {
		case ServerOnline, ServerStarting:
			return OpDone, is
		case ServerReturning:
			return OpRunning, ""
		}
		return OpFailed, is + ": " + sv.Reason
	}
	switch {
	case sv.Session != 0:
		return OpRunning, ""
	case sv.State != ServerDown:
		return OpDone, is + sv.Then.text()
	case op.Verb == VerbDisconnect:
		return OpDone, sv.Name + " failed before it had left (" + sv.Reason + "); it stays out of the cluster all the same"
	}
	return OpFailed, sv.Name + " failed before it was shut down: " + sv.Reason
}

// endOp ends an operation. It does not change the order of the list.
func (x *change) endOp(op *Op, state OpState, text string) {
	op.State, op.Ended, op.Text, op.Changed = state, x.at, text, x.index
	code := CodeOpDone
	if state == OpFailed {
		code = CodeOpFailed
	}
	by := x.by
	x.by = op.Who
	x.say(code, op.Server, op.Group, "%s: %s: %s", state, op.String(), text)
	x.by = by
}

// trimOps forgets the ended operations beyond KeepOps, those first that ended first:
// an operation that took long must still be found by who waits for it.
func (x *change) trimOps() {
	for {
		ended, oldest := 0, -1
		for i := range x.s.Ops {
			if x.s.Ops[i].State == OpRunning {
				continue
			}
			ended++
			if oldest < 0 || x.s.Ops[i].Changed < x.s.Ops[oldest].Changed {
				oldest = i
			}
		}
		if ended <= KeepOps {
			return
		}
		x.s.Ops = slices.Delete(x.s.Ops, oldest, oldest+1)
	}
}
