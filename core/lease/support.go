package lease

import "slices"

// Rank orders leaderships: a higher epoch, or a higher term of the same epoch.
type Rank struct{ Epoch, Term uint64 }

// Less reports whether r is an older leadership than o.
func (r Rank) Less(o Rank) bool {
	return r.Epoch < o.Epoch || r.Epoch == o.Epoch && r.Term < o.Term
}

// Support is what a voter remembers of the leaders it supported (L1).
//
// Last is when it last supported the leadership Rank; Former when it last supported
// any earlier one. Both begin at the start of the process: what was supported
// before a restart is not remembered, so it may have been supported until then.
type Support struct {
	Rank   Rank
	Last   Instant
	Former Instant
}

// NewSupport is the memory of a voter whose process has started now.
func NewSupport(now Instant) Support { return Support{Last: now, Former: now} }

// Note records that the voter supports r now. A leader notes for itself the newest
// send stamp that its own lease was based on, which may lie before now.
func (s *Support) Note(r Rank, now Instant) {
	switch {
	case r == s.Rank:
		s.Last = max(s.Last, now)
	case s.Rank.Less(r):
		s.Former = max(s.Former, s.Last)
		s.Rank, s.Last = r, now
	default:
		// An older leadership was supported after all: count it as a former one.
		s.Former = max(s.Former, now)
	}
}

// never is later than every instant that a clock shows.
const never = Instant(1) << 62

// Basis returns the newest instant b such that a majority of the voters has
// supported a heartbeat sent at b or later (L2). supported holds, for each voter,
// the send stamp of the newest heartbeat that it supported, 0 for none; the leader
// itself counts as now. It returns 0 where there is no such majority, and for no
// voters at all.
func Basis(supported []Instant) Instant {
	if len(supported) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(supported))
	return s[(len(s)-1)/2]
}

// Unknown marks, in the argument of FormerOver, a voter that has not said yet when
// it last supported a former leader.
const Unknown = never

// FormerOver returns W, the moment by which every lease that a former leader could
// have granted is over (L4): a majority has not supported one since, and any lease
// needed a majority. former holds for each voter of the configuration that elected
// the leader when it last supported a former leadership, Unknown where it has not
// said. The second result is false while no majority has said so.
func FormerOver(former []Instant, p Params) (Instant, bool) {
	if len(former) == 0 {
		return 0, false
	}
	s := slices.Sorted(slices.Values(former))
	w := s[len(s)/2]
	if w >= never {
		return 0, false
	}
	return w.Add(p.Timeout), true
}

// Silence is what a leader knows of a server whose session it may have to end.
type Silence struct {
	// Heard is when a message of it last arrived; Echoed is the sending of the
	// newest message of ours that it has shown to have received; Granted is when it
	// was last granted a lease. Led is when this leadership began.
	Heard, Echoed, Granted, Led Instant
	// Here is when it was last heard as a member of this epoch. One that does not come
	// over (its disk hangs, say) is granted nothing, however well it is heard.
	Here Instant
	// Useless: it is heard, and has been of no use for so long that it gets no grants.
	Useless bool
}

// Over reports whether the lease of a server that is lost to us is over (L5): W has
// passed, and for T nothing was heard of it, or nothing that shows that it hears
// us, or nothing of this epoch; and for T it was granted nothing. That last condition and
// W make it safe; the others only spare a server that is well.
func (s Silence) Over(now, w Instant, p Params) bool {
	if now < w || now < s.Granted.Add(p.Timeout) {
		return false
	}
	silent := now >= s.Heard.Add(p.Timeout)
	mute := now >= s.Led.Add(p.Timeout) && now >= s.Echoed.Add(p.Timeout)
	away := now >= s.Led.Add(p.Timeout) && now >= s.Here.Add(p.Timeout)
	return silent || mute || away || s.Useless
}

// Held is a server's own lease. Once its end has passed it is over for good: only a
// new session gets a new one.
type Held struct {
	End    Instant // 0: never granted
	Lapsed bool
}

// Valid reports whether the lease runs at now.
func (h Held) Valid(now Instant) bool { return h.End != 0 && !h.Lapsed && now < h.End }

// Extend moves the end of a lease that is not over. It reports whether the end has
// moved.
func (h *Held) Extend(now, end Instant) bool {
	if h.Lapsed || h.End != 0 && now >= h.End || end <= h.End || end <= now {
		return false
	}
	h.End = end
	return true
}

// Lapse marks the lease as over if its end has passed, and reports whether it is
// over now and was not before.
func (h *Held) Lapse(now Instant) bool {
	if h.Lapsed || h.End == 0 || now < h.End {
		return false
	}
	h.Lapsed = true
	return true
}
