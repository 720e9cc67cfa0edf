package lab_test

import (
	"strings"
	"testing"

	"baton/contrib/lab"
	"baton/core/cluster"
)

// What the seed's table implies and does not say: something happens in the middle of
// something else. Each scenario begins with everything online and every group at home:
// A and C on server1, B on server2, all three servers in every policy, server3 last. A
// script is held in the middle of its run, something is done, the script goes on; then
// the runs, what became of the requests, and the state behind are compared. play.Verify
// judges all of it.

// An operation comes in the middle of another one.
func TestOperationDuringAnother(t *testing.T) {
	t.Parallel()
	p := newPlay(t, 3, "")
	p.scenario("another operation on the group is refused", func() {
		p.put("A", "hold.stop.server1")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.waitRun("A", "stop", "server1")
		for _, verb := range []cluster.Verb{cluster.VerbMove, cluster.VerbStart, cluster.VerbFailover, cluster.VerbRestart} {
			p.refused(cluster.RefusedGroupBusy, verb, "A", "")
		}
		p.do(op(cluster.VerbMove, "B", "server3")) // groups do not wait for each other
		p.take("A", "hold.stop.server1")
		p.outcome(move, cluster.OpDone)
		p.rest(at("server2", "server3", "server1"))
		p.ran("A stop server1 GROUPMOVE", "A start server2 START", "B stop server2 GROUPMOVE", "B start server3 START")
	})
	p.scenario("a stop overtakes a move that is stopping", func() {
		p.put("A", "hold.stop.server1")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.waitRun("A", "stop", "server1")
		stop := p.request(cluster.VerbStop, "A", "")
		p.refused(cluster.RefusedGroupBusy, cluster.VerbStop, "A", "")
		p.overtaken(move)
		p.take("A", "hold.stop.server1")
		p.outcome(stop, cluster.OpDone)
		p.rest(at("", "server2", "server1"))
		p.ran("A stop server1 GROUPMOVE")
		p.refused(cluster.RefusedAlreadyStopped, cluster.VerbStop, "A", "")
	})
	p.scenario("a stop overtakes a move that is starting", func() {
		p.put("A", "hold.start.server2")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.waitRun("A", "start", "server2")
		stop := p.request(cluster.VerbStop, "A", "")
		p.overtaken(move)
		p.take("A", "hold.start.server2")
		p.outcome(stop, cluster.OpDone)
		p.rest(at("", "server2", "server1"))
		p.ran("A stop server1 GROUPMOVE", "A start server2 START", "A stop server2 GROUPSTOP")
		p.do(op(cluster.VerbStart, "A", "")) // where it ran last
		p.rest(at("server2", "server2", "server1"))
		p.ran("A start server2 START")
	})
	p.scenario("two operators move it at once", func() {
		var requests []error
		asked := make(chan error)
		for _, to := range []string{"server2", "server3"} {
			go func() {
				_, err := p.try(cluster.VerbMove, "A", to, to)
				asked <- err
			}()
		}
		for range 2 {
			if err := <-asked; err != nil {
				requests = append(requests, err)
			}
		}
		if len(requests) != 1 || !strings.Contains(requests[0].Error(), "A is ") {
			p.stage.Errorf("refusals %v, want one", requests)
		}
		to := lab.GroupOf(p.settled(), "A").Server
		p.rest(at(to, "server2", "server1"))
		p.ran("A stop server1 GROUPMOVE", "A start "+to+" START")
	})
	p.scenario("the target is disconnected", func() {
		p.put("A", "hold.stop.server1")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.waitRun("A", "stop", "server1")
		p.do(op(cluster.VerbDisconnect, "", "server2"))
		p.take("A", "hold.stop.server1")
		p.outcome(move, cluster.OpFailed)
		p.rest(at("server1", "server1", "server1", "server2", "detached"))
		p.ran("A stop server1 GROUPMOVE", "A start server1 START", "B stop server2 CLUSTERLEAVE", "B start server1 FAILOVER")
	})
	p.scenario("the source is shut down, and joins again", func() {
		p.put("A", "hold.stop.server1")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.waitRun("A", "stop", "server1")
		ended := p.Get("server1").ExpectEnd()
		shutdown := p.request(cluster.VerbShutdown, "", "server1")
		p.refused(cluster.RefusedServerBusy, cluster.VerbShutdown, "", "server1")
		p.waitRun("C", "start", "server2") // which does not wait for A
		p.take("A", "hold.stop.server1")
		p.outcome(move, cluster.OpDone)
		p.outcome(shutdown, cluster.OpDone)
		ctx, cancel := contextOf(playLimit)
		defer cancel()
		must(p.stage.T, ended(ctx))
		p.rest(at("server2", "server2", "server2", "server1", "stopped"))
		p.ran("A stop server1 GROUPMOVE", "A start server2 START", "C stop server1 SERVERSHUTDOWN", "C start server2 FAILOVER")
		p.startUp("server1")
		p.rest(at("server2", "server2", "server2")) // by itself, and without RECOVER
		p.ran()
	})
	p.scenario("the cluster is shut down while a group is stopped and one is started", func() {
		p.put("A", "hold.stop.server1")
		p.put("B", "hold.start.server3")
		moveA := p.request(cluster.VerbMove, "A", "server2")
		moveB := p.request(cluster.VerbMove, "B", "server3")
		p.waitRun("A", "stop", "server1")
		p.waitRun("B", "start", "server3")
		down := p.shuttingDown()
		p.waitRun("C", "stop", "server1") // which does not wait for the others
		p.refused(cluster.RefusedStopping, cluster.VerbStart, "C", "")
		p.take("A", "hold.stop.server1")
		p.take("B", "hold.start.server3")
		down()
		p.ran("A stop server1 GROUPMOVE", "B stop server2 GROUPMOVE", "B start server3 START", "B stop server3 CLUSTERSHUTDOWN",
			"C stop server1 CLUSTERSHUTDOWN")
		p.startUp("server1", "server2", "server3")
		p.outcome(moveA, cluster.OpFailed) // the shutdown does not forget them
		p.outcome(moveB, cluster.OpDone)   // it was there for a moment
		p.rest(at("server1", "server2", "server1"))
		p.ran("A start server1 START", "B start server2 START", "C start server1 START")
	})
	p.Verify()
}

