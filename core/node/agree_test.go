package node

import (
	"testing"

	"baton/core/epoch"
	"baton/core/lease"
)

// sealedNode is server 1 of three with this tie-breaker, sealed in an epoch, that has
// just heard the others; each of them has sealed too, with a log that ends at last.
func sealedNode(t *testing.T, last map[int]uint64, yields map[int]epoch.RaftID) *Node {
	t.Helper()
	id := func(s int) epoch.RaftID { return epoch.NewRaftID(s, 9) }
	n := &Node{
		cfg: Config{Self: 1, Servers: []string{"s1", "s2", "s3"}, WeakTiebreaker: true},
		now: Now{Mono: 100e9}, p: lease.Derive(3e9, 5e8), out: &Output{},
	}
	n.id = identity{Raft: id(1), Epoch: epoch.ID{Number: 4, Founder: id(2)}, Sealed: true}
	n.nextID = n.id
	n.half = newHalf(3)
	n.peers = make([]peer, 4)
	for s := 2; s <= 3; s++ {
		n.peers[s] = peer{ever: true, life: Life{Raft: id(s)}, epoch: n.id.Epoch, heard: n.now.Mono, echoed: n.now.Mono}
		n.half.seals[s] = sealWord{id: id(s), seal: Seal{
			LastTerm: 2, LastIndex: last[s], Voters: []epoch.RaftID{id(1), id(2), id(3)}, Yield: yields[s],
		}}
	}
	return n
}

// Goal: a yield is for one server, and moves on only when that one cannot found the
// epoch any more.
func TestYieldMovesOn(t *testing.T) {
	two, three := epoch.NewRaftID(2, 9), epoch.NewRaftID(3, 9)
	for _, tc := range []struct {
		name       string
		had        epoch.RaftID
		twoYielded epoch.RaftID
		want       epoch.RaftID
	}{
		{"the first time", 0, 0, three},
		{"to the same one again", three, 0, three},
		{"the other one may found", two, 0, two},
		{"the other one has yielded too", two, three, three},
	} {
		n := sealedNode(t, map[int]uint64{2: 7, 3: 9}, map[int]epoch.RaftID{2: tc.twoYielded})
		n.id.Yield, n.nextID.Yield = tc.had, tc.had
		n.yield(three)
		if n.nextID.Yield != tc.want {
			t.Errorf("%s: yields to %v, want %v", tc.name, n.nextID.Yield, tc.want)
		}
	}
	// Who lost its log cannot found anything either.
	n := sealedNode(t, nil, nil)
	n.nextID.Yield = two
	n.peers[2].life.Raft = epoch.NewRaftID(2, 10)
	if n.yield(three); n.nextID.Yield != three {
		t.Errorf("yields to %v, which is no more", n.nextID.Yield)
	}
}

// Goal: nobody founds an epoch after it has yielded, not even when the tie-breaker says
// that the epoch is its.
func TestYieldedNeverFounds(t *testing.T) {
	n := sealedNode(t, nil, nil)
	n.id.Claimed, n.nextID.Yield = true, epoch.NewRaftID(2, 9)
	n.foundIfMine(epoch.ID{Number: 5, Founder: n.id.Raft}, n.now.Mono)
	if n.half.founded {
		t.Error("it founds epoch 5")
	}
}

// Goal: an agreement does not wait for a claim that nobody can carry out any more. Server
// 2's claim has won, but it never heard so, and it has yielded to server 1 meanwhile.
func TestAgreeBesideTheRegister(t *testing.T) {
	one, two, three := epoch.NewRaftID(1, 9), epoch.NewRaftID(2, 9), epoch.NewRaftID(3, 9)
	for _, tc := range []struct {
		name       string
		top        epoch.ID
		twoYielded epoch.RaftID
		twoLost    bool
		want       uint64
	}{
		{"the register knows nothing", epoch.ID{}, one, false, 5},
		{"the register is at this epoch", epoch.ID{Number: 4, Founder: two}, one, false, 5},
		{"the next one is ours", epoch.ID{Number: 5, Founder: one}, one, false, 5},
		{"its owner may found it", epoch.ID{Number: 5, Founder: two}, 0, false, 0},
		{"its owner has yielded", epoch.ID{Number: 5, Founder: two}, one, false, 6},
		{"its owner has yielded to another one", epoch.ID{Number: 5, Founder: two}, three, false, 6},
		{"its owner has lost its log", epoch.ID{Number: 5, Founder: two}, 0, true, 6},
		{"its owner is not in the configuration", epoch.ID{Number: 5, Founder: epoch.NewRaftID(7, 9)}, one, false, 0},
		{"it is further, by a forced return", epoch.ID{Number: 6, Founder: two}, one, false, 7},
		{"it is further, and its owner may force it yet", epoch.ID{Number: 6, Founder: two}, 0, false, 0},
		{"it is further, and ours", epoch.ID{Number: 6, Founder: one}, one, false, 6},
	} {
		n := sealedNode(t, nil, map[int]epoch.RaftID{2: tc.twoYielded, 3: one})
		n.half.top = tc.top
		if tc.twoLost {
			n.peers[2].life.Raft = epoch.NewRaftID(2, 10)
		}
		if got := n.nextNumber(one); got != tc.want {
			t.Errorf("%s: founds epoch %d, want %d", tc.name, got, tc.want)
		}
	}
	// Its own, from a forced return that was cut short, is no reason to wait.
	n := sealedNode(t, nil, nil)
	n.half.top = epoch.ID{Number: 5, Founder: one}
	if got := n.nextNumber(two); got != 6 {
		t.Errorf("the next one is this server's, and another one is best: that founds epoch %d, want 6", got)
	}
}

// Goal: who has an epoch by forced returns that were cut short, and not the best log, yields it.
func TestYieldWhatWasForced(t *testing.T) {
	two := epoch.NewRaftID(2, 9)
	for _, tc := range []struct {
		name   string
		number uint64
		want   uint64
	}{
		{"forced", 5, 6},
		{"forced twice", 6, 7},
	} {
		n := sealedNode(t, nil, nil)
		n.half.top = epoch.ID{Number: tc.number, Founder: n.id.Raft}
		if got := n.nextNumber(two); got != tc.want {
			t.Errorf("%s: the other one founds epoch %d, want %d", tc.name, got, tc.want)
		}
	}
}

// L4, a seal says when its server last supported any leader: not the newest leadership only,
// for where its disk was slow to have the newer term it went on supporting the older one.
func TestSealTellsOfEverySupport(t *testing.T) {
	n := open(t, testConfig(true), stored(identity{Raft: epoch.NewRaftID(2, 5), Session: 7, Epoch: epoch.ID{Number: 1, Founder: epoch.NewRaftID(2, 5)}, Sealed: true}))
	n.now.Mono, n.support = 100e9, lease.NewSupport(0)
	n.support.Note(lease.Rank{Epoch: 1, Term: 5}, n.now.Mono.Add(-3e9))
	n.support.Note(lease.Rank{Epoch: 1, Term: 4}, n.now.Mono.Add(-1e9))
	if got := n.ownSeal().SupportAge; got != 1e9 {
		t.Errorf("the last support was %v ago, want 1s", got)
	}
}
