package sim

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
)

// oracle says where each group must be. It is written from the rules that an operator
// is told (servers, groups, monitoring), and knows nothing of steps, sessions, leaders
// or how package cluster chooses. It is exact only while one thing happens after the
// other.
type oracle struct {
	rules   cluster.Config
	servers map[string]*oServer
	groups  map[string]*oGroup
}

type oServer struct {
	state        string // online, stopped, down, detached
	disconnected bool   // until it is returned, over reboots too
	failed       bool
	booted       bool // since it was online
}

type oGroup struct {
	rules     cluster.GroupConfig
	wanted    bool
	on        string // "" nowhere
	last      string
	event     string
	anomalies []string // servers, oldest first, each once
}

func newOracle(c cluster.Config) *oracle {
	o := &oracle{rules: c, servers: map[string]*oServer{}, groups: map[string]*oGroup{}}
	for _, s := range c.Servers {
		o.servers[s] = &oServer{state: "online"}
	}
	for _, gc := range c.Groups {
		g := &oGroup{rules: gc, wanted: true}
		o.groups[gc.Name] = g
		g.put(gc.Policy[0], "START")
	}
	return o
}

func (g *oGroup) put(server, event string) { g.on, g.last, g.event = server, server, event }

// rank is a server's place in the policy, from 0; -1: not in it.
func (g *oGroup) rank(server string) int { return slices.Index(g.rules.Policy, server) }

// best is the highest-priority online server other than one.
func (o *oracle) best(g *oGroup, other string) string {
	for _, s := range g.rules.Policy {
		if s != other && o.servers[s].state == "online" {
			return s
		}
	}
	return ""
}

// away moves every group off a server that goes, in order or not.
func (o *oracle) away(server string) {
	for _, gc := range o.rules.Groups {
		g := o.groups[gc.Name]
		if g.on != server {
			continue
		}
		g.on = ""
		if to := o.best(g, server); to != "" && g.wanted {
			g.put(to, "FAILOVER")
		}
	}
}

// comes: a server is online. What waits for it starts there, what is to come back does.
func (o *oracle) comes(server string) {
	s := o.servers[server]
	s.state, s.disconnected, s.failed = "online", false, false
	for _, gc := range o.rules.Groups {
		g := o.groups[gc.Name]
		if s.booted { // what was wrong with it before counts no more
			g.anomalies = slices.DeleteFunc(g.anomalies, func(a string) bool { return a == server })
		}
		switch {
		case !g.wanted || g.rank(server) < 0:
		case g.on == "":
			event := "FAILOVER"
			if g.rank(server) <= g.rank(g.last) {
				event = "START"
			}
			g.put(server, event)
		case gc.FailbackAuto && g.rank(server) < g.rank(g.on):
			g.put(server, "START")
		}
	}
	s.booted = false
}

// anomaly of a group where it runs; asked says that an operator has asked for the
// failover. It reports whether the group can go anywhere.
func (o *oracle) anomaly(g *oGroup, asked bool) bool {
	g.anomalies = append(slices.DeleteFunc(g.anomalies, func(a string) bool { return a == g.on }), g.on)
	if g.rules.OnAnomaly == "stop" && !asked {
		g.on, g.wanted = "", false
		return true
	}
	to := o.best(g, g.on)
	if g.rules.FailoverTo == "stable" && to != "" {
		to = ""
		for _, s := range g.rules.Policy {
			if s != g.on && o.servers[s].state == "online" && !slices.Contains(g.anomalies, s) {
				to = s
				break
			}
		}
		for _, a := range g.anomalies {
			if to == "" && a != g.on && o.servers[a].state == "online" {
				to = a
			}
		}
	}
	if to == "" {
		return false
	}
	g.put(to, "FAILOVER")
	return true
}

// act is one thing that happens: an operation or a failure.
type act struct {
	verb, group, server string
}

func (a act) String() string { return strings.TrimSpace(a.verb + " " + a.group + " " + a.server) }

