package node

// Weakness is a set of rules to leave out, to show that the simulator notices. Zero in
// batond.
type Weakness uint64

// The rules that can be left out, each by the name in core/README.md.
const (
	NoW           Weakness = 1 << iota // L4: nobody waits for former leases
	WMoves                             // L4: W follows the configuration instead of being fixed once (H9)
	NoEndGuard                         // L5: grants go on after a loss was proposed
	LossEarly                          // L5: a silent session is ended after Te, not T
	GrantFull                          // L3: a grant of L, not of the leader's remainder
	GrantLate                          // L3: a lease counts from the receipt of the grant
	LeaseAlone                         // L2: a leader needs nobody's support for its lease
	NoSession                          // S1 to S3: leases and steps not bound to a session
	RenewDirty                         // S1: a new session while something of the old one is left
	AnyWord                            // S2: a server's word for an older session ends the newer one too (H12)
	OldWord                            // S1: a server without a disk believes which sessions were opened, however old the word is
	AnyBoot                            // S2: a session goes on under another boot than it was opened for
	NoLease                            // S3: steps run without a valid lease
	NoJournal                          // S5: what was begun is forgotten at a restart
	NoFormerAge                        // L1: a restarted voter claims never to have supported anyone
	NoTermCheck                        // L1: support for a leader of any term
	NoEchoTerm                         // L1: a leader counts the support of a voter of another term
	NoAppHear                          // L1: what raft receives from a leader is no support
	NoSelfSupport                      // L1: a leader is no supporter of its own
	NoSticky                           // a lapsed lease may be extended again

	NoIdentity    // D1: raft messages of any epoch are taken
	NoAlarm       // D1: two histories that meet do not care
	NoLine        // D1: a forced return that is met leaves a lease with little left alone
	SameID        // D2: a server that lost its log keeps its raft id
	SealVolatile  // D3: a restart forgets the seal
	NoRule2       // D4, D5: any half will do, whatever the log's configurations
	NoReadFirst   // D4: a server seals without a word of the register
	NotBest       // D5: any sealed server claims, not the one with the best log
	AnyClaims     // D5: a sealed server that does not vote claims too (H18)
	ClaimVolatile // D5: nobody remembers that it may have claimed
	NoOwnTerm     // D6a: a leader grants and proposes before an entry of its term is applied
	NoPause       // D6b: a leader proposes while a change of the voters is under way
	NoJoint       // D6c: its lease needs no majority of the pending voters
	NoReborn      // D8: who sealed for nothing stays sealed
	EvenVoters    // D10: three become two without a tie-breaker
	NoFarewell    // D11: a server ends without waiting for its vote to be taken away
	NoAgreement   // D12: without the tie-breaker nobody founds, even if all are there
	NoYield       // D12, T3: seals count without having been yielded to one server
	FoundAnyway   // H20: the first server founds, whoever is there
	NoStuck       // H23: a leader with a hung disk goes on leading
	NoRaise       // T1: no leader tells the register of the cluster
	NoT3          // T3: a server that has booted asks a tie-breaker without a record
	ForceUnsaid   // T4: a forced return does not tell the register
	RaiseClaims   // T4: what a forced return has told the register is as good as a claim

	// The order of writing: something is done before the disk has it.
	AckEarly     // 1: raft's messages and entries
	StartEarly   // 2: the start count
	SealEarly    // 3: a seal
	ClaimEarly   // D5: that an epoch was claimed
	YieldEarly   // D12: that it has yielded
	EnterEarly   // D7, D9: an epoch that is entered
	SessionEarly // 4: a new session's number
	BegunEarly   // 6: that a token was begun
	OutcomeEarly // 6: how it ended
)

// NoQuiet leaves out all of D6.
const NoQuiet = NoOwnTerm | NoPause | NoJoint

// lacks reports whether a rule is left out.
func (n *Node) lacks(w Weakness) bool { return n.cfg.Weaken&w != 0 }

// persistUnless is persist, or, where the rule is left out, does it at once.
func (n *Node) persistUnless(w Weakness, then func()) {
	if n.lacks(w) {
		n.drafted()
		then()
		return
	}
	n.persist(then)
}
