package conf

import (
	"fmt"
	"net/netip"
)

// pathPlan is what the first server's addresses say of everybody's: that many
// interconnects, of those families, and a public address or none.
type pathPlan struct {
	server       string // its name, for messages
	interconnect []netip.Addr
	public       netip.Addr
	hasPublic    bool
	known        bool // the first server's addresses could be read
}

func (p *parser) servers(c *Config, root *table) {
	all := root.tables("server")
	unsure := p.broken["server"]
	seen := names{}
	var plan pathPlan
	for i, t := range all {
		var s Server
		ok := false
		if s.Name, ok = p.name(t, `"server1"`, ascii); ok {
			seen.twice(t, s.Name)
		}
		if s.Name == "" {
			unsure = true
		} else {
			p.named = append(p.named, s.Name)
			p.isNamed[s.Name] = true
		}
		readable := p.addresses(t, &s)
		s.Fence = p.fence(t)
		if i == 0 {
			plan = pathPlan{s.Name, s.Interconnect, s.Public, t.has("public"), readable}
		} else if plan.known && readable {
			p.samePaths(t, s, plan)
		}
		c.Servers = append(c.Servers, s)
	}
	p.guess = unsure
	p.fitTiebreaker(c, all)
	switch n := len(all); {
	case n < MinServers && !unsure:
		p.fail("server", fmt.Sprintf("%s, fewer than %d", counted(n, "server", "servers"), MinServers), "write one [[server]] for each server")
	case n > MaxServers:
		p.fail(at("server", MaxServers), fmt.Sprintf("%d servers, more than %d", n, MaxServers), "make two clusters of them")
	}
}

// addresses reads a server's addresses. It returns false where some could not be
// read, so that their number says nothing.
func (p *parser) addresses(t *table, s *Server) bool {
	items, ok := t.texts("interconnect", `["192.168.100.1"]`)
	readable := ok || !t.has("interconnect")
	for _, it := range items {
		a, message, remedy := parseAddr(it.text)
		if message != "" {
			p.fail(it.path, message, remedy)
			readable = false
			continue
		}
		p.claim(it.path, a)
		s.Interconnect = append(s.Interconnect, a)
	}
	if n := len(items); n > MaxInterconnects {
		t.fail("interconnect", fmt.Sprintf("%d addresses, more than %d", n, MaxInterconnects), "keep the best ones")
	}
	if text, ok := t.text("public"); ok {
		a, message, remedy := parseAddr(text)
		if message != "" {
			t.fail("public", message, remedy)
			readable = false
		} else {
			p.claim(t.key("public"), a)
			s.Public = a
		}
	} else if t.has("public") {
		readable = false
	}
	if readable && len(s.Interconnect) == 0 && !s.Public.IsValid() && !p.broken[t.path] {
		t.fail("interconnect", "missing, and public too: the server has no heartbeat path", `write interconnect = ["192.168.100.1"] below [[server]]`)
		return false
	}
	return readable
}

// samePaths compares a server's addresses with the first server's.
func (p *parser) samePaths(t *table, s Server, plan pathPlan) {
	if n, m := len(s.Interconnect), len(plan.interconnect); n != m {
		t.fail("interconnect", fmt.Sprintf("%s has %s, %s has %d", label(s.Name), counted(n, "address", "addresses"), label(plan.server), m),
			"give every server one address on each interconnect, in the same order")
	} else {
		for i, a := range s.Interconnect {
			p.sameFamily(at(t.key("interconnect"), i), a, plan.interconnect[i], plan.server)
		}
	}
	switch has := t.has("public"); {
	case has != plan.hasPublic && has:
		t.fail("public", fmt.Sprintf("%s has one, %s has none", label(s.Name), label(plan.server)), "give it to every server, or to none")
	case has != plan.hasPublic:
		t.fail("public", fmt.Sprintf("%s has none, %s has one", label(s.Name), label(plan.server)), "give it to every server, or to none")
	case has:
		p.sameFamily(t.key("public"), s.Public, plan.public, plan.server)
	}
}

func (p *parser) sameFamily(path string, a, first netip.Addr, server string) {
	if a.Is4() != first.Is4() {
		p.fail(path, fmt.Sprintf("%v and %v of %s are of different families", a, first, label(server)),
			"use IPv4 or IPv6 on all servers of one network")
	}
}

// label is a server's name, or a word for it where it has none.
func label(name string) string {
	if name == "" {
		return "the server"
	}
	return name
}
