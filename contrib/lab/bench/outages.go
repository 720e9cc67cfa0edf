package main

import (
	"fmt"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
)

// outage is one way to lose a carrier. make does it; mend brings the old carrier back,
// so that all servers are online for the next round.
type outage struct {
	name string
	make func(c *lab.Cluster, old string)
	mend func(c *lab.Cluster, old string)
}

var outages = []outage{
	{"power cut of the carrier", (*lab.Cluster).PowerCut, (*lab.Cluster).PowerOn},
	{"batond killed, no restart", (*lab.Cluster).KillBatond, (*lab.Cluster).StartBatond},
	{"public cable pulled", func(c *lab.Cluster, old string) { c.Pull(old, lab.Public) }, func(c *lab.Cluster, old string) { c.Plug(old, lab.Public) }},
	{"move, no scripts", func(c *lab.Cluster, old string) { c.Move("A", c.Other(old)) }, func(*lab.Cluster, string) {}},
	{"stop of batond, in order", (*lab.Cluster).StopBatond, (*lab.Cluster).StartBatond},
}

// outage measures one kind: a prober in the client asks every 5 ms, and the longest
// time between two answers counts.
func (b *bench) outage(s *settings, o outage) {
	c := lab.Start(b, lab.Interval(s.interval), lab.Timeout(s.timeout), lab.OnDisk(), lab.ReturnAuto(),
		lab.Groups(lab.Group{Name: "A", NoScripts: true}, lab.Group{Name: "B", NoScripts: true}, lab.Group{Name: "C", NoScripts: true}))
	var gaps, hands []float64
	for range s.rounds {
		old := c.Carrier("A")
		before := len(c.Claims("A"))
		p := c.Probe("A")
		time.Sleep(3 * s.interval) // the heartbeats' phase is another one in each round
		o.make(c, old)
		c.WaitStatus("A is online elsewhere", lab.Elsewhere(c.Lab, "A", old))
		gap := p.Stop()
		gaps = append(gaps, millis(gap.Duration()))
		claims := c.Claims("A")
		for i := max(before, 1); i < len(claims); i++ {
			hands = append(hands, millis(claims[i].First.Sub(claims[i-1].Last)))
		}
		o.mend(c, old)
		c.WaitServer(old, cluster.ServerOnline)
		c.WaitAll()
	}
	c.Verify()
	g, h := spreadOf(gaps), spreadOf(hands)
	fmt.Printf("%-36s %8.1f %8.1f %8.1f   least %.1f, median %.1f (%d changes of hands)\n", o.name, g.median, g.min, g.max, h.min, h.median, len(hands))
}
