// Command sim plays clusters of core/node in virtual time, seed after seed, and
// prints what it found and how to play it again.
//
//	go run ./core/sim/cmd/sim -for 10m                      every size and tie-breaker, on all cores
//	go run ./core/sim/cmd/sim -n 3 -seed 1 -count 200
//	go run ./core/sim/cmd/sim -n 3 -seed 42 -tie register -trace
//	go run ./core/sim/cmd/sim -n 3 -quiet leader,cut -count 60
//
// A seed without -n is played as the mixed search would play it. The command exits 1
// if anything was violated.
package main

import (
	"bytes"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"baton/core/sim"
)

type command struct {
	sizes   []int // none: mixed
	seed    uint64
	count   int
	wall    time.Duration // play until then, instead of count
	jobs    int
	worker  int // of a search: which one this process is, from 1; 0: none
	trace   bool
	tail    int // lines of trace to show of a failure; 0: none
	quiet   []sim.Scenario
	twice   bool // play each seed twice and compare
	stop    int  // end after so many failures
	options sim.Options
	set     map[string]bool // flags that were given
}

func main() {
	c := command{set: map[string]bool{}}
	var sizes, quiet, without, profile, weaken, tie string
	flag.StringVar(&sizes, "n", "", "numbers of servers, 2 to 16, with commas; none: a mix")
	flag.Uint64Var(&c.seed, "seed", 1, "first seed; with -for and without this, one that no earlier search has played")
	flag.IntVar(&c.count, "count", 0, "how many seeds; 0: one if a trace is asked for, else 100")
	flag.DurationVar(&c.wall, "for", 0, "play seeds for so long, instead of -count")
	flag.IntVar(&c.jobs, "jobs", runtime.NumCPU(), "with -for: worker processes")
	flag.IntVar(&c.worker, "worker", 0, "this process is that worker of a search (internal)")
	flag.BoolVar(&c.trace, "trace", false, "print everything that happens")
	flag.BoolVar(&c.options.Packets, "packets", false, "with -trace: the messages too")
	flag.IntVar(&c.tail, "tail", 40, "lines of trace to print of a failure")
	flag.StringVar(&quiet, "quiet", "", "play scenarios instead of random faults: "+fmt.Sprint(sim.Scenarios())+" or all")
	flag.BoolVar(&c.twice, "twice", false, "play each seed twice and compare the traces")
	flag.IntVar(&c.stop, "stop", 5, "end after so many failures")
	flag.DurationVar(&c.options.Faults, "faults", 60*time.Second, "virtual time with faults")
	flag.Float64Var(&c.options.Drift, "drift", 0.005, "rate of the clocks within 1±this; above 0.005 the protocol promises nothing")
	flag.Float64Var(&c.options.Aim, "aim", 0, "chance that an interesting moment draws a fault; 0: the seed decides")
	flag.BoolVar(&c.options.MachineStalls, "machine-stalls", false, "stop whole machines too; the protocol promises nothing then")
	flag.StringVar(&tie, "tie", "", "kind of the tie-breaker: "+fmt.Sprint(sim.Ties()))
	flag.BoolVar(&c.options.Forced, "forced", false, "operators who force servers to return, honest ones")
	flag.BoolVar(&c.options.Echoes, "echoes", false, "messages of the last seconds arrive once more")
	flag.BoolVar(&c.options.Rush, "rush", false, "two operators act at the same moment")
	flag.BoolVar(&c.options.LyingDisks, "lying-disks", false, "disks lose with the power what they have said to be written; the protocol promises nothing then")
	flag.BoolVar(&c.options.Late, "late", false, "a first start over half a minute, with servers coming and going")
	flag.StringVar(&weaken, "weaken", "", "rules to leave out, by name, with commas; \"list\" lists them")
	flag.StringVar(&without, "without", "", "faults to leave out, with commas")
	flag.StringVar(&profile, "profile", "", "write a CPU profile to this file")
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { c.set[f.Name] = true })
	if weaken == "list" {
		for _, w := range sim.Weaks() {
			fmt.Printf("%-20s %s\n", w.Name, w.Rule)
		}
		return
	}
	if err := c.read(sizes, quiet, without, weaken, tie); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	// Runs are short and leave nothing behind: memory is cheaper than collecting it.
	debug.SetGCPercent(400)
	if profile != "" {
		f, err := os.Create(profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		defer f.Close()
	}
	failures := 0
	switch {
	case len(c.quiet) > 0:
		failures = c.quietly()
	case c.wall > 0 && c.worker == 0:
		if !c.set["seed"] {
			c.seed = uint64(time.Now().Unix()) * 1000 // far fewer are played in a second
		}
		failures = c.search()
	default:
		failures = c.run()
	}
	pprof.StopCPUProfile()
	if failures > 0 {
		os.Exit(1)
	}
}

