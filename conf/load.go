package conf

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"
)

// Load reads and checks a file. Where the file is wrong the error is Problems, and
// has all of them.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, src)
}

// Parse checks a source; name stands for the file in what it reports. Where the
// source is wrong the error is Problems, and has all of them.
func Parse(name string, src []byte) (*Config, error) {
	tree, problems := readTree(name, src)
	p := &parser{
		reader:  &reader{name, tree.lines, tree.broken, problems},
		owner:   map[netip.Addr]string{},
		isNamed: map[string]bool{},
	}
	c := &Config{file: name, lines: tree.lines}
	if tree.whole {
		p.config(c, tree.values)
	}
	if len(p.problems) > 0 {
		p.problems.sort()
		return nil, p.problems
	}
	return c, nil
}

// parser fills a Config table by table, in the order of the file's description.
type parser struct {
	*reader
	owner map[netip.Addr]string // path of the key that first gave an address
	// named are the servers' names, as policies may use them; isNamed the same.
	named   []string
	isNamed map[string]bool
	// guess: some server's name could not be read, so that a policy's server may be
	// that one.
	guess bool
	// noKind: tiebreaker.kind could not be read.
	noKind bool
}

func (p *parser) config(c *Config, values map[string]any) {
	root := p.open("", "", values, true)
	p.cluster(c, root.table("cluster"))
	p.heartbeat(c, root.table("heartbeat"))
	c.Startup.Wait, _ = root.table("startup").duration("wait", DefaultWait, span{MinWait, MaxWait})
	recovery := root.table("recovery")
	c.Recovery.Return = recovery.choice("return", Manual, Auto)
	c.Recovery.OnQuorumLoss = recovery.choice("on_quorum_loss", OnQuorumLossStop, OnQuorumLossReboot)
	c.Recovery.Watchdog = recovery.absolutePath("watchdog", "")
	p.tiebreaker(c, root.table("tiebreaker"))
	p.servers(c, root)
	p.groups(c, root)
}

func (p *parser) cluster(c *Config, t *table) {
	c.Cluster.Name, _ = p.name(t, `"payroll"`, script)
	c.Cluster.KeyFile = t.absolutePath("key_file", DefaultKeyFile)
	c.Cluster.StateDir = t.absolutePath("state_dir", DefaultStateDir)
	c.Cluster.Port = t.integer("port", DefaultPort, limits{1, 65535})
}

// name reads the required key name of a table.
func (p *parser) name(t *table, example string, a alphabet) (string, bool) {
	s, ok := t.text("name")
	if !ok {
		t.missing("name", example)
		return "", false
	}
	if message, remedy := badName(s, a); message != "" {
		t.fail("name", message, remedy)
		return s, false
	}
	return s, true
}

func (p *parser) heartbeat(c *Config, t *table) {
	timeout, timeoutOK := t.duration("timeout", DefaultTimeout, span{MinTimeout, MaxTimeout})
	interval, intervalOK := t.duration("interval", min(DefaultInterval, timeout.D()/6), span{MinInterval, MaxTimeout / MinRounds})
	c.Heartbeat = Heartbeat{interval, timeout}
	most := (timeout.D() / MinRounds).Truncate(time.Millisecond)
	if timeoutOK && intervalOK && interval.D() > most {
		t.fail("interval", fmt.Sprintf("%v is more than a third of heartbeat.timeout (%v): the loss of one packet would be a failover", interval, timeout),
			fmt.Sprintf(`write "%v" or less`, Of(most)))
	}
}

// claim notes who has an address and reports a second one.
func (p *parser) claim(path string, a netip.Addr) {
	first, taken := p.owner[a]
	if !taken {
		p.owner[a] = path
		return
	}
	p.fail(path, fmt.Sprintf("%v is also %s in line %d", a, documented(first), p.line(first)), "give each its own address")
}

// names finds names that people would take for one.
type names map[string]item

// twice reports a name that another table has.
func (n names) twice(t *table, name string) {
	path := t.key("name")
	first, taken := n[fold(name)]
	switch {
	case !taken:
		n[fold(name)] = item{path, name}
	case first.text == name:
		t.fail("name", fmt.Sprintf("%s is also the %s in line %d", quote(name), t.name, t.r.line(first.path)), "give each its own name")
	default:
		t.fail("name", fmt.Sprintf("%s looks like %s in line %d", quote(name), quote(first.text), t.r.line(first.path)), "give each a name that nobody takes for the other")
	}
}

// counted is "1 server", "2 servers".
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
