// Package node is one server's logic: who leads, who holds a lease, which step to
// carry out, which command to propose. It owns a raft group (package epoch), the
// leases (package lease) and the replicated state (package cluster).
//
// A Node is a pure state machine. Its owner, the event loop of batond or the
// simulator, calls Step with one input at a time from one goroutine and carries out
// the Output. The rules it follows, each with its counterexample, are in
// core/README.md; code refers to them by name (D6, L3, S5).
//
// Order of duties. An Output may hold a Batch: it must be written durably, batches
// in the order of their ids, and then be reported with Written. Whatever depends on
// a batch is kept back by the node itself and comes out of that Step; everything
// else in an Output may be carried out at once, in any order.
package node

import (
	"time"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"
)

// Now is the time of one step, read by the owner just before it.
type Now struct {
	Mono lease.Instant // CLOCK_BOOTTIME
	Wall int64         // unix milliseconds; for people only
}

// Config is what a node must know beforehand.
type Config struct {
	Self    int      // number of this server, 1 to len(Servers)
	Servers []string // names, in the order of the configuration file
	Times   lease.Params
	// Wait is startup.wait: how long the servers that are there wait for the rest.
	Wait time.Duration
	// Paths is how many heartbeat paths each pair of servers has. With Disk the last of
	// them is the CLUSTER partition, on which a server is only Seen: that shows that it
	// is alive, and neither breaks its silence nor grants it anything.
	Paths int
	Disk  bool
	// Boot is this machine's boot id.
	Boot string
	// Rules are what the leader lays down in the replicated state.
	Rules cluster.Config
	// Tiebreaker says that there is a register that decides when exactly half of the
	// voters is left; without one (kind none) such a half waits.
	Tiebreaker bool
	// WeakTiebreaker: it keeps no record (ping, fence), so that a server that has
	// booted since it last had a quorum must not ask it (T3).
	WeakTiebreaker bool
	// Random gives the node's random numbers (incarnation, cluster id).
	Random func() uint64
	// Clean says that nothing of any group is left on this server: the hands have
	// found nothing, or have cleared what they found. False means that groups may
	// run here; unless Adopt names a lease, Cleared must follow.
	Clean bool
	// Adopt is the end of the lease that the guard still holds for the stored
	// session, which goes on then, Clean or not; 0 means none.
	Adopt lease.Instant
	// Over is the highest session that the guard has cleared since the boot: it takes
	// no session up to it any more, even where the store was wiped and begins anew.
	Over uint64
	// Weaken leaves out rules, to show that the simulator notices. Zero in batond.
	Weaken Weakness
}

// Life names one run of batond on a server. Of one raft id the higher Start is the
// newer; the sequence numbers of a life begin at 1.
type Life struct {
	Raft  epoch.RaftID
	Start uint64
}

func (l Life) String() string { return l.Raft.String() + " start " + itoa(l.Start) }

// MessageKind is the kind of a message between servers.
type MessageKind uint8

// The kinds of messages. The first three travel as datagrams, on every path; the
// others on the peer streams.
const (
	MsgHeartbeat MessageKind = 1 // sent every round to everyone
	MsgEcho      MessageKind = 2 // a leader's heartbeat, answered at once
	MsgGrant     MessageKind = 3 // a member's heartbeat or echo, answered by the leader at once
	MsgRaft      MessageKind = 4 // Payload is a raftpb.Message
	MsgPropose   MessageKind = 5 // Payload is a cluster.Command for the leader
)

