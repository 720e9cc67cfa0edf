package lab_test

import (
	"testing"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// Scenarios with the real batond. Each says what is done and what must come of it;
// Verify holds what must hold in all of them (no two holders, no two claims within an
// interval, no batond that ends by itself). Figures are measured by the bench: the
// bounds here are wide enough for a busy machine and narrow enough to tell a takeover
// from a second one after it.

// The carrier loses power: the next server of the policy has the group soon after the
// timeout. Once the leader is hit and once another one.
func TestPowerCutOfCarrier(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"leader", "member"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := lab.Start(t)
			victim, group := c.Leader(), ""
			if name == "member" {
				victim = c.Other(victim)
			}
			group = groupOn(t, c, victim)
			p := c.Probe(group)
			c.PowerCut(victim)
			c.WaitOnline(group)
			gap := p.Stop()
			t.Logf("outage %s", gap)
			if d := gap.Duration(); d < 700*time.Millisecond || d > 3*time.Second {
				t.Errorf("outage %s at a timeout of 1s", gap)
			}
			c.WaitServer(victim, cluster.ServerDown)
			c.Verify()
		})
	}
}

// groupOn finds a group on a server: at home there is one on each.
func groupOn(t *testing.T, c *lab.Cluster, server string) string {
	t.Helper()
	for _, g := range c.Options().Groups {
		if g.Policy[0] == server {
			c.WaitOnline(g.Name, server)
			return g.Name
		}
	}
	t.Fatalf("no group is at home on %s", server)
	return ""
}

// batond is killed and not started again: the address goes from that server before
// another one has it, and the group goes on there.
func TestBatondKilled(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	old := c.Carrier("A")
	p := c.Probe("A")
	c.KillBatond(old)
	now := c.WaitOnline("A")
	t.Logf("outage %s", p.Stop())
	if now == old {
		t.Errorf("A is still on %s", old)
	}
	h := c.Holdings(c.IP("A"))
	if len(h) != 2 || h[0].Server != old || h[0].Until.IsZero() || !h[0].Until.Before(h[1].From) {
		t.Errorf("holdings %+v, want %s to have ended before %s began", h, old, now)
	}
	c.Verify()
}

// batond is killed and started again within the timeout: no group notices.
func TestBatondRestarted(t *testing.T) {
	t.Parallel()
	c := lab.Start(t, lab.Timeout(3*time.Second))
	on := c.Carrier("A")
	p := c.Probe("A")
	c.KillBatond(on)
	c.StartBatond(on)
	c.WaitStatus("the restarted batond says that A is online", func(*api.Status) bool {
		s, err := c.Get(on).Client().Status(t.Context())
		if err != nil || !s.Quorum {
			return false
		}
		g := lab.GroupOf(s, "A")
		return g != nil && g.State == string(cluster.GroupOnline) && g.Server == on
	})
	time.Sleep(3500 * time.Millisecond) // past every lease and lifetime of the old one
	gap := p.Stop()
	if gap.Duration() > 500*time.Millisecond || gap.After != "" && gap.After != on {
		t.Errorf("outage %s, want none", gap)
	}
	if h := c.Holdings(c.IP("A")); len(h) != 1 {
		t.Errorf("holdings %+v, want one", h)
	}
	if n := runs(t, c, "A"); n != 1 {
		t.Errorf("%d runs of A's scripts, want the first start alone", n)
	}
	c.Verify()
}

func runs(t *testing.T, c *lab.Cluster, group string) (n int) {
	t.Helper()
	all, err := c.Journal()
	must(t, err)
	for _, r := range all {
		if r.Group == group {
			n++
		}
	}
	return n
}

// The carrier's public cable is pulled: the group moves to a server that clients can
// reach.
func TestPublicCablePulled(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	old := c.Carrier("A")
	p := c.Probe("A")
	c.Pull(old, lab.Public)
	now := c.WaitOnline("A")
	t.Logf("outage %s", p.Stop())
	if now == old {
		t.Errorf("A is on %s, which has no cable", now)
	}
	c.Plug(old, lab.Public)
	c.Verify()
}

// An interconnect is pulled: heartbeats go over the public LAN, and nothing happens.
func TestInterconnectPulled(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	p := c.Probe("A")
	on := c.Carrier("A")
	c.Pull(on, lab.LAN1)
	time.Sleep(2500 * time.Millisecond) // two timeouts and a half
	c.WaitOnline("A", on)
	if gap := p.Stop(); gap.Duration() > 500*time.Millisecond {
		t.Errorf("outage %s, want none", gap)
	}
	if n := runs(t, c, "A"); n != 1 {
		t.Errorf("%d runs of A's scripts, want the first start alone", n)
	}
	c.Verify()
}

