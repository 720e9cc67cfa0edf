package lab_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
)

// killPoints are moments of a move, after its acceptance, which takes some 200 ms in
// all: the stop is journalled, its process starts, its script runs, the result is
// written and agreed on; the same for the start.
const (
	killPoints    = 5  // for each of source, target and leader
	killPointsAll = 20 // with BATON_LAB_MATRIX=all
	killSpan      = 230 * time.Millisecond
)

// TestKillDuringMove kills batond -9 at points spread over a move, on the source, on the
// target and on the leader. Mostly it is started again, as init does: then the move is
// carried out as if nothing had been, each script run once; but for the millisecond in
// which a step is journalled and its process has not begun. Where batond is not
// started again, the server is lost. Always the group is online on exactly one server in the end, and the request
// has been carried out or has failed, and whoever asks is told.
func TestKillDuringMove(t *testing.T) {
	t.Parallel()
	for n, role := range []string{"source", "target", "leader"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, 3, "")
			points := killPoints
			if os.Getenv(matrixAll) == "all" {
				points = killPointsAll
			}
			every := killSpan / time.Duration(points)
			for i := range points {
				after := time.Duration(i)*every + time.Duration(n)*every/3
				again := i%3 != 2
				p.scenario(fmt.Sprintf("after %s, again %t", after, again), func() { p.killDuringMove(role, i, after, again) })
			}
			p.Verify()
		})
	}
}

func (p *play) killDuringMove(role string, i int, after time.Duration, again bool) {
	p.stage.Helper()
	victim := map[string]string{"source": "server1", "target": "server2", "leader": p.Leader()}[role]
	// Every other time the server that is asked is the one that is killed.
	asked := p.Other(victim)
	if i%2 == 1 {
		asked = victim
	}
	move := p.request(cluster.VerbMove, "A", "server2", asked)
	time.Sleep(after)
	p.KillBatond(victim)
	if again {
		time.Sleep(100 * time.Millisecond) // RestartSec of the unit file
		p.StartBatond(victim)
	}
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	op, err := move.Outcome(ctx)
	must(p.stage.T, err)
	p.stage.Logf("%s asked, %s killed: %s: %s: %s", asked, victim, op.String(), op.State, op.Text)
	if op.State != cluster.OpDone && op.State != cluster.OpFailed || op.Text == "" {
		p.stage.Errorf("%s: %s: %q, want done or failed, and a reason", op.String(), op.State, op.Text)
	}
	if again && p.lostStep(op.Begun) {
		// Killed between the journal and the step's process: the step counts as failed.
		p.settled()
		if op.State == cluster.OpDone {
			p.WaitOnline("A", "server2")
		} else {
			p.WaitOnline("A")
		}
		p.skip()
		return
	}
	if again {
		if op.State != cluster.OpDone {
			p.stage.Errorf("%s: %s: %s, want done", op.String(), op.State, op.Text)
		}
		p.rest(at("server2", "server2", "server1"))
		p.ran("A stop server1 GROUPMOVE", "A start server2 START")
		return
	}
	// The victim is lost, whatever had become of the move by then.
	switch victim {
	case "server1":
		p.rest(at("server2", "server2", "server2", victim, "down"))
	case "server2":
		p.rest(at("server1", "server1", "server1", victim, "down"))
	default:
		p.rest(at("server2", "server2", "server1", victim, "down"))
		p.ran("A stop server1 GROUPMOVE", "A start server2 START")
	}
}

// lostStep says whether a step has been reported as lost with its batond since then.
func (p *play) lostStep(since int64) bool {
	p.stage.Helper()
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	s := p.WaitStatus("there is a quorum", func(s *api.Status) bool { return s.Quorum })
	events, err := p.Get(s.Server).Client().Events(ctx, 0, 100)
	must(p.stage.T, err)
	return slices.ContainsFunc(events, func(e cluster.Event) bool {
		return e.At >= since && strings.Contains(e.Text, "lost when batond died")
	})
}
