package node

import (
	"testing"
	"time"

	"baton/core/epoch"
	"baton/core/lease"
)

// isNew takes each number once, in whatever order, up to 63 behind the newest.
func TestIsNew(t *testing.T) {
	p := &peer{}
	for _, tc := range []struct {
		seq  uint64
		want bool
	}{
		{1, true},
		{1, false},
		{3, true},
		{2, true},
		{2, false},
		{3, false},
		{70, true},
		{7, true}, // 63 behind
		{6, false},
		{7, false},
		{500, true},
		{70, false},
		{499, true},
		{499, false},
	} {
		if got := p.isNew(tc.seq); got != tc.want {
			t.Errorf("number %d at newest %d: got %v, want %v", tc.seq, p.seq, got, tc.want)
		}
		p.seq = max(p.seq, tc.seq)
	}
}

func TestStampOf(t *testing.T) {
	p := &peer{}
	for seq := uint64(1); seq <= stampRing+5; seq++ {
		p.stamps[seq%stampRing] = stamp{seq, lease.Instant(seq * 10)}
	}
	for _, tc := range []struct {
		seq  uint64
		at   lease.Instant
		want bool
	}{{0, 0, false}, {5, 0, false}, {6, 60, true}, {stampRing + 5, (stampRing + 5) * 10, true}, {stampRing + 6, 0, false}} {
		if at, ok := p.stampOf(tc.seq); ok != tc.want || ok && at != tc.at {
			t.Errorf("number %d: got %v, %v, want %v, %v", tc.seq, at, ok, tc.at, tc.want)
		}
	}
}

// isAlive: which life of a server a message may belong to.
func TestIsAlive(t *testing.T) {
	me := Life{epoch.NewRaftID(1, 1), 4}
	old := Life{epoch.NewRaftID(2, 1), 3}
	fresh := Message{HeardLife: me, HeardSeq: 8}
	for _, tc := range []struct {
		name string
		ever bool
		life Life
		m    Message
		want bool
	}{
		{"first word ever", false, old, Message{}, true},
		{"same life", true, old, Message{}, true},
		{"batond restarted there", true, Life{old.Raft, 4}, Message{}, true},
		{"a delayed message of an earlier start", true, Life{old.Raft, 2}, fresh, false},
		{"disk lost, shows that it hears us", true, Life{epoch.NewRaftID(2, 9), 1}, fresh, true},
		{"another raft id that does not know us", true, Life{epoch.NewRaftID(2, 9), 1}, Message{}, false},
		{"another raft id that knew our last life", true, Life{epoch.NewRaftID(2, 9), 1}, Message{HeardLife: Life{me.Raft, 3}, HeardSeq: 8}, false},
		{"another raft id that heard us long ago", true, Life{epoch.NewRaftID(2, 9), 1}, Message{HeardLife: me, HeardSeq: 7}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := &Node{p: lease.Params{Timeout: 100}, now: Now{Mono: 1000}, id: identity{Raft: me.Raft, Start: me.Start}}
			p := &peer{ever: tc.ever, life: old, seq: 40}
			p.stamps[7], p.stamps[8] = stamp{7, 899}, stamp{8, 900}
			tc.m.Life = tc.life
			if got := n.isAlive(p, tc.m); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if accepted := p.life == tc.life; tc.want && !accepted {
				t.Error("accepted without taking the life over")
			}
		})
	}
}

// What is seen on the CLUSTER partition shows that a server is alive: it is said, and it
// neither breaks the server's silence nor counts as a message.
func TestSeenOnDisk(t *testing.T) {
	cfg := testConfig(true)
	cfg.Paths, cfg.Disk = 3, true
	n := open(t, cfg, nil)
	n.Step(Now{Mono: 2_000_000_000}, Input{Seen: 3})
	n.Step(Now{Mono: 2_000_000_001}, Input{Seen: 2}) // itself
	n.Step(Now{Mono: 2_000_000_002}, Input{Seen: 9})
	for s, want := range map[int]bool{1: false, 2: false, 3: true} {
		if n.isSeen(s) != want {
			t.Errorf("server %d is seen: %t, want %t", s, !want, want)
		}
	}
	if n.isRecent(3) || n.peers[3].ever || n.silentFor(3) < time.Second {
		t.Errorf("server 3 counts as heard: %+v", n.peers[3])
	}
	if got, want := n.silence(3), "silent on 2 of 3 paths for 2s, but it still writes to the CLUSTER partition"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := n.silence(1), "silent on 3 of 3 paths for 2s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// A message that claims to have come by the disk did not.
	m := Message{Kind: MsgHeartbeat, From: 1, To: 2, Seq: 1, Life: Life{epoch.NewRaftID(1, 1), 1}}
	n.Step(Now{Mono: 2_000_000_003}, Input{Packet: &Packet{Path: 2, Message: m}})
	if n.isSeen(1) {
		t.Error("a message counts as a sight on the disk")
	}
	n.Step(Now{Mono: 2_000_000_000 + lease.Instant(n.p.Elect)}, Input{})
	if n.isSeen(3) {
		t.Error("still seen after Te")
	}
}

// Goal: two servers that have both changed their raft ids while they did not hear each
// other find out. Method: what each says of what it heard is handed to the other; both
// know only a former life of the other one, and none of their old numbers is recent.
func TestTwoNewIDs(t *testing.T) {
	const now = 100e9
	server := func(self int) *Node {
		n := &Node{cfg: Config{Self: self, Servers: []string{"s1", "s2"}}, now: Now{Mono: now}, start: 1, p: lease.Derive(3e9, 5e8)}
		n.half = newHalf(2)
		n.id = identity{Raft: epoch.NewRaftID(self, 20), Start: 2}
		n.peers = make([]peer, 3)
		n.peers[3-self] = peer{ever: true, heard: 1e9, life: Life{epoch.NewRaftID(3-self, 10), 2}, seq: 40, sent: 60}
		return n
	}
	a, b := server(1), server(2)
	hear := func(n *Node, m Message) bool {
		p := &n.peers[m.From]
		if !n.isAlive(p, m) {
			n.hearUnproven(p, m)
			return false
		}
		p.seq = m.Seq
		return true
	}
	// These two cross.
	if fromA, fromB := a.message(MsgHeartbeat, 2), b.message(MsgHeartbeat, 1); hear(b, fromA) || hear(a, fromB) {
		t.Fatal("a life is taken for the present one that has shown nothing")
	}
	if !hear(b, a.message(MsgHeartbeat, 2)) || !hear(a, b.message(MsgHeartbeat, 1)) {
		t.Errorf("they do not believe each other: %+v, %+v", a.peers[2].life, b.peers[1].life)
	}
}
