package sim

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seedRaft decides raft's election jitter, which comes from crypto/rand. It is the
// reader that core/sim/cmd/sim uses, so that the command replays what a test found;
// testing/cryptotest would give other numbers. No test of this package may be parallel.
func seedRaft(t *testing.T, seed uint64) {
	t.Helper()
	before := rand.Reader
	t.Cleanup(func() { rand.Reader = before })
	rand.Reader = Reader(seed)
}

// playSeed plays one run.
func playSeed(t *testing.T, o Options) Result {
	t.Helper()
	seedRaft(t, o.Seed)
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
	t.Errorf("servers %d seed %d: %v\n%s\nreplay: %s", o.Servers, o.Seed, r.Violation, strings.Join(lines[max(0, len(lines)-30):], "\n"), o.Replay())
}

// Goal: nothing that must never happen happens, under all faults at once, and all
// runs again afterwards. Method: seeds, the same ones in every run of the test; `make
// sim FOR=10m` looks for new ones.
func TestSeeds(t *testing.T) {
	for _, tc := range []struct {
		servers, seeds int
		tie            Tie
	}{
		{2, 40, TieNone},
		{3, 100, TieNone},
		{4, 40, TieNone},
		{5, 30, TieNone},
		{8, 4, TieNone},
		{16, 1, TieNone},
		{2, 40, TieRegister},
		{3, 30, TieRegister},
		{4, 40, TieRegister},
		{5, 20, TieRegister},
		{2, 25, TieFence},
		{4, 25, TieFence},
		{5, 10, TieFence},
		{2, 25, TiePing},
		{4, 25, TiePing},
		{5, 10, TiePing},
	} {
		if testing.Short() {
			tc.seeds = max(tc.seeds/10, 1)
		}
		t.Run(fmt.Sprintf("%d servers, tie-breaker %s", tc.servers, tc.tie), func(t *testing.T) {
			var sum Stats
			for seed := range uint64(tc.seeds) {
				r := playSeed(t, Options{Servers: tc.servers, Seed: seed + 1, Tie: tc.tie})
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

// Goal: the same with first starts that take half a minute, disks lost in a cold start, and
// operators who force servers to return. Method: the kinds and sizes of a mixed search.
func TestStartsAndForcedReturns(t *testing.T) {
	seeds := uint64(80)
	if testing.Short() {
		seeds = 8
	}
	var sum Stats
	for seed := uint64(1); seed <= seeds; seed++ {
		o := Mix(seed)
		o.Servers, o.Late, o.Forced = min(o.Servers, 5), true, o.Tie != TiePing
		r := playSeed(t, o)
		sum.Add(r.Stats)
		if r.Violation != nil {
			explain(t, r)
			return
		}
	}
	t.Logf("\n%s", &sum)
	for _, name := range []string{"forced return", "cold start"} {
		if sum.Of(name) == 0 {
			t.Errorf("no %s in %d runs", name, seeds)
		}
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
		if len(fields) < 2 {
			t.Fatalf("testdata/seeds.txt: %q: want servers and seed", lines.Text())
		}
		o := Options{}
		var err1, err2 error
		o.Servers, err1 = strconv.Atoi(fields[0])
		o.Seed, err2 = strconv.ParseUint(fields[1], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("testdata/seeds.txt: %q: want two numbers", lines.Text())
		}
		for _, word := range fields[2:] {
			switch {
			case slices.Contains(Ties(), Tie(word)):
				o.Tie = Tie(word)
			case word == "forced":
				o.Forced = true
			case word == "late":
				o.Late = true
			case word == "echoes":
				o.Echoes = true
			case word == "rush":
				o.Rush = true
			case strings.HasPrefix(word, "aim="):
				var err error
				if o.Aim, err = strconv.ParseFloat(word[len("aim="):], 64); err != nil {
					t.Fatalf("testdata/seeds.txt: %q: %v", lines.Text(), err)
				}
			default:
				t.Fatalf("testdata/seeds.txt: %q: no word %q", lines.Text(), word)
			}
		}
		if r := playSeed(t, o); r.Violation != nil {
			explain(t, r)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
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

// Goal: the failure of one server, or of the tie-breaker, does not touch the groups of
// the other servers, and its own are up again soon after T. Method: one failure in a
// quiet cluster, in which three packets or calls in a hundred are lost all the same.
func TestQuiet(t *testing.T) {
	runs := uint64(30)
	if testing.Short() {
		runs = 3
	}
	for _, kind := range Scenarios() {
		for _, o := range []Options{{Servers: 2, Tie: TieRegister}, {Servers: 3}, {Servers: 4}, {Servers: 4, Tie: TieRegister}, {Servers: 5}} {
			if o.Servers == 2 && (kind == QuietCut || kind == QuietCutOther || kind == QuietSplit || kind == QuietDeaf) {
				continue // of two halves the tie-breaker chooses one, not always the other
			}
			t.Run(fmt.Sprintf("%s, %d servers, tie-breaker %s", kind, o.Servers, o.Tie), func(t *testing.T) {
				quiet(t, o, kind, runs)
			})
		}
	}
}

func quiet(t *testing.T, o Options, kind Scenario, runs uint64) {
	var longest time.Duration
	measured := 0
	for o.Seed = 1; o.Seed <= runs; o.Seed++ {
		seedRaft(t, o.Seed)
		q := RunQuiet(o, kind)
		replay := fmt.Sprintf("replay: go run ./core/sim/cmd/sim -quiet %s -n %d -seed %d -count 1 -tie %s -trace", kind, o.Servers, o.Seed, o.Tie)
		switch {
		case q.Violation != nil:
			t.Fatalf("seed %d: %v\n%s", o.Seed, q.Violation, replay)
		case kind.safetyOnly():
		case q.Interrupted > 0:
			t.Errorf("seed %d: %d groups of servers that had not failed were stopped\n%s", o.Seed, q.Interrupted, replay)
		case q.Down > 3800*time.Millisecond: // T after the last support, and the steps themselves (up to 0.27 s)
			t.Errorf("seed %d: groups were down for %v\n%s", o.Seed, q.Down, replay)
		case q.Down > 0:
			measured++
			longest = max(longest, q.Down)
		}
	}
	if measured == 0 && (kind == QuietLeader || kind == QuietFollower || kind == QuietCut) {
		t.Error("nothing was measured")
	}
	if measured > 0 {
		t.Logf("down at most %v (%d measured)", longest, measured)
	}
}
