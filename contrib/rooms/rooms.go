// Package rooms holds the architecture: which folder may import which. Its test
// reads the import lines of every file; core/README.md and README.md draw the same
// picture for people.
package rooms

import "strings"

// rule says what the packages below a path may import of this module.
type rule struct {
	from string   // path below the module, "" for the module itself
	may  []string // paths below the module, each with all that is under it
	// std lists standard packages that are forbidden.
	forbidden []string
	// thirdParty lists the only other modules allowed; nil: any.
	thirdParty []string
}

// helpers are packages that tests alone may import, and those of their room only.
var helpers = []string{"daemon/nettest"}

// rules, the most special first: the first whose from is a prefix holds.
var rules = []rule{
	{
		from: "core/cluster", may: []string{"core/cluster"}, forbidden: impure,
		thirdParty: []string{},
	},
	{
		from: "core/lease", may: nil, forbidden: append([]string{"encoding/json"}, impure...),
		thirdParty: []string{},
	},
	{from: "core/epoch", may: []string{"core/epoch"}, forbidden: impure, thirdParty: []string{}},
	{
		from: "core/node", may: []string{"core/cluster", "core/epoch", "core/lease"}, forbidden: impure,
		thirdParty: []string{"go.etcd.io/raft/v3", "google.golang.org/protobuf"},
	},
	// The simulator's command talks to people: it may have a clock and a terminal.
	{from: "core/sim/cmd", may: []string{"core"}},
	{from: "core/sim", may: []string{"core"}, forbidden: []string{"net", "os/exec", "math/rand"}},
	{from: "core", may: []string{"core"}, forbidden: impure},
	{from: "conf", may: []string{"conf"}},
	{from: "daemon/api", may: []string{"core/cluster"}},
	{from: "daemon/wire", may: []string{"core"}},
	{from: "daemon/link", may: []string{"core", "daemon/wire"}},
	{from: "daemon/nettest", may: nil},
	{from: "daemon/heartbeat", may: []string{"core", "daemon/link", "daemon/wire"}},
	{from: "daemon/peer", may: []string{"core", "daemon/link", "daemon/wire"}},
	{from: "daemon/tiebreak", may: []string{"core", "daemon/tiebreak"}},
	{from: "daemon/store", may: []string{"core"}},
	{from: "daemon/cgroup", may: nil},
	{from: "daemon/guard", may: []string{"core/lease", "daemon/cgroup", "daemon/guard", "daemon/resource", "daemon/watchdog"}},
	{from: "daemon/watchdog", may: nil},
	{from: "daemon/script", may: []string{"core/cluster", "daemon/cgroup", "daemon/script"}},
	{from: "daemon/resource", may: []string{"core/cluster", "daemon/resource"}},
	{from: "daemon/runner", may: []string{"core/cluster", "daemon/cgroup", "daemon/guard/page", "daemon/resource", "daemon/script"}},
	{from: "daemon", may: []string{"core", "conf", "daemon"}},
	// baton disk init prepares a device without a daemon.
	{from: "tui", may: []string{"tui", "daemon/api", "daemon/tiebreak/disk", "core/cluster", "conf"}},
	{from: "contrib", may: []string{"contrib", "core", "conf", "daemon", "tui"}},
}

// impure are the standard packages that would let a clock, a disk, a socket or
// chance into core.
var impure = []string{"os", "io/fs", "net", "syscall", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "sync", "sync/atomic", "context"}

// clockCalls are the functions of package time that read or wait for a clock.
var clockCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func ruleFor(path string) rule {
	for _, r := range rules {
		if within(path, r.from) {
			return r
		}
	}
	return rule{from: path}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func anyWithin(path string, dirs []string) bool {
	for _, d := range dirs {
		if within(path, d) {
			return true
		}
	}
	return false
}
