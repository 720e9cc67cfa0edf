package lab

import (
	"fmt"
	"net/netip"
	"os"
)

// Group is one group to configure.
type Group struct {
	Name    string   // "" means A, B, C, ...
	Policy  []string // nil means all servers, beginning with another one for each group
	Address string   // "" means 10.0.0.101, .102, ...
	// NoScripts: the group is its address alone. Otherwise it has scripts that write
	// every run to the journal and then do Start or Stop.
	NoScripts bool
	Start     string // lines of shell, "" nothing more
	Stop      string
	Manual    bool   // autostart = false
	Config    string // added to the group's table in baton.toml
}

// DefaultGroups are A, B and C, each at home on another server.
func DefaultGroups(servers int) []Group {
	g := make([]Group, 3)
	for i := range g {
		g[i].fill(i, servers)
	}
	return g
}

func (g *Group) fill(i, servers int) {
	if g.Name == "" {
		g.Name = string(rune('A' + i%26))
	}
	if g.Address == "" {
		g.Address = netip.AddrFrom4([4]byte{10, 0, 0, byte(101 + i)}).String()
	}
	if g.Policy == nil {
		for k := range servers {
			g.Policy = append(g.Policy, fmt.Sprintf("server%d", (i+k)%servers+1))
		}
	}
}

// WebGroup is a group with a tiny real service: an HTTP server on port 80 of its
// floating IP that says which server answers.
func WebGroup(name, address string) (Group, error) {
	exe, err := os.Executable()
	if err != nil {
		return Group{}, err
	}
	pid := RunDir + "/" + name + ".pid"
	return Group{
		Name: name, Address: address,
		// The script returns at once and the server goes on, as daemons do.
		Start: fmt.Sprintf("'%s' %s web --addr %s:80 </dev/null >%s/%s.log 2>&1 &\necho $! >%s", exe, roleArg, address, RunDir, name, pid),
		Stop:  fmt.Sprintf("read pid <%s && kill $pid", pid),
	}, nil
}
