package node

import (
	"slices"

	"baton/core/cluster"
)

// mayAct reports whether this server has the right to run steps now.
func (n *Node) mayAct() bool {
	return n.ready && !n.renewing && (n.held.Valid(n.now.Mono) || n.lacks(NoLease)) && n.caughtUp()
}

// runSteps carries out what the state wants done here: under the session that the
// step names and a valid lease (S3), each token at most once, begun on disk before
// its first action, its outcome on disk before it is reported (S5).
func (n *Node) runSteps() {
	if !n.ready || n.rn == nil {
		return
	}
	due := n.state.Steps(n.name)
	n.pruneJournal(due)
	if !n.mayAct() {
		return
	}
	for _, st := range due {
		if st.Session != n.id.Session && !n.lacks(NoSession) {
			continue
		}
		e := n.journal.find(st.Token)
		switch {
		case e == nil:
			n.begin(st)
		case e.reported:
			n.propose("result "+itoa(st.Token), n.resultCommand(st, e.Outcome))
		case e.begun && !e.running && !e.Done:
			// Begun by an earlier batond.
			e.running = true
			n.noteActive(st)
			n.out.Run = append(n.out.Run, Run{Step: st, Adopt: true})
		}
	}
}

// begin journals a token and runs its step once that is durable.
func (n *Node) begin(st cluster.Step) {
	e := &journalEntry{Token: st.Token}
	n.journal = append(n.journal, e)
	n.putKey(numbered(prefixToken, st.Token), mustJSON(e))
	session := n.id.Session
	n.persistUnless(BegunEarly, func() {
		e.begun = true
		if n.mayAct() && n.id.Session == session {
			e.running = true
			n.noteActive(st)
			n.out.Run = append(n.out.Run, Run{Step: st})
			n.out.Changed = true
		}
	})
}

// stepEnded takes a step's outcome.
func (n *Node) stepEnded(r StepResult) {
	e := n.journal.find(r.Token)
	if e == nil || e.Done || !e.running {
		return // of a session that is over
	}
	e.Done, e.Outcome = true, r.Outcome
	n.putKey(numbered(prefixToken, r.Token), mustJSON(e))
	n.persistUnless(OutcomeEarly, func() {
		e.reported = true
		n.runSteps()
	})
}

func (n *Node) resultCommand(st cluster.Step, o cluster.Outcome) cluster.Command {
	if st.Kind == cluster.StepStop && o.OK {
		n.noteInactive(st.Group)
	}
	return cluster.Command{
		Kind: cluster.KindResult, Server: n.name, Session: n.id.Session, Token: st.Token, Outcome: &o,
	}
}

// pruneJournal forgets tokens that were executed and are not due any more. An
// applied entry is applied again after a restart, so they cannot become due again.
func (n *Node) pruneJournal(due []cluster.Step) {
	if !n.caughtUp() {
		return
	}
	n.journal = slices.DeleteFunc(n.journal, func(e *journalEntry) bool {
		if !e.reported || slices.ContainsFunc(due, func(s cluster.Step) bool { return s.Token == e.Token }) {
			return false
		}
		n.deleteKey(numbered(prefixToken, e.Token))
		return true
	})
}
