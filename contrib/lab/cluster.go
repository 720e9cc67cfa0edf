package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/cluster"
	"baton/daemon/api"
)

// TB is the part of testing.TB that a Cluster needs, so that a measurement can bring
// its own.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Cleanup(func())
	Failed() bool
}

// Cluster is a lab with batond on every server, for scenarios: what cannot be done
// ends the test.
type Cluster struct {
	*Lab
	tb TB
}

// Option changes a lab's options.
type Option func(*Options)

// Servers sets how many servers there are.
func Servers(n int) Option { return func(o *Options) { o.Servers = n } }

// Interconnects sets how many heartbeat networks there are beside the public LAN; -1: none.
func Interconnects(n int) Option { return func(o *Options) { o.Interconnects = n } }

// Interval sets heartbeat.interval.
func Interval(d time.Duration) Option { return func(o *Options) { o.Interval = d } }

// Timeout sets heartbeat.timeout.
func Timeout(d time.Duration) Option { return func(o *Options) { o.Timeout = d } }

// Groups sets the groups.
func Groups(g ...Group) Option { return func(o *Options) { o.Groups = g } }

// OnDisk puts the servers' disks on a real file system.
func OnDisk() Option { return func(o *Options) { o.OnDisk = true } }

// ReturnAuto sets recovery.return = "auto".
func ReturnAuto() Option { return func(o *Options) { o.ReturnAuto = true } }

// Mounts has every group mount a file system too.
func Mounts() Option { return func(o *Options) { o.Mounts = true } }

// Faults has batond built with faults in it, see Options.Faults.
func Faults(text string) Option { return func(o *Options) { o.Faults = text } }

// IOFaults lets the I/O of batond's files fail or hang on request.
func IOFaults() Option { return func(o *Options) { o.IOFaults = true } }

// DiskSize gives each server a disk that can be full.
func DiskSize(bytes int) Option { return func(o *Options) { o.DiskSize = bytes } }

// Restart starts a batond that has failed again.
func Restart() Option { return func(o *Options) { o.Restart = true } }

// Config adds lines to the end of baton.toml.
func Config(text string) Option { return func(o *Options) { o.Config = text } }

// waitLimit is how long a scenario waits for anything: far beyond what is right, or
// the test would measure the machine and not the cluster.
const waitLimit = 20 * time.Second

// Start makes a cluster and waits as WaitAll does. The witness watches from then on. Everything goes when the
// test ends; if it has failed, the end of each batond's log is shown.
func Start(tb TB, options ...Option) *Cluster {
	tb.Helper()
	c := Boot(tb, options...)
	c.WaitAll()
	return c
}

// Boot is Start without the waiting.
func Boot(tb TB, options ...Option) *Cluster {
	tb.Helper()
	if err := Err(); err != nil {
		tb.Skipf("%v", err)
	}
	var o Options
	for _, f := range options {
		f(&o)
	}
	l, err := New(o)
	if err != nil {
		tb.Fatalf("lab: %v", err)
	}
	c := &Cluster{Lab: l, tb: tb}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("%s", c.Report())
		}
		l.Close()
	})
	return c
}

func (c *Cluster) check(what string, err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Fatalf("%s: %v", what, err)
	}
}

func (c *Cluster) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), waitLimit)
}

// Get finds a server by name.
func (c *Cluster) Get(name string) *Server {
	c.tb.Helper()
	s := c.Server(name)
	if s == nil {
		c.tb.Fatalf("no server %q in this lab", name)
	}
	return s
}

// IP is a group's floating IP.
func (c *Cluster) IP(group string) netip.Addr {
	c.tb.Helper()
	ip, err := c.Address(group)
	c.check("group", err)
	return ip
}

// WaitStatus waits until the cluster's picture is as ok wants it.
func (c *Cluster) WaitStatus(what string, ok func(*api.Status) bool) *api.Status {
	c.tb.Helper()
	ctx, cancel := c.context()
	defer cancel()
	s, err := c.Await(ctx, what, ok)
	c.check("wait", err)
	return s
}

// WaitOnline waits until a group runs and answers a client, on a given server or on
// any, and returns which.
func (c *Cluster) WaitOnline(group string, server ...string) string {
	c.tb.Helper()
	on := strings.Join(server, "")
	s := c.WaitStatus(fmt.Sprintf("%s is online %s", group, on), func(s *api.Status) bool { return c.IsOnline(s, group, on) })
	return GroupOf(s, group).Server
}

// WaitServer waits until the cluster says that a server is in a state.
func (c *Cluster) WaitServer(name string, state cluster.ServerState) {
	c.tb.Helper()
	c.WaitStatus(fmt.Sprintf("%s is %s", name, state), func(s *api.Status) bool {
		return s.Quorum && stateOf(s, name) == string(state)
	})
}

func stateOf(s *api.Status, server string) string {
	for _, v := range s.Servers {
		if v.Name == server {
			return v.State
		}
	}
	return ""
}

