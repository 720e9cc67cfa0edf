package console

import (
	"slices"
	"strings"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// serverBox is a server with its groups, w cells wide and h lines high.
func (m *model) serverBox(s *api.Server, w, h int) []string {
	sign := picture.OfServer(m.st, s)
	inner := w - 2
	state, plain := m.th.kind(sign.Kind, m.s(sign.Word)), cells.Clean(s.Name)
	lead := m.serverLead(s)
	if here := " " + m.s(words.Here); s.Name == m.st.Server && 5+2+cells.Width(lead)+cells.Width(plain)+1+cells.Width(state)+cells.Width(here) <= w {
		state += here
	}
	name := m.th.cut(plain, max(w-5-3-cells.Width(lead)-cells.Width(state), 2))
	title := lead + m.th.kind(sign.Kind, sign.Kind.Glyph(m.th.ascii)) + " " + bold(name) + " " + state
	body := m.groupRows(m.sift(picture.On(m.st, s.Name)), inner, h-2)
	if room := h - 2 - len(body); room > 1 {
		body = append(body, m.serverNotes(s, sign, inner-2, room)...)
	}
	return m.th.box(title, body, w, h)
}

// serverLead is the cursor's mark before the selected server, where it moves.
func (m *model) serverLead(s *api.Server) string {
	if m.onServer() && s.Name == m.server {
		return bold("> ")
	}
	return ""
}

// returnHint says what a server waits for that is out of the cluster.
func (m *model) returnHint(s *api.Server) string {
	if s.State != string(cluster.ServerDetached) || whyMayNot(m) != "" || picture.WhyNotServer(m.t, m.st, cluster.VerbReturn, s) != "" {
		return ""
	}
	return m.s(words.ReturnHint, m.th.lines().arrow)
}

// serverNotes say why a server is not simply online.
func (m *model) serverNotes(s *api.Server, sign picture.Sign, w, n int) []string {
	var notes []string
	switch {
	case sign.Word == words.NoContact:
		notes = append(notes, m.s(words.LastKnown, m.s(picture.StateWord(s.State))))
	case sign.Word == words.NoQuorum:
		notes = append(notes, m.s(words.LeaseGone))
	case sign.Kind != picture.Good && s.Reason != "":
		notes = append(notes, cells.Clean(s.Reason))
	}
	if len(s.FailedWith) > 0 {
		notes = append(notes, m.s(words.RanWhenFailed, cells.Clean(strings.Join(s.FailedWith, ", "))))
	}
	if !s.SameRules && s.Name != m.st.Server && picture.Heard(m.st, s) {
		notes = append(notes, m.s(words.OtherRules))
	}
	var out []string
	if hint := m.returnHint(s); hint != "" {
		out = append(out, " "+bold(hint))
	}
	for _, note := range notes {
		if room := n - len(out); room > 0 {
			for _, l := range cells.Wrap(note, w, room, m.th.tail()) {
				out = append(out, dim(" "+l))
			}
		}
	}
	return out
}

// nameWidth is the groups' name column, the same for all servers, whatever runs where.
func (m *model) nameWidth(inner int) int {
	longest := 8
	for i := range m.st.Groups {
		longest = max(longest, cells.Width(cells.Clean(m.st.Groups[i].Name)))
	}
	return max(min(longest, inner-2-1-m.stateWidth()), 4)
}

// stateWidth holds the longest word that a group's state may have.
func (m *model) stateWidth() int {
	n := 0
	for _, k := range [...]words.Key{words.Online, words.Starting, words.Degraded, words.Recovering, words.FailedWord, words.Stopped, words.NotKnown} {
		n = max(n, cells.Width(m.s(k)))
	}
	return n + 2
}

// groupRows are a server's groups in n lines: with all their resources if there is
// room, else with those of the selected one, else as many groups as fit.
func (m *model) groupRows(groups []*api.Group, inner, n int) []string {
	cols := m.nameWidth(inner)
	all := 0
	rows := make([][]string, len(groups))
	for i, g := range groups {
		rows[i] = m.resourceRows(g, inner)
		all += 1 + len(rows[i])
	}
	spare := n - len(groups)
	var out []string
	if spare < 0 {
		at := max(slices.IndexFunc(groups, func(g *api.Group) bool { return g.Name == m.group }), 0)
		top := 0
		if at > n-2 {
			top = min(at-(n-2), len(groups)-(n-1))
		}
		for _, g := range groups[top : top+n-1] {
			out = append(out, m.groupRow(g, inner, cols))
		}
		return append(out, dim("  "+m.s(words.MoreBelow, len(groups)-(n-1))))
	}
	for i, g := range groups {
		out = append(out, m.groupRow(g, inner, cols))
		switch {
		case all <= n:
			out = append(out, rows[i]...)
		case g.Name == m.group || !m.hasSelected(groups) && i == 0:
			out = append(out, rows[i][:min(len(rows[i]), spare)]...)
		}
	}
	return out
}

func (m *model) hasSelected(groups []*api.Group) bool {
	return slices.ContainsFunc(groups, func(g *api.Group) bool { return g.Name == m.group })
}

// groupAge is how long the group has been in its state, or the step has taken.
func (m *model) groupAge(g *api.Group) string {
	at := g.Since
	if g.Step != nil {
		at = g.Step.Since
	}
	if at <= 0 {
		return ""
	}
	return cells.Age(m.since(at))
}

// marked is the group's name with the cursor's mark before it.
func (m *model) marked(g *api.Group, w int) string {
	name := m.th.fit(cells.Clean(g.Name), w)
	if g.Name == m.group && !m.onServer() {
		return bold("> " + name)
	}
	return "  " + name
}

// groupRow is a group on a line of a box. The age gives way to name and state.
func (m *model) groupRow(g *api.Group, inner, name int) string {
	sign := picture.OfGroup(m.st, g)
	s := m.th.cut(m.marked(g, name)+" "+m.th.sign(sign.Kind, m.s(sign.Word)), inner)
	if age := m.groupAge(g); cells.Width(s)+1+cells.Width(age) <= inner {
		return cells.Ends(s, age, inner, "")
	}
	return s
}

var kindWords = map[string]words.Key{
	"floating_ip": words.FloatingIP, "script": words.Script, "partition": words.Partition, "nfs": words.NFS,
}

// resourceName shortens what has a telling end from the left, the rest from the right.
func (m *model) resourceName(r *api.Resource, w int) string {
	name := cells.Clean(r.Name)
	if strings.HasPrefix(name, "/") {
		return cells.CutLeft(name, w, m.th.tail())
	}
	return m.th.cut(name, w)
}

func (m *model) kindWord(kind string) string {
	if k, ok := kindWords[kind]; ok {
		return m.s(k)
	}
	return cells.Clean(kind)
}

// resourceRows are a group's resources. A narrow box has no room for their kinds, and
// an address says by itself what it is; scripts are one line there, that of the first.
func (m *model) resourceRows(g *api.Group, inner int) []string {
	narrow := inner < boxW
	var out []string
	scripts := 0
	for i := range g.Resources {
		r := &g.Resources[i]
		if narrow && r.Kind == "script" {
			scripts++
			if scripts > 1 {
				continue
			}
		}
		out = append(out, m.resourceRow(r, inner, narrow))
	}
	return out
}

func (m *model) resourceRow(r *api.Resource, inner int, narrow bool) string {
	d := cells.Clean(r.Detail)
	if narrow {
		s := "    " + m.resourceName(r, inner-4)
		if d != "" && r.Kind != "script" && cells.Width(s)+cells.Width(d)+1 <= inner {
			s += " " + dim(d)
		}
		return s
	}
	kind := m.kindWord(r.Kind)
	name := m.resourceName(r, inner-6-cells.Width(kind))
	if d != "" && cells.Width(name)+cells.Width(d)+2 < inner-5-cells.Width(kind) {
		name += "  " + dim(d)
	}
	return cells.Ends("    "+name, dim(kind), inner, m.th.tail())
}
