package cluster

import (
	"slices"
	"strings"
)

// isOnline says whether groups may be started on a server.
func (s *State) isOnline(name string) bool {
	sv := s.Server(name)
	return sv != nil && sv.State == ServerOnline
}

// Placement returns the server on which the group would be started now if nobody
// named one, and why; "" where none of its policy is online. With avoid, it is the
// server to which an anomaly there would send the group.
func (s *State) Placement(group, avoid string) (server, why string) {
	gc, g := s.Config.Group(group), s.Group(group)
	if gc == nil || g == nil {
		return "", "no group " + group
	}
	if avoid == "" {
		server = s.best(gc)
	} else {
		server = s.failoverTarget(g, gc, avoid, false)
	}
	if server == "" {
		return "", s.whyNowhere(gc)
	}
	return server, s.why(gc, server, avoid, "")
}

// best is the highest-priority online server of a policy, "" if none is online.
func (s *State) best(gc *GroupConfig) string {
	for _, name := range gc.Policy {
		if s.isOnline(name) {
			return name
		}
	}
	return ""
}

// failoverTarget is where a group goes after an anomaly on avoid: SPEC section 6,
// "" if no other server of the policy is online. Anomalies are compared by their
// order in the log: the clocks of two servers cannot be.
//
// With round (activation has just failed), servers without an anomaly are preferred
// whatever failover_to says: of three servers the third must be tried before the
// first is tried again.
func (s *State) failoverTarget(g *Group, gc *GroupConfig, avoid string, round bool) string {
	var candidates []string
	for _, name := range gc.Policy {
		if name != avoid && s.isOnline(name) {
			candidates = append(candidates, name)
		}
	}
	if len(candidates) == 0 {
		return ""
	}
	if gc.FailoverTo != "stable" && !round {
		return candidates[0]
	}
	best, bestAge := "", -1
	for _, name := range candidates {
		age := slices.IndexFunc(g.Anomalies, func(a Anomaly) bool { return a.Server == name })
		if age < 0 {
			return name
		}
		if best == "" || age < bestAge {
			best, bestAge = name, age
		}
	}
	return best
}

// startEvent is ARMS_EVENT of a start that no failure and no operator caused: the
// seed's comparison with the server the group last ran on.
func startEvent(g *Group, gc *GroupConfig, server string) string {
	last := gc.Priority(g.LastServer)
	if last == 0 || gc.Priority(server) <= last {
		return EventStart
	}
	return EventFailover
}

// why is the reason of a placement by priority, one sentence: what decided, and for
// every server that would have come first (and the one it left), why not there.
func (s *State) why(gc *GroupConfig, server, left, cause string) string {
	base := "highest priority online"
	switch {
	case left != "" && left != server && gc.FailoverTo == "stable":
		base = "most stable online server other than " + left
	case left != "" && left != server && s.isOnline(left):
		base += " other than " + left
	}
	var notes []string
	if cause != "" {
		notes = append(notes, cause)
	}
	for _, name := range gc.Policy {
		if name == server {
			break
		}
		if !s.isOnline(name) && !strings.HasPrefix(cause, name+" ") { // else it has been said
			notes = append(notes, s.whyNot(name))
		}
	}
	return reason(server, base, notes)
}

func reason(server, base string, notes []string) string {
	out := server + ": " + base
	if len(notes) > 0 {
		out += " (" + strings.Join(notes, "; ") + ")"
	}
	return out
}

// whyNot says in a few words why a server can run nothing: "server1 is down: silent
// on 3 of 3 paths". No clock time: servers may live in different time zones.
func (s *State) whyNot(name string) string {
	sv := s.Server(name)
	if sv == nil {
		return name + " is not in the configuration"
	}
	out := name + " is " + string(sv.State)
	switch {
	case sv.Reason == "":
	case sv.State == ServerDown:
		out += ": " + sv.Reason
	case sv.State == ServerLeaving: // true also when it is read after it has left
		out = name + " leaves: " + sv.Reason
	}
	return out
}

// whyNowhere says for whom a group waits.
func (s *State) whyNowhere(gc *GroupConfig) string {
	notes := make([]string, 0, len(gc.Policy))
	for _, name := range gc.Policy {
		if !s.isOnline(name) {
			notes = append(notes, s.whyNot(name))
		}
	}
	return "waits for " + list(gc.Policy, "or") + " (" + strings.Join(notes, "; ") + ")"
}
