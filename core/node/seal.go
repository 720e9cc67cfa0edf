package node

import (
	"fmt"
	"slices"
	"strings"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// half is what a server knows while it may have to go on with exactly half of the
// voters: the seals of the others and the word of the register.
type half struct {
	seals    []sealWord    // by server number
	readAt   lease.Instant // when it last said that nothing is above this epoch
	top      epoch.ID      // the highest epoch that it has said
	refusal  string        // why it last refused, "" if it did not
	heardAt  lease.Instant // when it last said anything
	asked    lease.Instant // when the register was last asked
	call     uint64        // id of the newest call
	calls    []registerUse // open ones, the newest few
	founded  bool          // the founding is being written
	sealedAt lease.Instant // when this life first knew that it has sealed; 0: not
	raised   bool          // the register has confirmed this epoch to this server as its leader
}

// sealWord is a server's seal of this epoch, as it told us.
type sealWord struct {
	id        epoch.RaftID // 0: none
	seal      Seal
	supported lease.Instant // upper bound of when it last supported a leader, our clock
}

type registerUse struct {
	id   uint64
	kind useKind
	want epoch.ID // claim: what for
	sup  lease.Instant
}

type useKind uint8

const (
	useRead useKind = iota
	useClaim
	useRaise
)

const (
	// keepCalls bounds the calls whose answers are still waited for.
	keepCalls = 8
	// askAgain: a call that has no answer is repeated after this part of T. Between the
	// seal and the end of a survivor's lease lie some T/6; three calls fit into that, so
	// that two of them may be lost. Reads and claims may be repeated for ever (D5).
	askAgain = 20
)

func newHalf(servers int) half { return half{seals: make([]sealWord, servers+1)} }

// ask sends a call to the register.
func (n *Node) ask(c RegisterCall, use registerUse) {
	n.half.call++
	c.ID, use.id = n.half.call, n.half.call
	c.Cluster = n.state.ID
	n.half.calls = append(n.half.calls, use)
	if len(n.half.calls) > keepCalls {
		n.half.calls = n.half.calls[1:]
	}
	n.half.asked = n.now.Mono
	n.out.Register = append(n.out.Register, c)
}

// registerAnswered takes an answer of the register. A claim that won is carried out
// whenever the answer comes, also after a restart.
func (n *Node) registerAnswered(a RegisterAnswer) {
	i := slices.IndexFunc(n.half.calls, func(u registerUse) bool { return u.id == a.ID })
	if i < 0 {
		return
	}
	use := n.half.calls[i]
	n.half.calls = slices.Delete(n.half.calls, i, i+1)
	n.half.refusal, n.half.heardAt = a.Text, n.now.Mono
	if a.Top.Number >= n.half.top.Number { // a late answer is not taken for a newer one
		n.half.top = a.Top
	}
	switch use.kind {
	case useRead:
		if a.Top.Number <= n.id.Epoch.Number && a.Text == "" {
			n.half.readAt = n.now.Mono
		}
		n.foundIfMine(a.Top, n.now.Mono)
	case useClaim:
		n.foundIfMine(a.Top, use.sup)
	case useRaise:
		n.half.raised = a.Text == "" && a.Top == n.id.Epoch
	}
}

// foundIfMine carries out a claim of this server that has won. What the register has of a
// forced return that was cut short is no claim: nobody has met half of the voters for it,
// and the others may have gone on meanwhile.
func (n *Node) foundIfMine(top epoch.ID, sup lease.Instant) {
	mine := epoch.ID{Number: max(n.id.Epoch.Number+1, n.id.Claim), Founder: n.id.Raft}
	claimed := n.id.Claimed || n.lacks(ClaimVolatile|ClaimEarly|RaiseClaims)
	if claimed && n.id.Sealed && top == mine && n.nextID.Yield == 0 {
		n.found(mine, sup)
	}
}

// raftConfigurations are the voters by the own log: those applied, and those after
// each change behind, committed or not (rule 2).
func (n *Node) raftConfigurations() [][]epoch.RaftID {
	current := slices.Clone(n.members.Voters)
	out := [][]epoch.RaftID{current}
	n.eachTail(func(e *pb.Entry) {
		if e.GetType() != pb.EntryConfChange {
			return
		}
		var cc pb.ConfChange
		if proto.Unmarshal(e.GetData(), &cc) != nil {
			return
		}
		id := epoch.RaftID(cc.GetNodeId())
		next := slices.DeleteFunc(slices.Clone(current), func(v epoch.RaftID) bool { return v == id })
		if cc.GetType() == pb.ConfChangeAddNode {
			next = append(next, id)
		}
		slices.Sort(next)
		if !slices.Equal(next, current) {
			out = append(out, next)
		}
		current = next
	})
	return out
}

// eachTail visits the entries behind the applied ones.
func (n *Node) eachTail(visit func(*pb.Entry)) {
	last, _ := n.store.LastIndex()
	if last <= n.applied {
		return
	}
	entries, err := n.store.Entries(n.applied+1, last+1, 1<<62)
	if err != nil {
		return
	}
	for _, e := range entries {
		visit(e)
	}
}

// lastChange is the index of the newest change of the voters in the own log.
func (n *Node) lastChange() uint64 {
	at := n.changedAt
	n.eachTail(func(e *pb.Entry) {
		if e.GetType() == pb.EntryConfChange {
			at = e.GetIndex()
		}
	})
	return at
}

func union(confs [][]epoch.RaftID) (out []epoch.RaftID) {
	for _, c := range confs {
		for _, v := range c {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	slices.Sort(out)
	return out
}

// isHalfOfEach: at least half of every configuration.
func isHalfOfEach(confs [][]epoch.RaftID, in []epoch.RaftID) bool {
	for _, c := range confs {
		if 2*countIn(c, in) < len(c) {
			return false
		}
	}
	return true
}

// isMajorityOfEach: more than half of every configuration.
func isMajorityOfEach(confs [][]epoch.RaftID, in []epoch.RaftID) bool {
	for _, c := range confs {
		if 2*countIn(c, in) <= len(c) {
			return false
		}
	}
	return true
}

func countIn(conf, in []epoch.RaftID) int {
	k := 0
	for _, v := range conf {
		if slices.Contains(in, v) {
			k++
		}
	}
	return k
}

// lastLog is the last (term, index) of the own log.
func (n *Node) lastLog() (term, index uint64) {
	index, _ = n.store.LastIndex()
	term, _ = n.store.Term(index)
	return term, index
}

// trySeal seals the epoch (D4): nobody was supported for Te (or, as a leader, no
// majority has supported us), those heard are at least half of every configuration of
// the own log, the unsealed of them could elect nobody (are no majority, or for T not linked so that
// one of them could be elected), this server votes in some
// such configuration, and the register has just said that nothing higher exists.
func (n *Node) trySeal() {
	// Where a peer has sealed there is no going back, and its seal may be of no use
	// without this one; to claim is another thing.
	// And where all servers are there, and have no leader for long, they agree (D12).
	// Without a tie-breaker nobody seals but one that is forced, or that must agree with
	// such a one.
	forLong := n.allAreHere() && n.now.Mono.Sub(max(n.support.Last, n.start)) > agreeAfter*n.p.Timeout
	sealed := n.leader() == 0 && (n.sealedPeer() || forLong)
	if !n.cfg.Tiebreaker {
		sealed = sealed && n.sealedPeer() && forLong
	}
	if !n.cfg.Tiebreaker && !sealed || n.forced != nil || !n.mayAskWeak() && !sealed || n.rn == nil || n.busy || n.id.Sealed || n.leave != nil || len(n.members.Voters) == 0 && !sealed || n.isStuck() {
		return
	}
	last := n.support.Last
	if n.lead != nil {
		last = n.basis()
	}
	// A little later than an election, which is to be preferred. The register is asked
	// before that: a survivor's lease leaves little time for a slow one (ping).
	due := n.p.Elect + n.p.Timeout/30
	silence := n.now.Mono.Sub(max(last, n.start))
	if silence < due {
		if silence >= due-n.p.Timeout/10 {
			n.hasRead()
		}
		return
	}
	heard, unsealed := []epoch.RaftID{n.id.Raft}, []epoch.RaftID{n.id.Raft}
	for s := 1; s < len(n.peers); s++ {
		if s == n.cfg.Self || !n.isRecent(s) {
			continue
		}
		id := n.peers[s].life.Raft
		heard = append(heard, id)
		if n.half.seals[s].id != id && !n.peers[s].stuck {
			unsealed = append(unsealed, id)
		}
	}
	confs := n.raftConfigurations()
	isMember := slices.Contains(union(confs), n.id.Raft)
	for _, w := range n.half.seals {
		isMember = isMember || w.id != 0 && slices.Contains(w.seal.Voters, n.id.Raft)
	}
	isMember = isMember || sealed && n.allAreHere() // D12 needs everybody's seal
	if !isMember || !isHalfOfEach(confs, heard) && !n.lacks(NoRule2) || isMajorityOfEach(confs, unsealed) && (silence < n.p.Timeout || n.canElect(confs, unsealed)) {
		return
	}
	if n.lacks(NoReadFirst) || sealed || n.hasRead() {
		n.seal()
	}
}

// canElect reports whether one of these servers is linked, both ways, to enough of them to be
// elected. A server that is heard and hears nobody, because its network card fails one way, say,
// would else keep the others from going on without it for ever. It is asked late only: a
// server that has just started may not have shown yet what it hears.
func (n *Node) canElect(confs [][]epoch.RaftID, servers []epoch.RaftID) bool {
	for _, c := range servers {
		linked := slices.DeleteFunc(slices.Clone(servers), func(v epoch.RaftID) bool { return !n.areLinked(c.Server(), v.Server()) })
		if isMajorityOfEach(confs, linked) {
			return true
		}
	}
	return false
}

// areLinked reports whether messages pass both ways between two servers, as far as they say
// so. The CLUSTER partition carries none.
func (n *Node) areLinked(a, b int) bool {
	switch n.cfg.Self {
	case a:
		return a == b || n.hearsUs(b)
	case b:
		return n.hearsUs(a)
	}
	mask := ^uint8(0)
	if n.cfg.Disk {
		mask &^= 1 << (n.cfg.Paths - 1)
	}
	return a == b || n.peers[a].hears[b-1]&mask != 0 && n.peers[b].hears[a-1]&mask != 0
}

// hasRead reports whether the register has said within T/4 that nothing is above this
// epoch, and asks it if not.
func (n *Node) hasRead() bool {
	if n.half.readAt != 0 && n.now.Mono.Sub(n.half.readAt) <= n.p.Timeout/4 {
		return true
	}
	if n.now.Mono.Sub(n.half.asked) >= n.p.Timeout/askAgain {
		n.ask(RegisterCall{}, registerUse{kind: useRead})
	}
	return false
}

// seal drops raft and records it. From the moment raft is dropped this server takes
// no part in the epoch; what it tells the others, it tells when the disk has it.
func (n *Node) seal() {
	if n.lead != nil {
		n.supportSelf()
	}
	n.rn, n.lead = nil, nil
	e := n.id.Epoch
	n.sealing = true
	n.writeIdentity(SealEarly, func(id *identity) { id.Sealed = id.Sealed || id.Epoch == e }, func() {
		if n.id.Epoch != e {
			return
		}
		n.sealing, n.half.sealedAt = false, n.now.Mono
		n.out.Changed = true
		n.beat()
	})
}

// ownSeal is what this server tells of its seal; nil without one.
func (n *Node) ownSeal() *Seal {
	if !n.id.Sealed || n.store == nil {
		return nil
	}
	s := &Seal{Voters: union(n.raftConfigurations()), SupportAge: n.now.Mono.Sub(n.support.Last), Yield: n.id.Yield}
	s.LastTerm, s.LastIndex = n.lastLog()
	return s
}

// hearSeal remembers a seal of this epoch. Its age counts from its first telling:
// a sealed server supports nobody.
func (n *Node) hearSeal(m Message) {
	if m.Seal == nil || m.Epoch != n.id.Epoch {
		return
	}
	w := &n.half.seals[m.From]
	at := n.now.Mono.Add(-m.Seal.SupportAge)
	if w.id == m.Life.Raft {
		at = min(at, w.supported)
	}
	*w = sealWord{id: m.Life.Raft, seal: *m.Seal, supported: at}
}

// tryClaim claims the next epoch (D5): by the sealed server with the best log of
// those that vote in the configurations of the own one, if they are at least half of
// each. Whoever may not claim asks whether an earlier claim of its own has won.
func (n *Node) tryClaim() {
	if !n.cfg.Tiebreaker || !n.id.Sealed || n.forced != nil || n.half.founded || n.sealing || n.now.Mono.Sub(n.half.asked) < n.p.Timeout/askAgain {
		return
	}
	if n.nextID.Yield != 0 || !n.mayAskWeak() {
		if n.cfg.WeakTiebreaker {
			n.yieldToBest() // whoever must not claim itself may help another one
		} else {
			n.ask(RegisterCall{}, registerUse{kind: useRead}) // a forced return founds above it
		}
		return
	}
	confs := n.raftConfigurations()
	voters := union(confs)
	term, index := n.lastLog()
	sealed := []epoch.RaftID{n.id.Raft}
	sup := max(n.support.Last, n.support.Former)
	best := slices.Contains(voters, n.id.Raft)
	for s, w := range n.half.seals {
		if w.id == 0 || s == n.cfg.Self || !slices.Contains(voters, w.id) {
			continue
		}
		sup = max(sup, w.supported)
		if n.isBetter(w, term, index) {
			best = false
		}
		if n.cfg.WeakTiebreaker && w.seal.Yield != n.id.Raft && !n.lacks(NoYield) {
			continue // its seal may be another's
		}
		sealed = append(sealed, w.id)
	}
	switch {
	case n.lacks(NotBest):
		best = true
	case n.lacks(AnyClaims):
		best = best || !slices.Contains(voters, n.id.Raft)
	}
	if !best && n.cfg.WeakTiebreaker {
		n.yieldToBest()
		return
	}
	if !best && !n.id.Claimed && n.half.top == (epoch.ID{Number: n.id.Epoch.Number + 1, Founder: n.id.Raft}) {
		// The register has it from a forced return that was cut short. This server does not
		// claim it, having no such log, and while it might nobody else can go on.
		n.yieldToBest()
	}
	if !best || !isHalfOfEach(confs, sealed) && !n.lacks(NoRule2) {
		n.ask(RegisterCall{}, registerUse{kind: useRead})
		return
	}
	want := epoch.ID{Number: n.claimable(), Founder: n.id.Raft}
	// A server that is heard under another id has lost its log: whoever it was is no
	// more, and its answer to a ping says nothing of that one.
	missing := slices.DeleteFunc(serversOutside(voters, sealed), func(s int) bool {
		return n.isAnother(s, voters)
	})
	e := n.id.Epoch
	claim := func() {
		if n.id.Sealed && n.id.Epoch == e {
			n.ask(RegisterCall{Claim: want, Missing: missing}, registerUse{kind: useClaim, want: want, sup: sup})
		}
	}
	if n.id.Claimed && n.id.Claim == want.Number {
		claim()
		return
	}
	n.half.asked = n.now.Mono
	n.writeIdentity(ClaimEarly, func(id *identity) {
		id.Claimed = !n.lacks(ClaimVolatile) && (id.Claimed || id.Epoch == e && id.Sealed)
		if id.Claimed && id.Epoch == e {
			id.Claim = want.Number
		}
	}, claim)
}

// claimable is the number that this server claims: the next one, or the one after it
// where the register has given that to a server that has sealed here, and has promised
// never to found it. Nothing further: what lies between may be alive. Nor where the owner
// has lost its log: others may have joined what it had founded.
func (n *Node) claimable() uint64 {
	next, top := n.id.Epoch.Number+1, n.half.top
	s := top.Founder.Server()
	switch {
	case top.Number == next && s >= 1 && s < len(n.half.seals) && n.half.seals[s].id == top.Founder && n.half.seals[s].seal.Yield != 0:
		return next + 1
	case n.id.Claim > next:
		return n.id.Claim // by which the owner had yielded
	}
	return next
}

// serversOutside are the numbers of the servers of those voters that are not in.
func serversOutside(voters, in []epoch.RaftID) (out []int) {
	for _, v := range voters {
		if s := v.Server(); !slices.Contains(in, v) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// isBetter reports whether another sealed server should claim rather than this one:
// a later log, or as good a one and a lower id while it is there. Where it needs this
// one's yield for that, it matters only while it is there.
func (n *Node) isBetter(w sealWord, term, index uint64) bool {
	switch {
	case n.cfg.WeakTiebreaker && !n.isRecent(w.id.Server()) && !n.lacks(NoYield):
		return false
	case w.seal.LastTerm != term:
		return w.seal.LastTerm > term
	case w.seal.LastIndex != index:
		return w.seal.LastIndex > index
	}
	return w.id < n.id.Raft && n.isRecent(w.id.Server())
}

// found founds an epoch whose claim has won (D7): the whole log applied, this server
// alone, in one transaction. sup is when one of the half last supported a leader.
func (n *Node) found(e epoch.ID, sup lease.Instant) {
	if n.half.founded {
		return
	}
	n.half.founded = true
	forced := n.forced != nil
	with, without := n.halves()
	snap, events := n.wholeLog()
	n.out.Events = append(n.out.Events, events...)
	snap.Metadata.ConfState = &pb.ConfState{Voters: []uint64{uint64(n.id.Raft)}}
	term, index := snap.GetMetadata().GetTerm(), snap.GetMetadata().GetIndex()
	hard := &pb.HardState{Term: proto.Uint64(max(term, n.durableTerm())), Vote: proto.Uint64(0), Commit: proto.Uint64(index)}
	n.enter(e, n.id.Raft, hard, snap, func() {
		n.support.Former = max(n.support.Former, n.support.Last, sup)
		_ = n.rn.Campaign()
		switch {
		case forced:
		case without == "":
			n.note(cluster.Event{
				Severity: cluster.Warn, Code: cluster.CodeAllAgreed,
				Text: fmt.Sprintf("all servers are there, and have agreed that %s goes on with epoch %d", n.name, e.Number),
			})
		default:
			n.note(cluster.Event{
				Severity: cluster.Warn, Code: cluster.CodeHalfGoesOn,
				Text: fmt.Sprintf("the tie-breaker has let %s go on without %s (epoch %d)", with, without, e.Number),
			})
		}
	})
}

// wholeLog is the state with the whole log applied, committed or not, and what that
// yields. Where this server has joined its epoch and has nothing of it yet, it is what it
// had of the one before (D9); and where it never had anything, the beginning.
func (n *Node) wholeLog() (*pb.Snapshot, []cluster.Event) {
	term, index := n.lastLog()
	if index == 0 && n.kept != nil {
		return proto.Clone(n.kept).(*pb.Snapshot), nil
	}
	state, events := n.state.Clone(), []cluster.Event(nil)
	if index == 0 {
		state = firstState(n.cfg.Random)
		term, index = 1, state.Index
	}
	n.eachTail(func(en *pb.Entry) {
		if en.GetType() == pb.EntryNormal && len(en.GetData()) > 0 {
			events = append(events, applyTo(state, en)...)
		}
	})
	return &pb.Snapshot{Data: state.Encode(), Metadata: &pb.SnapshotMetadata{
		Index: proto.Uint64(index), Term: proto.Uint64(term),
	}}, events
}

// halves are the names of the servers that have sealed with this one, and of the
// other voters'.
func (n *Node) halves() (with, without string) {
	in := []epoch.RaftID{n.id.Raft}
	for s, w := range n.half.seals {
		if w.id != 0 && s != n.cfg.Self {
			in = append(in, w.id)
		}
	}
	names := func(servers []int) string {
		var out []string
		for _, s := range servers {
			out = append(out, n.serverName(s))
		}
		return strings.Join(out, ", ")
	}
	var sealed []int
	for _, id := range in {
		sealed = append(sealed, id.Server())
	}
	slices.Sort(sealed)
	return names(sealed), names(serversOutside(union(n.raftConfigurations()), in))
}

// sealedForNothing (D8): the others have gone on without this sealed server. If it
// never claimed, it comes back to the same epoch as somebody else, blank.
//
// The leader must know of every change of the voters that is committed in this server's
// log. It does if it has applied as much, or if its term is above all there is in the log:
// it has a lease, so an entry of its own term is applied (D6), and what was not committed
// by then never is.
func (n *Node) sealedForNothing(m Message) bool {
	if n.lacks(NoReborn) || !n.id.Sealed || n.id.Claimed || n.half.founded || m.Epoch != n.id.Epoch || !m.Leader || len(m.Voters) == 0 ||
		slices.Contains(m.Voters, n.id.Raft) {
		return false
	}
	if last, _ := n.lastLog(); m.Applied < n.lastChange() && m.Term <= last {
		return false
	}
	n.enter(n.id.Epoch, epoch.NewRaftID(n.cfg.Self, n.cfg.Random()>>9|1), &pb.HardState{}, nil, nil)
	return true
}

// raiseRegister keeps the register at the epoch that this leader leads (T1). Until it
// has confirmed that, it is asked more often: where it does not know the cluster yet
// nobody could go on without this leader.
func (n *Node) raiseRegister() {
	again := n.p.Timeout
	if !n.half.raised {
		again /= 4
	}
	if n.cfg.Tiebreaker && !n.lacks(NoRaise) && n.now.Mono.Sub(n.half.asked) >= again {
		n.ask(RegisterCall{Raise: n.id.Epoch}, registerUse{kind: useRaise})
	}
}
