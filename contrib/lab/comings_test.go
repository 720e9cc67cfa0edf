package lab_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// Servers come and go: what SPEC section 2 says of it beside the seed's table.
func TestComingsAndGoings(t *testing.T) {
	t.Parallel()
	p := newPlay(t, 3, "")
	p.scenario("disconnect lasts over a reboot and over a cluster start", func() {
		p.do(op(cluster.VerbDisconnect, "", "server1"))
		p.rest(at("server2", "server2", "server2", "server1", "detached"))
		p.refused(cluster.RefusedAlreadyOut, cluster.VerbDisconnect, "", "server1")
		p.skip()
		p.PowerCut("server1")
		p.WaitServer("server1", cluster.ServerDown)
		p.PowerOn("server1")
		p.rest(at("server2", "server2", "server2", "server1", "detached"))
		p.ran()
		p.refused(cluster.RefusedServerNotOnline, cluster.VerbMove, "A", "server1")
		p.shuttingDown()()
		p.skip()
		p.startUp("server1", "server2", "server3")
		p.rest(at("server2", "server2", "server2", "server1", "detached"))
		p.ran("A start server2 START", "B start server2 START", "C start server2 START")
		p.do(op(cluster.VerbReturn, "", "server1")) // it had not failed: no RECOVER
		p.rest(at("server2", "server2", "server2"))
		p.ran()
	})
	p.scenario("a detached server is shut down", func() {
		p.do(op(cluster.VerbDisconnect, "", "server3"))
		p.WaitServer("server3", cluster.ServerDetached)
		p.down("server3")
		p.rest(at("server1", "server2", "server1", "server3", "stopped"))
		p.startUp("server3")
		p.rest(at("server1", "server2", "server1", "server3", "detached"))
		p.ran()
	})
	p.scenario("a server without a group is shut down again and again", func() {
		for range 10 {
			p.down("server3")
			p.rest(at("server1", "server2", "server1", "server3", "stopped"))
			p.startUp("server3")
			p.rest(at("server1", "server2", "server1"))
		}
		p.ran()
	})
	p.scenario("init stops batond, as a shutdown of the server", func() {
		p.StopBatond("server1")
		p.rest(at("server2", "server2", "server2", "server1", "stopped"))
		p.ran("A stop server1 SERVERSHUTDOWN", "A start server2 FAILOVER", "C stop server1 SERVERSHUTDOWN", "C start server2 FAILOVER")
		p.startUp("server1")
		p.rest(at("server2", "server2", "server2"))
		p.ran()
	})
	p.scenario("shutdown, power cut and boot: stopped, not failed", func() {
		p.down("server1")
		p.rest(at("server2", "server2", "server2", "server1", "stopped"))
		p.skip()
		p.PowerCut("server1")
		p.PowerOn("server1")
		p.rest(at("server2", "server2", "server2"))
		p.ran()
	})
	p.scenario("a group that an operator stopped is not started by a failure", func() {
		p.do(op(cluster.VerbStop, "A", ""))
		p.PowerCut("server1")
		p.rest(at("", "server2", "server2", "server1", "down"))
		p.ran("A stop server1 GROUPSTOP", "C start server2 FAILOVER")
		p.PowerOn("server1")
		p.WaitServer("server1", cluster.ServerDetached)
		p.do(op(cluster.VerbReturn, "", "server1"))
		p.rest(at("", "server2", "server2"))
		p.ran("C start server1 RECOVER") // A did not run there when it failed
	})
	p.scenario("one after another, down to the last, and back", func() {
		p.down("server1")
		p.rest(at("server2", "server2", "server2", "server1", "stopped"))
		p.down("server2")
		p.rest(at("server3", "server3", "server3", "server1", "stopped", "server2", "stopped"))
		p.skip()
		p.startUp("server1")
		p.rest(at("server3", "server3", "server3", "server2", "stopped"))
		p.startUp("server2")
		p.rest(at("server3", "server3", "server3"))
		p.ran()
	})
	p.Verify()
}

