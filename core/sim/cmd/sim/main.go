// Command sim plays clusters of core/node in virtual time, seed after seed, and
// prints what it found and how to play it again.
//
//	go run ./core/sim/cmd/sim -n 3 -seed 1 -count 200
//	go run ./core/sim/cmd/sim -n 3 -seed 42 -trace
//	go run ./core/sim/cmd/sim -n 2,3,4,5 -for 10m
//	go run ./core/sim/cmd/sim -n 3 -quiet leader,cut -count 60
//
// BATON_SIM_SEED, BATON_SIM_N, BATON_SIM_COUNT and BATON_SIM_TRACE stand for the
// flags, for `make sim`. It exits 1 if anything was violated.
package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"baton/core/node"
	"baton/core/sim"
)

type command struct {
	sizes   []int
	seed    uint64
	count   int
	wall    time.Duration // play until then, instead of count
	trace   bool
	tail    int // lines of trace to show of a failure; 0: none
	quiet   []sim.Scenario
	twice   bool // play each seed twice and compare
	stop    int  // end after so many failures
	options sim.Options
}

func main() {
	c := command{}
	var sizes, quiet, without, profile string
	var weaken uint
	flag.StringVar(&sizes, "n", cmp.Or(os.Getenv("BATON_SIM_N"), "3"), "numbers of servers, 2 to 16, with commas")
	flag.Uint64Var(&c.seed, "seed", number("BATON_SIM_SEED", 1), "first seed")
	flag.IntVar(&c.count, "count", int(number("BATON_SIM_COUNT", 0)), "how many seeds; 0: one if a trace is asked for, else 100")
	flag.DurationVar(&c.wall, "for", 0, "play seeds for so long, instead of -count")
	flag.BoolVar(&c.trace, "trace", os.Getenv("BATON_SIM_TRACE") != "", "print everything that happens")
	flag.BoolVar(&c.options.Packets, "packets", false, "with -trace: the messages too")
	flag.IntVar(&c.tail, "tail", 40, "lines of trace to print of a failure")
	flag.StringVar(&quiet, "quiet", "", "play scenarios instead of random faults: "+fmt.Sprint(sim.Scenarios())+" or all")
	flag.BoolVar(&c.twice, "twice", false, "play each seed twice and compare the traces")
	flag.IntVar(&c.stop, "stop", 5, "end after so many failures")
	flag.DurationVar(&c.options.Faults, "faults", 60*time.Second, "virtual time with faults")
	flag.Float64Var(&c.options.Drift, "drift", 0.005, "rate of the clocks within 1±this; above 0.005 the protocol promises nothing")
	flag.Float64Var(&c.options.Aim, "aim", 0, "chance that an interesting moment draws a fault; 0: the seed decides")
	flag.BoolVar(&c.options.MachineStalls, "machine-stalls", false, "stop whole machines too; the protocol promises nothing then")
	flag.BoolVar(&c.options.Tiebreaker, "tiebreaker", false, "exactly half may go on, by a register")
	flag.UintVar(&weaken, "weaken", 0, "bits of rules to leave out")
	flag.StringVar(&without, "without", "", "faults to leave out, with commas")
	flag.StringVar(&profile, "profile", "", "write a CPU profile to this file")
	flag.Parse()
	if without != "" {
		c.options.Without = strings.Split(without, ",")
	}
	c.options.Weaken = node.Weakness(weaken)
	for _, n := range strings.Split(sizes, ",") {
		v, err := strconv.Atoi(n)
		if err != nil || v < 2 || v > 16 {
			fmt.Fprintf(os.Stderr, "-n: %q is not a number of servers from 2 to 16\n", n)
			os.Exit(2)
		}
		c.sizes = append(c.sizes, v)
	}
	for _, k := range strings.FieldsFunc(quiet, func(r rune) bool { return r == ',' }) {
		if k == "all" {
			c.quiet = sim.Scenarios()
			continue
		}
		if !slices.Contains(sim.Scenarios(), sim.Scenario(k)) {
			fmt.Fprintf(os.Stderr, "-quiet: no scenario %q; there are %v\n", k, sim.Scenarios())
			os.Exit(2)
		}
		c.quiet = append(c.quiet, sim.Scenario(k))
	}
	if c.count == 0 {
		c.count = 100
		if c.trace {
			c.count = 1
		}
	}
	// Runs are short and leave nothing behind: memory is cheaper than collecting it.
	debug.SetGCPercent(400)
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		defer f.Close()
	}
	failures := c.run()
	pprof.StopCPUProfile()
	if failures > 0 {
		os.Exit(1)
	}
}

func number(name string, otherwise uint64) uint64 {
	if v, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return v
	}
	return otherwise
}

func (c *command) run() (failures int) {
	fmt.Printf("servers %v, seed %d\n", c.sizes, c.seed)
	begin := time.Now()
	var total sim.Stats
	for seed := c.seed; ; seed++ {
		if c.wall > 0 && time.Since(begin) > c.wall || c.wall == 0 && seed >= c.seed+uint64(c.count) {
			break
		}
		for _, n := range c.sizes {
			o := c.options
			o.Servers, o.Seed = n, seed
			if len(c.quiet) == 0 {
				failures += c.one(o, &total)
			}
			if failures >= c.stop {
				break
			}
		}
		if len(c.quiet) > 0 || failures >= c.stop {
			break
		}
	}
	if len(c.quiet) > 0 {
		return c.quietly()
	}
	wall := time.Since(begin)
	fmt.Printf("%s%d failures; %.1f s, %.0f virtual hours a minute\n", &total, failures, wall.Seconds(), total.Virtual.Hours()/wall.Minutes())
	return failures
}

// play runs one seed. Raft's jitter comes from crypto/rand.
func play(o sim.Options) sim.Result {
	rand.Reader = sim.Reader(o.Seed)
	return sim.Run(o)
}

func (c *command) one(o sim.Options, total *sim.Stats) int {
	if c.trace {
		o.Trace = os.Stdout
	}
	r := play(o)
	total.Add(r.Stats)
	if c.twice {
		var first, second bytes.Buffer
		o.Trace = &first
		play(o)
		o.Trace = &second
		play(o)
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			fmt.Printf("NOT DETERMINISTIC n=%d seed=%d\n", o.Servers, o.Seed)
			return 1
		}
	}
	if r.Violation == nil {
		return 0
	}
	if !c.trace && c.tail > 0 {
		// The trace costs time, so it is made only now.
		var b bytes.Buffer
		o.Trace = &b
		play(o)
		printTail(os.Stdout, &b, c.tail)
	}
	fmt.Printf("FAIL n=%d seed=%d at %v\n     replay: go run ./core/sim/cmd/sim -n %d -seed %d -trace%s   (make sim N=%d SEED=%d)\n",
		o.Servers, o.Seed, r.Violation, o.Servers, o.Seed, c.unusual(), o.Servers, o.Seed)
	return 1
}

// unusual are the flags that a replay needs besides.
func (c *command) unusual() string {
	text := ""
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "drift", "machine-stalls", "weaken", "faults", "without", "aim", "tiebreaker":
			text += fmt.Sprintf(" -%s=%q", f.Name, f.Value.String())
		}
	})
	return text
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
					fmt.Printf("FAIL %s n=%d seed=%d at %v\n     replay: go run ./core/sim/cmd/sim -quiet %s -n %d -seed %d -trace%s\n",
						kind, n, seed, q.Violation, kind, n, seed, c.unusual())
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