// apply says what comes of it: false where it is refused.
func (o *oracle) apply(a act) bool {
	g, s := o.groups[a.group], o.servers[a.server]
	isGood := func(server string) bool { return g.rank(server) >= 0 && o.servers[server].state == "online" }
	switch a.verb {
	case "start":
		to := a.server
		switch {
		case to == "" && isGood(g.last):
			to = g.last
		case to == "":
			to = o.best(g, "")
		}
		if g.on != "" || to == "" || !isGood(to) {
			return false
		}
		g.wanted, g.anomalies = true, nil
		g.put(to, "START")
	case "stop":
		if !g.wanted {
			return false
		}
		g.on, g.wanted = "", false
	case "move":
		to := a.server
		if to == "" {
			to = o.best(g, g.on)
		}
		if g.on == "" || to == "" || to == g.on || !isGood(to) {
			return false
		}
		g.put(to, "START")
	case "failover":
		if g.on == "" || o.best(g, g.on) == "" {
			return false
		}
		o.anomaly(g, true)
	case "anomaly":
		o.anomaly(g, false)
	case "disconnect":
		if s.state != "online" && (s.state != "detached" || s.disconnected) {
			return false
		}
		s.state, s.disconnected = "detached", true
		o.away(a.server)
	case "return":
		if s.state != "detached" {
			return false
		}
		o.comes(a.server)
	case "shutdown":
		if s.state != "online" && s.state != "detached" {
			return false
		}
		s.state = "stopped"
		o.away(a.server)
	case "fail":
		s.failed = s.failed || s.state == "online" || s.state == "detached"
		s.state = "down"
		o.away(a.server)
	case "boot":
		s.booted = true
		if s.disconnected || s.failed && !o.rules.ReturnAuto {
			s.state = "detached"
			break
		}
		o.comes(a.server)
	default:
		panic("no act " + a.verb)
	}
	return true
}

// sequence plays acts on a real cluster beside the oracle.
type sequence struct {
	t   *testing.T
	w   *world
	o   *oracle
	did []string
}

// draw picks something to do; group acts leave out one group.
func (q *sequence) draw(onlyGroups bool, but string) act {
	w, o := q.w, q.o
	for {
		g := w.rules.Groups[w.dice.IntN(len(w.rules.Groups))].Name
		s := w.any().name
		to := ""
		if w.dice.chance(0.6) {
			to = w.any().name
		}
		off := 0
		for _, x := range o.servers {
			if x.state == "down" || x.state == "stopped" {
				off++
			}
		}
		isOff := o.servers[s].state == "down" || o.servers[s].state == "stopped"
		mayGo := !isOff && 2*(off+1) < len(w.servers) // a majority stays
		k := w.dice.IntN(20)
		if onlyGroups {
			k %= 9
		}
		switch {
		case g == but:
			continue
		case k < 2:
			return act{"start", g, to}
		case k < 3:
			return act{"stop", g, ""}
		case k < 6:
			return act{"move", g, to}
		case k < 7:
			return act{"failover", g, ""}
		case k < 9 && o.groups[g].on != "":
			return act{"anomaly", g, ""}
		case onlyGroups:
			continue
		case k < 11:
			// The last member would leave nobody to return the others.
			if o.online() > 1 {
				return act{"disconnect", "", s}
			}
		case k < 13:
			if !isOff {
				return act{"return", "", s}
			}
		case k < 14 && mayGo && o.online() > 1:
			return act{"shutdown", "", s}
		case k < 16 && mayGo && o.online() > 1:
			return act{"fail", "", s}
		case k < 20 && isOff:
			return act{"boot", "", s}
		}
	}
}

func (o *oracle) online() (n int) {
	for _, s := range o.servers {
		if s.state == "online" {
			n++
		}
	}
	return n
}

// do lets it happen. It returns the request, nil where there is none.
func (q *sequence) do(a act) *request {
	w := q.w
	verbs := map[string]cluster.Verb{
		"start": cluster.VerbStart, "stop": cluster.VerbStop, "move": cluster.VerbMove, "failover": cluster.VerbFailover,
		"disconnect": cluster.VerbDisconnect, "return": cluster.VerbReturn, "shutdown": cluster.VerbShutdown,
	}
	switch a.verb {
	case "fail":
		w.server(a.server).kept = true
		w.server(a.server).powerOff()
		return nil
	case "boot":
		w.server(a.server).kept = false
		w.server(a.server).boot()
		return nil
	case "anomaly":
		w.operators.anomalyOf(w.group(a.group))
		return nil
	case "shutdown":
		w.server(a.server).kept = true
	}
	before := len(w.operators.order)
	for {
		if s := w.any(); s.life != nil && s.life.node.View(s.reading()).Quorum {
			w.operators.ask(s, cluster.Op{Verb: verbs[a.verb], Group: a.group, Server: a.server})
			return w.operators.order[before]
		}
		w.runUntil(w.now + 50*time.Millisecond)
	}
}

