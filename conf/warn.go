package conf

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// safeTimeout is the shortest timeout for which a floating IP's lifetime in the kernel
// can be shorter than what is left until another server takes over. The kernel counts
// lifetimes in whole seconds, and with the shortest an address is gone 1.01 to 1.06 s
// after it was last renewed (measured); takeover comes at most one timeout after that.
// It matters only where batond and its guard are frozen together.
const safeTimeout = 2 * time.Second

// Warnings are what the file may say and yet deserves a word, in the order of its
// lines.
func (c *Config) Warnings() []Problem {
	w := &reader{file: c.file, lines: c.lines}
	c.warnTimes(w)
	c.warnCluster(w)
	c.warnQuorum(w)
	c.warnTiebreaker(w)
	for i := range c.Groups {
		c.warnGroup(w, at("group", i), &c.Groups[i])
	}
	w.problems.sort()
	return w.problems
}

func (c *Config) warnTimes(w *reader) {
	if t := c.Heartbeat.Timeout; t.D() < safeTimeout {
		w.fail("heartbeat.timeout",
			fmt.Sprintf("%v is below %v: should batond and its guard freeze together, the kernel keeps a floating IP up to 1.1s beyond the lease, because it counts the lifetime of an address in whole seconds, and another server may have taken it by then", t, Of(safeTimeout)),
			fmt.Sprintf(`write "%v" or more where that matters`, Of(safeTimeout)))
	}
	if t := c.Startup.Wait; t.D() < c.Heartbeat.Timeout.D() {
		w.fail("startup.wait", fmt.Sprintf("%v is below heartbeat.timeout (%v): the cluster may start without a server that is there", t, c.Heartbeat.Timeout),
			"write the time that the slowest server takes to boot")
	}
}

func (c *Config) warnCluster(w *reader) {
	if p := c.Cluster.Port; p >= 32768 && p <= 60999 {
		w.fail("cluster.port", fmt.Sprintf("%d is in the range 32768 to 60999, from which Linux takes ports for outgoing connections: it may be taken when batond starts", p),
			fmt.Sprintf("write a port below, such as %d", DefaultPort))
	}
	for _, dir := range []string{"/tmp", "/run", "/var/run", "/dev/shm"} {
		if d := c.Cluster.StateDir; d == dir || strings.HasPrefix(d, dir+"/") {
			w.fail("cluster.state_dir", d+" is empty after a boot on most systems: the server then comes back as one that has forgotten everything", "write "+DefaultStateDir)
		}
	}
	if c.PathCount() == 1 {
		w.fail(at("server", 0), "there is one heartbeat path ("+c.Paths(0, 1)[0].Name+"): one cable or switch is enough to cut the cluster apart",
			"give every server a second address, in interconnect or as public")
	}
}

// warnQuorum says what the cluster does when half of it is lost.
func (c *Config) warnQuorum(w *reader) {
	if c.Tiebreaker.Kind != TiebreakerNone {
		return
	}
	path := at("server", len(c.Servers)-1)
	if _, ok := w.lines["tiebreaker"]; ok {
		path = "tiebreaker.kind"
	}
	switch n := len(c.Servers); {
	case n == 2:
		w.fail(path, "two servers without a tie-breaker: when either fails, the other stops its groups and waits for an operator",
			"use a tie-breaker, or add a third server; it may be in no group's policy")
	case n%2 == 0:
		w.fail(path, fmt.Sprintf("%d servers without a tie-breaker: when %d of them fail at once, the other %d stop their groups and wait for an operator", n, n/2, n/2),
			"use a tie-breaker, or make the number of servers odd; the additional one may be in no group's policy")
	}
}

func (c *Config) warnGroup(w *reader, path string, g *Group) {
	if len(g.Policy) == 1 {
		w.fail(path+".policy", fmt.Sprintf("group %s has one server, %s: it cannot fail over", g.Name, g.Policy[0]), "add another server")
	}
	if len(g.FloatingIPs) == 0 && g.StartScript == "" {
		w.fail(path, fmt.Sprintf("group %s has neither a floating IP nor a start script: nothing happens where it runs", g.Name), "add a [[group.floating_ip]] or a start_script")
	}
	if g.StartScript != "" && g.StopScript == "" {
		w.fail(path+".start_script", fmt.Sprintf("group %s has a start script and no stop script: what the one starts is not ended in order", g.Name), "add a stop_script")
	}
	if g.StartScript == "" && g.StopScript != "" {
		w.fail(path+".stop_script", fmt.Sprintf("group %s has a stop script and no start script", g.Name), "add a start_script")
	}
	if m := g.Monitor; m.Resources != nil && len(m.Resources) == 0 {
		w.fail(path+".monitor.resources", fmt.Sprintf("group %s watches nothing: the other keys of the table have no effect", g.Name), `write resources = ["floating_ip", "script"], or take the table out`)
	}
	if g.FloatingIPs == nil && slices.Equal(g.Monitor.Resources, []string{ResourceFloatingIP}) {
		w.fail(path+".monitor.resources", fmt.Sprintf("group %s watches floating IPs and has none", g.Name), "add a [[group.floating_ip]]")
	}
}
