package sim

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Goal: messages that arrive seconds late, once more, or at a server that has just started,
// and two operators who act at the same moment, break nothing. Method: seeds of a mixed
// search with both.
func TestEchoesAndRush(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 6
	}
	var sum Stats
	for seed := uint64(1001); seed <= 1000+seeds; seed++ {
		o := Mix(seed)
		o.Servers, o.Echoes, o.Rush = min(o.Servers, 5), true, true
		r := playSeed(t, o)
		sum.Add(r.Stats)
		if r.Violation != nil {
			explain(t, r)
			return
		}
	}
	t.Logf("\n%s", &sum)
	for _, name := range []string{"late copy", "two operators at once"} {
		if sum.Of(name) == 0 {
			t.Errorf("no %s in %d runs", name, seeds)
		}
	}
}

// Goal: what the wall clocks show has no effect on anything. Method: a course of a
// cluster's life is played twice, the second time with the wall clocks jumping by up to an
// hour all the time; the traces, which do not tell it, are the same.
func TestWallClocksHaveNoEffect(t *testing.T) {
	const seeds = 5
	foundings := 0
	play := func(seed uint64, jumps bool) (string, int) {
		var trace bytes.Buffer
		w := scripted(t, Options{Servers: 3, Seed: seed, Tie: TieRegister, Trace: &trace})
		d, count := newDice(seed, 77), 0
		var jump func()
		jump = func() {
			w.servers[d.IntN(len(w.servers))].clock.wall += d.Int64N(7_200_000) - 3_600_000
			count++
			w.after(d.between(10*time.Millisecond, time.Second), jump)
		}
		if jumps {
			jump()
		}
		w.play(w.course)
		if w.violation != nil {
			t.Errorf("seed %d: %v", seed, w.violation)
		}
		foundings += w.stats.Foundings
		return trace.String(), count
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		still, _ := play(seed, false)
		jumping, count := play(seed, true)
		if count < 30 || len(still) < 10_000 {
			t.Fatalf("%d jumps in a trace of %d bytes: nothing has been tested", count, len(still))
		}
		a, b := strings.Split(still, "\n"), strings.Split(jumping, "\n")
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Fatalf("seed %d: line %d differs:\n%s\n%s", seed, i+1, a[i], b[min(i, len(b)-1)])
			}
		}
	}
	if foundings < 3*seeds {
		t.Errorf("%d foundings in %d courses: they are too short", foundings, 2*seeds)
	}
}
