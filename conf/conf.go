// Package conf turns the configuration file into a checked Config, and the cluster
// key file into keys.
//
// It is what operators meet first, so it lists every fault of a file at once, each
// with file, line, value, limit and what to write instead. It knows nothing of the
// machine it runs on, except in Check (the text of "baton check", and what it says of the
// machine alone, MachineWarnings) and LoadKeys: the
// same file must be right or wrong alike on every server. It takes nothing for
// granted that the daemon does not do yet: such keys are an error, not a silence.
//
// Everything here is called from start-up and from commands, by one goroutine; a
// Config is not changed after Load and may then be read by any number of them.
//
// The keys are those of README.md beside this file, which a test compares with the
// accepted ones. The syntax is TOML 1.1 (toml.io), read by BurntSushi/toml; since
// that names no lines, scan.go finds them.
package conf

import (
	"net/netip"
	"path/filepath"
	"strconv"
	"time"
)

// Defaults, each with the reason for the number.
const (
	// DefaultKeyFile is where packaging puts the key, readable by root only.
	DefaultKeyFile = "/etc/baton/cluster.key"
	// DefaultStateDir survives a boot, as the state must.
	DefaultStateDir = "/var/lib/baton"
	// DefaultPort is below the range that Linux hands to outgoing connections
	// (32768 and above) and not registered for anything in common use.
	DefaultPort = 22860
	// DefaultInterval gives six heartbeats within the default timeout: five may be
	// lost. Where the timeout is shorter it is a sixth of that.
	DefaultInterval = 500 * time.Millisecond
	// DefaultTimeout is long enough for a switch to relearn its ports and for a busy
	// virtual machine to be scheduled again.
	DefaultTimeout = 3 * time.Second
	// DefaultWait covers the slowest server's power-on self test.
	DefaultWait = 5 * time.Minute
	// DefaultScriptTimeout leaves a database time for its crash recovery.
	DefaultScriptTimeout = 30 * time.Minute
	// DefaultWitnessPort is where a witness listens: the servers' port and one, so that
	// a witness may run beside a server of another cluster.
	DefaultWitnessPort = DefaultPort + 1
	// DefaultMaxFailovers is the seed's: after so many failovers in a row the fault
	// is probably in something that all servers share.
	DefaultMaxFailovers = 8
)

// Limits. Outside of them the file is refused.
const (
	MinServers = 2
	MaxServers = 16 // priorities are 1 to 16, and heartbeats carry one byte a server
	// MaxInterconnects leaves room, in a byte with a bit for each path, for the
	// public LAN and the disk.
	MaxInterconnects = 6
	// MinInterval: below it heartbeats cost more than they tell.
	MinInterval = 50 * time.Millisecond
	// MinTimeout leaves a stop budget of 125 ms (a quarter). Below it a scheduler's
	// hiccup is a failover.
	MinTimeout = 500 * time.Millisecond
	// MaxTimeout: whoever waits longer for a takeover has mistaken the unit.
	MaxTimeout = 5 * time.Minute
	// MinRounds: so many heartbeats must fit into the timeout, or the loss of one
	// or two packets is a failover.
	MinRounds        = 3
	MinWait          = time.Second
	MaxWait          = 24 * time.Hour
	MinScriptTimeout = time.Second
	MaxScriptTimeout = 24 * time.Hour
	MaxMaxFailovers  = 1000
	// MaxTiebreakerAddresses: a witness has no more networks than a server.
	MaxTiebreakerAddresses = MaxInterconnects + 1
	// MaxFenceDelay: nobody wants to wait longer for a takeover.
	MaxFenceDelay = 5 * time.Minute
	// MaxNameLength is in characters, as for a label of a host name.
	MaxNameLength = 63
	// MaxFileSize is for the configuration and the key file, in bytes. 16 servers
	// with 1000 groups take a fifth of it.
	MaxFileSize = 1 << 20
)