// A server fails in the middle of an operation.
func TestFailureDuringOperation(t *testing.T) {
	t.Parallel()
	p := newPlay(t, 3, "")
	p.scenario("the target, before the group is stopped", func() {
		p.put("A", "hold.stop.server1")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.waitRun("A", "stop", "server1")
		p.PowerCut("server2")
		p.WaitServer("server2", cluster.ServerDown)
		p.take("A", "hold.stop.server1")
		p.outcome(move, cluster.OpFailed)
		p.rest(at("server1", "server1", "server1", "server2", "down"))
		p.ran("A stop server1 GROUPMOVE", "A start server1 START", "B start server1 FAILOVER")
	})
	p.scenario("the target, in the middle of the start", func() {
		p.put("A", "hold.start.server2")
		move := p.request(cluster.VerbMove, "A", "server2")
		p.waitRun("A", "start", "server2")
		p.PowerCut("server2")
		p.outcome(move, cluster.OpFailed)
		p.rest(at("server1", "server1", "server1", "server2", "down"))
		p.ran("A stop server1 GROUPMOVE", "A start server2 START cut", "A start server1 FAILOVER", "B start server1 FAILOVER")
		p.take("A", "hold.start.server2")
		p.PowerOn("server2")
		p.WaitServer("server2", cluster.ServerDetached)
		p.do(op(cluster.VerbReturn, "", "server2"))
		p.rest(at("server1", "server1", "server1"))
		p.ran("A start server2 RECOVER", "B start server2 RECOVER")
	})
	p.scenario("the source, in the middle of the stop", func() {
		p.put("A", "hold.stop.server1")
		move := p.request(cluster.VerbMove, "A", "server2", "server3")
		p.waitRun("A", "stop", "server1")
		p.PowerCut("server1")
		p.outcome(move, cluster.OpDone)
		p.rest(at("server2", "server2", "server2", "server1", "down"))
		p.ran("A stop server1 GROUPMOVE cut", "A start server2 START", "C start server2 FAILOVER")
		p.take("A", "hold.stop.server1")
	})
	p.scenario("in the middle of an operator's stop", func() {
		p.put("A", "hold.stop.server1")
		stop := p.request(cluster.VerbStop, "A", "")
		p.waitRun("A", "stop", "server1")
		p.PowerCut("server1")
		p.outcome(stop, cluster.OpDone)
		p.rest(at("", "server2", "server2", "server1", "down"))
		p.ran("A stop server1 GROUPSTOP cut", "C start server2 FAILOVER")
		p.take("A", "hold.stop.server1")
		p.PowerOn("server1")
		p.WaitServer("server1", cluster.ServerDetached)
		p.do(op(cluster.VerbReturn, "", "server1"))
		p.rest(at("", "server2", "server2")) // RECOVER starts nothing
		p.ran("A start server1 RECOVER", "C start server1 RECOVER")
	})
	p.scenario("in the RECOVER run of a failover", func() {
		p.put("A", "hold.recover.server1")
		failover := p.request(cluster.VerbFailover, "A", "")
		p.waitEvent("A", "server1", cluster.EventRecover)
		p.PowerCut("server1")
		p.outcome(failover, cluster.OpDone)
		p.rest(at("server2", "server2", "server2", "server1", "down"))
		p.ran("A stop server1 GROUPFAILOVER", "A start server1 RECOVER cut", "A start server2 FAILOVER", "C start server2 FAILOVER")
		p.take("A", "hold.recover.server1")
	})
	p.scenario("in the RECOVER run of its return", func() {
		p.PowerCut("server1")
		p.rest(at("server2", "server2", "server2", "server1", "down"))
		p.skip()
		p.put("A", "hold.recover.server1")
		p.PowerOn("server1")
		p.WaitServer("server1", cluster.ServerDetached)
		back := p.request(cluster.VerbReturn, "", "server1")
		p.waitEvent("A", "server1", cluster.EventRecover)
		p.PowerCut("server1")
		p.outcome(back, cluster.OpFailed)
		p.take("A", "hold.recover.server1")
		p.PowerOn("server1")
		p.WaitServer("server1", cluster.ServerDetached)
		p.do(op(cluster.VerbReturn, "", "server1"))
		p.rest(at("server2", "server2", "server2"))
		p.ran("A start server1 RECOVER cut", "A start server1 RECOVER", "C start server1 RECOVER")
	})
	p.scenario("of the server that accepted it and leads", func() {
		leader := p.Leader()
		from, to := "server1", "server2"
		if leader == to {
			to = "server3"
		}
		if leader == from {
			p.do(op(cluster.VerbMove, "A", to))
			from, to = to, p.Other(leader, to)
			p.skip()
		}
		p.put("A", "hold.stop."+from)
		move := p.request(cluster.VerbMove, "A", to, leader)
		p.waitRun("A", "stop", from)
		p.PowerCut(leader)
		p.WaitServer(leader, cluster.ServerDown)
		p.take("A", "hold.stop."+from)
		p.outcome(move, cluster.OpDone)
		p.WaitOnline("A", to)
		p.settled()
		p.ranOf("A", "A stop "+from+" GROUPMOVE", "A start "+to+" START")
	})
	p.Verify()
}

// scenario plays something that begins and ends with everything at home.
func (p *play) scenario(name string, f func()) {
	p.stage.Helper()
	p.on(name, func() {
		p.home()
		f()
		p.Verify()
	})
}