// read understands the flags that are lists.
func (c *command) read(sizes, quiet, without, weaken, tie string) error {
	c.options.Without = strings.FieldsFunc(without, func(r rune) bool { return r == ',' })
	if err := c.options.Weakenings(weaken); err != nil {
		return fmt.Errorf("-weaken: %w", err)
	}
	if tie != "" && !slices.Contains(sim.Ties(), sim.Tie(tie)) {
		return fmt.Errorf("-tie: no kind %q; there are %v", tie, sim.Ties())
	}
	c.options.Tie = sim.Tie(tie)
	for _, n := range strings.FieldsFunc(sizes, func(r rune) bool { return r == ',' }) {
		v, err := strconv.Atoi(n)
		if err != nil || v < 2 || v > 16 {
			return fmt.Errorf("-n: %q is not a number of servers from 2 to 16", n)
		}
		c.sizes = append(c.sizes, v)
	}
	for _, k := range strings.FieldsFunc(quiet, func(r rune) bool { return r == ',' }) {
		switch {
		case k == "all":
			c.quiet = sim.Scenarios()
		case slices.Contains(sim.Scenarios(), sim.Scenario(k)):
			c.quiet = append(c.quiet, sim.Scenario(k))
		default:
			return fmt.Errorf("-quiet: no scenario %q; there are %v", k, sim.Scenarios())
		}
	}
	if len(c.quiet) > 0 && len(c.sizes) == 0 {
		c.sizes = []int{3}
	}
	if c.count == 0 {
		c.count = 100
		if c.trace {
			c.count = 1
		}
	}
	return nil
}

// plays are the runs of a seed: one of each size that was asked for, or the mixed one
// with what the flags say on top.
func (c *command) plays(seed uint64) (all []sim.Options) {
	if len(c.sizes) == 0 {
		m, o := sim.Mix(seed), c.options
		o.Seed, o.Servers = seed, m.Servers
		if !c.set["tie"] {
			o.Tie = m.Tie
		}
		if !c.set["aim"] {
			o.Aim = m.Aim
		}
		o.Forced, o.Late = o.Forced || m.Forced, o.Late || m.Late
		o.Echoes, o.Rush = o.Echoes || m.Echoes, o.Rush || m.Rush
		return []sim.Options{o}
	}
	for _, n := range c.sizes {
		o := c.options
		o.Servers, o.Seed = n, seed
		all = append(all, o)
	}
	return all
}

// run plays seeds in this process.
func (c *command) run() (failures int) {
	begin := time.Now()
	var total sim.Stats
	step, first := uint64(1), c.seed
	if c.worker > 0 {
		step, first = uint64(c.jobs), c.seed+uint64(c.worker-1)
	}
	for seed := first; failures < c.stop; seed += step {
		if c.wall > 0 && time.Since(begin) > c.wall || c.wall == 0 && seed >= c.seed+uint64(c.count) {
			break
		}
		for _, o := range c.plays(seed) {
			text, stats := c.one(o)
			total.Add(stats)
			if text != "" {
				failures++
			}
			if c.worker > 0 {
				report(stats, text)
			} else {
				fmt.Print(text)
			}
		}
	}
	if c.worker == 0 {
		wall := time.Since(begin)
		fmt.Printf("%s%d violations; %.1f s, %.0f virtual hours a minute\n", &total, failures, wall.Seconds(), total.Virtual.Hours()/wall.Minutes())
	}
	return failures
}

// play runs one seed. Raft's jitter comes from crypto/rand.
func play(o sim.Options) sim.Result {
	rand.Reader = sim.Reader(o.Seed)
	return sim.Run(o)
}

// one plays one run and returns what is to be said of a violation, "" of none.
func (c *command) one(o sim.Options) (text string, stats sim.Stats) {
	if c.trace {
		o.Trace = os.Stdout
	}
	r := play(o)
	if c.twice {
		var first, second bytes.Buffer
		o.Trace = &first
		play(o)
		o.Trace = &second
		play(o)
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			return fmt.Sprintf("NOT DETERMINISTIC n=%d seed=%d\n", o.Servers, o.Seed), r.Stats
		}
	}
	if r.Violation == nil {
		return "", r.Stats
	}
	var said strings.Builder
	if !c.trace && c.tail > 0 {
		// The trace costs time, so it is made only now.
		var b bytes.Buffer
		o.Trace = &b
		play(o)
		printTail(&said, &b, c.tail)
	}
	fmt.Fprintf(&said, "VIOLATION n=%d seed=%d at %v\n     replay: %s\n", o.Servers, o.Seed, r.Violation, o.Replay())
	return said.String(), r.Stats
}

func printTail(w io.Writer, b *bytes.Buffer, lines int) {
	all := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for _, l := range all[max(0, len(all)-lines):] {
		fmt.Fprintln(w, "    "+l)
	}
}

// quietly plays the scenarios, and says how long groups were down.
func (c *command) quietly() (failures int) {
	for _, n := range c.sizes {
		for _, kind := range c.quiet {
			var touched []uint64
			down, longest, measured := time.Duration(0), time.Duration(0), 0
			for seed := c.seed; seed < c.seed+uint64(c.count); seed++ {
				o := c.options
				o.Servers, o.Seed = n, seed
				if c.trace {
					o.Trace = os.Stdout
				}
				rand.Reader = sim.Reader(seed)
				q := sim.RunQuiet(o, kind)
				if q.Violation != nil {
					failures++
					fmt.Printf("VIOLATION %s n=%d seed=%d at %v\n     replay: %s -quiet %s\n", kind, n, seed, q.Violation, o.Replay(), kind)
				}
				if q.Interrupted > 0 {
					touched = append(touched, seed)
				}
				if q.Down > 0 {
					measured++
					down += q.Down
					longest = max(longest, q.Down)
				}
			}
			fmt.Printf("%-10s n=%-2d %d runs: groups of servers that had not failed were stopped in %d %v; down mean %.2fs, at most %.2fs (%d measured)\n",
				kind, n, c.count, len(touched), touched[:min(len(touched), 3)], (down / time.Duration(max(measured, 1))).Seconds(), longest.Seconds(), measured)
		}
	}
	return failures
}
