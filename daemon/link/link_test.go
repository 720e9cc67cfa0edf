package link

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func ends() *Ends {
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	return &Ends{
		Cluster: "payroll", Keys: [][]byte{make([]byte, MinKey)}, Self: 1, Servers: []string{"server1", "server2"}, Port: 1,
		Paths: []Path{{Name: "lan1", Local: one, Remote: []netip.Addr{one, two}}},
	}
}

func TestCheck(t *testing.T) {
	if err := ends().Check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Ends){
		"1 servers: not in 2 to 16":                               func(e *Ends) { e.Servers = e.Servers[:1] },
		"self: 3 is not in 1 to 2":                                func(e *Ends) { e.Self = 3 },
		"self: 0 is not in 1 to 2":                                func(e *Ends) { e.Self = 0 },
		"0 paths: not in 1 to 8":                                  func(e *Ends) { e.Paths = nil },
		"9 paths: not in 1 to 8":                                  func(e *Ends) { e.Paths = make([]Path, 9) },
		"no cluster key":                                          func(e *Ends) { e.Keys = nil },
		"cluster key 2: 31 bytes is below 32":                     func(e *Ends) { e.Keys = append(e.Keys, make([]byte, 31)) },
		"port 0: must be the same":                                func(e *Ends) { e.Port = 0 },
		"path lan1: address 0.0.0.0: name one address":            func(e *Ends) { e.Paths[0].Local = netip.IPv4Unspecified() },
		"path lan1: address ::ffff:10.0.0.1: name":                func(e *Ends) { e.Paths[0].Local = netip.MustParseAddr("::ffff:10.0.0.1") },
		"path lan1: 1 addresses for 2 servers":                    func(e *Ends) { e.Paths[0].Remote = e.Paths[0].Remote[:1] },
		"path lan1: address ::1 of server2: not of the kind of 1": func(e *Ends) { e.Paths[0].Remote[1] = netip.IPv6Loopback() },
	} {
		e := ends()
		spoil(e)
		if err := e.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

type reason string

func (r reason) String() string { return string(r) }

// Goal: each drop is counted, a reason is logged once a minute with what came since, and
// what has a line elsewhere is not logged here.
func TestDrops(t *testing.T) {
	var log bytes.Buffer
	d := Drops[reason]{Log: slog.New(slog.NewTextHandler(&log, nil)), What: "things dropped"}
	for range 5 {
		d.Count("forged", "path", "lan1")
	}
	d.Tally("stale", 3)
	d.Tally("full", 0)
	got := d.Counts()
	if len(got) != 2 || got["forged"] != 5 || got["stale"] != 3 {
		t.Errorf("counts %v", got)
	}
	if lines := strings.Split(strings.TrimSpace(log.String()), "\n"); len(lines) != 1 ||
		!strings.HasSuffix(lines[0], `msg="things dropped" reason=forged count=1 path=lan1`) {
		t.Errorf("log %q", log.String())
	}
	c := d.n["forged"]
	c.at = c.at.Add(-logEvery)
	d.Count("forged")
	if !strings.Contains(log.String(), "reason=forged count=5") {
		t.Errorf("a minute later: log %q", log.String())
	}
}