// Everything loses its power and boots again, in different orders: where each group
// ran last is known. C does not start by itself, so an operator's start shows where it
// ran last.
func TestPowerFailureOfEverything(t *testing.T) {
	t.Parallel()
	p := newPlay(t, 3, "", func(o *lab.Options) { o.Groups[2].Manual = true })
	p.scenario("all boot at once", func() {
		p.do(op(cluster.VerbMove, "A", "server3"), op(cluster.VerbMove, "C", "server3"))
		p.do(op(cluster.VerbStop, "C", ""))
		p.rest(at("server3", "server2", ""))
		p.skip()
		p.blackout()
		p.startUp("server1", "server2", "server3")
		p.rest(at("server1", "server2", ""))
		p.ran("A start server1 START", "B start server2 START")
		p.do(op(cluster.VerbStart, "C", ""))
		p.rest(at("server1", "server2", "server3"))
		p.ran("C start server3 START")
	})
	for _, order := range [][]string{{"server1", "server2", "server3"}, {"server3", "server2", "server1"}} {
		p.scenario("boot from "+order[0], func() {
			p.blackout()
			for i, name := range order {
				if i > 0 {
					time.Sleep(300 * time.Millisecond) // less than startup.wait
				}
				p.startUp(name)
			}
			// C was running, so it is wanted though it does not start with the cluster.
			p.rest(at("server1", "server2", "server1"))
			p.ran("A start server1 START", "B start server2 START", "C start server1 START")
		})
	}
	p.scenario("the one where they ran does not come back in time", func() {
		p.blackout()
		p.startUp("server2", "server3")
		p.rest(at("server2", "server2", "server2", "server1", "down"))
		p.ran("A start server2 FAILOVER", "B start server2 START", "C start server2 FAILOVER")
		p.startUp("server1")
		p.WaitServer("server1", cluster.ServerDetached)
		p.do(op(cluster.VerbReturn, "", "server1"))
		p.rest(at("server2", "server2", "server2"))
		p.ran("A start server1 RECOVER", "C start server1 RECOVER")
	})
	p.scenario("in the middle of a move", func() {
		p.put("A", "hold.start.server2")
		p.request(cluster.VerbMove, "A", "server2")
		p.waitRun("A", "start", "server2")
		p.blackout()
		p.clear("A")
		p.startUp("server3", "server2", "server1")
		p.rest(at("server1", "server2", "server1"))
		p.ran("A stop server1 GROUPMOVE", "A start server2 START cut", "A start server1 START", "B start server2 START", "C start server1 START")
	})
	p.Verify()
}

// Two servers with a tie-breaker lose their power and boot again, in either order, and
// one without the other.
func TestPowerFailureOfBoth(t *testing.T) {
	t.Parallel()
	p := newPlay(t, 2, "", lab.Tiebreaker("witness"))
	for _, order := range [][]string{{"server1", "server2"}, {"server2", "server1"}} {
		p.scenario("boot from "+order[0], func() {
			p.blackout()
			p.startUp(order[0])
			time.Sleep(300 * time.Millisecond) // less than startup.wait
			p.startUp(order[1])
			p.rest(at("server1", "server2", "server1"))
			p.ran("A start server1 START", "B start server2 START", "C start server1 START")
		})
		first, second := order[0], order[1]
		p.scenario("boot of "+first+" alone", func() {
			p.blackout()
			p.startUp(first)
			p.rest(at(first, first, first, second, "down"))
			if first == "server1" {
				p.ran("A start server1 START", "B start server1 FAILOVER", "C start server1 START")
			} else {
				p.ran("A start server2 FAILOVER", "B start server2 START", "C start server2 FAILOVER")
			}
			p.startUp(second)
			p.WaitServer(second, cluster.ServerDetached)
			p.do(op(cluster.VerbReturn, "", second))
			p.rest(at(first, first, first))
			if first == "server1" {
				p.ran("B start server2 RECOVER")
			} else {
				p.ran("A start server1 RECOVER", "C start server1 RECOVER")
			}
		})
	}
	p.scenario("one after the other, the second with everything", func() {
		p.PowerCut("server1")
		p.rest(at("server2", "server2", "server2", "server1", "down"))
		p.skip()
		p.PowerCut("server2")
		p.startUp("server1") // which knows less: it must not go on without the other
		time.Sleep(2 * playTimeout)
		if has := p.Holders(p.IP("A")); len(has) > 0 {
			p.stage.Errorf("%s has A, and server2 knows more", has)
		}
		p.startUp("server2")
		p.rest(at("server1", "server2", "server1"))
		p.ran("A start server1 START", "B start server2 START", "C start server1 START")
	})
	p.Verify()
}

