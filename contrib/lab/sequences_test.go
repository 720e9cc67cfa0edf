package lab_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// seedEnv replays one sequence: BATON_LAB_SEED=7 go test -run TestSequences ./contrib/lab
const seedEnv = "BATON_LAB_SEED"

const (
	sequences      = 5  // in make test
	sequencesAll   = 50 // with BATON_LAB_MATRIX=all
	sequenceLength = 7
)

// The clusters in which sequences are played, in turn by seed. All have a tie-breaker, so
// that servers may fail down to the last one.
var sequenceWorlds = []struct {
	name    string
	servers int
	options []lab.Option
	// failback: groups may go home by themselves.
	failback bool
	set      func(*oracle)
}{
	{"three, return by hand", 3, []lab.Option{lab.Tiebreaker("witness")}, false, func(*oracle) {}},
	{"three, automatic return and failback of B", 3, []lab.Option{
		lab.Tiebreaker("witness"), lab.ReturnAuto(),
		func(o *lab.Options) { o.Groups[1].Config = "failback = \"auto\"" },
	}, true, func(o *oracle) { o.returnAuto, o.failback["B"] = true, true }},
	{"four, C starts by hand", 4, []lab.Option{
		lab.Tiebreaker("disk"), func(o *lab.Options) { o.Groups[2].Manual = true },
	}, false, func(o *oracle) { o.manual["C"] = true }},
}

// Random sequences of operations and failures, each from everything at home: after every
// step each server and group must be where the oracle says, and the scripts that ran must
// be the ones it says, with their variables, no run more. A sequence is named by its seed,
// and the first line of a failure's steps is the command that replays it.
func TestSequences(t *testing.T) {
	t.Parallel()
	n := sequences
	if os.Getenv(matrixAll) == "all" {
		n = sequencesAll
	}
	var seeds []uint64
	if text := os.Getenv(seedEnv); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		must(t, err)
		seeds = []uint64{seed}
	} else {
		// Another part of the space each day would be a test that fails by itself: the
		// same seeds always, until somebody asks for others.
		for i := range n {
			seeds = append(seeds, uint64(i+1))
		}
	}
	for k, w := range sequenceWorlds {
		ours := slices.DeleteFunc(slices.Clone(seeds), func(s uint64) bool { return int(s%uint64(len(sequenceWorlds))) != k })
		if len(ours) == 0 {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, w.servers, "", w.options...)
			for _, seed := range ours {
				p.on(fmt.Sprintf("seed %d", seed), func() {
					if w.failback {
						defer p.HandOver()() // a failback is as quick as a move, and nobody asks for it
					}
					p.home()
					p.sequence(seed, w.set)
					p.Verify()
				})
			}
		})
	}
}

func (p *play) sequence(seed uint64, set func(*oracle)) {
	p.stage.Helper()
	var names []string
	for _, s := range p.Lab.Servers {
		names = append(names, s.Name)
	}
	o := newOracle(names, p.policy)
	set(o)
	random := rand.New(rand.NewPCG(seed, 0))
	p.stage.Logf("%s=%d go test -run TestSequences ./contrib/lab", seedEnv, seed)
	for range sequenceLength {
		all := o.steps()
		s := all[random.IntN(len(all))]
		// Operations are many by their words, failures few: every other step is a failure,
		// or what mends one.
		if random.IntN(2) == 0 {
			all = slices.DeleteFunc(all, func(s step) bool { return s.group != "" })
			s = all[random.IntN(len(all))]
		}
		p.stage.Logf("%s", s)
		p.carryOut(o, s, random)
		p.rest(o.scene())
		p.votesGone(o)
		p.ran(o.runs...)
		if p.stage.Failed() {
			p.stage.FailNow() // what follows would only repeat it
		}
	}
}

// verbs of the steps that are operations.
var stepVerbs = map[string]cluster.Verb{
	"start": cluster.VerbStart, "stop": cluster.VerbStop, "move": cluster.VerbMove, "failover": cluster.VerbFailover,
	"disconnect": cluster.VerbDisconnect, "return": cluster.VerbReturn, "shutdown": cluster.VerbShutdown,
}

