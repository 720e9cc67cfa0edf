package lab_test

import (
	"cmp"
	"slices"
	"strings"
)

// oracle says where every server and group must be, and which scripts must have run,
// after each of a sequence of operations and failures that come one at a time. It is
// written from SPEC sections 2 to 4 and knows nothing of package cluster: what the two
// disagree on is a mistake in one of them.
type oracle struct {
	servers    []string
	policy     map[string][]string
	manual     map[string]bool // by group: autostart is off
	failback   map[string]bool // by group: failback is auto
	returnAuto bool

	on      map[string]bool // by server: it has power
	state   map[string]string
	failed  map[string]bool     // by server: it has failed and not returned since
	booted  map[string]bool     // by server: ... and was off meanwhile
	with    map[string][]string // by server: the groups that ran there when it failed
	out     map[string]bool     // by server: an operator has disconnected it
	groups  map[string]*carried
	runs    []string // of scripts, as play.ran wants them
	anomaly map[string]int
}

// carried is a group.
type carried struct {
	wanted bool
	server string // "" stopped
	last   string // where it ran last
	event  string // of its last start
}

// newOracle is a cluster in which everything is at home.
func newOracle(servers []string, policy map[string][]string) *oracle {
	o := &oracle{
		servers: servers, policy: policy, manual: map[string]bool{}, failback: map[string]bool{},
		on: map[string]bool{}, state: map[string]string{}, failed: map[string]bool{}, booted: map[string]bool{},
		with: map[string][]string{}, out: map[string]bool{}, groups: map[string]*carried{}, anomaly: map[string]int{},
	}
	for _, s := range servers {
		o.on[s], o.state[s] = true, "online"
	}
	for g, p := range policy {
		o.groups[g] = &carried{wanted: true, server: p[0], last: p[0]}
	}
	return o
}

// names are the groups in order.
func (o *oracle) names() []string {
	var out []string
	for g := range o.groups {
		out = append(out, g)
	}
	slices.Sort(out)
	return out
}

func (o *oracle) online() (out []string) {
	for _, s := range o.servers {
		if o.state[s] == "online" {
			out = append(out, s)
		}
	}
	return out
}

// best is the highest-priority online server of the policy, other than some.
func (o *oracle) best(group string, than ...string) string {
	for _, s := range o.policy[group] {
		if o.state[s] == "online" && !slices.Contains(than, s) {
			return s
		}
	}
	return ""
}

func (o *oracle) priority(group, server string) int {
	return slices.Index(o.policy[group], server) + 1
}

func (o *oracle) ran(words ...string) { o.runs = append(o.runs, strings.Join(words, " ")) }

// start is a group's start on a server, "" nowhere.
func (o *oracle) start(group, server, event string) {
	g := o.groups[group]
	g.server = server
	if server == "" {
		return
	}
	g.last, g.event = server, event
	o.ran(group, "start", server, event)
}

func (o *oracle) stop(group, factor string) {
	g := o.groups[group]
	o.ran(group, "stop", g.server, factor)
	g.server = ""
}

// on returns the groups that run on a server.
func (o *oracle) runsOn(server string) (out []string) {
	for _, g := range o.names() {
		if o.groups[g].server == server {
			out = append(out, g)
		}
	}
	return out
}

// lose is a server that fails: no stop script runs, its groups start elsewhere.
func (o *oracle) lose(server string) {
	if o.state[server] == "online" {
		o.failed[server], o.booted[server] = true, false
		o.with[server] = o.runsOn(server)
	}
	o.state[server] = "down"
	for _, g := range o.runsOn(server) {
		o.start(g, o.best(g), "FAILOVER")
	}
}

// leave is a server that goes in order: its groups are stopped there and start elsewhere.
func (o *oracle) leave(server, factor, state string) {
	groups := o.runsOn(server)
	o.state[server] = state
	for _, g := range groups {
		o.stop(g, factor)
		o.start(g, o.best(g), "FAILOVER")
	}
}

// come is batond that starts on a server of a running cluster.
func (o *oracle) come(server string) {
	switch {
	case o.out[server]:
		o.state[server] = "detached"
	case o.failed[server] && o.booted[server] && !o.returnAuto:
		o.state[server] = "detached"
	default:
		o.join(server)
	}
}

// join takes a server in: RECOVER runs first for what ran there when it failed.
func (o *oracle) join(server string) {
	for _, g := range o.with[server] {
		o.ran(g, "start", server, "RECOVER")
	}
	o.out[server], o.failed[server], o.with[server] = false, false, nil
	o.state[server] = "online"
	for _, g := range o.names() {
		c := o.groups[g]
		switch {
		case c.wanted && c.server == "":
			o.start(g, server, o.clusterEvent(g, server))
		case o.failback[g] && c.server != "" && o.priority(g, server) < o.priority(g, c.server):
			o.stop(g, "GROUPMOVE")
			o.start(g, server, "START")
		}
	}
}

// clusterEvent is the event of a start that follows from no operation on the group.
func (o *oracle) clusterEvent(group, server string) string {
	if last := o.groups[group].last; last == "" || o.priority(group, server) <= o.priority(group, last) {
		return "START"
	}
	return "FAILOVER"
}

