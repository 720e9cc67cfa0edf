package sim

import (
	"slices"
	"testing"

	"baton/core/node"
)

// weakened is how a rule that is left out is noticed.
type weakened struct {
	name    string
	servers int
	from    uint64 // the first seed
	seeds   int    // how many may be tried; those that show it lie well before
	options Options
	quiet   Scenario // a scenario instead of random faults
	scene   *scene   // or a scene
	// live: what goes wrong is that something does not go on. Without it only a
	// violation of safety counts.
	live bool
}

// caught are the rules of which a seed or a scene shows what they are for.
var caught = []weakened{
	{name: "identity", servers: 5, seeds: 40, options: Options{Tie: TieRegister, Aim: 0.5}},
	{name: "alarm", servers: 2, seeds: 60, options: Options{Tie: TieFence, Aim: 0.5, Forced: true}},
	{name: "new-id", servers: 3, seeds: 40, options: Options{}},
	{name: "seal-durable", servers: 4, seeds: 250, options: Options{Tie: TieRegister, Aim: 0.6}},
	{name: "seal-first", servers: 4, from: 1, seeds: 200, options: Options{Tie: TieRegister, Aim: 0.5}, live: true},
	{name: "rule2", servers: 4, seeds: 50, options: Options{Tie: TieRegister}},
	{name: "best-log", servers: 4, seeds: 100, options: Options{Tie: TieRegister, Aim: 0.5}},
	{name: "voters-claim", servers: 2, seeds: 40, options: Options{Tie: TieRegister, Aim: 0.5}, live: true},
	{name: "quiet", servers: 3, seeds: 150, options: Options{Tie: TieRegister, Aim: 0.5}},
	{name: "own-term", servers: 4, from: 20, seeds: 300, options: Options{Aim: 0.5}},
	{name: "reborn", servers: 3, seeds: 40, options: Options{Tie: TieRegister, Aim: 0.5}, live: true},
	{name: "odd", scene: &sceneOdd, live: true},
	{name: "farewell", scene: &sceneFarewell, live: true},
	{name: "agreement", servers: 2, seeds: 40, options: Options{Tie: TieFence, Aim: 0.5}, live: true},
	{name: "yield", scene: &sceneYielding},
	{name: "first-start", servers: 4, seeds: 80, options: Options{Late: true, Aim: 0.5}},
	{name: "stuck", scene: &sceneStuck, live: true},
	{name: "former-age", servers: 3, seeds: 100, quiet: QuietLink},
	{name: "majority", servers: 3, seeds: 60, options: Options{Tie: TieRegister, Aim: 0.5}},
	{name: "remainder", servers: 5, seeds: 100, quiet: QuietSplit},
	{name: "w", servers: 3, seeds: 100, quiet: QuietLink},
	{name: "end-guard", servers: 5, seeds: 300, options: Options{Aim: 0.6}},
	{name: "silence", servers: 3, seeds: 60, options: Options{Aim: 0.5}},
	{name: "session", servers: 3, seeds: 100, options: Options{}},
	{name: "clean", servers: 5, seeds: 60, options: Options{Aim: 0.5}},
	{name: "lease", servers: 2, seeds: 10, options: Options{}},
	{name: "journal", servers: 4, seeds: 100, options: Options{Aim: 0.5}},
	{name: "enrol", servers: 4, seeds: 60, options: Options{Tie: TieRegister, Aim: 0.5}},
	{name: "key", scene: &sceneAnew, live: true},
	{name: "raise", scene: &sceneWiped, live: true},
	{name: "ack-order", servers: 3, seeds: 40, options: Options{Aim: 0.5}},
	{name: "begun-order", servers: 3, seeds: 40, options: Options{Aim: 0.5}},
	{name: "guard-order", servers: 3, seeds: 60, options: Options{Aim: 0.5}},
	{name: "self-support", scene: &sceneLeaver},
	{name: "append-supports", scene: &sceneAppends},
	{name: "stamp", scene: &sceneStamp},
	{name: "w-once", scene: &sceneOnce},
	{name: "joint", scene: &sceneJoint},
	{name: "pause", scene: &scenePause},
	{name: "order", scene: &sceneOrder},
	{name: "start-order", scene: &sceneStart},
	{name: "claim-durable", scene: &sceneClaimed, live: true},
	{name: "claim-first", scene: &sceneClaiming, live: true},
	{name: "read-first", scene: &sceneUnread, live: true},
	{name: "verified", scene: &sceneDeaf},
	{name: "yield-first", scene: &sceneYielding},
	{name: "forced-apart", scene: &sceneBeside, live: true},
	{name: "forced-raise", scene: &sceneForced},
	{name: "forced-no-claim", scene: &sceneForcedCut},
	{name: "session-boot", scene: &sceneReopened},
	{name: "no-claim-after-boot", servers: 2, seeds: 100, options: Options{Tie: TieFence, Aim: 0.5}},
}

