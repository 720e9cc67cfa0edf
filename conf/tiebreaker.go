package conf

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// tiebreaker reads [tiebreaker]. What it needs of the servers is checked when they are
// known (fitTiebreaker).
func (p *parser) tiebreaker(c *Config, t *table) {
	tb := &c.Tiebreaker
	before := len(p.problems)
	tb.Kind = t.choice("kind", tiebreakers...)
	if len(p.problems) > before || t.has("kind") != keyIs(t, "kind") {
		p.noKind = true // what the other keys are for cannot be told
	}
	tb.Device = t.absolutePath("device", "")
	items, _ := t.texts("address", `["10.0.0.254"]`)
	for _, it := range items {
		p.tiebreakerAddress(tb, it)
	}
	if p.noKind {
		return
	}
	if t.has("device") && tb.Kind != TiebreakerDisk {
		t.fail("device", "kind "+quote(tb.Kind)+" has no device", `take the line out, or write kind = "disk"`)
	}
	if t.has("address") && tb.Kind != TiebreakerWitness && tb.Kind != TiebreakerPing {
		t.fail("address", "kind "+quote(tb.Kind)+" has no address", `take the line out, or write kind = "witness" or kind = "ping"`)
	}
	switch tb.Kind {
	case TiebreakerDisk:
		t.missing("device", `"/dev/disk/by-id/scsi-0001-part1"`)
	case TiebreakerWitness:
		t.missing("address", `["10.0.0.9"]`)
	case TiebreakerPing:
		t.missing("address", `["10.0.0.254"]`)
	}
	switch n := len(items); {
	case n == 0 && keyIs(t, "address"):
		t.fail("address", "names no address", `write address = ["10.0.0.254"]`)
	case n > MaxTiebreakerAddresses:
		t.fail("address", fmt.Sprintf("%d addresses, more than %d", n, MaxTiebreakerAddresses), "keep the best ones")
	}
}

// keyIs says whether the key stands in the file and was read.
func keyIs(t *table, key string) bool {
	_, ok := t.get(key)
	return ok
}

// tiebreakerAddress reads one address, of a witness with or without its port.
func (p *parser) tiebreakerAddress(tb *Tiebreaker, it item) {
	if tb.Kind != TiebreakerWitness {
		a, message, remedy := parseAddr(it.text)
		if message != "" {
			p.fail(it.path, message, strings.TrimSuffix(remedy, "; the port is cluster.port"))
			return
		}
		p.claim(it.path, a)
		tb.Ping = append(tb.Ping, a)
		return
	}
	port := uint16(DefaultWitnessPort)
	host := it.text
	if ap, err := netip.ParseAddrPort(it.text); err == nil {
		host, port = ap.Addr().String(), ap.Port()
	} else if name, _, ok := strings.Cut(it.text, ":"); ok && strings.Count(it.text, ":") == 1 {
		host = name
	}
	a, message, remedy := parseAddr(host)
	switch {
	case message != "":
		p.fail(it.path, message, strings.Replace(remedy, "10.0.0.11", "10.0.0.9", 1))
	case port == 0 || host != it.text && !strings.HasSuffix(it.text, ":"+strconv.Itoa(int(port))):
		p.fail(it.path, quote(it.text)+": the port is not 1 to 65535", "write "+quote(netip.AddrPortFrom(a, DefaultWitnessPort).String()))
	default:
		p.claim(it.path, a)
		tb.Witness = append(tb.Witness, netip.AddrPortFrom(a, port))
	}
}

// fence reads [server.fence].
func (p *parser) fence(t *table) (f Fence) {
	if !t.has("fence") {
		return f
	}
	ft := t.table("fence")
	var ok bool
	if f.Agent, ok = ft.text("agent"); !ok {
		ft.missing("agent", `"fence_ipmilan"`)
	} else if f.Agent == "" || strings.ContainsFunc(f.Agent, isControl) || strings.Contains(f.Agent, "/") && !absolute(f.Agent) {
		ft.fail("agent", quote(f.Agent)+" is neither a name nor an absolute path", `write the name of an agent, such as "fence_ipmilan"`)
	}
	f.Delay, _ = ft.duration("delay", 0, span{0, MaxFenceDelay})
	f.Options = p.fenceOptions(ft)
	return f
}

