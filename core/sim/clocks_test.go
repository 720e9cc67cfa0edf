package sim

import "testing"

// worstClocks is the scene with each machine's clock at one end of what drift allows: bit i of
// fast is that of server i+1.
func (sc *scene) worstClocks(fast uint, drift float64) *scene {
	worst := *sc
	worst.o.Drift = drift
	worst.play = func(w *world) string {
		for i, s := range w.servers {
			s.clock.rate = 1 - drift
			if fast>>i&1 == 1 {
				s.clock.rate = 1 + drift
			}
		}
		return sc.play(w)
	}
	return &worst
}

// Goal: with clocks as far apart as they may be (1 %), in every direction, the scenes show
// nothing that must never happen; eight times as far apart, some do. That each comes to its end is
// not asked for: their moments are those of true clocks. Method: every server slow or fast. The scenes
// about forced returns are left out: they depend on the moment of single messages to the
// register, not on leases.
func TestWorstClocks(t *testing.T) {
	const allowed = 0.005
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	noticed := 0
	for _, sc := range scenes {
		if sc.o.Forced {
			continue
		}
		for fast := range uint(1) << sc.o.Servers {
			for seed := uint64(1); seed <= seeds; seed++ {
				if v := sc.worstClocks(fast, allowed).judge(t, seed, ""); v != nil && v.Kind != BrokenLiveness {
					t.Errorf("%s, seed %d, fast %b: %v", sc.name, seed, fast, v)
				}
			}
			if v := sc.worstClocks(fast, 8*allowed).judge(t, 1, ""); v != nil && (v.Kind == BrokenCarrier || v.Kind == BrokenLoss) {
				noticed++
			}
		}
	}
	if noticed == 0 {
		t.Error("no scene notices clocks that are too far apart")
	}
	t.Logf("noticed %d times", noticed)
}