// carryOut does what a step says, to the cluster and to the oracle.
func (p *play) carryOut(o *oracle, s step, random *rand.Rand) {
	p.stage.Helper()
	if verb, ok := stepVerbs[s.verb]; ok {
		p.operation(o, s, verb, random)
		return
	}
	on := o.on[s.server]
	o.play(s)
	switch s.verb {
	case "power cut":
		p.PowerCut(s.server)
	case "boot":
		if on {
			p.StartBatond(s.server)
		} else {
			p.PowerOn(s.server)
		}
	case "end of batond":
		p.KillBatond(s.server)
	case "restart of batond":
		p.KillBatond(s.server)
		time.Sleep(100 * time.Millisecond) // RestartSec of the unit file
		p.StartBatond(s.server)
	case "cut off and back":
		must(p.stage.T, p.CutOff(s.server))
		if len(o.online()) > 1 {
			p.elsewhere(o, s.server)
		}
		must(p.stage.T, p.Heal())
	case "cluster shutdown and start":
		p.shuttingDown()()
		p.startUp(o.servers...)
	case "blackout":
		p.lightsOut()
		p.startUp(o.servers...)
	}
}

// lightsOut takes the power from every server that has any, at once.
func (p *play) lightsOut() {
	p.stage.Helper()
	var on []string
	for _, s := range p.Lab.Servers {
		if s.On() {
			on = append(on, s.Name)
		}
	}
	p.powerCuts(on...)
}

// elsewhere waits until the others have taken over from a server that is cut off.
func (p *play) elsewhere(o *oracle, server string) {
	p.stage.Helper()
	p.WaitStatus(server+" is down", func(s *api.Status) bool {
		if !s.Quorum || s.Server == server || stateOf(s, server) != string(cluster.ServerDown) {
			return false
		}
		return !slices.ContainsFunc(s.Groups, func(g api.Group) bool { return g.Step != nil || g.Server == server })
	})
}

// operation has some server accept or refuse it; any will do that has a batond.
func (p *play) operation(o *oracle, s step, verb cluster.Verb, random *rand.Rand) {
	p.stage.Helper()
	var asked []string
	for _, server := range o.servers {
		if o.state[server] == "online" || o.state[server] == "detached" {
			asked = append(asked, server)
		}
	}
	by := asked[random.IntN(len(asked))]
	var gone func() // of the batond that is shut down
	if verb == cluster.VerbShutdown && p.Get(s.server).Batond() != nil {
		wait := p.Get(s.server).ExpectEnd()
		gone = func() {
			ctx, cancel := contextOf(playLimit)
			defer cancel()
			must(p.stage.T, wait(ctx))
		}
	}
	r, err := p.try(verb, s.group, s.server, by)
	for end := time.Now().Add(playLimit); isRefusal(err, cluster.RefusedServerNotReady) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // it is just leaving, and may be asked again in a moment
		r, err = p.try(verb, s.group, s.server, by)
	}
	switch accepted := o.play(s); {
	case accepted && err != nil:
		p.stage.Fatalf("%s, asked of %s: %v; must be accepted", s, by, err)
	case accepted:
		p.outcome(r, cluster.OpDone)
		if gone != nil {
			gone()
		}
	case err == nil:
		p.stage.Fatalf("%s, asked of %s: accepted; must be refused", s, by)
	case isRefusal(err, api.CodeNoQuorum) || isRefusal(err, api.CodeNoAnswer) || isRefusal(err, api.CodeStopping) || strings.TrimSpace(err.Error()) == "":
		p.stage.Fatalf("%s, asked of %s: %v; must be refused by the rules", s, by, err)
	}
}

// votesGone waits until the servers that are not there do not vote any more: from then on
// the cluster stands the next failure.
func (p *play) votesGone(o *oracle) {
	p.stage.Helper()
	p.WaitStatus("those that are gone do not vote", func(s *api.Status) bool {
		return s.Quorum && !slices.ContainsFunc(s.Servers, func(v api.Server) bool {
			return v.Voter && (v.State == string(cluster.ServerDown) || v.State == string(cluster.ServerStopped))
		})
	})
}
