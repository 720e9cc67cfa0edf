// Package picture says what a Status means: the sign of each server, group and path,
// the worst of it all, and what an operator could ask for. Console and commands draw
// the same conclusions because they are drawn here. It does not draw on a screen and
// asks nobody.
//
// Pure functions on a Status that nobody changes.
package picture

import (
	"slices"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/words"
)

// Kind is one of the seven ways something can be. Each has a glyph, and the console
// gives each a colour and an attribute; no state hangs on colour alone.
type Kind uint8

// The kinds. Off because somebody said so, and off for no known reason, never share
// one.
const (
	Good     Kind = iota
	Caution       // works, but look
	Failed        //
	Changing      // on its way
	Off           // on purpose
	Apart         // taken out
	Unknown       // nobody knows
)

var glyphs = [...][2]string{
	Good: {"●", "o"}, Caution: {"▲", "!"}, Failed: {"×", "X"}, Changing: {"◐", "~"},
	Off: {"□", "-"}, Apart: {"◇", "#"}, Unknown: {"?", "?"},
}

// Glyph is the kind's sign, one cell.
func (k Kind) Glyph(ascii bool) string {
	if ascii {
		return glyphs[k][1]
	}
	return glyphs[k][0]
}

// Sign is a kind and its word.
type Sign struct {
	Kind Kind
	Word words.Key
}

// OfServer is the sign of a server. One that the answering server does not hear, while
// there is no quorum that could have noticed, is not known whatever was last known.
func OfServer(st *api.Status, s *api.Server) Sign {
	if !st.Quorum && !Heard(st, s) && s.State != string(cluster.ServerStopped) && s.State != string(cluster.ServerDown) {
		return Sign{Unknown, words.NoContact}
	}
	switch cluster.ServerState(s.State) {
	case cluster.ServerOnline:
		if s.Name == st.Server && !st.Quorum && st.LeaseMS <= 0 && st.Phase == string(cluster.PhaseRunning) {
			return Sign{Caution, words.NoQuorum} // it may run nothing
		}
		return Sign{Good, words.Online}
	case cluster.ServerStopped:
		return Sign{Off, words.Stopped}
	case cluster.ServerDown:
		return Sign{Failed, words.Down}
	case cluster.ServerDetached:
		return Sign{Apart, words.Detached}
	case cluster.ServerStarting:
		return Sign{Changing, words.Starting}
	case cluster.ServerLeaving:
		return Sign{Changing, words.Leaving}
	case cluster.ServerReturning:
		return Sign{Changing, words.Returning}
	}
	return Sign{Unknown, words.NotKnown}
}

// Heard says whether the answering server hears the other one, or is it.
func Heard(st *api.Status, s *api.Server) bool {
	return s.Name == st.Server || s.HeardMS >= 0 && (st.TimeoutMS <= 0 || s.HeardMS <= st.TimeoutMS)
}

// OfGroup is the sign of a group.
func OfGroup(st *api.Status, g *api.Group) Sign {
	if g.State != string(cluster.GroupStopped) && uncertain(st, g) {
		return Sign{Unknown, words.NotKnown}
	}
	switch cluster.GroupState(g.State) {
	case cluster.GroupOnline:
		switch {
		case g.Degraded:
			return Sign{Caution, words.Degraded}
		case g.Warning != "":
			return Sign{Caution, words.Warning}
		}
		return Sign{Good, words.Online}
	case cluster.GroupStarting:
		return Sign{Changing, words.Starting}
	case cluster.GroupStopping:
		if g.Step != nil && g.Step.Kind == string(cluster.StepRecover) {
			return Sign{Changing, words.Recovering} // stopped there, not started elsewhere yet
		}
		return Sign{Changing, words.Stopping}
	case cluster.GroupFailed:
		return Sign{Failed, words.FailedWord}
	case cluster.GroupStopped:
		switch {
		case !g.Wanted:
			return Sign{Off, words.Stopped}
		case st.Phase != string(cluster.PhaseRunning):
			return Sign{Changing, words.Waiting}
		}
		return Sign{Caution, words.Waiting}
	}
	return Sign{Unknown, words.NotKnown}
}