// A planned move: one stop, one start, a short outage.
func TestMove(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	old := c.Carrier("A")
	to := c.Other(old)
	p := c.Probe("A")
	c.Move("A", to)
	c.WaitOnline("A", to)
	gap := p.Stop()
	t.Logf("outage %s", gap)
	if gap.Duration() > 700*time.Millisecond || p.Servers()[old] == 0 || p.Servers()[to] == 0 {
		t.Errorf("outage %s, answers %v, want a short outage and then answers by %s", gap, p.Servers(), to)
	}
	if n := runs(t, c, "A"); n != 3 {
		t.Errorf("%d runs of A's scripts, want start, stop, start", n)
	}
	c.Verify()
}

// batond is stopped in order: its groups are handed over, the server is stopped and
// not down, and it joins again by itself.
func TestStopBatond(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	old := c.Carrier("A")
	p := c.Probe("A")
	c.StopBatond(old)
	now := c.WaitOnline("A")
	gap := p.Stop()
	t.Logf("outage %s", gap)
	if now == old || gap.Duration() > 900*time.Millisecond {
		t.Errorf("A is on %s after %s, want a quick handing over", now, gap)
	}
	c.WaitServer(old, cluster.ServerStopped)
	c.StartBatond(old)
	c.WaitServer(old, cluster.ServerOnline)
	c.WaitOnline("A", now) // and it does not move back
	c.Verify()
}

// The carrier stands still for longer than the timeout and then goes on: the others
// take over, and the old carrier does nothing with its old right.
func TestStallAndResume(t *testing.T) {
	t.Parallel()
	// Three seconds: the kernel's lifetimes of addresses are whole seconds.
	c := lab.Start(t, lab.Timeout(3*time.Second))
	old := c.Carrier("A")
	p := c.Probe("A")
	c.Stall(old)
	now := c.WaitOnline("A")
	if now == old {
		t.Errorf("A is on %s, which stands still", now)
	}
	c.Resume(old)
	c.WaitServer(old, cluster.ServerOnline) // only cut off: returns at once
	c.WaitOnline("A", now)
	t.Logf("outage %s", p.Stop())
	if h := c.Holders(c.IP("A")); len(h) != 1 || h[0] != now {
		t.Errorf("holders %v, want %s alone", h, now)
	}
	c.Verify()
}

// What the carrier sends to one other server is lost, on every network. A third server
// hears both, so nobody is down, and if anything moves at all, it moves once.
func TestOneWayCut(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	on := c.Carrier("A")
	other := c.Other(on)
	must(t, c.DropOneWay(on, other))
	time.Sleep(2500 * time.Millisecond)
	must(t, c.Heal())
	c.WaitAll()
	if n := runs(t, c, "A"); n > 3 {
		t.Errorf("%d runs of A's scripts: it went to and fro", n)
	}
	c.Verify()
}

// Power cut and boot: the server comes up detached, with the groups running elsewhere,
// and returns when an operator says so, with a RECOVER run.
func TestPowerCutAndReturn(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	old := c.Carrier("A")
	c.PowerCut(old)
	now := c.WaitOnline("A")
	c.WaitServer(old, cluster.ServerDown)
	c.PowerOn(old)
	c.WaitServer(old, cluster.ServerDetached)
	c.Do(cluster.VerbReturn, "", old)
	c.WaitServer(old, cluster.ServerOnline)
	c.WaitOnline("A", now)
	recovered := false
	all, err := c.Journal()
	must(t, err)
	for _, r := range all {
		recovered = recovered || r.Group == "A" && r.Server == old && r.Event == cluster.EventRecover
	}
	if !recovered {
		t.Errorf("runs %v: no RECOVER run of A on %s", all, old)
	}
	c.Verify()
}

// Every server loses power at once and all boot again: the cluster starts by itself.
func TestPowerFailureOfAll(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	for _, s := range c.Lab.Servers {
		c.PowerCut(s.Name)
	}
	for _, s := range c.Lab.Servers {
		c.PowerOn(s.Name)
	}
	for _, g := range c.Options().Groups {
		c.WaitOnline(g.Name)
	}
	c.Verify()
}

// The leader loses power in the very moment in which the first group runs: by then
// every server must have its vote, or the others could not go on.
func TestPowerCutRightAfterStart(t *testing.T) {
	t.Parallel()
	c := lab.Boot(t)
	c.WaitStatus("a group is online", func(s *api.Status) bool {
		for _, g := range s.Groups {
			if g.State == string(cluster.GroupOnline) {
				return s.Quorum
			}
		}
		return false
	})
	c.PowerCut(c.Leader())
	for _, g := range c.Options().Groups {
		c.WaitOnline(g.Name)
	}
	c.Verify()
}
