package lab_test

import (
	"testing"

	"baton/core/cluster"
	"baton/daemon/api"
)

// Scripts fail, or hang until script_timeout is over. A start script's failure is an
// anomaly: the group fails over. A stop script's is a warning: what counts is that the
// group is released. So is RECOVER's.
func TestScriptFaults(t *testing.T) {
	t.Parallel()
	p := newPlay(t, 3, "script_timeout = \"1s\"\n[group.monitor]\nmax_failovers = 2")
	p.scenario("start fails at the end of a move", func() {
		p.put("A", "fail.start.server2")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.outcome(move, cluster.OpFailed)
		p.rest(at("server1", "server2", "server1"))
		p.take("A", "fail.start.server2")
		p.ran("A stop server1 GROUPMOVE", "A start server2 START failed", "A stop server2 GROUPFAILOVER", "A start server2 RECOVER",
			"A start server1 FAILOVER")
	})
	p.scenario("start hangs at the end of a move", func() {
		p.put("A", "hold.start.server2")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.outcome(move, cluster.OpFailed)
		p.rest(at("server1", "server2", "server1"))
		p.take("A", "hold.start.server2")
		p.ran("A stop server1 GROUPMOVE", "A start server2 START cut", "A stop server2 GROUPFAILOVER", "A start server2 RECOVER",
			"A start server1 FAILOVER")
	})
	p.scenario("stop fails on one server and hangs on another", func() {
		p.put("A", "fail.stop.server1")
		p.put("B", "hold.stop.server2")
		moveA, moveB := p.request(cluster.VerbMove, "A", "server2"), p.request(cluster.VerbMove, "B", "server1")
		p.outcome(moveA, cluster.OpDone)
		p.outcome(moveB, cluster.OpDone)
		p.rest(at("server2", "server1", "server1"))
		p.take("A", "fail.stop.server1")
		p.take("B", "hold.stop.server2")
		p.ran("A stop server1 GROUPMOVE failed", "A start server2 START", "B stop server2 GROUPMOVE cut", "B start server1 START")
	})
	p.scenario("everything fails in a failover", func() {
		p.do(op(cluster.VerbStop, "A", ""))
		p.do(op(cluster.VerbStart, "A", "server1")) // begins the count of failovers anew
		p.skip()
		p.put("A", "fail.stop.server1")
		p.put("A", "fail.recover.server1")
		p.put("A", "fail.start.server2")
		p.put("A", "hold.stop.server2")
		p.put("A", "hold.recover.server2")
		failover := p.request(cluster.VerbFailover, "A", "")
		p.outcome(failover, cluster.OpDone) // back where it came from
		p.rest(at("server1", "server2", "server1"))
		p.clear("A")
		p.ran("A stop server1 GROUPFAILOVER failed", "A start server1 RECOVER failed", "A start server2 FAILOVER failed",
			"A stop server2 GROUPFAILOVER cut", "A start server2 RECOVER cut", "A start server1 FAILOVER")
	})
	p.scenario("start fails wherever it is tried", func() {
		p.do(op(cluster.VerbStop, "A", ""))
		p.skip()
		for _, s := range []string{"server1", "server2", "server3"} {
			p.put("A", "fail.start."+s)
		}
		start := p.request(cluster.VerbStart, "A", "server1")
		p.outcome(start, cluster.OpFailed) // it has been started there, and is degraded
		p.rest(at("server1", "server2", "server1"))
		p.clear("A")
		// To and fro between the best two, and no further than max_failovers.
		p.ran("A start server1 START failed", "A stop server1 GROUPFAILOVER", "A start server1 RECOVER",
			"A start server2 FAILOVER failed", "A stop server2 GROUPFAILOVER", "A start server2 RECOVER",
			"A start server1 FAILOVER failed")
		p.WaitStatus("A is degraded and says why", func(s *api.Status) bool {
			for _, g := range s.Groups {
				if g.Name == "A" {
					return g.Degraded && g.Warning != "" && g.Failovers == 2
				}
			}
			return false
		})
		p.refused(cluster.RefusedMaxFailovers, cluster.VerbFailover, "A", "")
		p.do(op(cluster.VerbMove, "A", "server3")) // an operator may
		p.rest(at("server3", "server2", "server1"))
		p.ran("A stop server1 GROUPMOVE", "A start server3 START")
	})
	p.scenario("start fails after the failure of a server", func() {
		defer p.HandOver()() // by anomaly, which is as quick as by an operator
		p.put("A", "fail.start.server2")
		p.put("C", "hold.start.server2")
		p.PowerCut("server1")
		p.rest(at("server3", "server2", "server3", "server1", "down"))
		p.clear("A")
		p.clear("C")
		p.ran("A start server2 FAILOVER failed", "A stop server2 GROUPFAILOVER", "A start server2 RECOVER", "A start server3 FAILOVER",
			"C start server2 FAILOVER cut", "C stop server2 GROUPFAILOVER", "C start server2 RECOVER", "C start server3 FAILOVER")
		p.put("A", "fail.recover.server1")
		p.put("C", "hold.recover.server1")
		p.PowerOn("server1")
		p.WaitServer("server1", cluster.ServerDetached)
		p.do(op(cluster.VerbReturn, "", "server1"))
		p.rest(at("server3", "server2", "server3"))
		p.clear("A")
		p.clear("C")
		p.ran("A start server1 RECOVER failed", "C start server1 RECOVER cut")
	})
	p.scenario("stop fails and hangs on a server that is disconnected", func() {
		p.put("A", "fail.stop.server1")
		p.put("C", "hold.stop.server1")
		p.do(op(cluster.VerbDisconnect, "", "server1"))
		p.rest(at("server2", "server2", "server2", "server1", "detached"))
		p.clear("A")
		p.clear("C")
		p.ran("A stop server1 CLUSTERLEAVE failed", "A start server2 FAILOVER", "C stop server1 CLUSTERLEAVE cut", "C start server2 FAILOVER")
	})
	p.scenario("stop fails and hangs in a cluster shutdown", func() {
		p.put("A", "fail.stop.server1")
		p.put("B", "hold.stop.server2")
		p.shuttingDown()()
		p.clear("A")
		p.clear("B")
		p.ran("A stop server1 CLUSTERSHUTDOWN failed", "B stop server2 CLUSTERSHUTDOWN cut", "C stop server1 CLUSTERSHUTDOWN")
	})
	p.Verify()
}