// uncertain: the picture's word for the group is an old one. Without a quorum this
// server knows its own groups as long as its lease lasts, and others while it hears
// their servers.
func uncertain(st *api.Status, g *api.Group) bool {
	if st.Quorum {
		return false
	}
	if g.Server == st.Server {
		return st.LeaseMS <= 0
	}
	i := slices.IndexFunc(st.Servers, func(s api.Server) bool { return s.Name == g.Server })
	return i < 0 || st.LeaseMS <= 0 || !Heard(st, &st.Servers[i])
}

// StateWord is the word for a state of a server or group by itself, whatever else is
// known of it.
func StateWord(state string) words.Key {
	if k, ok := stateWords[state]; ok {
		return k
	}
	return words.NotKnown
}

var stateWords = map[string]words.Key{
	string(cluster.ServerOnline):    words.Online,
	string(cluster.ServerStopped):   words.Stopped,
	string(cluster.ServerDown):      words.Down,
	string(cluster.ServerDetached):  words.Detached,
	string(cluster.ServerStarting):  words.Starting,
	string(cluster.ServerLeaving):   words.Leaving,
	string(cluster.ServerReturning): words.Returning,
	string(cluster.GroupStopping):   words.Stopping,
	string(cluster.GroupFailed):     words.FailedWord,
}

// Doubt says what this server's word for a group is worth, "" where there is no doubt:
// without a quorum it knows that its own groups are stopped, and of others what was last
// known.
func Doubt(t words.Text, st *api.Status, g *api.Group) string {
	if OfGroup(st, g).Word != words.NotKnown {
		return ""
	}
	known := t.S(words.LastKnown, t.S(StateWord(g.State)))
	if g.Server == st.Server {
		return t.S(words.StoppedHere, known)
	}
	return known
}

// Worst is the sign of the whole cluster, and how many things are in that state (0
// where counting says nothing).
func Worst(st *api.Status) (Sign, int) {
	switch {
	case st.Phase == string(cluster.PhaseForming) || st.Phase == "":
		return Sign{Changing, words.Forming}, 0
	case !st.Quorum:
		return Sign{Failed, words.NoQuorum}, 0
	case st.Phase == string(cluster.PhaseStopping):
		return Sign{Changing, words.StoppingCluster}, 0
	}
	var best Sign
	rank, count := 0, 0
	note := func(s Sign) {
		r := rankOf(s.Kind)
		switch {
		case r > rank:
			best, rank, count = s, r, 1
		case r == rank && s.Word == best.Word:
			count++
		}
	}
	for i := range st.Groups {
		note(OfGroup(st, &st.Groups[i]))
	}
	for i := range st.Servers {
		note(OfServer(st, &st.Servers[i]))
	}
	if rank < rankOf(Caution) && (PathsLost(st) > 0 || rulesDiffer(st)) {
		return Sign{Caution, words.Caution}, 0
	}
	if rank == 0 {
		return Sign{Good, words.Healthy}, 0
	}
	return best, count
}

// rankOf orders kinds by how much they matter; 0 for those that do not.
func rankOf(k Kind) int {
	switch k {
	case Failed:
		return 5
	case Unknown:
		return 4
	case Caution:
		return 3
	case Apart:
		return 2
	case Changing:
		return 1
	}
	return 0
}

func rulesDiffer(st *api.Status) bool {
	for i := range st.Servers {
		if s := &st.Servers[i]; !s.SameRules && s.Name != st.Server && Heard(st, s) {
			return true
		}
	}
	return false
}

// Online counts the servers that are online.
func Online(st *api.Status) int {
	n := 0
	for i := range st.Servers {
		if OfServer(st, &st.Servers[i]) == (Sign{Good, words.Online}) {
			n++
		}
	}
	return n
}

// OfSeverity is the kind of an event.
func OfSeverity(sev string) Sign {
	switch sev {
	case cluster.Error:
		return Sign{Failed, words.Err}
	case cluster.Warn:
		return Sign{Caution, words.Wrn}
	}
	return Sign{Off, words.Inf}
}

// OfOp is the kind of an operation's state.
func OfOp(s cluster.OpState) Kind {
	switch s {
	case cluster.OpDone:
		return Good
	case cluster.OpRunning:
		return Changing
	}
	return Failed
}
