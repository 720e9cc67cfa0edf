package sim

import (
	"slices"
	"time"

	"baton/core/node"

	pb "go.etcd.io/raft/v3/raftpb"
)

// This file has the scenes for the rules about seals, claims and tie-breakers.

// contested plays what D5 and D8 meet in. A leads {A, B, X} and takes X's vote away, which
// it does not hear; B has that change, X too, and neither learns that it is committed. A,
// which goes on with B, is then cut off. B and X seal, and are half of {A, B, X} and of
// {A, B}. In the end X has sealed, and B just after it, whom the register does not answer.
// What A has told X as the leader of {A, B} is kept.
func (w *world) contested(a, b, x *server) (told *node.Message, fails string) {
	late := w.gate(datagrams(way(a, x)))
	w.gate(datagrams(way(x, a)))
	change := uint64(0) // its index
	w.gate(func(m *node.Message) bool {
		r := raftMessage(m)
		if r == nil || m.From != a.number {
			return false
		}
		for _, e := range r.GetEntries() {
			if e.GetType() == pb.EntryConfChange {
				change = e.GetIndex()
			}
		}
		return change != 0 && r.GetCommit() >= change
	})
	w.gate(streams(between(b, x)))
	isWord := func(m *node.Message) bool { return m.Kind == node.MsgHeartbeat && m.Leader && len(m.Voters) == 2 }
	if !w.when(6*time.Second, func() bool { return late.last(isWord) != nil }) {
		return nil, "X keeps its vote"
	}
	w.gate(around(a))
	w.register.down[a.number], w.register.down[b.number] = true, true
	if !w.when(3*time.Second, func() bool { return x.seen.sealed }) {
		return nil, "X does not seal"
	}
	return late.last(isWord), ""
}

// claims waits until the register has given X the next epoch, which X, that does not get
// the answer, cannot know; false: it does not claim.
func (w *world) claims(b, x *server) bool {
	w.register.mute[x.number] = true
	w.when(1500*time.Millisecond, func() bool { return b.seen.sealed })
	w.runUntil(w.now + 50*time.Millisecond)
	w.gate(between(b, x)) // of two with logs as good the one that is not there does not claim
	return w.when(w.times.Elect+500*time.Millisecond, func() bool { return w.register.isAhead(1) })
}

// atPeace ends all that a scene has set up.
func (w *world) atPeace() {
	w.gates = nil
	clear(w.register.down)
	clear(w.register.mute)
}

