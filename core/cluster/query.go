package cluster

import (
	"slices"
	"strings"
)

// Server returns the server of that name, nil if there is none. It points into the
// state; only Apply may change it.
func (s *State) Server(name string) *Server {
	for i := range s.Servers {
		if s.Servers[i].Name == name {
			return &s.Servers[i]
		}
	}
	return nil
}

// Group returns the group of that name, nil if there is none. It points into the
// state; only Apply may change it.
func (s *State) Group(name string) *Group {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			return &s.Groups[i]
		}
	}
	return nil
}

// Op returns the operation with that ID, nil if it is not or no longer known.
func (s *State) Op(id string) *Op {
	for i := range s.Ops {
		if s.Ops[i].ID == id {
			return &s.Ops[i]
		}
	}
	return nil
}

// Steps returns all steps that are due on a server now: those of groups in the order
// of the configuration, then the RECOVER run of its return.
func (s *State) Steps(server string) []Step {
	var out []Step
	for i := range s.Groups {
		if st := s.Groups[i].Step; st != nil && st.Server == server {
			out = append(out, *st)
		}
	}
	if sv := s.Server(server); sv != nil && len(sv.Recovering) > 0 {
		out = append(out, sv.Recovering[0])
	}
	return out
}

// Carries names the groups that may be active on a server: started there under its
// open session and not known to be stopped since.
func (s *State) Carries(server string) []string {
	var out []string
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Server == server && g.mayBeActive() {
			out = append(out, g.Name)
		}
	}
	return out
}

// mayBeActive says whether something of the group may be active on g.Server. During
// a RECOVER run nothing is: the stop came before it.
func (g *Group) mayBeActive() bool {
	switch g.State {
	case GroupStarting, GroupOnline:
		return true
	case GroupStopping:
		return g.Step == nil || g.Step.Kind == StepStop
	case GroupFailed:
		return g.Stuck
	}
	return false
}

// Online names the servers that are full members.
func (s *State) Online() []string {
	var out []string
	for i := range s.Servers {
		if s.Servers[i].State == ServerOnline {
			out = append(out, s.Servers[i].Name)
		}
	}
	return out
}

// Missing names the servers that are not there: neither with a session nor detached.
// While the cluster forms it waits for them.
func (s *State) Missing() []string {
	var out []string
	for i := range s.Servers {
		if !s.Servers[i].Present {
			out = append(out, s.Servers[i].Name)
		}
	}
	return out
}

// sessions counts the open sessions.
func (s *State) sessions() int {
	n := 0
	for i := range s.Servers {
		if s.Servers[i].Session != 0 {
			n++
		}
	}
	return n
}

// Group returns the rules of a group, nil if there is none of that name.
func (c *Config) Group(name string) *GroupConfig {
	for i := range c.Groups {
		if c.Groups[i].Name == name {
			return &c.Groups[i]
		}
	}
	return nil
}

// Priority is a server's place in the policy, 1 to 16; 0 means it is not in it.
func (g *GroupConfig) Priority(server string) int { return slices.Index(g.Policy, server) + 1 }

// MaxFailoversOrDefault is MaxFailovers with its default filled in.
func (g *GroupConfig) MaxFailoversOrDefault() int {
	if g.MaxFailovers == 0 {
		return DefaultMaxFailovers
	}
	return g.MaxFailovers
}

// String names who asked, as far as known: "alice as root from pts/3 ssh 10.0.0.9", and
// where only he says from where: "root (says: ssh 10.0.0.9)".
func (w Who) String() string {
	name := w.User
	if name == "" {
		name = "somebody"
	}
	if w.Login != "" {
		name = w.Login + " as " + name
	}
	if w.From != "" {
		name += " from " + w.From
	}
	if w.Says != "" {
		name += " (says: " + w.Says + ")"
	}
	return name
}

// words are String, "" for nobody.
func (w Who) words() string {
	if w == (Who{}) {
		return ""
	}
	return w.String()
}

// String says what an operation asks for: "move A to server2".
func (op *Op) String() string {
	then := ""
	switch op.Then {
	case ThenPowerOff:
		then = " and power off"
	case ThenReboot:
		then = " and reboot"
	}
	switch {
	case op.Verb == VerbShutdownCluster:
		return "shut down the cluster" + then
	case op.Verb == VerbShutdown:
		return "shut down " + op.Server + then
	case op.Group == "":
		return string(op.Verb) + " " + op.Server
	case op.Server != "" && op.Verb == VerbStart:
		return "start " + op.Group + " on " + op.Server
	case op.Server != "" && op.Verb == VerbMove:
		return "move " + op.Group + " to " + op.Server
	}
	return string(op.Verb) + " " + op.Group
}

// list joins names for a sentence: "a", "a or b", "a, b or c".
func list(names []string, word string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " " + word + " " + names[n-1]
	}
}
