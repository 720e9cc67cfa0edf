package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// table is the cluster with more servers than boxes: a line per server with a matrix
// of paths, then the groups, then events.
func (m *model) table(w, h int) []string {
	out := m.serverTable(w, min(len(m.st.Servers)+1, h/2))
	rest := h - len(out) - 1 // the reason's line
	groups := min(len(m.st.Groups)+1, rest-max(4, rest/3))
	out = append(out, m.groupList(w, max(groups, 2), true)...)
	out = append(out, m.reasonLines(w, 1)...)
	return append(out, m.eventsPane(w, h-len(out))...)
}

// serverTable has at most n lines with its heading. Where not all servers fit, those
// that matter most are shown.
func (m *model) serverTable(w, n int) []string {
	st := m.st
	head, rows := m.matrix()
	mw := cells.Width(head) + 1
	nameW, stateW := cells.Width(m.s(words.ColServer)), cells.Width(m.s(words.ColState))
	for i := range st.Servers {
		name := cells.Width(cells.Clean(st.Servers[i].Name))
		if st.Servers[i].Name == st.Server {
			name += 1 + cells.Width(m.s(words.Here))
		}
		nameW = max(nameW, name)
		stateW = max(stateW, 2+cells.Width(m.s(picture.OfServer(st, &st.Servers[i]).Word)))
	}
	nameW = min(nameW, 24)
	if w < 3+nameW+stateW+8+mw+10 {
		head, mw = "", 0
	}
	tail := m.th.tail()
	line := func(no, name, state, heard, matrix, groups string) string {
		s := cells.Right(no, 3, "") + " " + m.th.fit(name, nameW) + " " + m.th.fit(state, stateW) + " " + cells.Right(heard, 6, tail)
		if mw > 0 {
			s += " " + cells.Fit(matrix, mw, "")
		}
		return m.th.cut(s+" "+groups, w)
	}
	out := []string{dim(line("", m.s(words.ColServer), m.s(words.ColState), m.s(words.ColHeard), head, m.s(words.ColGroups)))}
	order := make([]int, len(st.Servers))
	for i := range order {
		order[i] = i
	}
	cut := 0
	if n-1 < len(order) {
		rank := func(i int) int {
			if s := &st.Servers[i]; m.serverLead(s) == "" {
				return weight(picture.OfServer(st, s).Kind)
			}
			return inSight
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(b), rank(a)) })
		cut = len(order) - max(n-2, 0)
		order = order[:max(n-2, 0)]
		slices.Sort(order)
	}
	for _, i := range order {
		s := &st.Servers[i]
		sign := picture.OfServer(st, s)
		name := cells.Clean(s.Name)
		if s.Name == st.Server {
			name += " " + m.s(words.Here)
		}
		var on []string
		for _, g := range picture.On(st, s.Name) {
			on = append(on, cells.Clean(g.Name)+" "+m.th.sign(picture.OfGroup(st, g).Kind, ""))
		}
		groups := strings.Join(on, "  ")
		if groups == "" && sign.Kind != picture.Good {
			groups = dim(cells.Clean(s.Reason))
		}
		if hint := m.returnHint(s); hint != "" {
			groups = bold(hint) + "  " + groups
		}
		no := fmt.Sprint(i + 1)
		if m.serverLead(s) != "" {
			no, name = bold(">"+no), bold(name)
		}
		out = append(out, line(no, name, m.th.sign(sign.Kind, m.s(sign.Word)), m.heardAge(s), rows[i], groups))
	}
	if cut > 0 {
		out = append(out, dim("    "+m.s(words.MoreBelow, cut)))
	}
	return out
}

// inSight is above all weights.
const inSight = 7

// weight orders kinds for lists that show the worst first.
func weight(k picture.Kind) int {
	switch k {
	case picture.Failed:
		return 6
	case picture.Unknown:
		return 5
	case picture.Caution:
		return 4
	case picture.Changing:
		return 3
	case picture.Apart:
		return 2
	case picture.Good:
		return 1
	}
	return 0
}

// listed are all groups, the worst first, then as in the configuration file.
func (m *model) listed() []*api.Group {
	out := make([]*api.Group, len(m.st.Groups))
	for i := range out {
		out[i] = &m.st.Groups[i]
	}
	if m.screen != onGroups {
		return out
	}
	slices.SortStableFunc(out, func(a, b *api.Group) int {
		return cmp.Compare(weight(picture.OfGroup(m.st, b).Kind), weight(picture.OfGroup(m.st, a).Kind))
	})
	return out
}

