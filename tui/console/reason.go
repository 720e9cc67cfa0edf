package console

import (
	"strings"

	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// reasonLines say why the selected group is where it is, and with more than one line
// what else there is to know about it.
func (m *model) reasonLines(w, n int) []string {
	if m.onServer() {
		return m.serverReason(w, n)
	}
	g := m.selected()
	if g == nil {
		return make([]string, n)
	}
	sign := picture.OfGroup(m.st, g)
	var why []string
	if s := picture.Doubt(m.t, m.st, g); s != "" {
		why = append(why, s)
	}
	if g.Step != nil {
		s := m.s(sign.Word) + " " + cells.Clean(g.Step.Server)
		if g.Step.Next > 0 {
			s += ", " + m.s(words.NextSteps, g.Step.Next)
		}
		why = append(why, s)
	}
	for _, s := range []string{g.Reason, g.Warning} {
		if s != "" {
			why = append(why, cells.Clean(s))
		}
	}
	name := m.th.cut(cells.Clean(g.Name), 20)
	text := strings.Join(why, "; ")
	lead := " " + bold(name) + ": "
	if n == 1 {
		return []string{m.th.cut(lead+text, w)}
	}
	out := []string{m.th.rule(m.s(words.ColWhy)+": "+m.th.cut(cells.Clean(g.Name), 40), "", w, false)}
	for _, l := range cells.Wrap(text, w-2, 2, m.th.tail()) {
		out = append(out, " "+l)
	}
	out = append(out, dim(m.th.cut(" "+m.groupFacts(g), w)))
	return padTo(out, n)
}

// serverReason says why the selected server is in its state.
func (m *model) serverReason(w, n int) []string {
	s := picture.Server(m.st, m.server)
	if s == nil {
		return make([]string, n)
	}
	name, text := m.th.cut(cells.Clean(s.Name), 20), cells.Clean(s.Reason)
	if hint := m.returnHint(s); hint != "" {
		text = hint + "; " + text
	}
	if n == 1 {
		return []string{m.th.cut(" "+bold(name)+": "+text, w)}
	}
	out := []string{m.th.rule(m.s(words.ColWhy)+": "+m.th.cut(cells.Clean(s.Name), 40), "", w, false)}
	for _, l := range cells.Wrap(text, w-2, n-1, m.th.tail()) {
		out = append(out, " "+l)
	}
	return padTo(out, n)
}

// groupFacts is a line of what does not change with the group's state.
func (m *model) groupFacts(g *api.Group) string {
	yes := func(b bool) string {
		if b {
			return m.s(words.Auto)
		}
		return m.s(words.Manual)
	}
	parts := []string{
		m.s(words.PolicyLine, cells.Clean(strings.Join(g.Policy, " "+m.th.lines().right+" "))),
		m.s(words.AutostartWord, yes(g.Autostart), yes(g.Failback == "auto")),
	}
	if g.LastStartMS > 0 {
		parts = append(parts, m.s(words.LastTookStart, took(g.LastStartMS)))
	}
	if g.LastStopMS > 0 {
		parts = append(parts, m.s(words.LastTookStop, took(g.LastStopMS)))
	}
	if g.Failovers > 0 {
		parts = append(parts, m.s(words.FailoversLine, g.Failovers))
	}
	return strings.Join(parts, "   ")
}
