package cluster

import "fmt"

// The codes of refusals. They are stable.
const (
	RefusedUnknownVerb     = "unknown-operation"
	RefusedNoSuchGroup     = "no-such-group"
	RefusedNoSuchServer    = "no-such-server"
	RefusedNotInPolicy     = "not-in-policy"
	RefusedServerNotOnline = "server-not-online"
	RefusedServerNotThere  = "server-not-there"
	RefusedServerBusy      = "server-busy"
	RefusedServerNotReady  = "server-not-ready"
	RefusedGroupBusy       = "group-busy"
	RefusedGroupStuck      = "group-stuck"
	RefusedAlreadyThere    = "already-there"
	RefusedAlreadyRunning  = "already-running"
	RefusedAlreadyStopped  = "already-stopped"
	RefusedAlreadyOnline   = "already-online"
	RefusedAlreadyOut      = "already-disconnected"
	RefusedNotRunning      = "not-running"
	RefusedNowhereToRun    = "nowhere-to-run"
	RefusedMaxFailovers    = "max-failovers"
	RefusedPictureChanged  = "picture-changed"
	RefusedNotRunningYet   = "cluster-not-running"
	RefusedStopping        = "cluster-stopping"
)

// refuse makes a Refusal.
func refuse(code, hint, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Check says whether an operation would be refused now, why, and what would help;
// nil means that it would be accepted. Apply goes by the same answer.
func (s *State) Check(op Op) *Refusal {
	op = op.stripped()
	r := s.checkVerb(op)
	if r != nil || op.Revision == 0 {
		return r
	}
	// Last, because every other reason says more.
	if changed, what := s.objectChanged(op); changed > op.Revision {
		return refuse(RefusedPictureChanged, "look again, and repeat the operation if it is still wanted",
			"%s has changed since what you saw (revision %d, you saw %d)", what, changed, op.Revision)
	}
	return nil
}

// objectChanged is when what an operation is about changed last.
func (s *State) objectChanged(op Op) (revision uint64, what string) {
	later := func(changed uint64, name string) {
		if changed > revision {
			revision, what = changed, name
		}
	}
	for i := range s.Groups {
		if g := &s.Groups[i]; op.Verb == VerbShutdownCluster || g.Name == op.Group {
			later(g.Changed, g.Name)
		}
	}
	for i := range s.Servers {
		if sv := &s.Servers[i]; op.Verb == VerbShutdownCluster || sv.Name == op.Server {
			later(sv.Changed, sv.Name)
		}
	}
	return revision, what
}

// isOfGroup says whether the operation is about a group.
func (v Verb) isOfGroup() bool {
	switch v {
	case VerbStart, VerbStop, VerbMove, VerbFailover, VerbRestart:
		return true
	}
	return false
}

// stripped leaves out what the verb has no use for.
func (op Op) stripped() Op {
	if !op.Verb.isOfGroup() {
		op.Group = ""
	} else if op.Verb != VerbStart && op.Verb != VerbMove {
		op.Server = ""
	}
	if op.Verb == VerbShutdownCluster {
		op.Server = ""
	} else if op.Verb != VerbShutdown {
		op.Then = ""
	}
	return op
}

func (s *State) checkVerb(op Op) *Refusal {
	if g := s.Group(op.Group); s.Phase == PhaseStopping && !(op.Verb == VerbStop && g != nil && g.Stuck) {
		return refuse(RefusedStopping, "wait until it is down, then start it again", "the cluster is being shut down")
	}
	switch {
	case op.Verb.isOfGroup():
		g := s.Group(op.Group)
		switch {
		case g == nil:
			return refuse(RefusedNoSuchGroup, "baton status lists the groups", "there is no group %q", op.Group)
		case s.Phase != PhaseRunning && op.Verb != VerbStop:
			return refuse(RefusedNotRunningYet, "wait until the cluster has started; missing now: "+orNone(s.Missing()), "the cluster has not started yet")
		}
		return s.checkGroup(op, g)
	case op.Verb == VerbDisconnect, op.Verb == VerbReturn, op.Verb == VerbShutdown:
		sv := s.Server(op.Server)
		if sv == nil {
			return refuse(RefusedNoSuchServer, "baton status lists the servers", "there is no server %q", op.Server)
		}
		return s.checkServer(op.Verb, sv)
	case op.Verb == VerbShutdownCluster:
		return nil
	}
	return refuse(RefusedUnknownVerb, "baton help lists the operations", "there is no operation %q", op.Verb)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return list(names, "and")
}

func (s *State) checkGroup(op Op, g *Group) *Refusal {
	if op.Server != "" && (op.Verb == VerbStart || op.Verb == VerbMove) {
		gc := s.Config.Group(g.Name)
		switch {
		case s.Server(op.Server) == nil:
			return refuse(RefusedNoSuchServer, "baton status lists the servers", "there is no server %q", op.Server)
		case gc.Priority(op.Server) == 0:
			return refuse(RefusedNotInPolicy, "its policy: "+list(gc.Policy, "and"), "%s cannot run on %s, which is not in its policy", g.Name, op.Server)
		}
	}
	switch op.Verb {
	case VerbStart:
		return s.checkStart(op, g)
	case VerbStop:
		return checkStop(g)
	case VerbMove:
		return s.checkMove(op, g)
	case VerbRestart:
		return checkOnline(g)
	}
	if r := checkOnline(g); r != nil {
		return r
	}
	return s.cannotFailOver(g)
}

func checkBusy(g *Group) *Refusal {
	if g.Step == nil {
		return nil
	}
	hint := "wait until that has ended"
	if g.Wanted { // else it is on the way to be stopped already
		hint += ", or: baton stop " + g.Name
	}
	if g.Step.Kind == StepRecover {
		return refuse(RefusedGroupBusy, hint, "RECOVER of %s runs on %s", g.Name, g.Step.Server)
	}
	return refuse(RefusedGroupBusy, hint, "%s is %s on %s", g.Name, g.State, g.Step.Server)
}

// checkOnline refuses what only a group that runs can do.
func checkOnline(g *Group) *Refusal {
	if r := checkBusy(g); r != nil {
		return r
	}
	switch {
	case g.Stuck:
		return refuseStuck(g)
	case g.State != GroupOnline:
		return refuse(RefusedNotRunning, "baton start "+g.Name, "%s is not running: it is %s", g.Name, g.State)
	}
	return nil
}

func refuseStuck(g *Group) *Refusal {
	return refuse(RefusedGroupStuck, "release it by hand and: baton stop "+g.Name+"; or switch "+g.Server+" off",
		"%s could not be released on %s and may still be active there", g.Name, g.Server)
}

func (s *State) refuseNotOnline(server string) *Refusal {
	hint := "boot it, or name another server"
	switch s.Server(server).State {
	case ServerDetached:
		hint = "baton return " + server
	case ServerStarting, ServerReturning, ServerLeaving:
		hint = "wait until that has ended, or name another server"
	}
	return refuse(RefusedServerNotOnline, hint, "%s", s.whyNot(server))
}

func (s *State) checkStart(op Op, g *Group) *Refusal {
	if r := checkBusy(g); r != nil {
		return r
	}
	switch {
	case g.Stuck:
		return refuseStuck(g)
	case g.State == GroupOnline && (op.Server == "" || op.Server == g.Server):
		return refuse(RefusedAlreadyThere, "", "%s already runs on %s", g.Name, g.Server)
	case g.State == GroupOnline:
		return refuse(RefusedAlreadyRunning, "baton move "+g.Name+" "+op.Server, "%s already runs, on %s", g.Name, g.Server)
	case op.Server != "" && !s.isOnline(op.Server):
		return s.refuseNotOnline(op.Server)
	case s.best(s.Config.Group(g.Name)) == "":
		return s.refuseNowhere(g)
	}
	return nil
}

func (s *State) refuseNowhere(g *Group) *Refusal {
	gc := s.Config.Group(g.Name)
	return refuse(RefusedNowhereToRun, "boot or return one of "+list(gc.Policy, "and"), "%s has nowhere to run: it %s", g.Name, s.whyNowhere(gc))
}

// checkStop: a stop is the one operation that may come into the middle of another
// one. It takes the place of everything behind the step under way.
func checkStop(g *Group) *Refusal {
	switch {
	case g.Step != nil && !g.Wanted:
		return refuse(RefusedGroupBusy, "wait until that has ended", "%s is being stopped already", g.Name)
	case g.State == GroupStopped && !g.Wanted:
		return refuse(RefusedAlreadyStopped, "", "%s is stopped already", g.Name)
	}
	return nil
}

func (s *State) checkMove(op Op, g *Group) *Refusal {
	if r := checkOnline(g); r != nil {
		return r
	}
	switch {
	case op.Server == g.Server:
		return refuse(RefusedAlreadyThere, "", "%s already runs on %s", g.Name, g.Server)
	case op.Server != "" && !s.isOnline(op.Server):
		return s.refuseNotOnline(op.Server)
	case op.Server == "" && s.moveTarget(g) == "":
		return s.refuseAlone(g)
	}
	return nil
}

// moveTarget is the highest-priority online server other than the group's own.
func (s *State) moveTarget(g *Group) string {
	for _, name := range s.Config.Group(g.Name).Policy {
		if name != g.Server && s.isOnline(name) {
			return name
		}
	}
	return ""
}

func (s *State) refuseAlone(g *Group) *Refusal {
	return refuse(RefusedNowhereToRun, "boot or return another server of its policy: "+list(s.Config.Group(g.Name).Policy, "and"),
		"no other server of the policy of %s is online", g.Name)
}

// cannotFailOver says why an anomaly of a group cannot be answered by failover.
func (s *State) cannotFailOver(g *Group) *Refusal {
	gc := s.Config.Group(g.Name)
	if limit := gc.MaxFailoversOrDefault(); g.Failovers >= limit {
		return refuse(RefusedMaxFailovers, "remove the cause; baton move "+g.Name+" still works, and a start by an operator begins the count anew",
			"%s has failed over %d times in a row, max_failovers is %d", g.Name, g.Failovers, limit)
	}
	if s.failoverTarget(g, gc, g.Server, false) == "" {
		return s.refuseAlone(g)
	}
	return nil
}

func (s *State) checkServer(verb Verb, sv *Server) *Refusal {
	busy := func(hint string) *Refusal {
		return refuse(RefusedServerBusy, hint, "%s is %s", sv.Name, sv.State)
	}
	switch verb {
	case VerbReturn:
		switch {
		case sv.State == ServerOnline || sv.State == ServerStarting:
			return refuse(RefusedAlreadyOnline, "", "%s is in the cluster already: it is %s", sv.Name, sv.State)
		case sv.Session != 0:
			return busy("wait until that has ended")
		case !sv.Present:
			return refuse(RefusedServerNotThere, "boot it first", "%s", s.whyNot(sv.Name))
		case sv.Offered == 0:
			return refuse(RefusedServerNotReady, "try again in a few seconds", "%s has not finished leaving yet", sv.Name)
		}
	case VerbDisconnect:
		switch {
		case sv.State == ServerLeaving:
			return busy("wait until that has ended")
		case sv.State == ServerDetached && sv.Disconnected:
			return refuse(RefusedAlreadyOut, "baton return "+sv.Name+" takes it back in", "%s is disconnected already", sv.Name)
		case sv.Session == 0 && !sv.Present:
			return refuse(RefusedServerNotOnline, "it runs no group now; disconnect it when it has booted", "%s", s.whyNot(sv.Name))
		}
	case VerbShutdown:
		switch {
		case sv.State == ServerLeaving && sv.Leaving != FactorClusterLeave:
			return busy("wait until that has ended")
		case sv.State == ServerStopped:
			return refuse(RefusedAlreadyStopped, "", "%s is stopped already", sv.Name)
		case sv.Session == 0 && !sv.Present:
			return refuse(RefusedServerNotThere, "there is nothing to shut down; if its machine still runs, switch it off there", "%s", s.whyNot(sv.Name))
		case sv.Session == 0 && sv.Offered == 0:
			// It would come back with the session that it is about to offer.
			return refuse(RefusedServerNotReady, "try again in a few seconds", "%s has not finished leaving yet", sv.Name)
		}
	}
	return nil
}