// fenceOptions are the lines that the agent reads. Which there are is the agent's
// business: baton check does not know them.
func (p *parser) fenceOptions(t *table) map[string]string {
	v, ok := t.get("options")
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		p.wrong(t.key("options"), v, "a table", `write options = {ip = "10.0.1.2", username = "baton"}`)
		return nil
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	options := map[string]string{}
	for _, name := range names {
		path := join(t.key("options"), name)
		text := ""
		switch v := m[name].(type) {
		case string:
			text = v
		case int64, bool:
			text = fmt.Sprint(v)
		default:
			p.wrong(path, v, "text, an integer or a truth value", "write it in quotes, as the agent's manual has it")
			continue
		}
		switch {
		case name == "" || strings.ContainsAny(name, "=# \t") || strings.ContainsFunc(name, isControl):
			p.fail(path, quote(name)+" is not the name of an option", "write it as the agent's manual has it, without dashes in front")
		case name == "action" || name == "option":
			p.fail(path, "batond says itself what is to be done", "take it out")
		case strings.ContainsFunc(text, isControl):
			p.fail(path, "the value has a control character or more than one line", "write it in one line")
		default:
			options[name] = text
		}
	}
	return options
}

// fitTiebreaker checks what the kind needs of the servers.
func (p *parser) fitTiebreaker(c *Config, servers []*table) {
	if p.noKind {
		return
	}
	kind := c.Tiebreaker.Kind
	for i, t := range servers {
		s := &c.Servers[i]
		switch {
		case kind == TiebreakerFence && !t.has("fence"):
			t.fail("fence", `missing; kind "fence" powers servers off by it`, `write fence = {agent = "fence_ipmilan", options = {...}} below [[server]]`)
		case kind != TiebreakerFence && t.has("fence"):
			t.fail("fence", "not used with tiebreaker.kind "+quote(kind), `take it out, or write kind = "fence"`)
		}
		if kind != TiebreakerPing {
			continue
		}
		if !t.has("public") {
			t.fail("public", `missing; kind "ping" asks whether the other server is silent there`, `write public = "10.0.0.11" below [[server]]`)
		} else if s.Public.IsValid() && !slices.ContainsFunc(c.Tiebreaker.Ping, func(a netip.Addr) bool { return a.Is4() == s.Public.Is4() }) && len(c.Tiebreaker.Ping) > 0 {
			t.fail("public", fmt.Sprintf("%v is of another family than tiebreaker.address", s.Public), "use IPv4 or IPv6 for both")
		}
	}
}

// String hides the options, of which some are passwords.
func (f Fence) String() string { return f.Agent }

// GoString hides the options.
func (f Fence) GoString() string { return f.Agent }

// LogValue hides the options from slog.
func (f Fence) LogValue() slog.Value { return slog.StringValue(f.Agent) }

// warnTiebreaker says what a weak one does not cover.
func (c *Config) warnTiebreaker(w *reader) {
	switch tb := c.Tiebreaker; tb.Kind {
	case TiebreakerPing:
		w.fail("tiebreaker.kind", "ping is weak: two halves that both reach the address and not each other both go on, and so does a server that boots cut off from the others: then a group runs on two servers at once",
			`use "disk" or "witness" where that must not be`)
	case TiebreakerFence:
		w.fail("tiebreaker.kind", "fence takes seconds: the groups that run on the server that goes on stop and start again too; and where a server's power switch loses power with the server (IPMI), the others wait for an operator",
			`use "disk" or "witness" where that must not be`)
		if !slices.ContainsFunc(c.Servers, func(s Server) bool { return s.Fence.Delay != c.Servers[0].Fence.Delay }) {
			w.fail(at("server", 0)+".fence.delay", "the same for all servers: when they lose each other, they may power each other off",
				`give the server that is to survive a delay, such as "10s": the others then wait before they power it off`)
		}
	}
}

// aboutTiebreaker is what the kind amounts to.
func (c *Config) aboutTiebreaker() string {
	const half = "when exactly half of the servers is left, "
	switch tb := c.Tiebreaker; tb.Kind {
	case TiebreakerDisk:
		return half + "it goes on if it gets the next epoch from " + tb.Device + "; not covered: a disk that forgets what it has confirmed, or an older copy of it put back"
	case TiebreakerWitness:
		names := make([]string, len(tb.Witness))
		for i, a := range tb.Witness {
			names[i] = a.String()
		}
		return half + "it goes on if it gets the next epoch from the witness at " + strings.Join(names, ", ") + "; not covered: an older copy of the witness's state directory put back"
	case TiebreakerFence:
		return half + "it goes on when it has powered the others off; a server that has booted since it last had a quorum waits"
	case TiebreakerPing:
		return half + fmt.Sprintf("it goes on if %v answers and the others are silent on the public LAN (weak)", tb.Ping[0])
	}
	if len(c.Servers)%2 == 1 {
		return ""
	}
	return half + "it stops its groups and waits for an operator"
}
