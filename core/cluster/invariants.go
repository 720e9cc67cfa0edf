package cluster

import (
	"fmt"
	"slices"
)

// fault says how the state contradicts itself, "" if it does not. Apply panics on
// it; everything else in this package relies on it.
func (s *State) fault() string {
	switch s.Phase {
	case "", PhaseForming, PhaseRunning, PhaseStopping:
	default:
		return fmt.Sprintf("phase %q", s.Phase)
	}
	if len(s.Servers) != len(s.Config.Servers) || len(s.Groups) != len(s.Config.Groups) {
		return fmt.Sprintf("%d servers and %d groups, configured are %d and %d",
			len(s.Servers), len(s.Groups), len(s.Config.Servers), len(s.Config.Groups))
	}
	for i := range s.Servers {
		if s.Servers[i].Name != s.Config.Servers[i] {
			return fmt.Sprintf("server %d is %q, configured is %q", i+1, s.Servers[i].Name, s.Config.Servers[i])
		}
		if why := s.serverFault(&s.Servers[i]); why != "" {
			return "server " + s.Servers[i].Name + ": " + why
		}
	}
	for i := range s.Groups {
		if s.Groups[i].Name != s.Config.Groups[i].Name {
			return fmt.Sprintf("group %d is %q, configured is %q", i+1, s.Groups[i].Name, s.Config.Groups[i].Name)
		}
		if why := s.groupFault(&s.Groups[i], &s.Config.Groups[i]); why != "" {
			return "group " + s.Groups[i].Name + ": " + why
		}
	}
	return s.opsFault()
}

func (s *State) serverFault(sv *Server) string {
	if sv.Session > sv.LastSession {
		return fmt.Sprintf("session %d is open, the highest ever opened is %d", sv.Session, sv.LastSession)
	}
	if sv.Session != 0 && sv.Offered != 0 {
		return fmt.Sprintf("session %d is open, %d is offered", sv.Session, sv.Offered)
	}
	member := false
	switch sv.State {
	case ServerOnline, ServerLeaving, ServerStarting, ServerReturning:
		member = true
	case ServerStopped, ServerDown, ServerDetached:
	default:
		return fmt.Sprintf("state %q", sv.State)
	}
	if member != (sv.Session != 0) || (member || sv.State == ServerDetached) != sv.Present {
		return fmt.Sprintf("state %s with session %d, present %t", sv.State, sv.Session, sv.Present)
	}
	if (sv.State == ServerLeaving) != (sv.Leaving != "") {
		return fmt.Sprintf("state %s with factor %q", sv.State, sv.Leaving)
	}
	if sv.State == ServerStarting && s.Phase == PhaseRunning || sv.State == ServerOnline && s.Phase != PhaseRunning {
		return fmt.Sprintf("state %s in phase %s", sv.State, s.Phase)
	}
	if n := len(sv.Recovering); n == 0 && sv.State == ServerReturning || n > 0 && sv.State != ServerReturning && sv.State != ServerLeaving {
		return fmt.Sprintf("state %s with %d RECOVER runs", sv.State, n)
	}
	for i := range sv.Recovering {
		st := &sv.Recovering[i]
		if st.Kind != StepRecover || st.Server != sv.Name || st.Session != sv.Session || s.Config.Group(st.Group) == nil {
			return fmt.Sprintf("step %d recovers %q on %q under session %d, open is %d", st.Token, st.Group, st.Server, st.Session, sv.Session)
		}
	}
	return ""
}

func (s *State) groupFault(g *Group, gc *GroupConfig) string {
	st := g.Step
	if busy := g.State == GroupStarting || g.State == GroupStopping; busy != (st != nil) {
		return fmt.Sprintf("state %s, step under way: %t", g.State, st != nil)
	}
	if st == nil && len(g.Next) > 0 {
		return fmt.Sprintf("%d intents behind no step", len(g.Next))
	}
	for _, in := range g.Next {
		if in.Kind != StepStart && in.Kind != StepStop && in.Kind != StepRecover {
			return fmt.Sprintf("intent %q", in.Kind)
		}
	}
	switch g.State {
	case GroupStopped:
		if g.Server != "" {
			return "stopped on " + g.Server
		}
	case GroupStarting, GroupStopping:
		if (g.State == GroupStarting) != (st.Kind == StepStart) || st.Kind != StepStart && st.Kind != StepStop && st.Kind != StepRecover {
			return fmt.Sprintf("state %s with a step %q", g.State, st.Kind)
		}
		if st.Group != g.Name || st.Server != g.Server {
			return fmt.Sprintf("on %q, with step %d for %q on %q", g.Server, st.Token, st.Group, st.Server)
		}
	case GroupOnline, GroupFailed:
	default:
		return fmt.Sprintf("state %q", g.State)
	}
	if g.Stuck && g.State != GroupFailed {
		return fmt.Sprintf("stuck in state %s", g.State)
	}
	if st == nil && !g.mayBeActive() {
		return ""
	}
	sv := s.Server(g.Server)
	if sv == nil || sv.Session == 0 || gc.Priority(g.Server) == 0 {
		return fmt.Sprintf("%s on %q, which has no session or is not in its policy", g.State, g.Server)
	}
	if st != nil && st.Session != sv.Session {
		return fmt.Sprintf("step %d under session %d of %s, open is %d", st.Token, st.Session, sv.Name, sv.Session)
	}
	if s.Phase != PhaseRunning && s.Phase != PhaseStopping {
		return fmt.Sprintf("%s in phase %q", g.State, s.Phase)
	}
	return ""
}

// storedFault is what only a stored state has to be asked: configure and operate see
// to it in a living one.
func (s *State) storedFault() string {
	if why := s.Config.fault(); why != "" {
		return "configuration: " + why
	}
	for i := range s.Ops {
		op := &s.Ops[i]
		if op.ID == "" || slices.ContainsFunc(s.Ops[:i], func(o Op) bool { return o.ID == op.ID }) {
			return fmt.Sprintf("operation %d has the id %q, which is empty or taken", i+1, op.ID)
		}
	}
	return s.fault()
}

func (s *State) opsFault() string {
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Op == "" {
			continue
		}
		if op := s.Op(g.Op); op == nil || op.State != OpRunning || op.Group != g.Name {
			return fmt.Sprintf("group %s: its operation %q is not running or not its own", g.Name, g.Op)
		}
	}
	return ""
}