// WaitAll waits until every server is online and votes, so that the cluster stands the
// loss of any of them, and every group that starts by itself runs.
func (c *Cluster) WaitAll() {
	c.tb.Helper()
	c.WaitStatus("all servers and groups are online", func(s *api.Status) bool {
		for _, v := range s.Servers {
			if v.State != string(cluster.ServerOnline) || !v.Voter {
				return false
			}
		}
		for _, g := range c.opts.Groups {
			if !g.Manual && !c.IsOnline(s, g.Name, "") {
				return false
			}
		}
		return s.Quorum
	})
}

// WaitGone waits until no server has a group's address.
func (c *Cluster) WaitGone(group string) {
	c.tb.Helper()
	ip := c.IP(group)
	for end := time.Now().Add(waitLimit); len(c.Holders(ip)) > 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			c.tb.Fatalf("%s still has %s after %s", c.Holders(ip), ip, waitLimit)
		}
	}
}

// Carrier is the server that carries a group.
func (c *Cluster) Carrier(group string) string {
	c.tb.Helper()
	return c.WaitOnline(group)
}

// Leader is the server that leads the cluster.
func (c *Cluster) Leader() string {
	c.tb.Helper()
	return c.WaitStatus("there is a leader", func(s *api.Status) bool { return s.Quorum && s.Leader != "" }).Leader
}

// Probe begins to probe a group's floating IP.
func (c *Cluster) Probe(group string) *Probe {
	c.tb.Helper()
	p, err := c.NewProbe(c.IP(group), waitLimit)
	c.check("probe", err)
	return p
}

// PowerCut takes the power from a server.
func (c *Cluster) PowerCut(server string) {
	c.tb.Helper()
	c.check("power cut", c.Get(server).PowerCut())
}

// PowerOn boots a server, with batond.
func (c *Cluster) PowerOn(server string) {
	c.tb.Helper()
	c.check("power on", c.Get(server).PowerOn())
}

// Pull pulls a server's cable to a network.
func (c *Cluster) Pull(server, network string) {
	c.tb.Helper()
	c.check("pull", c.Get(server).Pull(network))
}

// Plug plugs a server's cable to a network in again.
func (c *Cluster) Plug(server, network string) {
	c.tb.Helper()
	c.check("plug", c.Get(server).Plug(network))
}

// Stall stops every process on a server.
func (c *Cluster) Stall(server string) {
	c.tb.Helper()
	c.check("stall", c.Get(server).Stall())
}

// Resume lets a stalled server go on.
func (c *Cluster) Resume(server string) {
	c.tb.Helper()
	c.check("resume", c.Get(server).Resume())
}

// KillBatond kills batond, and nothing else, and waits until it is gone.
func (c *Cluster) KillBatond(server string) {
	c.tb.Helper()
	ctx, cancel := c.context()
	defer cancel()
	c.check("kill batond", c.Get(server).EndBatond(ctx, unix.SIGKILL))
}

// StopBatond stops batond in order, as init does, and waits until it is gone.
func (c *Cluster) StopBatond(server string) {
	c.tb.Helper()
	ctx, cancel := c.context()
	defer cancel()
	defer c.handOver()()
	c.check("stop batond", c.Get(server).EndBatond(ctx, unix.SIGTERM))
}

// StartBatond starts batond again where it has ended.
func (c *Cluster) StartBatond(server string) {
	c.tb.Helper()
	c.check("start batond", c.Get(server).StartBatond())
}

// Do has an operation carried out and waits for its end, which must be "done".
func (c *Cluster) Do(verb cluster.Verb, group, server string) {
	c.tb.Helper()
	ctx, cancel := c.context()
	defer cancel()
	op, err := c.Operate(ctx, api.Operation{Verb: verb, Group: group, Server: server, From: "lab"})
	c.check(string(verb), err)
	if op.State != cluster.OpDone {
		c.tb.Fatalf("%s %s %s: %s: %s", verb, group, server, op.State, op.Text)
	}
}

// Move moves a group.
func (c *Cluster) Move(group, server string) {
	c.tb.Helper()
	c.Do(cluster.VerbMove, group, server)
}

// Other is a server that is none of those named and has power.
func (c *Cluster) Other(than ...string) string {
	c.tb.Helper()
	for _, s := range c.Lab.Servers {
		if s.On() && !strings.Contains(" "+strings.Join(than, " ")+" ", " "+s.Name+" ") {
			return s.Name
		}
	}
	c.tb.Fatalf("no server is on but %s", than)
	return ""
}

// Claims is the ARP history of a group's floating IP.
func (c *Cluster) Claims(group string) []Claim {
	c.tb.Helper()
	return c.witness.Claims(c.IP(group))
}

// StopWitness ends the ARP requests; Verify judges what was seen until then.
func (c *Cluster) StopWitness() { c.witness.Stop() }

// Verify fails the test for everything that was against the rules, see Lab.Verify.
func (c *Cluster) Verify() {
	c.tb.Helper()
	if err := c.Lab.Verify(); err != nil {
		c.tb.Errorf("verify: %v", err)
	}
}
