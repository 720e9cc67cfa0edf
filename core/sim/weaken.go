package sim

import (
	"fmt"
	"strings"

	"baton/core/node"
)

// WorldWeakness is a set of rules that others than the node keep, to leave out.
type WorldWeakness uint32

// The rules of the hands and of the tie-breakers.
const (
	EnrolAnyone   WorldWeakness = 1 << iota // T1: a register gives epochs to clusters that it does not know
	KeyedByName                             // T1: a re-created cluster finds the register of the former one
	UnverifiedOff                           // T3: an agent's word is enough, its status is not asked
	LateGuard                               // order of writing 10: the guard learns of a lease after it is used
)

// Weak is a rule that can be left out, by name.
type Weak struct {
	Name  string
	Rule  string // in core/README.md
	Node  node.Weakness
	World WorldWeakness
}

// Weakenings parses names with commas into the options.
func (o *Options) Weakenings(names string) error {
	for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' }) {
		found := false
		for _, w := range Weaks() {
			if w.Name == name {
				o.Weaken |= w.Node
				o.World |= w.World
				found = true
			}
		}
		if !found {
			var all []string
			for _, w := range Weaks() {
				all = append(all, w.Name)
			}
			return fmt.Errorf("no rule %q to leave out; there are %s", name, strings.Join(all, ", "))
		}
	}
	return nil
}

// Weaks are all rules that can be left out.
func Weaks() []Weak {
	return []Weak{
		{"identity", "D1", node.NoIdentity, 0},
		{"alarm", "D1", node.NoAlarm, 0},
		{"forced-apart", "D1", node.NoLine, 0},
		{"new-id", "D2", node.SameID, 0},
		{"seal-durable", "D3", node.SealVolatile, 0},
		{"seal-first", "D3", node.SealEarly, 0},
		{"rule2", "D4, D5", node.NoRule2, 0},
		{"read-first", "D4", node.NoReadFirst, 0},
		{"best-log", "D5", node.NotBest, 0},
		{"voters-claim", "D5", node.AnyClaims, 0},
		{"claim-durable", "D5", node.ClaimVolatile, 0},
		{"claim-first", "D5", node.ClaimEarly, 0},
		{"quiet", "D6", node.NoQuiet, 0},
		{"own-term", "D6a", node.NoOwnTerm, 0},
		{"pause", "D6b", node.NoPause, 0},
		{"joint", "D6c", node.NoJoint, 0},
		{"enter-first", "D7, D9", node.EnterEarly, 0},
		{"reborn", "D8", node.NoReborn, 0},
		{"odd", "D10", node.EvenVoters, 0},
		{"farewell", "D11", node.NoFarewell, 0},
		{"agreement", "D12", node.NoAgreement, 0},
		{"yield", "D12, T3", node.NoYield, 0},
		{"yield-first", "D12", node.YieldEarly, 0},
		{"first-start", "H20", node.FoundAnyway, 0},
		{"stuck", "H23", node.NoStuck, 0},
		{"former-age", "L1", node.NoFormerAge, 0},
		{"support-term", "L1", node.NoTermCheck, 0},
		{"echo-term", "L1", node.NoEchoTerm, 0},
		{"append-supports", "L1", node.NoAppHear, 0},
		{"self-support", "L1", node.NoSelfSupport, 0},
		{"majority", "L2", node.LeaseAlone, 0},
		{"remainder", "L3", node.GrantFull, 0},
		{"stamp", "L3", node.GrantLate, 0},
		{"w", "L4", node.NoW, 0},
		{"w-once", "L4", node.WMoves, 0},
		{"end-guard", "L5", node.NoEndGuard, 0},
		{"silence", "L5", node.LossEarly, 0},
		{"session", "S1 to S3", node.NoSession, 0},
		{"clean", "S1", node.RenewDirty, 0},
		{"fresh-word", "S1", node.OldWord, 0},
		{"session-boot", "S2", node.AnyBoot, 0},
		{"order", "S2", node.AnyWord, 0},
		{"lease", "S3", node.NoLease, 0},
		{"journal", "S5", node.NoJournal, 0},
		{"sticky", "S1", node.NoSticky, 0},
		{"enrol", "T1", 0, EnrolAnyone},
		{"key", "T1", 0, KeyedByName},
		{"raise", "T1", node.NoRaise, 0},
		{"no-claim-after-boot", "T3", node.NoT3, 0},
		{"verified", "T3", 0, UnverifiedOff},
		{"forced-raise", "T4", node.ForceUnsaid, 0},
		{"forced-no-claim", "T4", node.RaiseClaims, 0},
		{"ack-order", "order 1", node.AckEarly, 0},
		{"start-order", "order 2", node.StartEarly, 0},
		{"session-order", "order 4", node.SessionEarly, 0},
		{"begun-order", "order 6", node.BegunEarly, 0},
		{"outcome-order", "order 6", node.OutcomeEarly, 0},
		{"guard-order", "order 7", 0, LateGuard},
	}
}

// weakNames are the names of the rules that are left out.
func weakNames(n node.Weakness, w WorldWeakness) string {
	var names []string
	for _, r := range Weaks() {
		if r.Name != "quiet" && (n&r.Node != 0 || w&r.World != 0) { // quiet is three others
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, ",")
}