// Goal: the simulator can fail. Method: leave one rule out, or give it clocks or machines
// that the protocol does not promise anything for, and see that a bounded number of seeds
// shows it.
func TestWeakened(t *testing.T) {
	if testing.Short() {
		t.Skip("plays many seeds")
	}
	for _, tc := range append(slices.Clone(caught),
		weakened{name: "clocks 10 % apart", servers: 4, seeds: 200, options: Options{Drift: 0.1}},
		weakened{name: "agents that lie", scene: &sceneLying},
		weakened{name: "disks that lie", servers: 3, seeds: 100, options: Options{LyingDisks: true}},
		weakened{name: "machine stalls", servers: 3, seeds: 200, options: Options{MachineStalls: true}},
	) {
		t.Run(tc.name, func(t *testing.T) { tc.notice(t) })
	}
}

func (tc weakened) notice(t *testing.T) {
	if tc.scene != nil {
		tc.stage(t)
		return
	}
	o := tc.options
	o.Servers = tc.servers
	if i := slices.IndexFunc(Weaks(), func(w Weak) bool { return w.Name == tc.name }); i >= 0 {
		o.Weaken, o.World = Weaks()[i].Node, Weaks()[i].World
	}
	if o.Weaken&(node.SameID|node.FoundAnyway) == 0 {
		o.Without = []string{"wipe"} // finds other things
	}
	first := max(tc.from, 1)
	for seed := first; seed < first+uint64(tc.seeds); seed++ {
		o.Seed = seed
		var v *Violation
		switch {
		case tc.quiet != "":
			seedRaft(t, seed)
			v = RunQuiet(o, tc.quiet).Violation
		default:
			v = playSeed(t, o).Violation
		}
		if v != nil && (tc.live || v.Kind != BrokenLiveness) {
			t.Logf("seed %d: %.200v", seed, v)
			return
		}
	}
	t.Errorf("no violation in %d seeds: the rule is not needed, or the simulator is blind", tc.seeds)
}

// stage plays the scene until a seed shows the rule.
func (tc weakened) stage(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		without := tc.name
		if !slices.ContainsFunc(Weaks(), func(w Weak) bool { return w.Name == tc.name }) {
			without = "" // what is left out is an assumption
		}
		if v := tc.scene.judge(t, seed, without); v != nil && (tc.live || v.Kind != BrokenLiveness) {
			t.Logf("seed %d: %.200v", seed, v)
			return
		}
	}
	t.Error("no violation in 10 seeds: the rule is not needed, or the simulator is blind")
}

// Goal: no rule is forgotten: each that can be left out is caught, or it is shown that
// others stand behind it.
func TestEveryRuleIsAccountedFor(t *testing.T) {
	for _, w := range Weaks() {
		isCaught := slices.ContainsFunc(caught, func(c weakened) bool { return c.name == w.Name })
		isBacked := slices.ContainsFunc(backed, func(b backedRule) bool { return b.name == w.Name })
		if isCaught == isBacked {
			t.Errorf("%s (%s): caught %v, backed %v: want one of the two", w.Name, w.Rule, isCaught, isBacked)
		}
	}
	for _, b := range backed {
		if !slices.ContainsFunc(Weaks(), func(w Weak) bool { return w.Name == b.name }) {
			t.Errorf("%q is no rule that can be left out", b.name)
		}
	}
}
