package node

import (
	"fmt"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// MaxServers is how many servers a cluster can have.
const MaxServers = 16

// Node is one server's logic. Its fields belong to the goroutine that calls Step.
type Node struct {
	cfg  Config
	p    lease.Params
	name string
	now  Now     // of the step under way
	out  *Output // of the step under way

	start     lease.Instant  // of this life
	ready     bool           // the disk has this life's start count: we may speak
	rulesHash uint64         // of Config.Rules
	agreed    uint64         // of the state's; 0: to be computed
	pastIDs   []epoch.RaftID // ids that this life had before the present one (D8)

	// Durable, as the disk has it.
	id      identity
	nextID  identity // id with what is being written
	journal journal

	// Writing (durable.go).
	lastBatch uint64
	pending   []pendingBatch // in flight, oldest first
	draft     *draft         // of the step under way

	// Deciding (raft.go, election.go).
	rn       *raft.RawNode // nil while there is no epoch, or one is being entered
	store    *storage
	busy     bool // a Ready is being written
	lastTick lease.Instant
	campaign lease.Instant // last own candidacy
	state    *cluster.State
	applied  uint64
	// mustSee is what a leader with a lease had applied when this life first heard one
	// in its epoch, 0 before. A picture from before that may be as old as the disk.
	mustSee   uint64
	kept      *pb.Snapshot // what was left with the epoch before, while there is nothing of this one (D9)
	replayTo  uint64       // entries up to here were known as committed before the start
	members   epoch.Members
	support   lease.Support
	supported int         // server number of whom support.Rank is
	lead      *leadership // nil unless this server leads
	snapshots []snapshotSent
	changedAt uint64 // index of the newest applied change of the voters, or a bound above it
	sealing   bool   // the seal is being written
	forced    *Force // an operator's forced return that is under way
	half      half

	// Hearing (heartbeat.go).
	peers    []peer // by server number; peers[0] and peers[Self] are unused
	lastBeat lease.Instant

	// Running (session.go, steps.go).
	held     lease.Held
	hadLease bool   // some session of this life has had a lease
	clean    bool   // nothing of any ended session is left here
	renewing bool   // a new session number is being written
	floor    uint64 // session numbers up to this one are over
	// floorKnown: a leader has said which numbers were ever opened. Needed only for
	// the first session on an empty disk.
	floorKnown bool
	quietUntil lease.Instant // no new session before
	renewLater bool          // renew waits for that
	inherited  bool          // the session was begun by an earlier batond: something may run
	active     []string      // groups started here under this session
	retired    bool          // no session is offered any more: this server is leaving
	leave      *leaving

	// Asking (operate.go).
	requests []request
	faults   []fault
	notes    []cluster.Command
	asked    []asked
}

// New opens a node on what the store holds (nil for an empty one). The Output is
// that of a step. It fails if the image cannot be understood.
func New(cfg Config, img Image, now Now) (*Node, Output, error) {
	if cfg.Self < 1 || cfg.Self > len(cfg.Servers) || len(cfg.Servers) > MaxServers {
		return nil, Output{}, fmt.Errorf("server number %d of %d: must be 1 to %d", cfg.Self, len(cfg.Servers), MaxServers)
	}
	img2, err := readImage(img)
	if err != nil {
		return nil, Output{}, err
	}
	n := &Node{
		cfg: cfg, p: cfg.Times, name: cfg.Servers[cfg.Self-1],
		start: now.Mono, lastTick: now.Mono, now: now, out: &Output{},
		rulesHash: hashRules(cfg.Rules),
		id:        img2.id, journal: img2.journal,
		support: lease.NewSupport(now.Mono),
		state:   &cluster.State{Version: cluster.Version},
		kept:    img2.kept,
		clean:   cfg.Clean,
	}
	if n.lacks(NoFormerAge) {
		n.support = lease.Support{}
	}
	if n.lacks(NoJournal) {
		n.journal = nil
	}
	n.half = newHalf(len(cfg.Servers))
	n.peers = make([]peer, len(cfg.Servers)+1)
	for i := range n.peers {
		n.peers[i].heard = now.Mono
		n.peers[i].paths = make([]lease.Instant, cfg.Paths)
	}
	n.wake(img2)
	n.work()
	return n, n.flush(), nil
}

// wake begins a life: a new start count, the old session where its lease still runs,
// else a new one.
func (n *Node) wake(img image) {
	n.floor = n.cfg.Over
	id := n.id
	id.Start++
	if id.Raft == 0 {
		// The incarnation leaves room for the server number; 0 would mean none.
		id.Raft = epoch.NewRaftID(n.cfg.Self, n.cfg.Random()>>9|1)
		if n.lacks(SameID) {
			id.Raft = epoch.NewRaftID(n.cfg.Self, 1)
		}
	}
	if n.lacks(SealVolatile) {
		id.Sealed, id.Claimed = false, false
	}
	adopt := n.cfg.Adopt > n.now.Mono && id.Session != 0
	switch {
	case adopt:
		n.held.End, n.hadLease = n.cfg.Adopt, true
		n.inherited = !n.cfg.Clean
		n.clean = true // nothing of an older session
	case n.cfg.Clean:
		if id.Session != 0 { // else a leader must say first which numbers are used up
			id.Session = max(id.Session, n.floor) + 1
		}
		n.journal.forget(n)
	default:
		n.held.Lapsed = true // Cleared will come
	}
	n.nextID = id
	n.writeIdentity(StartEarly, func(to *identity) { *to = id }, func() {
		n.ready = true
		n.lastBeat = 0
		if id.Epoch != (epoch.ID{}) {
			n.openRaft(img.hard, img.snap, img.entries)
			if id.Sealed {
				n.replaySealed()
				n.half.sealedAt = n.now.Mono
			}
		}
	})
}

// Step takes one input and says what is to be done.
func (n *Node) Step(now Now, in Input) Output {
	n.now, n.out = now, &Output{}
	n.checkLease()
	switch {
	case in.Packet != nil:
		n.receive(*in.Packet)
	case in.Written != 0:
		n.written(in.Written)
	case in.Result != nil:
		n.stepEnded(*in.Result)
	case in.Lapsed != 0:
		n.guardFired(in.Lapsed)
	case in.Cleared != 0:
		n.cleared(in.Cleared)
	case in.Request != nil:
		n.request(*in.Request)
	case in.Anomaly != nil:
		n.anomaly(*in.Anomaly)
	case in.Note != nil:
		n.note(*in.Note)
	case in.Leave != nil:
		n.beginLeaving(*in.Leave)
	case in.Force != nil:
		n.force(*in.Force)
	case in.Register != nil:
		n.registerAnswered(*in.Register)
	case in.Seen != 0:
		n.see(in.Seen)
	default:
		n.tick()
	}
	n.work()
	return n.flush()
}

// flush hands out the step's output.
func (n *Node) flush() Output {
	n.flushDraft()
	out := *n.out
	n.out = nil
	return out
}

// work does whatever has become possible, until nothing more has.
func (n *Node) work() {
	if !n.ready {
		return
	}
	for n.pump() {
		n.afterApply()
	}
	n.runSteps()
	n.answerRequests()
	for n.pump() {
		n.afterApply()
	}
}

// afterApply reacts to what the replicated state now says.
func (n *Node) afterApply() {
	n.followSession()
	n.runSteps()
	n.answerRequests()
	n.duties()
}

func (n *Node) tick() {
	if !n.ready {
		return
	}
	n.tickRaft()
	if n.now.Mono.Sub(n.lastBeat) >= n.p.Round || n.lastBeat == 0 {
		n.beat()
	}
	n.elect()
	n.tryForce()
	if !n.isEntering() { // else what is decided about the epoch that is left would be written into the next
		n.trySeal()
		n.tryClaim()
		n.tryAgree()
	}
	n.foundFirst()
	n.leaderSelf()
	n.duties()
	n.followSession()
	n.retryAsking()
	n.tryLeaving()
}

// server returns this server's entry of the replicated state, nil where it has none.
func (n *Node) server() *cluster.Server { return n.state.Server(n.name) }

// caughtUp reports whether everything that was known as committed before this
// batond started has been applied, so that the state is no older than what an
// earlier batond acted on.
func (n *Node) caughtUp() bool { return n.store != nil && n.applied > 0 && n.applied >= n.replayTo }
