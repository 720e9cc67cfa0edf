package cluster

import (
	"fmt"
	"reflect"
	"slices"
)

// configure takes over the rules of the configuration file, as a whole or not at
// all: what would leave a group or a session outside the rules is refused, with what
// to do first. A group that is new is stopped until an operator or a cluster start
// starts it.
func (x *change) configure(c Command) {
	if c.Config == nil {
		x.ignore("a configuration without content")
		return
	}
	if reflect.DeepEqual(*c.Config, x.s.Config) {
		return
	}
	cfg := c.Config.clone()
	why := cfg.fault()
	if why == "" {
		why = x.s.cannotAdopt(&cfg)
	}
	if why != "" {
		text := "the configuration cannot be taken over: " + why
		said := slices.ContainsFunc(x.s.Events, func(e Event) bool { return e.Code == CodeConfigRefused && e.Text == text })
		if !said { // a leader may propose it again and again
			x.say(CodeConfigRefused, "", "", "%s", text)
		}
		return
	}
	servers := make([]Server, 0, len(cfg.Servers))
	for _, name := range cfg.Servers {
		if sv := x.s.Server(name); sv != nil {
			servers = append(servers, *sv)
			continue
		}
		servers = append(servers, Server{Name: name, State: ServerStopped, Since: x.at, Reason: "not seen yet", Changed: x.index})
	}
	groups := make([]Group, 0, len(cfg.Groups))
	for _, gc := range cfg.Groups {
		if g := x.s.Group(gc.Name); g != nil {
			groups = append(groups, *g)
			continue
		}
		groups = append(groups, Group{Name: gc.Name, State: GroupStopped, Since: x.at, Reason: "not started yet", Changed: x.index})
	}
	for i := range servers {
		sv := &servers[i]
		isGone := func(name string) bool { return cfg.Group(name) == nil }
		if !slices.ContainsFunc(sv.FailedWith, isGone) {
			continue
		}
		if sv.FailedWith = slices.DeleteFunc(sv.FailedWith, isGone); len(sv.FailedWith) == 0 {
			sv.FailedWith = nil
		}
		x.touchServer(sv)
	}
	x.s.Config, x.s.Servers, x.s.Groups = cfg, servers, groups
	x.say(CodeConfigChanged, "", "", "the cluster goes by a configuration of %d servers and %d groups", len(servers), len(groups))
}

// Bounds of a configuration. ARMS_PRIORITY goes to 16; the number of groups is bound
// so that the events of one entry can be numbered (countBits).
const (
	maxServers = 16
	maxGroups  = 4096
)

// fault says what makes a configuration impossible, "" if nothing does. Package conf
// checks the file; this only keeps nonsense out of the state.
func (c *Config) fault() string {
	if len(c.Servers) > maxServers || len(c.Groups) > maxGroups {
		return fmt.Sprintf("%d servers and %d groups, at most %d and %d are possible", len(c.Servers), len(c.Groups), maxServers, maxGroups)
	}
	for i, name := range c.Servers {
		if name == "" || slices.Contains(c.Servers[:i], name) {
			return fmt.Sprintf("server %d has the name %q, which is empty or taken", i+1, name)
		}
	}
	for i := range c.Groups {
		gc := &c.Groups[i]
		if gc.Name == "" || c.Group(gc.Name) != gc {
			return fmt.Sprintf("group %d has the name %q, which is empty or taken", i+1, gc.Name)
		}
		if len(gc.Policy) == 0 {
			return fmt.Sprintf("group %s has an empty policy", gc.Name)
		}
		for k, name := range gc.Policy {
			if !slices.Contains(c.Servers, name) || slices.Contains(gc.Policy[:k], name) {
				return fmt.Sprintf("policy of group %s names %q, which is no server or named twice", gc.Name, name)
			}
		}
	}
	return ""
}

// cannotAdopt says what of the present state a new configuration has no place for.
func (s *State) cannotAdopt(cfg *Config) string {
	for i := range s.Servers {
		sv := &s.Servers[i]
		if sv.Session != 0 && !slices.Contains(cfg.Servers, sv.Name) {
			return fmt.Sprintf("it lacks %s, which is %s; first: baton shutdown %s", sv.Name, sv.State, sv.Name)
		}
		for _, step := range sv.Recovering {
			if cfg.Group(step.Group) == nil {
				return fmt.Sprintf("it lacks %s, for which RECOVER runs on %s; try again when that has ended", step.Group, sv.Name)
			}
		}
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Step == nil && !g.mayBeActive() {
			continue
		}
		gc := cfg.Group(g.Name)
		if gc == nil {
			return fmt.Sprintf("it lacks %s, which is %s on %s; first: baton stop %s", g.Name, g.State, g.Server, g.Name)
		}
		if gc.Priority(g.Server) == 0 {
			return fmt.Sprintf("the policy of %s lacks %s, where it is %s; first: baton move %s", g.Name, g.Server, g.State, g.Name)
		}
	}
	return ""
}
