package main

import (
	"fmt"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
)

// interrupted is the longest time between two answers of a group that runs on: less
// is a busy machine.
const interrupted = 300 * time.Millisecond

// half measures two servers with a tie-breaker: each in turn loses its power, so that
// the raft leader and the other one are hit. Beside the outage of what the dead one
// carried, it counts the interruptions of what the survivor carries.
func (b *bench) half(s *settings, kind string) {
	c := lab.Start(b, lab.Servers(2), lab.Tiebreaker(kind), lab.Interval(s.interval), lab.Timeout(s.timeout), lab.OnDisk(), lab.ReturnAuto(),
		lab.Groups(lab.Group{Name: "A", NoScripts: true}, lab.Group{Name: "B", NoScripts: true}))
	gaps := map[bool][]float64{}
	survived, cut := 0, 0
	var worst time.Duration
	for i := range 2 * s.rounds {
		victim := c.Leader()
		isLeader := i%2 == 0
		if !isLeader {
			victim = c.Other(victim)
		}
		survivor := c.Other(victim)
		for group, on := range map[string]string{"A": victim, "B": survivor} {
			if c.Carrier(group) != on {
				c.Move(group, on)
				c.WaitOnline(group, on)
			}
		}
		lost, kept := c.Probe("A"), c.Probe("B")
		time.Sleep(time.Duration(3+i%5) * s.interval) // the heartbeats' phase is another one in each round
		c.PowerCut(victim)
		c.WaitOnline("A", survivor)
		gaps[isLeader] = append(gaps[isLeader], millis(lost.Stop().Duration()))
		time.Sleep(s.timeout)
		gap := kept.Stop().Duration()
		worst = max(worst, gap)
		if survived++; gap > interrupted {
			cut++
		}
		c.PowerOn(victim)
		c.WaitServer(victim, cluster.ServerOnline)
		c.WaitAll()
	}
	c.Verify()
	for _, isLeader := range []bool{true, false} {
		who := map[bool]string{true: "leader", false: "other"}[isLeader]
		g := spreadOf(gaps[isLeader])
		fmt.Printf("%-36s %8.1f %8.1f %8.1f\n", "power cut, 2 servers, "+kind+", "+who, g.median, g.min, g.max)
	}
	fmt.Printf("  the survivor's own group: interrupted %d of %d times, longest gap %.1f ms\n", cut, survived, millis(worst))
}