// await waits until the cluster is as the oracle says, and stays so.
func (q *sequence) await() string {
	w := q.w
	text, since := "nothing seen", time.Duration(0)
	for end := w.now + 25*time.Second; w.now < end && w.violation == nil; {
		w.runUntil(w.now + 50*time.Millisecond)
		switch text = q.differs(); {
		case text != "":
			since = 0
		case since == 0:
			since = w.now
		case w.now-since > time.Second:
			return ""
		}
	}
	if w.violation != nil {
		return w.violation.String()
	}
	return text
}

// differs says what is not as the oracle says; "" nothing.
func (q *sequence) differs() string {
	w, st := q.w, q.w.judge.newest
	for _, name := range w.rules.Servers {
		if got, want := string(st.Server(name).State), q.o.servers[name].state; got != want {
			return fmt.Sprintf("%s is %s, want %s", name, got, want)
		}
	}
	for i := range w.rules.Groups {
		name := w.rules.Groups[i].Name
		g, want := st.Group(name), q.o.groups[name]
		on := ""
		if c := w.carriers(i); len(c) > 0 {
			on = c[0].name
		}
		switch {
		case on != want.on:
			return fmt.Sprintf("%s is carried by %q, want %q (%s: %s)", name, on, want.on, g.State, g.Reason)
		case want.on != "" && (g.State != cluster.GroupOnline || g.Server != want.on):
			return fmt.Sprintf("%s is %s on %q, want online on %q", name, g.State, g.Server, want.on)
		case want.on != "" && g.LastStart.Event != want.event:
			return fmt.Sprintf("%s was started on %s with %s, want %s", name, on, g.LastStart.Event, want.event)
		case want.on == "" && (g.State == cluster.GroupStarting || g.State == cluster.GroupStopping):
			return fmt.Sprintf("%s is %s, want an end", name, g.State)
		}
	}
	return ""
}

// play does so many things, some of them two at once, and returns what went wrong.
func (q *sequence) play(acts int) string {
	if !q.w.started() {
		return "no start" + q.w.standing()
	}
	q.o = newOracle(q.w.rules)
	if text := q.await(); text != "" {
		return "after the first start: " + text
	}
	for range acts {
		pair := []act{q.draw(false, "")}
		if q.w.dice.chance(0.25) && pair[0].group != "" {
			pair = append(pair, q.draw(true, pair[0].group)) // two groups do not concern each other
		}
		var asked []*request
		var granted []bool
		for _, a := range pair {
			q.did = append(q.did, a.String())
			asked = append(asked, q.do(a))
			granted = append(granted, q.o.apply(a))
		}
		if text := q.await(); text != "" {
			return text
		}
		for i, r := range asked {
			if r != nil && r.replied && r.accepted != granted[i] {
				return fmt.Sprintf("%s was accepted: %v, want %v", pair[i], r.accepted, granted[i])
			}
		}
	}
	return ""
}

// Goal: whatever is asked for and whatever fails, one thing after the other or two at
// once, each group ends where the rules say, started as they say, and what cannot be done
// is refused. Method: random sequences beside the oracle, each act left to end.
// BATON_SIM_ORACLE=n plays so many.
func TestOracle(t *testing.T) {
	seeds := uint64(500)
	if testing.Short() {
		seeds = 40
	}
	if n, err := strconv.ParseUint(os.Getenv("BATON_SIM_ORACLE"), 10, 64); err == nil {
		seeds = n
	}
	failures, acts := 0, 0
	for seed := uint64(1); seed <= seeds && failures < 3; seed++ {
		o := Options{Servers: 3 + int(seed%3), Seed: seed, Tie: []Tie{TieNone, TieRegister}[seed/3%2]}
		seedRaft(t, seed)
		w := newWorld(o.withDefaults())
		w.healed, w.failing = true, 0
		for i := range w.rules.Groups {
			w.rules.Groups[i].MaxFailovers = 0 // 8, which no sequence comes to
		}
		q := &sequence{t: t, w: w}
		text := ""
		w.play(func() { text = q.play(8) })
		if w.violation != nil {
			text = w.violation.String()
		}
		acts += len(q.did)
		if text != "" {
			failures++
			t.Errorf("seed %d (%d servers, %s): %s\nafter: %s\nrules: %+v", seed, o.Servers, o.Tie, text, strings.Join(q.did, "; "), w.rules)
		}
	}
	t.Logf("%d sequences, %d acts", seeds, acts)
}
