package epoch

import "testing"

func id(server int, inc uint64) RaftID { return NewRaftID(server, inc) }

func TestRaftID(t *testing.T) {
	r := NewRaftID(16, 0xabcdef)
	if r.Server() != 16 || r.Incarnation() != 0xabcdef {
		t.Errorf("got server %d incarnation %x", r.Server(), r.Incarnation())
	}
	if got, want := (ID{3, id(2, 0x1f)}).String(), "3/2.1f"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (ID{}).String(); got != "none" {
		t.Errorf("zero id prints %q", got)
	}
}

// Next, as a table: who is in, who is there, what comes next.
func TestNext(t *testing.T) {
	here := func(s int, inc uint64) Presence { return Presence{ID: id(s, inc), Heard: true, CaughtUp: true} }
	behind := func(s int, inc uint64) Presence { return Presence{ID: id(s, inc), Heard: true} }
	gone := func(s int, inc uint64) Presence { return Presence{ID: id(s, inc), Gone: true} }
	sealed := func(s int, inc uint64) Presence { return Presence{ID: id(s, inc), Sealed: true} }
	v := func(ids ...RaftID) []RaftID { return ids }
	for _, tc := range []struct {
		name    string
		m       Members
		servers []Presence
		tie     bool
		want    Change
	}{
		{"all well", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1))}, []Presence{here(1, 1), here(2, 1), here(3, 1)}, false, Change{}},
		{"founder alone takes the others in", Members{Voters: v(id(1, 1))}, []Presence{here(1, 1), behind(2, 1), behind(3, 1)}, false, Change{AddLearner, id(2, 1)}},
		{"learner behind", Members{v(id(1, 1)), v(id(2, 1))}, []Presence{here(1, 1), behind(2, 1)}, false, Change{}},
		{"learner caught up", Members{v(id(1, 1)), v(id(2, 1))}, []Presence{here(1, 1), here(2, 1)}, false, Change{Promote, id(2, 1)}},
		{"three stay three without tie-breaker", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1))}, []Presence{here(1, 1), here(2, 1), gone(3, 1)}, false, Change{}},
		{"three become two with one", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1))}, []Presence{here(1, 1), here(2, 1), gone(3, 1)}, true, Change{Remove, id(3, 1)}},
		{"five with two gone become four", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1), id(4, 1), id(5, 1))}, []Presence{here(1, 1), gone(2, 1), here(3, 1), here(4, 1), gone(5, 1)}, false, Change{Remove, id(2, 1)}},
		{"the one silent for longer first", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1))}, []Presence{here(1, 1), gone(2, 1), {ID: id(3, 1), Gone: true, Age: 1}}, true, Change{Remove, id(3, 1)}},
		{"and then three", Members{Voters: v(id(1, 1), id(3, 1), id(4, 1), id(5, 1))}, []Presence{here(1, 1), gone(2, 1), here(3, 1), here(4, 1), gone(5, 1)}, false, Change{Remove, id(5, 1)}},
		{"three become one", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1))}, []Presence{here(1, 1), gone(2, 1), gone(3, 1)}, false, Change{Remove, id(2, 1)}},
		{"two become one", Members{Voters: v(id(1, 1), id(2, 1))}, []Presence{here(1, 1), gone(2, 1)}, false, Change{Remove, id(2, 1)}},
		{"four become three", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1), id(4, 1))}, []Presence{here(1, 1), here(2, 1), here(3, 1), gone(4, 1)}, false, Change{Remove, id(4, 1)}},
		{"of three one has sealed", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1))}, []Presence{here(1, 1), here(2, 1), sealed(3, 1)}, false, Change{Remove, id(3, 1)}},
		{"and is back under a new id", Members{Voters: v(id(1, 1), id(2, 1))}, []Presence{here(1, 1), here(2, 1), behind(3, 2)}, false, Change{AddLearner, id(3, 2)}},
		{"a learner has sealed", Members{v(id(1, 1), id(2, 1)), v(id(3, 1))}, []Presence{here(1, 1), here(2, 1), sealed(3, 1)}, false, Change{Remove, id(3, 1)}},
		{"the last voter stays", Members{Voters: v(id(1, 1))}, []Presence{gone(1, 1)}, true, Change{}},
		{"self is never removed", Members{Voters: v(id(1, 1), id(2, 1))}, []Presence{gone(1, 1), here(2, 1)}, true, Change{}},
		{"log lost: the new id learns first", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1))}, []Presence{here(1, 1), here(2, 1), behind(3, 2)}, false, Change{AddLearner, id(3, 2)}},
		{"log lost: then the old vote goes", Members{v(id(1, 1), id(2, 1), id(3, 1)), v(id(3, 2))}, []Presence{here(1, 1), here(2, 1), here(3, 2)}, false, Change{Remove, id(3, 1)}},
		{"log lost: then the new one votes", Members{v(id(1, 1), id(2, 1)), v(id(3, 2))}, []Presence{here(1, 1), here(2, 1), here(3, 2)}, false, Change{Promote, id(3, 2)}},
		{"log lost twice", Members{v(id(1, 1), id(2, 1), id(3, 1)), v(id(3, 2))}, []Presence{here(1, 1), here(2, 1), behind(3, 3)}, false, Change{Remove, id(3, 2)}},
		{"never heard is not another id", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1))}, []Presence{here(1, 1), here(2, 1), {}}, false, Change{}},
		{"a server that left the configuration", Members{Voters: v(id(1, 1), id(2, 1), id(3, 1), id(4, 1))}, []Presence{here(1, 1), here(2, 1), here(3, 1)}, false, Change{Remove, id(4, 1)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Next(tc.m, id(1, 1), tc.servers, tc.tie); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// Whatever the presence, following Next never empties the voters and ends.
func TestNextEnds(t *testing.T) {
	self := id(1, 1)
	for bits := range 1 << 6 {
		servers := []Presence{{ID: self, Heard: true, CaughtUp: true}}
		for s := 2; s <= 3; s++ {
			b := bits >> (3 * (s - 2))
			servers = append(servers, Presence{ID: id(s, uint64(1+b&1)), Heard: b&2 != 0, Gone: b&2 == 0 && b&4 != 0, CaughtUp: b&2 != 0})
		}
		m := Members{Voters: []RaftID{self, id(2, 1), id(3, 1)}}
		for step := 0; ; step++ {
			c := Next(m, self, servers, true)
			if c == (Change{}) {
				break
			}
			if step > 12 {
				t.Fatalf("bits %b: no end, members %v", bits, m)
			}
			m = apply(m, c)
			if !m.IsVoter(self) {
				t.Fatalf("bits %b: removed itself", bits)
			}
		}
	}
}

func apply(m Members, c Change) Members {
	without := func(in []RaftID) (out []RaftID) {
		for _, r := range in {
			if r != c.ID {
				out = append(out, r)
			}
		}
		return out
	}
	m = Members{without(m.Voters), without(m.Learners)}
	switch c.Kind {
	case AddLearner:
		m.Learners = append(m.Learners, c.ID)
	case Promote:
		m.Voters = append(m.Voters, c.ID)
	}
	return m
}
