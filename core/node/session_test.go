package node

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"
)

func testConfig(clean bool) Config {
	names := []string{"s1", "s2", "s3"}
	return Config{
		Self: 2, Servers: names, Times: lease.Derive(time.Second, time.Second), Wait: time.Minute, Paths: 1,
		Boot: "boot-1", Rules: cluster.Config{Cluster: "c", Servers: names}, Random: func() uint64 { return 1 << 40 }, Clean: clean,
	}
}

// open opens a node and lets every batch become durable at once.
func open(t *testing.T, cfg Config, img Image) *Node {
	t.Helper()
	n, out, err := New(cfg, img, Now{Mono: 1000})
	if err != nil {
		t.Fatal(err)
	}
	settle(n, out)
	return n
}

func settle(n *Node, out Output) {
	for out.Batch != nil {
		out = n.Step(Now{Mono: n.now.Mono + 1}, Input{Written: out.Batch.ID})
	}
}

func stored(id identity) Image { return Image{{keyIdentity, mustJSON(id)}} }

// The numbers of sessions never come back: a stored one is followed by the next, an
// empty disk offers none before a leader has said which were ever opened.
func TestFirstSession(t *testing.T) {
	if got := open(t, testConfig(true), stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 7})).offer(); got != 8 {
		t.Errorf("after a stored session 7: offers %d, want 8", got)
	}
	n := open(t, testConfig(true), nil)
	if got := n.offer(); got != 0 {
		t.Fatalf("on an empty disk: offers %d before it can know what was used up", got)
	}
	seq := uint64(0)
	tell := func(opened uint64, heard Life) {
		seq++
		m := Message{Kind: MsgHeartbeat, From: 1, To: 2, Seq: seq, Life: Life{epoch.NewRaftID(1, 1), 1}, Leader: true, Opened: opened, HeardLife: heard, HeardSeq: 1}
		settle(n, n.Step(Now{Mono: 2000}, Input{Packet: &Packet{Message: m}}))
	}
	tell(0, n.life()) // from a leader without a lease: says nothing
	if got := n.offer(); got != 0 {
		t.Errorf("after a word that says nothing: offers %d", got)
	}
	tell(3+1, Life{epoch.NewRaftID(2, 5), 9})
	if got := n.offer(); got != 0 {
		t.Errorf("after a word to the life before this one: offers %d", got)
	}
	tell(4+1, n.life())
	if got := n.offer(); got != 5 {
		t.Errorf("after session 4 was the last opened: offers %d, want 5", got)
	}
	tell(6+1, n.life())
	if got := n.offer(); got != 5 {
		t.Errorf("a later word changed the session to %d", got)
	}
}

// A server that was shut down hears of it before its log says so: batond ends, and
// offers no session on the way. One that was started after that is not meant.
func TestShutDown(t *testing.T) {
	told := func(session, ended uint64, shut bool) (*Node, Output) {
		n := open(t, testConfig(true), stored(identity{Raft: epoch.NewRaftID(2, 5), Session: session}))
		m := Message{
			Kind: MsgHeartbeat, From: 1, To: 2, Seq: 1, Life: Life{epoch.NewRaftID(1, 1), 1}, Leader: true, Ended: ended, Shut: shut,
		}
		settle(n, n.Step(Now{Mono: 2000}, Input{Packet: &Packet{Message: m}}))
		n.Step(Now{Mono: 3000}, Input{}) // says that it leaves
		return n, n.Step(Now{Mono: 4000}, Input{})
	}
	if n, out := told(7, 8, true); !out.Exit || n.offer() != 0 {
		t.Errorf("session 8 was shut down: exit %t, offers %d; want an end", out.Exit, n.offer())
	}
	if n, out := told(7, 8, false); out.Exit || n.offer() != 9 {
		t.Errorf("session 8 is over: exit %t, offers %d; want the next session", out.Exit, n.offer())
	}
	if n, out := told(8, 8, true); out.Exit || n.offer() != 9 {
		t.Errorf("session 8 was shut down before batond was started with 9: exit %t, offers %d", out.Exit, n.offer())
	}
}

// Goal: batond ends when a leader says that its session was ended by a shutdown, even if
// its own log never says so: the vote was taken away before the log came.
func TestShutDownUntold(t *testing.T) {
	n := open(t, testConfig(true), stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 7}))
	n.state.Servers = []cluster.Server{{Name: n.name, State: cluster.ServerOnline, Session: n.id.Session, LastSession: n.id.Session}}
	settle(n, n.Step(Now{Mono: 2000}, Input{Packet: &Packet{Message: Message{
		Kind: MsgHeartbeat, From: 1, To: 2, Seq: 1, Life: Life{epoch.NewRaftID(1, 1), 1}, Leader: true, Ended: n.id.Session, Shut: true,
	}}}))
	n.Step(Now{Mono: 3000}, Input{})
	if out := n.Step(Now{Mono: 4000}, Input{}); !out.Exit {
		t.Errorf("it waits for its log; retired %t", n.retired)
	}
}

