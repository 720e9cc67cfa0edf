package sim

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"baton/core/node"
)

// playSeed plays one run. Raft's election jitter comes from crypto/rand, so no test of
// this package may be parallel.
func playSeed(t *testing.T, o Options) Result {
	t.Helper()
	cryptotest.SetGlobalRandom(t, o.Seed)
	return Run(o)
}

// explain fails the test with the end of the trace and the command that replays it.
func explain(t *testing.T, r Result) {
	t.Helper()
	o := r.Options
	var trace bytes.Buffer
	o.Trace = &trace
	playSeed(t, o)
	lines := strings.Split(strings.TrimSpace(trace.String()), "\n")
	t.Errorf("servers %d seed %d: %v\n%s\nreplay: BATON_SIM_SEED=%d BATON_SIM_N=%d go test ./core/sim -run TestOneSeed -v",
		o.Servers, o.Seed, r.Violation, strings.Join(lines[max(0, len(lines)-30):], "\n"), o.Seed, o.Servers)
}

// Goal: nothing that must never happen happens, under all faults at once, and all
// runs again afterwards. Method: seeds, the same ones in every run of the test; `make
// sim FOR=10m` looks for new ones.
func TestSeeds(t *testing.T) {
	for _, tc := range []struct{ servers, seeds int }{
		{2, 60}, {3, 150}, {4, 60}, {5, 50}, {8, 6}, {16, 2},
	} {
		if testing.Short() {
			tc.seeds = max(tc.seeds/10, 1)
		}
		t.Run(fmt.Sprintf("%d servers", tc.servers), func(t *testing.T) {
			var sum Stats
			for seed := range uint64(tc.seeds) {
				r := playSeed(t, Options{Servers: tc.servers, Seed: seed + 1})
				sum.Add(r.Stats)
				if r.Violation != nil {
					explain(t, r)
					return
				}
			}
			t.Logf("\n%s", &sum)
			if sum.Elections < tc.seeds || sum.Takes < tc.seeds {
				t.Errorf("%d elections and %d groups taken in %d runs: nothing has been tested", sum.Elections, sum.Takes, tc.seeds)
			}
		})
	}
}