// Message is what one server says to another.
type Message struct {
	Kind     MessageKind
	From, To int // server numbers
	// Seq counts the datagrams of the sender's life to this receiver; 0 on a stream.
	// One number arrives once per path.
	Seq   uint64
	Life  Life
	Epoch epoch.ID
	Term  uint64 // durable raft term
	// Leader: the sender leads the epoch in Term.
	Leader bool
	// Session is what the sender offers or runs under; 0 while something of an
	// ended one may be left.
	Session uint64
	// Boot is the sender's boot id: a reboot quicker than T shows in it.
	Boot string
	// Stuck: the sender's disk has not answered for Te; it can neither lead nor vote.
	Stuck bool
	// Leaving: the sender has been told to stop and waits to be let go.
	Leaving bool
	// HeardLife and HeardSeq are the newest life and number that the sender has
	// heard of the receiver. They show that both directions work.
	HeardLife Life
	HeardSeq  uint64
	// Hears has one byte per server (index: number - 1): bit p is set if the sender
	// has heard that server on path p within the last three rounds.
	Hears [16]uint8
	// Rules is a hash of the sender's Config.Rules.
	Rules uint64

	// Of an echo (L1, L4).
	AnswerSeq  uint64        // echo, grant: the number of the heartbeat this answers
	AnswerLife Life          // and its life
	Support    bool          // echo: the sender supports the receiver as leader in Term
	FormerAge  time.Duration // echo: time since the sender last supported a former leader

	// Of a grant (L3).
	Grant        time.Duration // counted from the sending of AnswerSeq
	GrantSession uint64

	// Ended, from a leader with a lease: sessions of the receiver up to this number
	// are over.
	Ended uint64
	// Shut: they were ended by a shutdown of the receiver or of the cluster, so its
	// batond is to end. It may hear this before the log tells it, and would otherwise
	// offer a new session.
	Shut bool
	// Then, with Shut: what the operator wants of the receiver's machine.
	Then cluster.Then

	// Opened, from a leader with a lease, is one more than the highest session of the
	// receiver that was ever opened; 0 from anybody else. A server that has lost its
	// disk learns from it which numbers are used up.
	Opened uint64

	// Voters, from a leader with a lease, are the applied configuration, and Applied
	// the index up to which it has applied (D8).
	Voters  []epoch.RaftID
	Applied uint64
	// Seal: the sender has sealed the epoch it names (D3).
	Seal *Seal
	// Forced is the newest epoch of the sender's history that an operator has founded by a
	// forced return; zero: none. Where it is another than the receiver's, the two have two
	// histories, and not one that the tie-breaker has carried on (D1).
	Forced epoch.ID

	Payload []byte
}

// Seal is what a server that has sealed an epoch tells the others: its frozen log and
// the configurations in it.
type Seal struct {
	LastTerm, LastIndex uint64
	// Voters are all that vote in a configuration of its log, from the last one known
	// to be committed to the newest.
	Voters []epoch.RaftID
	// SupportAge is how long ago the sender last supported a leader (L4).
	SupportAge time.Duration
	// Yield is the server that the sender has left the founding of the next epoch to
	// (D12); 0: none.
	Yield epoch.RaftID
}

// RegisterCall asks the tie-breaker's register, which says for each cluster which
// epoch is the highest and who founded it.
type RegisterCall struct {
	ID      uint64 // of the call, to match the answer
	Cluster uint64 // the register's key (T1)
	// Claim, where not zero, asks for this epoch: the register takes it if it has
	// nothing as high. Raise asks for the same on behalf of an epoch that exists,
	// and enrols the cluster if the register does not know it; only a leader with a
	// lease does it. Neither: read.
	Claim, Raise epoch.ID
	// Missing are the numbers of the servers that vote in the epoch to be left and are
	// not with the claimant: those that a fence has to power off, and that must be
	// silent for a ping.
	Missing []int
}

// RegisterAnswer is what the register said. No answer is no Input.
type RegisterAnswer struct {
	ID   uint64
	Top  epoch.ID // the highest epoch it knows, after the call; zero where it does not know the cluster
	Text string   // why it refused, one clause; "" if it did not
}

// Input is one thing that has happened. Exactly one field is set; an Input without
// any is a tick, which the owner sends every Times.Tick.
type Input struct {
	Packet  *Packet        // a message has arrived
	Written uint64         // this batch and all before it are on disk
	Result  *StepResult    // a step has ended
	Lapsed  uint64         // the guard refused an extension of this session: it is over
	Cleared uint64         // the guard has cleared everything of this session; nothing is left
	Request *cluster.Op    // an operator asks this server
	Anomaly *LocalFault    // a resource of a group that runs here has failed in operation
	Note    *cluster.Event // a line for the cluster's event log
	Leave   *Leave         // batond has been told to stop
	Force   *Force         // an operator lets this server go on alone
	// Register is an answer of the tie-breaker.
	Register *RegisterAnswer
	Seen     int // this server has written a heartbeat to the CLUSTER partition; 0: none
}

