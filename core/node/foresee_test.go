package node

import (
	"strings"
	"testing"

	"baton/core/cluster"
)

// A forecast of failures counts the votes first: two of three servers take the
// majority with them, and what the third would do by the group rules does not happen.
func TestForeseeCountsVotes(t *testing.T) {
	servers := []string{"server1", "server2", "server3", "server4"}
	witness := Tie{Kind: "witness", Works: true}
	for _, tc := range []struct {
		name   string
		of     int      // servers of the cluster
		voters int      // the first so many vote
		down   []string // failed before, and still voting
		what   string
		tie    Tie
		halt   string // part of it; "" goes on
		if_    string // part of what it depends on
	}{
		{"one of three", 3, 3, nil, "server1 fails", Tie{}, "", ""},
		{"two of three", 3, 3, nil, "server1 and server2 fail", witness, "1 of 3 votes would be left (server3), and 2 are needed; who is left stops its groups within heartbeat.timeout, by killing them", ""},
		{"all of three", 3, 3, nil, "server1, server2 and server3 fail", Tie{}, "no vote would be left: nobody could decide or run anything before one of server1, server2, server3 is back", ""},
		{"one of two, none", 2, 2, nil, "server2 fails", Tie{}, "1 of 2 votes would be left (server1), which is no majority, and there is no tie-breaker", ""},
		{"one of two, witness", 2, 2, nil, "server2 fails", witness, "", "tie-breaker (witness)"},
		{"one of two, witness silent", 2, 2, nil, "server2 fails", Tie{Kind: "witness"}, "does not answer now", ""},
		{"two of four, disk", 4, 4, nil, "server1 and server4 fail", Tie{"disk", true}, "", "2 of 4 votes would be left (server2, server3)"},
		{"second of three, the first still votes", 3, 3, []string{"server1"}, "server2 fails", Tie{}, "1 of 3 votes would be left (server3), and 2 are needed", ""},
		{"who has no vote is not missed", 3, 2, nil, "server3 fails", Tie{}, "", ""},
		{"the last voter", 2, 1, nil, "server1 fails", Tie{}, "no vote would be left: nobody could decide or run anything before one of server1 is back", ""},
		{"an operation costs nobody's vote", 2, 2, nil, "shutdown server1", Tie{}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &cluster.State{}
			index := uint64(0)
			apply := func(c cluster.Command) { index++; s.Apply(index, c) }
			apply(cluster.Command{Kind: cluster.KindConfigure, Config: &cluster.Config{
				Cluster: "c", Servers: servers[:tc.of],
				Groups: []cluster.GroupConfig{{Name: "A", Policy: servers[:tc.of], Autostart: true}},
			}})
			for i, name := range servers[:tc.of] {
				apply(cluster.Command{Kind: cluster.KindArrive, Server: name, Session: uint64(i + 1), Boot: "b"})
			}
			apply(cluster.Command{Kind: cluster.KindBegin})
			for _, name := range tc.down {
				apply(cluster.Command{Kind: cluster.KindLost, Lost: []cluster.Loss{{Server: name, Session: s.Server(name).Session, Reason: "silent"}}})
			}
			v := &View{State: s, Voters: servers[:tc.voters]}
			c, err := s.Suppose(tc.what)
			if err != nil {
				t.Fatal(err)
			}
			f := v.Foresee(c, tc.tie)
			if (f.Halt == "") != (tc.halt == "") || !strings.Contains(f.Halt, tc.halt) {
				t.Errorf("halt: got %q, want %q", f.Halt, tc.halt)
			}
			if (f.Provided == "") != (tc.if_ == "") || !strings.Contains(f.Provided, tc.if_) {
				t.Errorf("provided: got %q, want %q", f.Provided, tc.if_)
			}
			if f.Halt == "" {
				return
			}
			if len(f.Runs) > 0 || len(f.Moves) != 1 || f.Moves[0].To != "" || f.Moves[0].State != cluster.GroupStopped {
				t.Errorf("nobody decides, and yet: %+v", f)
			}
		})
	}
}