// Goal: batond was told to end, had nothing open, and let go; then its log says that the
// session which it had named until then was opened, and groups wait for it. It takes the
// session up again and leaves in order: nobody else could end what waits for it.
func TestOpenedAfterItLetGo(t *testing.T) {
	n := open(t, testConfig(true), stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 7}))
	named := n.offer()
	settle(n, n.Step(Now{Mono: 2000}, Input{Leave: &Leave{}}))
	settle(n, n.Step(Now{Mono: 2001}, Input{}))
	if named != 8 || n.offer() != 0 || !n.retired {
		t.Fatalf("named %d, and names %d after it let go (%t)", named, n.offer(), n.retired)
	}
	n.state.Servers = []cluster.Server{{Name: n.name, State: cluster.ServerStarting, Session: named, LastSession: named}}
	hear := Message{Kind: MsgHeartbeat, From: 1, To: 2, Seq: 1, Life: Life{epoch.NewRaftID(1, 1), 1}, Leader: true}
	settle(n, n.Step(Now{Mono: 2002}, Input{Packet: &Packet{Message: hear}}))
	out := n.Step(Now{Mono: 3000}, Input{})
	if n.offer() != named || out.Exit {
		t.Errorf("names %d, ends %t: want %d, and that it stays until the session is closed in order", n.offer(), out.Exit, named)
	}
	if n.retired {
		t.Error("it takes no lease, so nothing can be done under the session")
	}
}

// No two voters have the same rank, whatever the random part of their ids: two that
// stand at the same moment give each other no vote, again and again.
func TestRank(t *testing.T) {
	for _, random := range [][3]uint64{{1, 2, 3}, {3, 2, 1}, {2, 3, 1}, {5, 5, 5}} {
		n := &Node{}
		for i, r := range random {
			n.members.Voters = append(n.members.Voters, epoch.NewRaftID(i+1, r))
		}
		slices.Sort(n.members.Voters)
		for self := 1; self <= 3; self++ {
			n.cfg.Self = self
			if got, want := n.rank(), self-1; got != want {
				t.Errorf("incarnations %v: rank of server %d is %d, want %d", random, self, got, want)
			}
		}
	}
}

// The guard's page outlives a wiped store, and refuses what it has cleared.
func TestFirstSessionAboveWhatTheGuardCleared(t *testing.T) {
	cfg := testConfig(true)
	cfg.Over = 9
	if got := open(t, cfg, stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 3})).offer(); got != 10 {
		t.Errorf("offers %d, want 10", got)
	}
}

// Two changes of the identity in flight do not undo one another: the second is
// written with the first in it, before the disk has either.
func TestIdentityWritesBuildOnEachOther(t *testing.T) {
	n := open(t, testConfig(true), stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 7}))
	read := func() (id identity) {
		for _, kv := range n.draft.put {
			if string(kv.Key) == string(keyIdentity) {
				if err := json.Unmarshal(kv.Value, &id); err != nil {
					t.Fatal(err)
				}
			}
		}
		return id
	}
	n.out = &Output{}
	n.newSession()
	n.flushDraft()
	n.join(epoch.ID{Number: 2, Founder: 7}, epoch.ID{}, nil)
	if got := read(); got.Session != 9 || got.Epoch.Number != 2 {
		t.Errorf("written while a new session is on its way: session %d in epoch %v, want 9 in 2", got.Session, got.Epoch)
	}
	if n.id.Session != 8 || n.id.Epoch.Number != 0 {
		t.Errorf("in force before the disk has it: %+v", n.id)
	}
}

// A server with a lapsed lease offers nothing until the guard has cleared, and a round
// longer, and takes a new number then.
func TestLapsedSession(t *testing.T) {
	cfg := testConfig(false)
	cfg.Adopt = 5000
	n := open(t, cfg, stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 7}))
	if got := n.offer(); got != 7 {
		t.Fatalf("within the lease of an earlier batond: offers %d, want 7", got)
	}
	settle(n, n.Step(Now{Mono: 5000}, Input{}))
	if got := n.offer(); got != 0 {
		t.Errorf("lease over: offers %d", got)
	}
	settle(n, n.Step(Now{Mono: 5001}, Input{Cleared: 6}))
	if got := n.offer(); got != 0 {
		t.Errorf("another session was cleared: offers %d", got)
	}
	settle(n, n.Step(Now{Mono: 5002}, Input{Cleared: 7}))
	if got := n.offer(); got != 0 {
		t.Errorf("cleared just now: offers %d", got)
	}
	settle(n, n.Step(Now{Mono: lease.Instant(5001).Add(cfg.Times.Round)}, Input{}))
	if got := n.offer(); got != 0 {
		t.Errorf("cleared less than a round ago: offers %d", got)
	}
	settle(n, n.Step(Now{Mono: lease.Instant(5002).Add(cfg.Times.Round)}, Input{}))
	if got := n.offer(); got != 8 {
		t.Errorf("cleared a round ago: offers %d, want 8", got)
	}
}