// Packet is a message and the path it came on (0 to Config.Paths-1; -1: a stream).
type Packet struct {
	Path    int
	Message Message
}

// StepResult is how a step that Output.Run asked for has ended.
type StepResult struct {
	Token   uint64
	Outcome cluster.Outcome
}

// LocalFault is an anomaly seen by this server.
type LocalFault struct {
	Group, Resource, Text string
}

// Leave asks the node to hand its groups over and let go.
type Leave struct {
	Who cluster.Who
}

// Force is a forced return: the operator has made sure that the servers this one does
// not hear are off, and lets it go on alone, in place of a majority or a tie-breaker.
type Force struct {
	Who cluster.Who
}

// Output is what is to be done.
type Output struct {
	// Batch is to be written durably, in order; nil: nothing.
	Batch *Batch
	// Send are messages to send, at once. A lost one is the network's business.
	Send []Message
	// Lease, where not nil, is the new end of this server's lease. The guard must
	// have it before anything else of this Output is done. If the guard refuses (it
	// has fired), the owner drops Run, sends Lapsed, and Cleared once the guard has
	// finished.
	Lease *Lease
	// Fire: the guard is to clear everything of the session at once, whatever is left
	// of its lease, and Cleared is to follow. It comes before the Batch: a batond that is
	// killed between the two must not come back in another history with its groups.
	Fire bool
	// Run are steps to carry out.
	Run []Run
	// Replies answer Requests.
	Replies []Reply
	// Events are what the last commands yielded, in order, for log and console.
	Events []cluster.Event
	// Changed: View would give another picture than before this step, other than
	// in the ages it holds.
	Changed bool
	// Register are calls of the tie-breaker. It may answer late, twice or never.
	Register []RegisterCall
	// Exit: everything is handed over (or the time for it is up); batond may end.
	Exit bool
	// Then, with Exit: what batond does with the machine as its last act.
	Then cluster.Then
}

// Lease is an extension of this server's lease. End 0 ends it in order: nothing of
// the session is left, the guard is to stand down.
type Lease struct {
	Session uint64
	End     lease.Instant
}

// Run is a step to carry out. Adopt: it was begun by an earlier batond; go on with
// what is there, and where nothing is, report Lost.
type Run struct {
	Step  cluster.Step
	Adopt bool
}

// Reply answers the Request with the op's ID: accepted (Refusal nil: the log has it)
// or refused.
type Reply struct {
	ID      string
	Refusal *cluster.Refusal
}

// Batch is a transaction for the store: first the deletions, then the values.
type Batch struct {
	ID uint64
	// Delete are ranges of keys to remove: From <= key < To.
	Delete []KeyRange
	Put    []KeyValue
}

// KeyRange is a range of keys, To excluded.
type KeyRange struct{ From, To []byte }

// KeyValue is a key and its value.
type KeyValue struct{ Key, Value []byte }

// Image is everything a store holds, in order of keys.
type Image []KeyValue

// View is a picture of the node, for the console. It shares nothing with the node.
type View struct {
	Server string
	State  *cluster.State
	Epoch  epoch.ID
	Term   uint64
	Leader string // "" where none is known
	// Quorum: a leader with a lease is heard, or this one is it, and State is no older
	// than that.
	Quorum  bool
	Voters  []string
	Learner []string
	Session uint64        // this server's; 0: none
	Lease   time.Duration // left of this server's lease; 0 or less: none
	// Waiting says, while the cluster has not begun or has no quorum, for whom or
	// what it waits; "" otherwise.
	Waiting string
	Peers   []Peer
	Running []cluster.Step // steps under way here
}

// Standing is whether the cluster decides, as this server sees it.
type Standing struct {
	Epoch   epoch.ID
	Quorum  bool   // as View has it
	Waiting string // without a quorum: for whom or what it waits
}

// Peer is another server as this one hears it.
type Peer struct {
	Name  string
	Ever  bool
	Age   time.Duration   // since it was last heard on any path
	Paths []time.Duration // age by path; negative: never
	// Hears is the peer's own word: by server (number - 1), the paths it hears.
	Hears [16]uint8
	// SameRules: its configuration file says the same as ours.
	SameRules bool
}
