package main

import (
	"fmt"
	"time"

	"baton/contrib/lab"
)

// idleCost watches a cluster in which nothing happens: CPU by /proc/PID/stat (10 ms
// ticks), memory by the resident set. The witness, whose ARP requests every server
// has to answer, is off.
func (b *bench) idleCost(s *settings) {
	c := lab.Start(b, lab.Interval(s.interval), lab.Timeout(s.timeout), lab.OnDisk())
	leader := c.Leader()
	c.StopWitness()
	time.Sleep(2 * s.timeout)
	before := map[int]lab.ProcessInfo{}
	each(b, c, func(_ *lab.Server, p lab.ProcessInfo) { before[p.PID] = p })
	began := time.Now()
	time.Sleep(s.idle)
	took := time.Since(began)
	fmt.Printf("idle for %s (memory is the resident set, pages of the program file included)\n", took.Round(time.Second))
	each(b, c, func(srv *lab.Server, p lab.ProcessInfo) {
		role := "batond"
		if len(p.Args) > 1 && p.Args[1] == "guard" {
			role = "guard"
		}
		if srv.Name == leader {
			role += ", leader"
		}
		cpu := p.CPU - before[p.PID].CPU
		fmt.Printf("  %-8s %-16s CPU %5.2f %%   memory %5.1f MiB\n", srv.Name, role, 100*cpu.Seconds()/took.Seconds(), float64(p.RSS)/(1<<20))
	})
	c.Verify()
}

// each calls f for every batond and guard.
func each(b *bench, c *lab.Cluster, f func(*lab.Server, lab.ProcessInfo)) {
	for _, s := range c.Lab.Servers {
		list, err := s.Processes()
		if err != nil {
			b.Fatalf("%v", err)
		}
		for _, p := range list {
			isGuard := len(p.Args) > 1 && p.Args[0] == "/proc/self/exe" && p.Args[1] == "guard"
			if isGuard || len(p.Args) > 0 && p.Args[0] == c.Options().Batond {
				f(s, p)
			}
		}
	}
}
