package picture

import (
	"baton/core/cluster"
	"baton/tui/cells"
	"baton/tui/words"
)

// Effects are what a forecast means for groups, a sentence each: what stops and where
// it goes, and which are recovered on a server that returns.
func Effects(t words.Text, f *cluster.Forecast) []string {
	var out []string
	if f.Phase == cluster.PhaseForming {
		out = append(out, t.S(words.NoServerLeft))
	}
	lead := len(out)
	for i := range f.Runs {
		if st := &f.Runs[i].Step; st.Kind == cluster.StepRecover {
			out = append(out, t.S(words.RecoversOn, cells.Clean(st.Group), cells.Clean(st.Server)))
		}
	}
	for i := range f.Moves {
		m := &f.Moves[i]
		group, from, to := cells.Clean(m.Group), cells.Clean(m.From), cells.Clean(m.To)
		switch {
		case m.State == cluster.GroupOnline && from != "" && to != from:
			out = append(out, t.S(words.GoesTo, group, from, to))
		case m.State == cluster.GroupOnline:
			out = append(out, t.S(words.ComesUp, group, to))
		case m.State == cluster.GroupStopped && from != "":
			out = append(out, t.S(words.StopsHere, group, from, cells.Clean(m.Reason)))
		default:
			out = append(out, t.S(words.Becomes, group, m.State, cells.Clean(m.Reason)))
		}
	}
	if len(out) == lead {
		out = append(out, t.S(words.NoGroupTouched))
	}
	return out
}
