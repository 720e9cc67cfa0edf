package epoch

import (
	"cmp"
	"slices"
	"time"
)

// Members are the servers of an epoch's raft group.
type Members struct {
	Voters   []RaftID
	Learners []RaftID
}

// IsVoter reports whether r votes.
func (m Members) IsVoter(r RaftID) bool { return slices.Contains(m.Voters, r) }

// IsLearner reports whether r receives the log without a vote.
func (m Members) IsLearner(r RaftID) bool { return slices.Contains(m.Learners, r) }

// Presence is what the leader knows of one server.
type Presence struct {
	// ID is the raft id under which the server speaks now; 0: never heard.
	ID RaftID
	// Heard: lately, in this epoch, and it hears us.
	Heard bool
	// Gone: it has no session, and is silent for T or ends in order.
	Gone bool
	// Sealed: it has sealed this epoch, so that its vote counts for nothing (D8).
	Sealed bool
	// Age is how long ago it was heard last. Of several that are gone, the one silent
	// for longest is removed first: the others may still be there to agree.
	Age time.Duration
	// CaughtUp: its log has all but the newest few entries.
	CaughtUp bool
}

// ChangeKind is a kind of change of the configuration.
type ChangeKind uint8

// The changes, one server at a time.
const (
	AddLearner ChangeKind = iota + 1
	Promote               // a learner gets a vote
	Remove
)

// Change is the next change that a leader should propose.
type Change struct {
	Kind ChangeKind
	ID   RaftID
}

// Next returns the next change of the members, the zero Change if all is well.
// servers[i] is server number i+1; self leads and is never changed. tiebreaker says
// whether exactly half of the voters could go on.
//
// A server that lost its log comes back under a new id (D2): the new one learns
// first, then the old vote is taken away, then the new one votes, so that the vote
// is missing for as short as possible. A voter that is gone is removed, but without
// a tie-breaker never so that an odd number becomes an even one and stays it (D10):
// three voters with one down tolerate exactly as much as two, and the third may come
// back. Two that are gone are removed one after the other. One that has sealed is removed
// in any case: it comes back under a new id, and not before.
func Next(m Members, self RaftID, servers []Presence, tiebreaker bool) Change {
	at := func(r RaftID) Presence {
		if n := r.Server(); n >= 1 && n <= len(servers) {
			return servers[n-1]
		}
		return Presence{Gone: true}
	}
	for _, l := range m.Learners {
		if p := at(l); p.ID != 0 && p.ID != l || p.Gone || p.Sealed {
			return Change{Remove, l}
		}
	}
	ready := func(r RaftID) bool { p := at(r); return p.ID == r && p.Heard && p.CaughtUp }
	for _, v := range m.Voters {
		p := at(v)
		if v == self || p.ID == 0 || p.ID == v {
			continue
		}
		if m.IsLearner(p.ID) && ready(p.ID) {
			return Change{Remove, v}
		}
	}
	for _, l := range m.Learners {
		stale := slices.ContainsFunc(m.Voters, func(v RaftID) bool { return v.Server() == l.Server() })
		if ready(l) && !stale {
			return Change{Promote, l}
		}
	}
	var gone []RaftID
	for _, v := range m.Voters {
		if p := at(v); v != self && p.Sealed && p.ID == v {
			return Change{Remove, v}
		} else if v != self && p.Gone {
			gone = append(gone, v)
		}
	}
	if isOdd := len(m.Voters)%2 == 1; len(gone) > 1 || len(gone) == 1 && (tiebreaker || !isOdd) {
		return Change{Remove, slices.MaxFunc(gone, func(a, b RaftID) int { return cmp.Compare(at(a).Age, at(b).Age) })}
	}
	for _, p := range servers {
		if p.Heard && p.ID != 0 && p.ID != self && !m.IsVoter(p.ID) && !m.IsLearner(p.ID) {
			return Change{AddLearner, p.ID}
		}
	}
	return Change{}
}
