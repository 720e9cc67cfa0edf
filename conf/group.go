package conf

import (
	"fmt"
	"slices"
)

func (p *parser) groups(c *Config, root *table) {
	seen := names{}
	for _, t := range root.tables("group") {
		g := Group{
			Autostart:   t.boolean("autostart", true),
			Failback:    t.choice("failback", Manual, Auto),
			StartScript: t.absolutePath("start_script", ""),
			StopScript:  t.absolutePath("stop_script", ""),
		}
		ok := false
		if g.Name, ok = p.name(t, `"A"`, script); ok {
			seen.twice(t, g.Name)
		}
		g.Policy = p.policy(t)
		g.ScriptTimeout, _ = t.duration("script_timeout", DefaultScriptTimeout, span{MinScriptTimeout, MaxScriptTimeout})
		for _, ft := range t.tables("floating_ip") {
			g.FloatingIPs = append(g.FloatingIPs, p.floatingIP(ft))
		}
		g.Monitor = p.monitor(t.table("monitor"))
		c.Groups = append(c.Groups, g)
	}
}

func (p *parser) policy(t *table) (policy []string) {
	items, ok := t.texts("policy", `["server1", "server2"]`)
	if !ok {
		t.missing("policy", `["server1", "server2"]`)
	} else if len(items) == 0 {
		t.fail("policy", "names no server", `write policy = ["server1", "server2"], highest priority first`)
	}
	if n := len(items); n > MaxServers {
		t.fail("policy", fmt.Sprintf("names %d servers, more than %d", n, MaxServers), "name each server once")
		return nil
	}
	for _, it := range items {
		if slices.Contains(policy, it.text) {
			p.fail(it.path, quote(it.text)+" is in the policy twice", "take one of the two out")
			continue
		}
		if !p.isNamed[it.text] && !p.guess {
			p.fail(it.path, "there is no server "+quote(it.text), p.serverRemedy(it.text))
		}
		policy = append(policy, it.text)
	}
	return policy
}

// serverRemedy says what to write instead of a server that is not there.
func (p *parser) serverRemedy(name string) string {
	if n := len(p.named); n == 0 || n > MaxServers {
		return "write a [[server]] of that name"
	}
	if meant := nearest(name, p.named); meant != "" {
		return "write " + quote(meant)
	}
	return "write " + orList(p.named)
}

func (p *parser) floatingIP(t *table) FloatingIP {
	f := FloatingIP{Prefix: -1}
	if s, ok := t.text("address"); ok {
		var message, remedy string
		switch f, message, remedy = parseFloating(s); {
		case message != "":
			t.fail("address", message, remedy)
		case f.Address.Is6():
			t.fail("address", s+": floating IPv6 addresses are not supported yet", "write an IPv4 address")
		default:
			p.claim(t.key("address"), f.Address)
		}
	} else {
		t.missing("address", `"10.0.0.100"`)
	}
	if s, ok := t.text("interface"); ok {
		if message := badInterface(s); message != "" {
			t.fail("interface", message, "write the name that ip link shows, or take the line out: the interface is then found by its network")
		}
		f.Interface = s
	}
	return f
}

// watchable are the kinds of resources that can be watched now.
var watchable = []string{ResourceFloatingIP, ResourceScript}

func (p *parser) monitor(t *table) Monitor {
	m := Monitor{
		OnAnomaly:    t.choice("on_anomaly", OnAnomalyFailover, OnAnomalyStop),
		FailoverTo:   t.choice("failover_to", FailoverToPriority, FailoverToStable),
		MaxFailovers: t.integer("max_failovers", DefaultMaxFailovers, limits{1, MaxMaxFailovers}),
	}
	items, ok := t.texts("resources", `["floating_ip", "script"]`)
	if !ok {
		m.Resources = slices.Clone(watchable)
		return m
	}
	m.Resources = []string{}
	for _, it := range items {
		switch {
		case slices.Contains(m.Resources, it.text):
			p.fail(it.path, quote(it.text)+" is listed twice", "take one of the two out")
		case slices.Contains(watchable, it.text):
			m.Resources = append(m.Resources, it.text)
		case slices.Contains(laterChoices["group.monitor.resources"], it.text):
			p.fail(it.path, quote(it.text)+" is not supported yet", "take it out")
		default:
			remedy := "write " + orList(watchable)
			if meant := nearest(it.text, watchable); meant != "" {
				remedy = `write "` + meant + `"`
			}
			p.fail(it.path, quote(it.text)+" is not a kind of resource", remedy)
		}
	}
	return m
}