// clusterStart is a cluster of which every server has been booted.
func (o *oracle) clusterStart() {
	for _, s := range o.servers {
		o.on[s] = true
		if o.state[s] = "online"; o.out[s] {
			o.state[s] = "detached"
			continue
		}
		o.failed[s], o.with[s] = false, nil
	}
	for _, g := range o.names() {
		c := o.groups[g]
		o.anomaly[g] = 0
		if c.wanted = c.wanted || !o.manual[g]; c.wanted {
			to := o.best(g)
			o.start(g, to, o.clusterEvent(g, to))
		}
	}
}

// step is one operation or failure.
type step struct{ verb, group, server string }

func (s step) String() string {
	return strings.Join(strings.Fields(s.verb+" "+s.group+" "+s.server), " ")
}

// steps are all that could come next: also operations that must be refused, and no
// failure that leaves nobody to go on.
func (o *oracle) steps() (out []step) {
	add := func(verb, group, server string) { out = append(out, step{verb, group, server}) }
	for _, g := range o.names() {
		add("start", g, "")
		add("stop", g, "")
		add("move", g, "")
		if o.anomaly[g] < 6 { // max_failovers is 8, and tested elsewhere
			add("failover", g, "")
		}
		for _, s := range o.servers {
			add("start", g, s)
			add("move", g, s)
		}
	}
	for _, s := range o.servers {
		alone := o.state[s] == "online" && len(o.online()) == 1
		add("return", "", s)
		if !alone {
			add("disconnect", "", s)
			add("shutdown", "", s)
		}
		switch {
		case !o.on[s]:
			add("boot", "", s)
			continue
		case o.state[s] == "stopped" || o.state[s] == "down":
			add("boot", "", s)
			add("power cut", "", s)
			continue
		}
		add("restart of batond", "", s)
		if !alone {
			add("power cut", "", s)
			add("end of batond", "", s)
			if o.state[s] == "online" {
				add("cut off and back", "", s)
			}
		}
	}
	add("cluster shutdown and start", "", "")
	add("blackout", "", "")
	return out
}

// play carries a step out. False: it must be refused, and nothing changes.
func (o *oracle) play(s step) (accepted bool) {
	o.runs = nil
	if s.group != "" {
		return o.playGroup(s, o.groups[s.group])
	}
	there := o.state[s.server] == "online" || o.state[s.server] == "detached"
	switch s.verb {
	case "disconnect":
		if !there || o.state[s.server] == "detached" && o.out[s.server] {
			return false
		}
		o.out[s.server] = true
		o.leave(s.server, "CLUSTERLEAVE", "detached")
	case "return":
		if o.state[s.server] != "detached" {
			return false
		}
		o.join(s.server)
	case "shutdown":
		if !there {
			return false
		}
		o.leave(s.server, "SERVERSHUTDOWN", "stopped")
	case "power cut":
		o.on[s.server] = false
		if there {
			o.lose(s.server)
		}
		o.booted[s.server] = true
	case "end of batond": // and nobody starts it again
		o.lose(s.server)
	case "boot":
		o.on[s.server] = true
		o.come(s.server)
	case "restart of batond": // within the timeout: nothing happens
	case "cut off and back":
		o.lose(s.server)
		o.join(s.server)
	case "cluster shutdown and start":
		for _, g := range o.names() {
			if o.groups[g].server != "" {
				o.stop(g, "CLUSTERSHUTDOWN")
			}
			o.groups[g].wanted = false
		}
		o.clusterStart()
	case "blackout":
		for _, g := range o.names() {
			o.groups[g].server = ""
		}
		o.clusterStart()
	default:
		panic("the oracle does not know " + s.verb)
	}
	return true
}

func (o *oracle) playGroup(s step, g *carried) bool {
	if s.server != "" && o.state[s.server] != "online" {
		return false
	}
	switch s.verb {
	case "start":
		if g.server != "" {
			return false
		}
		to := s.server
		if to == "" && o.state[g.last] == "online" {
			to = g.last
		}
		to = cmp.Or(to, o.best(s.group))
		g.wanted, o.anomaly[s.group] = true, 0
		o.start(s.group, to, "START")
	case "stop":
		if g.server == "" && !g.wanted {
			return false
		}
		g.wanted = false
		o.stop(s.group, "GROUPSTOP")
	case "move":
		to := cmp.Or(s.server, o.best(s.group, g.server))
		if g.server == "" || to == "" || to == g.server {
			return false
		}
		o.stop(s.group, "GROUPMOVE")
		o.start(s.group, to, "START")
	case "failover":
		from := g.server
		to := o.best(s.group, from)
		if from == "" || to == "" {
			return false
		}
		o.anomaly[s.group]++
		o.stop(s.group, "GROUPFAILOVER")
		o.ran(s.group, "start", from, "RECOVER")
		o.start(s.group, to, "FAILOVER")
	}
	return true
}

// scene is where everything must be now.
func (o *oracle) scene() scene {
	out := scene{Groups: map[string]string{}, Offline: map[string]string{}, LastEvent: map[string]string{}, FailedWith: map[string][]string{}}
	for g, c := range o.groups {
		out.Groups[g], out.LastEvent[g] = c.server, c.event
	}
	for _, s := range o.servers {
		if o.state[s] != "online" {
			out.Offline[s] = o.state[s]
		}
		out.FailedWith[s] = o.with[s]
	}
	return out
}