// Values of enumerated keys.
const (
	Manual = "manual" // recovery.return, group.failback: an operator says when
	Auto   = "auto"   // recovery.return, group.failback: at once

	OnQuorumLossStop   = "stop"   // recovery.on_quorum_loss: stop the groups
	OnQuorumLossReboot = "reboot" // then reboot

	TiebreakerNone    = "none"    // tiebreaker.kind: exactly half of the servers waits for an operator
	TiebreakerDisk    = "disk"    // it asks a register on a shared disk
	TiebreakerWitness = "witness" // it asks a register on a third host
	TiebreakerFence   = "fence"   // it powers the missing servers off
	TiebreakerPing    = "ping"    // it looks whether the public LAN answers

	OnAnomalyFailover  = "failover" // group.monitor.on_anomaly
	OnAnomalyStop      = "stop"     //
	FailoverToPriority = "priority" // group.monitor.failover_to
	FailoverToStable   = "stable"   //

	ResourceFloatingIP = "floating_ip" // group.monitor.resources
	ResourceScript     = "script"      //
)

// Config is a configuration file that has been found right.
type Config struct {
	Cluster    Cluster
	Heartbeat  Heartbeat
	Startup    Startup
	Recovery   Recovery
	Tiebreaker Tiebreaker
	// Servers are in the order of the file, which numbers them: 2 to 16.
	Servers []Server
	// Groups are in the order of the file; there may be none.
	Groups []Group

	file  string
	lines map[string]int // by path, e.g. "group[0].policy[1]"; for Warnings
}

// Cluster is [cluster].
type Cluster struct {
	// Name of the cluster, 1 to 63 characters. Required.
	Name string
	// KeyFile is the absolute path of the cluster key (LoadKeys).
	// Default /etc/baton/cluster.key.
	KeyFile string
	// StateDir is the absolute path of the directory for what must survive a boot.
	// Default /var/lib/baton.
	StateDir string
	// Port between servers, UDP and TCP, 1 to 65535. Default 22860.
	Port int
}

// Heartbeat is [heartbeat].
type Heartbeat struct {
	// Interval between two heartbeats, 50ms to Timeout/3. Default 500ms, or a sixth
	// of Timeout where that is less. The servers send more often than that where the
	// leases need it (package lease, Derive).
	Interval Duration
	// Timeout is the silence on every path after which a server is down, 500ms to
	// 5m. Default 3s.
	Timeout Duration
}

// Startup is [startup].
type Startup struct {
	// Wait is how long the servers that are there wait for the rest when the cluster
	// starts, 1s to 24h. Default 5m.
	Wait Duration
}

// Recovery is [recovery].
type Recovery struct {
	// Return of a server that boots after a failure: Manual (default) or Auto.
	Return string
	// OnQuorumLoss is what a server does that may not run groups any more:
	// OnQuorumLossStop (default) or OnQuorumLossReboot.
	OnQuorumLoss string
	// Watchdog is the absolute path of a watchdog device; "" (default): none.
	Watchdog string
}

// Tiebreaker is [tiebreaker].
type Tiebreaker struct {
	// Kind is TiebreakerNone (default) or one of the others.
	Kind string
	// Device is the absolute path of the CLUSTER partition. Required for
	// TiebreakerDisk, "" for all others.
	Device string
	// Witness are the addresses of the witness, 1 to 7. For TiebreakerWitness only.
	Witness []netip.AddrPort
	// Ping are addresses of the public LAN, 1 to 7. For TiebreakerPing only.
	Ping []netip.Addr
}

// Server is one [[server]].
type Server struct {
	// Name is unique, 1 to 63 of letters, digits, '-', '_', '.'. Required.
	Name string
	// Interconnect has one address for each heartbeat network, best first; as many
	// on every server, 0 to 6.
	Interconnect []netip.Addr
	// Public is the address on the public LAN; it carries heartbeats too. Given on
	// every server or on none (the zero Addr).
	Public netip.Addr
	// Fence says how the others power this server off. Required for TiebreakerFence,
	// zero for all others.
	Fence Fence
}