var (
	// D5 and D8: who may have claimed does not drop its log, whatever it is told (H18). X
	// has won the next epoch, and hears late that A goes on without it. A is off.
	sceneClaimed = scene{"claimed", Options{Servers: 3, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, x := p[0], p[1], p[2]
		told, fails := w.contested(a, b, x)
		if fails != "" {
			return fails
		}
		if !w.claims(b, x) {
			return "X does not claim"
		}
		w.gates[0].deliver(*told)
		w.runUntil(w.now + 100*time.Millisecond)
		a.kept = true
		a.powerOff()
		w.atPeace()
		return w.endsOn(20*time.Second, b, x)
	}}
	// The same; X is killed before its disk has that it claims. If it did, nobody else can
	// ever go on without it, and X is off in the end.
	sceneClaiming = scene{"claiming", Options{Servers: 3, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		a, b, x := p[0], p[1], p[2]
		told, fails := w.contested(a, b, x)
		if fails != "" {
			return fails
		}
		x.hang()
		w.claims(b, x)
		w.register.down[x.number] = true
		x.crash()
		x.unhang()
		x.start()
		w.runUntil(w.now + 20*time.Millisecond)
		w.gates[0].deliver(*told)
		w.runUntil(w.now + 100*time.Millisecond)
		x.kept = true
		x.powerOff()
		w.atPeace()
		return w.endsOn(20*time.Second, a, b)
	}}
	// D4, the register is read before a seal. It is out of reach; two and two do not hear
	// each other for a while. Then they do, and one dies: three of four need no register.
	sceneUnread = scene{"unread", Options{Servers: 4, Tie: TieRegister}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		for i := range w.register.down {
			w.register.down[i] = true
		}
		for _, s := range p[:2] {
			w.gate(between(s, p[2]))
			w.gate(between(s, p[3]))
		}
		w.runUntil(w.now + 4*time.Second)
		w.gates = nil
		p[3].kept = true
		p[3].powerOff()
		return w.endsOn(30*time.Second, p[:3]...)
	}}
	// T3, an agent's status is asked. The agents say that they have powered the other one
	// off, and have not.
	sceneDeaf = scene{"deaf agents", Options{Servers: 2, Tie: TieFence}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		for i := range w.fence.deaf {
			w.fence.deaf[i] = true
		}
		w.gate(between(p[0], p[1]))
		w.runUntil(w.now + 20*time.Second)
		return ""
	}}
	// The same with agents whose status lies: that breaks the promise of the tie-breaker.
	sceneLying = scene{"lying agents", Options{Servers: 2, Tie: TieFence}, func(w *world) string {
		for i := range w.fence.lying {
			w.fence.lying[i] = true
		}
		return sceneDeaf.play(w)
	}}
	// D12, T3, a yield is durable before it is told. Y yields to X, which founds; Y is
	// killed before it has that on disk, and does not hear X any more. It powers X off; X
	// boots, and goes on with what it has founded.
	sceneYielding = scene{"yielding", Options{Servers: 2, Tie: TieFence}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		apart := w.gate(between(p[0], p[1]))
		if !w.when(4*time.Second, func() bool {
			for _, s := range p {
				w.register.down[s.number] = w.register.down[s.number] || s.seen.sealed
			}
			return p[0].seen.sealed && p[1].seen.sealed
		}) {
			return "they do not seal"
		}
		w.runUntil(w.now + 400*time.Millisecond)
		x, y := p[0], p[1]
		seal := func(s *server) *node.Message {
			return apart.last(func(m *node.Message) bool { return m.From == s.number && m.Seal != nil })
		}
		if sx, sy := seal(x), seal(y); slices.Compare(rankOf(sx), rankOf(sy)) < 0 {
			x, y = y, x
		}
		y.hang()
		told := false
		w.gate(func(m *node.Message) bool {
			told = told || m.From == y.number && m.Seal != nil && m.Seal.Yield != 0
			return false
		})
		apart.open()
		if w.when(500*time.Millisecond, func() bool { return told }) {
			w.runUntil(w.now + 20*time.Millisecond)
			w.register.down[x.number] = false
			w.when(500*time.Millisecond, func() bool { return x.line.Number == 2 })
		}
		w.gate(between(x, y))
		y.crash()
		y.unhang()
		y.start()
		clear(w.register.down)
		w.runUntil(w.now + 40*time.Second)
		return ""
	}}
	// T4, a forced return tells the register. Of four one is forced while the others are
	// off; the register hears of that before the forced server's disk does, and is out of
	// its reach from then on. Two of the others boot, and hear only each other.
	sceneForced = scene{"forced", Options{Servers: 4, Tie: TieRegister, Forced: true}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		f := p[0]
		w.gate(around(f))
		for _, s := range p[1:] {
			s.kept = true
			s.powerOff()
		}
		w.runUntil(w.now + 10*time.Second)
		w.force(f)
		w.forced = true
		if !w.when(time.Second, func() bool { return f.seen.sealed }) {
			return "it does not seal"
		}
		f.hang()
		w.runUntil(w.now + 150*time.Millisecond)
		w.register.down[f.number] = true
		f.unhang()
		if text := w.endsOn(20*time.Second, f); text != "" {
			return text
		}
		for _, s := range p[1:3] {
			s.kept = false
			s.boot()
		}
		w.runUntil(w.now + 20*time.Second)
		return ""
	}} // T4, what a forced return has told the register is no claim. The forced server loses its
	// power before it has founded; the others boot, and go on as the majority that they are. Then
	// it boots, and hears nobody but the register, which says that the next epoch is its.
	sceneForcedCut = scene{"forced and cut short", Options{Servers: 3, Tie: TieRegister, Forced: true}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		f := p[0]
		apart := w.gate(around(f))
		for _, s := range p[1:] {
			s.kept = true
			s.powerOff()
		}
		w.runUntil(w.now + 10*time.Second)
		w.force(f)
		w.forced = true
		if !w.when(time.Second, func() bool { return f.seen.sealed }) {
			return "it does not seal"
		}
		f.hang()
		w.runUntil(w.now + 150*time.Millisecond)
		f.powerOff()
		f.unhang()
		if !w.register.isAhead(1) {
			return "the register is not told"
		}
		for _, s := range p[1:] {
			s.kept = false
			s.boot()
		}
		if text := w.endsOn(30*time.Second, p[1:]...); text != "" {
			return text
		}
		f.boot()
		w.runUntil(w.now + 20*time.Second)
		apart.open()
		if !w.eventually(40*time.Second, func() bool { return f.view().Quorum }) {
			return "the forced server does not come back"
		}
		return ""
	}}
	// D12 beside T4. Of four one is forced while the others are off, and loses its power when
	// the register has been told and its disk has not. It boots with two that have more of
	// the log: all three seal, and none may go on, for the register says that the next epoch
	// is the forced one's, who has claimed nothing and has not the best log. Then the last one
	// boots.
	sceneForcedOwner = scene{"the register is a forced one's", Options{Servers: 4, Tie: TieRegister, Forced: true}, func(w *world) string {
		p := w.cast()
		if p == nil {
			return noStart
		}
		f, rest := p[3], p[:3]
		apart := w.gate(around(f))
		for _, s := range rest {
			s.remark() // f has nothing of that
		}
		w.runUntil(w.now + 500*time.Millisecond)
		for _, s := range rest {
			s.kept = true
			s.powerOff()
		}
		w.runUntil(w.now + 10*time.Second)
		w.force(f)
		w.forced = true
		if !w.when(time.Second, func() bool { return f.seen.sealed }) {
			return "it does not seal"
		}
		f.hang()
		w.runUntil(w.now + 150*time.Millisecond)
		f.powerOff()
		f.unhang()
		if !w.register.isAhead(1) {
			return "the register is not told"
		}
		apart.open()
		for _, s := range []*server{f, p[0], p[1]} {
			s.kept = false
			s.boot()
		}
		w.runUntil(w.now + 15*time.Second)
		p[2].kept = false
		p[2].boot()
		return w.endsOn(60*time.Second, p...)
	}}
)

// rankOf orders seals, the better log the higher, the lower id of two as good.
func rankOf(m *node.Message) []int64 {
	return []int64{int64(m.Seal.LastTerm), int64(m.Seal.LastIndex), -int64(m.Life.Raft)}
}
