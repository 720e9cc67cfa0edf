package cluster

// This file is how servers and the cluster come to their end in order.

// leave lets a server go: its groups are stopped there and start elsewhere, and when
// nothing is left its session ends (endSessions).
func (x *change) leave(sv *Server, factor, why string) {
	sv.Leaving = factor
	if len(sv.Recovering) > 1 {
		sv.Recovering = sv.Recovering[:1:1] // the one under way cannot be taken back
	}
	x.setServer(sv, ServerLeaving, why)
	x.say(CodeServerLeaving, sv.Name, "", "%s leaves the cluster: %s", sv.Name, why)
}

// clearLeaving pushes the stop of every group that rests on a leaving server. One
// with a step under way follows when that has ended.
func (x *change) clearLeaving() {
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		if g.State != GroupOnline {
			continue
		}
		sv := x.s.Server(g.Server)
		if sv.State != ServerLeaving {
			continue
		}
		if x.s.Phase == PhaseStopping {
			x.stop(g, FactorClusterShutdown, sv.Reason)
			continue
		}
		g.Left = Left{Server: sv.Name, At: x.at, Why: sv.Reason}
		x.stop(g, sv.Leaving, sv.Name+": "+sv.Reason,
			Intent{Kind: StepStart, Event: EventFailover, Handover: true, Why: x.s.whyNot(sv.Name)})
	}
}

// isClear says whether nothing of any group is, or is being done, on a server.
func (s *State) isClear(sv *Server) bool {
	if len(sv.Recovering) > 0 {
		return false
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Server == sv.Name && (g.Step != nil || g.mayBeActive()) {
			return false
		}
	}
	return true
}

// endSessions ends the sessions of leaving servers on which nothing is left. In a
// cluster shutdown they end together, when every group is stopped.
func (x *change) endSessions() {
	if x.s.Phase == PhaseStopping {
		for i := range x.s.Servers {
			if !x.s.isClear(&x.s.Servers[i]) {
				return
			}
		}
	}
	for i := range x.s.Servers {
		sv := &x.s.Servers[i]
		if sv.State != ServerLeaving || !x.s.isClear(sv) {
			continue
		}
		factor := sv.Leaving
		sv.Session, sv.Offered, sv.Leaving = 0, 0, ""
		if factor == FactorClusterLeave {
			x.setServer(sv, ServerDetached, sv.Reason)
			x.say(CodeServerDisconnected, sv.Name, "", "%s is out of the cluster: %s", sv.Name, sv.Reason)
			continue
		}
		x.shut(sv)
	}
}

// shut makes a server without a session, which is there, stopped. What it still has
// to recover from stays with it.
//
// The session that it may have offered is used up: its batond is to end, and one that
// is started later comes with a newer one.
func (x *change) shut(sv *Server) {
	sv.LastSession = max(sv.LastSession, sv.Offered)
	sv.Present, sv.Offered = false, 0
	if sv.Then == "" && x.s.Phase == PhaseStopping {
		sv.Then = x.s.thenOfAll()
	}
	x.setServer(sv, ServerStopped, sv.Reason)
	x.say(CodeServerStopped, sv.Name, "", "%s is shut down%s: %s", sv.Name, sv.Then.text(), sv.Reason)
}

// thenOfAll is what a cluster shutdown under way wants of every machine. It counts for
// a server that arrives meanwhile, too.
func (s *State) thenOfAll() Then {
	for i := range s.Ops {
		if op := &s.Ops[i]; op.Verb == VerbShutdownCluster && op.State == OpRunning {
			return op.Then
		}
	}
	return ""
}

// text continues the sentence that something is shut down.
func (t Then) text() string {
	switch t {
	case ThenPowerOff:
		return " and powers off"
	case ThenReboot:
		return " and reboots"
	}
	return ""
}

// endPhase ends a cluster shutdown, and takes note that no server is left.
func (x *change) endPhase() {
	if x.s.sessions() > 0 {
		return
	}
	switch x.s.Phase {
	case PhaseStopping:
		for i := range x.s.Servers {
			if sv := &x.s.Servers[i]; sv.Present {
				if sv.Offered == 0 {
					// It has only just left, and is about to offer the next session.
					sv.Offered = sv.LastSession + 1
				}
				sv.Reason = "shut down with the cluster"
				x.shut(sv)
			}
		}
		x.forgetLives()
		x.say(CodeClusterStopped, "", "", "the cluster is shut down")
	case PhaseRunning:
		if !x.ended {
			x.forgetLives()
			x.say(CodeClusterStopped, "", "", "the last server has left the cluster: it has to start anew")
			break
		}
		x.say(CodeClusterFailed, "", "", "no server is left in the cluster: it has to start anew")
	default:
		return
	}
	x.s.Phase, x.s.Revision = PhaseForming, x.index
}

// forgetLives: a batond that was to end, and comes when the cluster starts anew, has come to
// that, though it may never have heard that it was to end.
func (x *change) forgetLives() {
	for i := range x.s.Servers {
		if sv := &x.s.Servers[i]; sv.State == ServerStopped {
			sv.Life = ""
		}
	}
}

// shutdownCluster stops every group at the same time, then every server. Which groups
// run after the next cluster start is decided by autostart.
func (x *change) shutdownCluster(why string) {
	x.s.Phase, x.s.Revision = PhaseStopping, x.index
	x.say(CodeClusterStopping, "", "", "the cluster is being shut down: %s", why)
	for i := range x.s.Servers {
		if sv := &x.s.Servers[i]; sv.Session != 0 {
			x.leave(sv, FactorClusterShutdown, why)
		}
	}
	for i := range x.s.Groups {
		g := &x.s.Groups[i]
		g.Wanted = false
		g.Next = nil // what runs now is waited for, and nothing follows but the stop
		x.touch(g)
		switch {
		case g.State == GroupFailed && !g.Stuck:
			x.set(g, GroupStopped, "", why)
		case g.State == GroupStopped, g.State == GroupStopping:
			g.Reason = why
		}
	}
}
