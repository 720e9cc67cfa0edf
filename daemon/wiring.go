package main

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/core/lease"
	"baton/core/node"
	"baton/daemon/cgroup"
	"baton/daemon/guard"
	"baton/daemon/link"
	"baton/daemon/resource/floatingip"
	"baton/daemon/runner"
)

// This file turns the configuration into what each package wants to know. Nothing
// here has an effect.

// identity is which server this is, and where its things are.
type identity struct {
	self     int // number of this server, its place in the configuration + 1
	name     string
	stateDir string
	socket   string
	boot     string
}

func timesOf(c *conf.Config) lease.Params {
	return lease.Derive(c.Heartbeat.Timeout.D(), c.Heartbeat.Interval.D())
}

func serverNames(c *conf.Config) []string {
	names := make([]string, 0, len(c.Servers))
	for _, s := range c.Servers {
		names = append(names, s.Name)
	}
	return names
}

// rulesOf is the part of the configuration that all servers must agree on. It must
// follow from the file alone.
func rulesOf(c *conf.Config) cluster.Config {
	out := cluster.Config{Cluster: c.Cluster.Name, Servers: serverNames(c), ReturnAuto: c.Recovery.Return == conf.Auto}
	for _, g := range c.Groups {
		out.Groups = append(out.Groups, cluster.GroupConfig{
			Name: g.Name, Policy: g.Policy, Autostart: g.Autostart, FailbackAuto: g.Failback == conf.Auto,
			OnAnomaly: g.Monitor.OnAnomaly, FailoverTo: g.Monitor.FailoverTo, MaxFailovers: g.Monitor.MaxFailovers,
			MonitorScript: g.Monitor.Watches(conf.ResourceScript),
		})
	}
	return out
}

// nodeConfig leaves Clean and Adopt to its caller, who knows what was found.
func nodeConfig(c *conf.Config, id identity) node.Config {
	return node.Config{
		Self: id.self, Servers: serverNames(c), Times: timesOf(c), Wait: c.Startup.Wait.D(), Paths: pathCount(c), Disk: c.HasDiskPath(),
		Boot: id.boot, Rules: rulesOf(c), Random: random, Tiebreaker: hasTiebreaker(c), WeakTiebreaker: isWeak(c), Weaken: weakness(),
	}
}

// pathCount is how many heartbeat paths there are, the CLUSTER partition included.
func pathCount(c *conf.Config) int {
	if c.HasDiskPath() {
		return c.PathCount() + 1
	}
	return c.PathCount()
}

// random gives the node its random numbers. crypto/rand.Read never fails.
func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// floatingIPs are the addresses of one group.
func floatingIPs(g *conf.Group) []floatingip.Spec {
	var out []floatingip.Spec
	for _, ip := range g.FloatingIPs {
		out = append(out, floatingip.Spec{Address: ip.Address, Prefix: max(0, ip.Prefix), Interface: ip.Interface})
	}
	return out
}

// rebootFile, in the state directory, says why the guard has rebooted this server.
const rebootFile = "guard.rebooted"

// guardSpec names what must be gone when the lease is over: everything of every
// group, for a group may have come here under an earlier configuration of policies.
func guardSpec(c *conf.Config, stateDir string, place cgroup.Place) guard.Spec {
	t := timesOf(c)
	reboot := guard.WhenStuck
	if c.Recovery.OnQuorumLoss == conf.OnQuorumLossReboot {
		reboot = guard.WhenLost
	}
	var addresses []netip.Addr
	for i := range c.Groups {
		for _, ip := range c.Groups[i].FloatingIPs {
			addresses = append(addresses, ip.Address)
		}
	}
	return guard.Spec{
		Place: place, Addresses: addresses, Timeout: t.Timeout, Stop: t.Stop,
		Reboot: reboot, Watchdog: c.Recovery.Watchdog, Record: filepath.Join(stateDir, rebootFile),
	}
}

func runnerGroups(c *conf.Config) map[string]runner.Group {
	out := map[string]runner.Group{}
	for i := range c.Groups {
		g := &c.Groups[i]
		out[g.Name] = runner.Group{
			FloatingIPs: floatingIPs(g), StartScript: g.StartScript, StopScript: g.StopScript, Timeout: g.ScriptTimeout.D(),
		}
	}
	return out
}

// watchedIPs are the addresses whose loss in operation is an anomaly, by group.
func watchedIPs(c *conf.Config) map[string][]floatingip.Spec {
	out := map[string][]floatingip.Spec{}
	for i := range c.Groups {
		if g := &c.Groups[i]; g.Monitor.Watches(conf.ResourceFloatingIP) && len(g.FloatingIPs) > 0 {
			out[g.Name] = floatingIPs(g)
		}
	}
	return out
}

// ends are the servers and the networks between them: by path, everybody's address.
func ends(c *conf.Config, id identity, keys []conf.Key) link.Ends {
	e := link.Ends{Cluster: c.Cluster.Name, Keys: secrets(keys), Self: id.self, Servers: serverNames(c), Port: uint16(c.Cluster.Port)}
	self := id.self - 1
	for j := range c.Servers {
		if j == self {
			continue
		}
		for k, p := range c.Paths(self, j) {
			if k == len(e.Paths) {
				e.Paths = append(e.Paths, link.Path{Name: p.Name, Local: p.Local, Remote: make([]netip.Addr, len(c.Servers))})
			}
			e.Paths[k].Remote[j] = p.Remote
		}
	}
	return e
}

func secrets(keys []conf.Key) [][]byte {
	var out [][]byte
	for _, k := range keys {
		out = append(out, k.Bytes())
	}
	return out
}

// handOverLimit is how long a server that is told to stop waits for its groups: a
// start under way, and then the stop, may each take their script's whole limit.
func handOverLimit(c *conf.Config) time.Duration {
	longest := time.Duration(0)
	for _, g := range c.Groups {
		longest = max(longest, g.ScriptTimeout.D())
	}
	return 2*longest + 10*c.Heartbeat.Timeout.D() + time.Minute
}