// Two of four servers fail at the same time. With a tie-breaker the other half takes
// over, and what runs there goes on. Without one it may not go on: its groups stop, and
// come back with the third server.
func TestTwoOfFourFail(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"none", "disk"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, 4, "", lab.Tiebreaker(kind))
			p.on("two fail", func() {
				p.home()
				p.do(op(cluster.VerbMove, "B", "server3"))
				p.rest(at("server1", "server3", "server1"))
				p.skip()
				p.twoOfFour(kind)
				p.Verify()
			})
		})
	}
}

func (p *play) twoOfFour(kind string) {
	p.stage.Helper()
	b := p.Probe("B")
	p.powerCuts("server1", "server2")
	if kind != "none" {
		p.rest(at("server3", "server3", "server3", "server1", "down", "server2", "down"))
		p.ran("A start server3 FAILOVER", "C start server3 FAILOVER")
		if gap := b.Stop(); gap.Duration() > playTimeout/4 {
			p.stage.Errorf("outage %s of B, whose server did not fail", gap)
		}
		return
	}
	for _, group := range []string{"A", "B", "C"} {
		p.WaitGone(group)
	}
	b.Stop()
	p.PowerOn("server2")
	s := p.WaitStatus("everything runs again", func(s *api.Status) bool {
		return s.Quorum && !slices.ContainsFunc(s.Groups, func(g api.Group) bool { return !p.IsOnline(s, g.Name, "") })
	})
	for _, g := range s.Groups {
		if stateOf(s, g.Server) != string(cluster.ServerOnline) {
			p.stage.Errorf("%s is on %s, which is %s: %s", g.Name, g.Server, stateOf(s, g.Server), g.Reason)
		}
	}
}

// down has one server shut down and waits for the end of its batond.
func (p *play) down(server string) {
	p.stage.Helper()
	wait := p.Get(server).ExpectEnd()
	r, err := p.try(cluster.VerbShutdown, "", server)
	for end := time.Now().Add(playLimit); isRefusal(err, cluster.RefusedServerNotReady) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		r, err = p.try(cluster.VerbShutdown, "", server)
	}
	must(p.stage.T, err)
	p.outcome(r, cluster.OpDone)
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	must(p.stage.T, wait(ctx))
}

// blackout takes the power from all servers.
func (p *play) blackout() {
	p.stage.Helper()
	var all []string
	for _, s := range p.Lab.Servers {
		all = append(all, s.Name)
	}
	p.powerCuts(all...)
}

// powerCuts takes the power from servers at once. One after the other can take half a
// second on a busy machine: a server that lives for Te longer than the others may be let
// go on alone by the tie-breaker, and would be waited for; and a half that hears one of
// the dead for longer than their leader goes on too late for its own leases.
func (p *play) powerCuts(servers ...string) {
	p.stage.Helper()
	errs := make(chan error)
	for _, name := range servers {
		go func() { errs <- p.Get(name).PowerCut() }()
	}
	for range servers {
		if err := <-errs; err != nil {
			p.stage.Errorf("power cut: %v", err)
		}
	}
}

// Servers are shut down one after another, for maintenance of the room, until one is
// left: it goes on, though it is no majority of those that there were. Once with three
// servers, once with two, and no tie-breaker in either.
func TestDownToTheLast(t *testing.T) {
	t.Parallel()
	for _, leaderFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("leader first: %t", leaderFirst), func(t *testing.T) {
			t.Parallel()
			c := lab.Start(t, lab.Servers(2), lab.Timeout(playTimeout))
			first := c.Leader()
			if !leaderFirst {
				first = c.Other(first)
			}
			last := c.Other(first)
			c.StopBatond(first)
			p := c.Probe("A")
			c.WaitOnline("A", last)
			time.Sleep(2 * playTimeout)
			c.WaitOnline("A", last)
			c.WaitOnline("B", last)
			if gap := p.Stop(); gap.Duration() > time.Second {
				t.Errorf("outage %s after the groups were handed over", gap)
			}
			c.StartBatond(first)
			c.WaitServer(first, cluster.ServerOnline)
			c.WaitOnline("A", last)
			c.Verify()
		})
	}
}