// Goal: what was found once is not lost again. testdata/seeds.txt names runs that
// failed with an earlier node.
func TestFormerSeeds(t *testing.T) {
	f, err := os.Open("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			t.Fatalf("testdata/seeds.txt: %q: want servers and seed", lines.Text())
		}
		servers, err1 := strconv.Atoi(fields[0])
		seed, err2 := strconv.ParseUint(fields[1], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("testdata/seeds.txt: %q: want two numbers", lines.Text())
		}
		if r := playSeed(t, Options{Servers: servers, Seed: seed}); r.Violation != nil {
			explain(t, r)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestOneSeed replays BATON_SIM_SEED (and BATON_SIM_N) with its whole trace.
func TestOneSeed(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("BATON_SIM_SEED"), 10, 64)
	if err != nil {
		t.Skip("replays a seed: BATON_SIM_SEED is not set")
	}
	o := Options{Seed: seed, Trace: os.Stdout}
	if n, err := strconv.Atoi(os.Getenv("BATON_SIM_N")); err == nil {
		o.Servers = n
	}
	if r := playSeed(t, o); r.Violation != nil {
		t.Error(r.Violation)
	}
}

// Goal: a seed is a run. Method: the traces of two runs, with all messages, are the
// same, byte for byte; that of another seed is not.
func TestSameSeedSameRun(t *testing.T) {
	trace := func(servers int, seed uint64) string {
		var b bytes.Buffer
		playSeed(t, Options{Servers: servers, Seed: seed, Faults: 30 * time.Second, Trace: &b, Packets: true})
		return b.String()
	}
	for _, servers := range []int{2, 3, 5} {
		for seed := uint64(1); seed <= 3; seed++ {
			first, second := trace(servers, seed), trace(servers, seed)
			if first != second {
				a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
				for i := range a {
					if i >= len(b) || a[i] != b[i] {
						t.Fatalf("servers %d seed %d: line %d differs:\n%s\n%s", servers, seed, i+1, a[i], b[min(i, len(b)-1)])
					}
				}
			}
			if other := trace(servers, seed+100); other == first {
				t.Errorf("servers %d: seeds %d and %d give the same run", servers, seed, seed+100)
			}
		}
	}
}

// Goal: the failure of one server does not touch the groups of the others, and its
// own are up again soon after T. Method: one failure in a quiet cluster.
func TestQuiet(t *testing.T) {
	const runs = 12
	for _, kind := range Scenarios() {
		for _, servers := range []int{3, 4, 5} {
			t.Run(fmt.Sprintf("%s %d servers", kind, servers), func(t *testing.T) {
				var longest time.Duration
				measured := 0
				for seed := uint64(1); seed <= runs; seed++ {
					cryptotest.SetGlobalRandom(t, seed)
					q := RunQuiet(Options{Servers: servers, Seed: seed}, kind)
					if q.Violation != nil {
						t.Fatalf("seed %d: %v\nreplay: go run ./core/sim/cmd/sim -quiet %s -n %d -seed %d -trace", seed, q.Violation, kind, servers, seed)
					}
					if q.Interrupted > 0 && kind != QuietLink {
						t.Errorf("seed %d: %d groups of servers that had not failed were stopped", seed, q.Interrupted)
					}
					if q.Down > 0 {
						measured++
						longest = max(longest, q.Down)
					}
				}
				// T after the last support, and the steps themselves (up to 0.27 s).
				if limit := 3800 * time.Millisecond; longest > limit {
					t.Errorf("groups were down for %v, want at most %v", longest, limit)
				}
				if measured == 0 && (kind == QuietLeader || kind == QuietFollower || kind == QuietCut) {
					t.Error("nothing was measured")
				}
				t.Logf("down at most %v (%d measured)", longest, measured)
			})
		}
	}
}

// Goal: the simulator can fail. Method: leave one rule of the node out, or give it
// clocks that the protocol does not promise anything for, and see that a bounded
// number of seeds shows it.
func TestWeakened(t *testing.T) {
	if testing.Short() {
		t.Skip("plays many seeds")
	}
	for _, tc := range []struct {
		name    string
		servers int
		seeds   int
		options Options
		quiet   Scenario // "": random faults
	}{
		{"no W", 3, 300, Options{Weaken: node.NoW}, QuietLink},
		{"no former age", 3, 300, Options{Weaken: node.NoFormerAge}, QuietLink},
		{"no end guard", 3, 400, Options{Weaken: node.NoEndGuard}, ""},
		{"full grants", 4, 400, Options{Weaken: node.GrantFull}, ""},
		{"no session", 3, 400, Options{Weaken: node.NoSession}, ""},
		{"no journal", 3, 400, Options{Weaken: node.NoJournal}, ""},
		{"no quiet", 3, 600, Options{Weaken: node.NoQuiet}, ""},
		{"clocks 10 % apart", 4, 400, Options{Drift: 0.1}, ""},
		{"machine stalls", 3, 400, Options{MachineStalls: true}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := tc.options
			o.Servers = tc.servers
			for seed := uint64(1); seed <= uint64(tc.seeds); seed++ {
				o.Seed = seed
				var r Result
				if tc.quiet != "" {
					cryptotest.SetGlobalRandom(t, seed)
					r = RunQuiet(o, tc.quiet).Result
				} else {
					r = playSeed(t, o)
				}
				if r.Violation != nil {
					t.Logf("seed %d: %v", seed, r.Violation)
					return
				}
			}
			t.Errorf("no violation in %d seeds: the rule is not needed, or the simulator is blind", tc.seeds)
		})
	}
}