// groupList is a rule and n-1 lines of groups with the cursor in sight.
func (m *model) groupList(w, n int, resources bool) []string {
	groups := m.sift(m.listed())
	title := m.s(words.GroupsRule)
	if k := n - 1; len(groups) > k {
		title += fmt.Sprintf("  %d/%d", m.cursorIn(groups)+1, len(groups))
	}
	out := []string{m.th.rule(title, "", w, m.focus == inBody)}
	return append(out, m.groupLines(groups, w, n-1, resources)...)
}

func (m *model) cursorIn(groups []*api.Group) int {
	return slices.IndexFunc(groups, func(g *api.Group) bool { return g.Name == m.group })
}

// groupLines are n lines of groups: name, state, server, age, and what they consist of.
func (m *model) groupLines(groups []*api.Group, w, n int, resources bool) []string {
	var out []string
	if len(groups) == 0 {
		k := m.s(words.NoGroups)
		if m.filter != "" {
			k = m.s(words.NoMatch, cells.Clean(m.filter))
		}
		out = append(out, dim(m.th.cut(" "+k, w)))
	}
	nameW, serverW := 8, 4
	for _, g := range groups {
		nameW = max(nameW, cells.Width(cells.Clean(g.Name)))
		serverW = max(serverW, cells.Width(cells.Clean(g.Server)))
	}
	serverW = min(serverW, 16)
	nameW = min(nameW, max(w-1-2-2-m.stateWidth()-1-serverW-1-5, 8))
	top := 0
	if at := m.cursorIn(groups); at >= n {
		top = at - n + 1
	}
	for _, g := range groups[top:min(top+n, len(groups))] {
		sign := picture.OfGroup(m.st, g)
		server := cells.Clean(g.Server)
		if server == "" {
			server = "-"
		}
		s := " " + m.marked(g, nameW) + " " + m.th.fit(m.th.sign(sign.Kind, m.s(sign.Word)), m.stateWidth()) + " " +
			m.th.fit(server, serverW) + " " + cells.Right(m.groupAge(g), 5, "")
		if room := w - cells.Width(s) - 2; resources && room > 12 {
			var names []string
			for i := range g.Resources {
				names = append(names, m.resourceName(&g.Resources[i], 18))
			}
			s += "  " + dim(m.th.cut(strings.Join(names, "  "), room))
		}
		out = append(out, m.th.cut(s, w))
	}
	return padTo(out, n)
}

// list is the cluster on a small terminal.
func (m *model) list(w, h int) []string {
	st := m.st
	var out []string
	line, at := "", 0
	for i := range st.Servers {
		s := &st.Servers[i]
		sign := picture.OfServer(st, s)
		part := " " + m.serverLead(s) + cells.Clean(s.Name) + " " + m.th.sign(sign.Kind, m.s(sign.Word))
		if s.Name == st.Server {
			part += " " + m.s(words.Here)
		}
		if hint := m.returnHint(s); hint != "" {
			part += " " + bold(hint)
		}
		part += "  "
		if line != "" && cells.Width(line)+cells.Width(part) > w {
			out = append(out, line)
			line = ""
		}
		line += m.th.cut(part, w)
		if m.serverLead(s) != "" {
			at = len(out)
		}
	}
	if line != "" {
		out = append(out, line)
	}
	if room := 4; len(out) > room {
		if at >= room-1 {
			out = out[at-(room-2):] // the cursor must be in sight
		}
		out = append(out[:room-1:room-1], dim(" "+m.s(words.MoreBelow, len(st.Servers))))
	}
	out = append(out, m.pathsInLine(w))
	rest := h - len(out)
	groups := min(len(st.Groups)+1, max(rest-3, 3))
	out = append(out, m.groupList(w, groups, false)...)
	if h-len(out) > 4 {
		out = append(out, m.reasonLines(w, 1)...)
	}
	return append(out, m.eventsPane(w, max(h-len(out), 0))...)
}

// pathsInLine counts the paths that work between all servers, and names the others.
func (m *model) pathsInLine(w int) string {
	pairs := picture.Pairs(m.st)
	ok, all := 0, 0
	bad := ""
	for i := range pairs {
		p := &pairs[i]
		ok += p.OK()
		all += len(p.Links)
		for k := range p.Links {
			if l := &p.Links[k]; l.Sign.Kind == picture.Failed {
				bad += "  " + m.th.sign(l.Sign.Kind, cells.Clean(p.A)+"-"+cells.Clean(p.B)+" "+cells.Clean(l.Name))
			}
		}
	}
	s := " " + m.s(words.HeartbeatPaths) + "  "
	if ok == all {
		return m.th.cut(s+m.th.sign(picture.Good, m.s(words.AllPathsOK, all)), w)
	}
	return m.th.cut(s+m.th.sign(picture.Caution, m.s(words.SomePathsOK, ok, all))+bad, w)
}
