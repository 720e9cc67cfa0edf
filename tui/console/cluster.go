package console

import (
	"slices"
	"strings"

	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// boxW is the narrowest a server's box may be: three servers side by side on 80
// columns, and 34 for any other number.
const (
	boxW  = 34
	boxW3 = 26
)

// shape is how the cluster is drawn.
type shape int

const (
	asList   shape = iota // a small terminal
	asCouple              // two boxes with the paths between them
	asBoxes               // a box per server, paths below
	asTable               // a line per server with a matrix of paths
)

func (m *model) shape(w, h int) shape {
	n := len(m.st.Servers)
	switch {
	case w < homeW || m.h < homeH:
		return asList
	case n <= 2:
		return asCouple
	case w/n >= boxW || n == 3 && w/n >= boxW3:
		return asBoxes
	}
	return asTable
}

// clusterScreen is the cluster diagram over the events.
func (m *model) clusterScreen(w, h int) []string {
	switch m.shape(w, h) {
	case asCouple, asBoxes:
		return m.diagram(w, h)
	case asTable:
		return m.table(w, h)
	}
	return m.list(w, h)
}

// diagram shares the height out so that nothing moves when groups do: the boxes are
// as high as the server that carried everything would need, if there is room.
func (m *model) diagram(w, h int) []string {
	st := m.st
	couple := m.shape(w, h) == asCouple
	var paths []string
	if !couple {
		paths = m.pairLines(w)
		if h >= 28 {
			paths = append([]string{m.th.rule(m.s(words.HeartbeatTitle), "", w, false)}, paths...)
		}
	}
	detail := m.reasonLines(w, 1)
	if h >= 28 {
		detail = m.reasonLines(w, 4)
	}
	need := 0
	for i := range st.Groups {
		need += 1 + len(m.resourceRows(&st.Groups[i], w/max(len(st.Servers), 1)-2))
	}
	if couple && len(st.Servers) == 2 {
		need = max(need, len(m.between(14, 99)))
	}
	need = max(need, 3) + 2
	rest := h - len(paths) - len(detail) - 1
	boxH := min(need, rest-max(5, rest/3))
	boxH = max(boxH, 5)
	var out []string
	if couple {
		out = m.coupleRow(w, boxH)
	} else {
		out = m.boxRow(w, boxH)
	}
	out = append(out, m.unplacedLine(w))
	out = append(out, paths...)
	out = append(out, detail...)
	return append(out, m.eventsPane(w, h-len(out))...)
}

// coupleRow is one or two boxes and what is between them.
func (m *model) coupleRow(w, h int) []string {
	st := m.st
	if len(st.Servers) < 2 {
		out := make([]string, h)
		for i := range st.Servers {
			out = m.serverBox(&st.Servers[i], w, h)
		}
		return out
	}
	mid := 16
	if w >= wideW {
		mid = 30
	}
	side := (w - mid) / 2
	mid = w - 2*side
	a, b := m.serverBox(&st.Servers[0], side, h), m.serverBox(&st.Servers[1], side, h)
	gap := append([]string{""}, m.between(mid, h-2)...)
	out := make([]string, h)
	for i := range out {
		s := ""
		if i < len(gap) {
			s = gap[i]
		}
		out[i] = a[i] + m.th.fit(s, mid) + b[i]
	}
	return out
}

// boxRow is all servers side by side.
func (m *model) boxRow(w, h int) []string {
	n := len(m.st.Servers)
	gap := 0
	if w >= n*(boxW+1) {
		gap = 1
	}
	each, left := (w-gap*(n-1))/n, (w-gap*(n-1))%n
	out := make([]string, h)
	for i := range m.st.Servers {
		bw := each
		if i < left {
			bw++
		}
		for k, line := range m.serverBox(&m.st.Servers[i], bw, h) {
			if i > 0 {
				out[k] += cells.Space(gap)
			}
			out[k] += line
		}
	}
	return out
}

// unplacedLine names the groups that run nowhere.
func (m *model) unplacedLine(w int) string {
	groups := m.sift(picture.Unplaced(m.st))
	label := " " + m.s(words.NotRunning) + " "
	if len(groups) == 0 {
		return dim(label + m.s(words.NoneThere))
	}
	if i := slices.IndexFunc(groups, func(g *api.Group) bool { return g.Name == m.group }); i > 0 {
		groups[0], groups[i] = groups[i], groups[0] // the cursor must be in sight
	}
	s := dim(label)
	for i, g := range groups {
		sign := picture.OfGroup(m.st, g)
		part := cells.Clean(g.Name) + " " + m.th.sign(sign.Kind, m.s(sign.Word))
		if age := m.groupAge(g); age != "" {
			part += " " + age
		}
		if g.Name == m.group && !m.onServer() {
			part = bold("> ") + part
		} else {
			part = "  " + part
		}
		if i > 0 {
			part = "  " + part
		}
		more := ""
		if i < len(groups)-1 {
			more = "   " + m.s(words.MoreBelow, len(groups)-i-1)
		}
		if i > 0 && cells.Width(s)+cells.Width(part)+cells.Width(more) > w {
			return m.th.cut(s+"   "+dim(m.s(words.MoreBelow, len(groups)-i)), w)
		}
		s += part
	}
	return m.th.cut(s, w)
}

// order lists the groups as the cursor goes through them: server by server as drawn,
// then those that run nowhere.
func (m *model) order() []string {
	if m.st == nil {
		return nil
	}
	var out []string
	add := func(groups []*api.Group) {
		for _, g := range m.sift(groups) {
			out = append(out, g.Name)
		}
	}
	if m.screen == onCluster && m.shape(m.w, m.h) != asList && m.shape(m.w, m.h) != asTable {
		for i := range m.st.Servers {
			add(picture.On(m.st, m.st.Servers[i].Name))
		}
		add(picture.Unplaced(m.st))
		return out
	}
	add(m.listed())
	return out
}

// sift keeps the groups that the filter lets through.
func (m *model) sift(groups []*api.Group) []*api.Group {
	if m.filter == "" {
		return groups
	}
	return slices.DeleteFunc(slices.Clone(groups), func(g *api.Group) bool { return !m.wanted(g) })
}

// wanted says whether the filter lets the group through.
func (m *model) wanted(g *api.Group) bool {
	if m.filter == "" {
		return true
	}
	want := strings.ToLower(m.filter)
	for _, s := range []string{g.Name, g.Server, g.State, m.s(picture.OfGroup(m.st, g).Word)} {
		if strings.Contains(strings.ToLower(cells.Clean(s)), want) {
			return true
		}
	}
	return false
}