// Fence is [server.fence]. However it is printed, its options do not show.
type Fence struct {
	// Agent is the name of a program of the package fence-agents, or an absolute path.
	Agent string
	// Options are what the agent reads, by name; nil for none.
	Options map[string]string
	// Delay is how long the others wait before they power this server off, 0 to 5m.
	// Default 0.
	Delay Duration
}

// Group is one [[group]].
type Group struct {
	// Name is unique, 1 to 63 letters (of any script), digits, '-', '_', '.'.
	// Required.
	Name string
	// Policy names the group's servers, highest priority first; each once, at least
	// one. Required.
	Policy []string
	// Autostart: the group starts when the cluster starts. Default true.
	Autostart bool
	// Failback to the highest-priority server when that returns: Manual (default)
	// or Auto.
	Failback string
	// StartScript and StopScript are absolute paths; "" for none.
	StartScript, StopScript string
	// ScriptTimeout for one run of either script, 1s to 24h. Default 30m.
	ScriptTimeout Duration
	// FloatingIPs move with the group.
	FloatingIPs []FloatingIP
	Monitor     Monitor
}

// FloatingIP is one [[group.floating_ip]].
type FloatingIP struct {
	// Address is unique in the file. Required.
	Address netip.Addr
	// Prefix length of the address, 1 to 32; -1: that of the network which holds it.
	Prefix int
	// Interface by name; "": the one whose network holds the address.
	Interface string
}

// Monitor is [group.monitor].
type Monitor struct {
	// Resources are the kinds that are watched. The default, also without the table,
	// is all that can be: ResourceFloatingIP and ResourceScript. None: nothing is.
	Resources []string
	// OnAnomaly is OnAnomalyFailover (default) or OnAnomalyStop.
	OnAnomaly string
	// FailoverTo is FailoverToPriority (default) or FailoverToStable.
	FailoverTo string
	// MaxFailovers by anomaly, in a row, 1 to 1000. Default 8.
	MaxFailovers int
}

// Watches says whether anomalies of that kind of resource count.
func (m Monitor) Watches(resource string) bool {
	for _, r := range m.Resources {
		if r == resource {
			return true
		}
	}
	return false
}

// File is the name under which the configuration was read.
func (c *Config) File() string { return c.file }

// Index returns the place of the named server in c.Servers, or -1.
func (c *Config) Index(server string) int {
	for i, s := range c.Servers {
		if s.Name == server {
			return i
		}
	}
	return -1
}

// Group returns the named group, or nil.
func (c *Config) Group(name string) *Group {
	for i := range c.Groups {
		if c.Groups[i].Name == name {
			return &c.Groups[i]
		}
	}
	return nil
}

// Path is one heartbeat path between two servers.
type Path struct {
	// Name is "lan1", "lan2", ... for the interconnects in their order, then
	// "public".
	Name string
	// Local is the address of the first server, Remote that of the second, both of
	// one family.
	Local, Remote netip.Addr
}

// Paths returns the heartbeat paths from server i to server j (places in c.Servers,
// counted from 0). Every pair of servers has the same paths in the same order; there
// is at least one and at most MaxInterconnects+1.
func (c *Config) Paths(i, j int) []Path {
	a, b := c.Servers[i], c.Servers[j]
	paths := make([]Path, 0, len(a.Interconnect)+1)
	for k := range a.Interconnect {
		paths = append(paths, Path{"lan" + strconv.Itoa(k+1), a.Interconnect[k], b.Interconnect[k]})
	}
	if a.Public.IsValid() {
		paths = append(paths, Path{"public", a.Public, b.Public})
	}
	return paths
}

// PathCount is how many heartbeat paths over networks each pair of servers has.
func (c *Config) PathCount() int { return len(c.Paths(0, 0)) }

// DiskPath is the name of the heartbeat path over the CLUSTER partition.
const DiskPath = "disk"

// HasDiskPath: there is one more heartbeat path, behind those over networks.
func (c *Config) HasDiskPath() bool { return c.Tiebreaker.Kind == TiebreakerDisk }

// absolute says whether p is an absolute path without "..", "//" or a trailing "/".
func absolute(p string) bool { return filepath.IsAbs(p) && filepath.Clean(p) == p }
