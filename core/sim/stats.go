package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Stats count what has happened, so that one can see that something has.
type Stats struct {
	Runs        int
	Virtual     time.Duration // virtual time played
	Faults      int           // faults, aimed ones and those of steps and agents too
	Steps       int           // inputs given to nodes
	Lives       int           // times a batond was started
	Elections   int           // leaders seen
	Foundings   int           // epochs founded
	Losses      int           // sessions ended without the server's consent
	Takes       int           // groups taken, at first, by a move or after a failure
	Failovers   int           // of them with FAILOVER
	Interrupted int           // groups that a guard has cleared
	Refused     int           // lease extensions that came after the guard had fired
	Asked       int           // operations asked for
	RefusedOps  int           // of them refused
	LongestHeal time.Duration // from the end of the faults until all runs
	Counts      []Count       // faults and the like, by name
}

// Count is how often something has happened.
type Count struct {
	Name string
	N    int
}

func (s *Stats) count(name string) { s.add(name, 1) }

func (s *Stats) add(name string, n int) {
	for i := range s.Counts {
		if s.Counts[i].Name == name {
			s.Counts[i].N += n
			return
		}
	}
	s.Counts = append(s.Counts, Count{name, n})
}

// Of is how often something of that name has happened.
func (s *Stats) Of(name string) int {
	for _, c := range s.Counts {
		if c.Name == name {
			return c.N
		}
	}
	return 0
}

// Add adds those of another run.
func (s *Stats) Add(o Stats) {
	s.Runs++
	s.Virtual += o.Virtual
	s.Faults += o.Faults
	s.Steps += o.Steps
	s.Lives += o.Lives
	s.Elections += o.Elections
	s.Foundings += o.Foundings
	s.Losses += o.Losses
	s.Takes += o.Takes
	s.Failovers += o.Failovers
	s.Interrupted += o.Interrupted
	s.Refused += o.Refused
	s.Asked += o.Asked
	s.RefusedOps += o.RefusedOps
	s.LongestHeal = max(s.LongestHeal, o.LongestHeal)
	for _, c := range o.Counts {
		s.add(c.Name, c.N)
	}
}

func (s *Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs, %.2f virtual hours, %d faults, %d inputs, %d lives of batond\n", s.Runs, s.Virtual.Hours(), s.Faults, s.Steps, s.Lives)
	fmt.Fprintf(&b, "%d elections, %d foundings, %d sessions lost, %d groups taken (%d by failover), %d cleared by the guard, %d leases refused\n",
		s.Elections, s.Foundings, s.Losses, s.Takes, s.Failovers, s.Interrupted, s.Refused)
	fmt.Fprintf(&b, "%d operations asked for, %d refused; longest heal %.2fs\n", s.Asked, s.RefusedOps, s.LongestHeal.Seconds())
	counts := slices.Clone(s.Counts)
	slices.SortFunc(counts, func(a, b Count) int { return strings.Compare(a.Name, b.Name) })
	for i, c := range counts {
		sep := ", "
		if i == len(counts)-1 {
			sep = "\n"
		}
		fmt.Fprintf(&b, "%s %d%s", c.Name, c.N, sep)
	}
	return b.String()
}
