package node

import (
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"
)

// Of two histories the one with the lower epoch gives up. A tie-breaker that keeps its
// promise leaves no lease under the older epoch that lasts for more than L - Te, and
// such a one goes on (L7); one that lasts longer, or a forced return in only one of the two,
// shows that both histories were alive: the groups are stopped at once, and it is said.
func TestOvertaken(t *testing.T) {
	p := lease.Derive(time.Second, time.Second)
	forced := epoch.ID{Number: 1, Founder: epoch.NewRaftID(1, 9)}
	for _, tc := range []struct {
		name         string
		left         time.Duration
		mine, theirs epoch.ID // the forced return that each history goes on from
		fire         bool
	}{
		{"no lease", 0, epoch.ID{}, epoch.ID{}, false},
		{"no lease, forced", 0, epoch.ID{}, forced, false},
		{"what a promise that is kept can leave", p.Lease - p.Elect, epoch.ID{}, epoch.ID{}, false},
		{"a leader with a majority", p.Lease - p.Round, epoch.ID{}, epoch.ID{}, true},
		{"the other one was forced", time.Millisecond, epoch.ID{}, forced, true},
		{"this one was forced", time.Millisecond, forced, epoch.ID{}, true},
		{"both were, as one", p.Lease - p.Elect, forced, forced, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := open(t, testConfig(true), stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 7, Epoch: epoch.ID{Number: 1, Founder: epoch.NewRaftID(2, 5)}, Forced: tc.mine}))
			now := n.now.Mono + 10
			if tc.left > 0 {
				n.held = lease.Held{End: now.Add(tc.left)}
			}
			m := Message{
				Kind: MsgHeartbeat, From: 1, To: 2, Seq: 1, Life: Life{epoch.NewRaftID(1, 1), 1}, Leader: true,
				Epoch: epoch.ID{Number: 2, Founder: epoch.NewRaftID(1, 1)}, Term: 3, Forced: tc.theirs,
			}
			out := n.Step(Now{Mono: now}, Input{Packet: &Packet{Message: m}})
			if out.Fire != tc.fire || n.held.Valid(now) != (tc.left > 0 && !tc.fire) {
				t.Errorf("fires %t, lease valid %t; want %t", out.Fire, n.held.Valid(now), tc.fire)
			}
			told := false
			for out.Batch != nil {
				out = n.Step(Now{Mono: n.now.Mono + 1}, Input{Written: out.Batch.ID})
				for _, s := range out.Send {
					if s.Kind != MsgPropose {
						continue
					}
					c, err := cluster.DecodeCommand(s.Payload)
					told = err == nil && c.Code == cluster.CodeTwoHistories && c.Severity == cluster.Error &&
						s.To == 1 && s.Epoch.Number == 2 && strings.Contains(c.Text, "s1 went on without it (epoch 2)")
				}
			}
			if n.id.Epoch.Number != 2 || n.id.Forced != tc.theirs {
				t.Errorf("is in epoch %v, of forced return %v", n.id.Epoch, n.id.Forced)
			}
			if told != tc.fire {
				t.Errorf("tells the new leader of two histories: %t, want %t", told, tc.fire)
			}
		})
	}
}

// A forced return does not found an epoch that may be somebody else's, by the register's
// word or because this server has yielded it: when that one boots, it is to join what the
// operator has let go on.
func TestForcedAboveOthers(t *testing.T) {
	one := epoch.NewRaftID(1, 1)
	for _, tc := range []struct {
		name string
		top  epoch.ID
		to   epoch.RaftID
		want uint64
	}{
		{"nobody else's", epoch.ID{}, 0, 2},
		{"the register has given three away", epoch.ID{Number: 4, Founder: one}, 0, 5},
		{"yielded", epoch.ID{}, one, 3},
		{"yielded, and given away", epoch.ID{Number: 2, Founder: one}, one, 4},
		{"yielded what the register had given to it", epoch.ID{Number: 2, Founder: epoch.NewRaftID(2, 5)}, one, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(true)
			cfg.Tiebreaker = true
			id := identity{Raft: epoch.NewRaftID(2, 5), Session: 7, Sealed: true, Yield: tc.to, Epoch: epoch.ID{Number: 1, Founder: epoch.NewRaftID(2, 5)}}
			n := open(t, cfg, stored(id))
			n.half.calls = []registerUse{{id: 1}, {id: 2}}
			n.Step(Now{Mono: n.now.Mono + 1}, Input{Register: &RegisterAnswer{ID: 2, Top: tc.top}})
			// The answer to an earlier call is late: it does not know that yet.
			n.Step(Now{Mono: n.now.Mono + 1}, Input{Register: &RegisterAnswer{ID: 1, Top: id.Epoch}})
			n.Step(Now{Mono: n.now.Mono + 1}, Input{Force: &Force{}})
			out := n.Step(Now{Mono: n.now.Mono + 1}, Input{})
			want := epoch.ID{Number: tc.want, Founder: n.id.Raft}
			if len(out.Register) != 1 || out.Register[0].Raise != want {
				t.Fatalf("register calls %+v, want to raise it to epoch %v", out.Register, want)
			}
			settle(n, out)
			if n.id.Epoch != want {
				t.Errorf("is in epoch %v, want %v", n.id.Epoch, want)
			}
		})
	}
}

// An answer to a call of the epoch before, that comes when this server has entered another
// one, is not one to its new calls.
func TestAnswerOfTheEpochBefore(t *testing.T) {
	cfg := testConfig(true)
	cfg.Tiebreaker = true
	n := open(t, cfg, stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 7, Epoch: epoch.ID{Number: 1, Founder: epoch.NewRaftID(2, 5)}}))
	n.out = &Output{}
	n.ask(RegisterCall{}, registerUse{kind: useRead})
	old := n.out.Register[0].ID
	n.join(epoch.ID{Number: 2, Founder: epoch.NewRaftID(1, 1)}, epoch.ID{}, nil)
	settle(n, n.flush())
	n.out = &Output{}
	n.ask(RegisterCall{}, registerUse{kind: useRead})
	n.Step(Now{Mono: n.now.Mono + 1}, Input{Register: &RegisterAnswer{ID: old, Top: epoch.ID{Number: 1, Founder: epoch.NewRaftID(2, 5)}}})
	if n.id.Epoch.Number != 2 || n.half.readAt != 0 {
		t.Errorf("epoch %v, read at %d: an answer of epoch 1 is taken for one of epoch 2", n.id.Epoch, n.half.readAt)
	}
}
