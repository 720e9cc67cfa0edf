package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// listW is the list's part of a screen that has list and detail side by side.
const listW = 40

// groupsScreen is the list of groups, the worst first, beside the selected one; in a
// narrow terminal one or the other.
func (m *model) groupsScreen(w, h int) []string {
	g := m.selected()
	if w < wideW {
		if m.open && g != nil {
			return m.groupDetail(g, w, h)
		}
		out := m.groupList(w, h-1, true)
		return append(out, m.reasonLines(w, 1)...)
	}
	left := m.groupList(listW, h, false)
	right := []string{}
	if g != nil {
		right = m.groupDetail(g, w-listW-1, h)
	}
	right = padTo(right, h)
	out := make([]string, h)
	for i := range out {
		out[i] = m.th.fit(left[i], listW) + dim(m.th.lines().v) + right[i]
	}
	return out
}

// groupDetail is all there is to know about a group.
func (m *model) groupDetail(g *api.Group, w, h int) []string {
	sign := picture.OfGroup(m.st, g)
	head := " " + bold(m.th.cut(cells.Clean(g.Name), w/3)) + "  " + m.th.sign(sign.Kind, m.s(sign.Word))
	if g.Server != "" && g.State != string(cluster.GroupStopped) {
		head += " " + cells.Clean(g.Server)
	}
	head += " " + m.s(words.Since, m.groupAge(g))
	out := []string{m.th.cut(head, w)}
	for _, s := range []string{picture.Doubt(m.t, m.st, g), g.Reason, g.Warning} {
		for _, l := range cells.Wrap(cells.Clean(s), w-2, 2, m.th.tail()) {
			out = append(out, " "+l)
		}
	}
	for _, l := range cells.Wrap(m.groupFacts(g), w-2, 2, m.th.tail()) {
		out = append(out, dim(" "+l))
	}
	out = append(out, m.th.rule(m.s(words.ResourcesRule), "", w, false))
	for i := range g.Resources {
		r := &g.Resources[i]
		out = append(out, m.th.cut(fmt.Sprintf(" %2d  ", i)+m.th.fit(m.kindWord(r.Kind), 16)+" "+m.resourceName(r, w-32)+"  "+dim(cells.Clean(r.Detail)), w))
	}
	out = append(out, m.th.rule(m.s(words.WhereRule), "", w, false))
	for i, name := range g.Policy {
		out = append(out, m.th.cut(m.placeRow(g, i, name), w))
	}
	out = append(out, m.th.rule(m.s(words.GroupEventsRule), "", w, false))
	for _, e := range m.log.of(g.Name, max(h-len(out), 0)) {
		out = append(out, m.eventRow(e, w, false))
	}
	return padTo(out, h)
}

// placeRow is one server of a group's policy and why the group is there or not.
func (m *model) placeRow(g *api.Group, i int, name string) string {
	s := picture.Server(m.st, name)
	if s == nil {
		return fmt.Sprintf(" %2d  %s  ?", i+1, cells.Clean(name))
	}
	sign := picture.OfServer(m.st, s)
	why := m.s(words.Eligible)
	switch {
	case g.Server == name && g.State != string(cluster.GroupStopped):
		why = m.s(words.CurrentOwner)
	case slices.Contains(s.FailedWith, g.Name):
		why = m.s(words.HasFailedThere)
	case sign.Kind != picture.Good:
		why = cells.Clean(s.Reason)
	}
	return fmt.Sprintf(" %2d  ", i+1) + m.th.fit(cells.Clean(name), 12) + " " + m.th.fit(m.th.sign(sign.Kind, m.s(sign.Word)), 12) + " " + why
}

// serversScreen is the table of servers over the selected one's paths.
func (m *model) serversScreen(w, h int) []string {
	st := m.st
	out := []string{m.th.rule(m.s(words.ServersRule), "", w, true)}
	top, n := 0, min(len(st.Servers), h/2)
	at := slices.IndexFunc(st.Servers, func(s api.Server) bool { return s.Name == m.server })
	if at >= n {
		top = at - n + 1
	}
	for i := top; i < top+n; i++ {
		s := &st.Servers[i]
		sign := picture.OfServer(st, s)
		name := m.th.fit(cells.Clean(s.Name), 16)
		lead := "   "
		if i == at {
			lead, name = " "+bold("> "), bold(name)
		}
		row := lead + name + " " + m.th.fit(m.th.sign(sign.Kind, m.s(sign.Word)), 12) + " " +
			cells.Right(cells.Age(m.since(s.Since)), 5, "") + "  "
		if hint := m.returnHint(s); hint != "" {
			row += bold(hint) + "  "
		}
		row += cells.Clean(s.Reason)
		out = append(out, m.th.cut(row, w))
	}
	if at < 0 {
		return out
	}
	s := &st.Servers[at]
	out = append(out, m.th.rule(cells.Clean(s.Name)+": "+m.s(words.HeartbeatTitle), "", w, false))
	out = append(out, dim(m.th.cut("   "+m.th.fit(m.s(words.ColServer), 12)+" "+m.th.fit(m.s(words.ColPath), 8)+" "+m.th.fit(m.s(words.ColNetwork), 17)+" "+
		m.th.fit(m.s(words.ColVerdict), 18)+" "+cells.Right(m.s(words.ColRTT), 6, "")+" "+cells.Right(m.s(words.ColLoss), 5, ""), w)))
	pairs := picture.Pairs(st)
	for i := range pairs {
		p := &pairs[i]
		other := p.B
		switch s.Name {
		case p.A:
		case p.B:
			other = p.A
		default:
			continue
		}
		for k := range p.Links {
			out = append(out, m.th.cut(m.linkRow(other, &p.Links[k]), w))
		}
	}
	notes := m.serverNotes(s, picture.OfServer(st, s), w-2, 3)
	groups := picture.On(st, s.Name)
	if room := h - len(out) - len(notes) - 1; room > 1 {
		out = append(out, m.th.rule(m.s(words.ColGroups), "", w, false))
		out = append(out, notes...)
		cols := m.nameWidth(w / 2)
		for _, g := range groups[:min(len(groups), room)] {
			out = append(out, m.groupRow(g, w/2, cols))
		}
	}
	return padTo(out, h)
}

// linkRow is one path of a server, with its figures.
func (m *model) linkRow(other string, l *picture.Link) string {
	rtt, loss := "-", "-"
	if l.RTT >= 0 && l.Sign.Kind == picture.Good {
		rtt = roundTrip(l.RTT)
	}
	if l.Loss >= 0 {
		loss = fmt.Sprintf("%d%%", int(l.Loss*100+0.5))
	}
	return "   " + m.th.fit(cells.Clean(other), 12) + " " + m.th.fit(cells.Clean(l.Name), 8) + " " + m.th.fit(cells.Clean(l.Network), 17) + " " +
		m.th.fit(m.th.sign(l.Sign.Kind, m.linkWord(l, 16)), 18) + " " + cells.Right(rtt, 6, "") + " " + cells.Right(loss, 5, "")
}

// eventsScreen is the events over the selected one.
func (m *model) eventsScreen(w, h int) []string {
	detail := []string{m.th.rule(m.s(words.DetailRule), "", w, false)}
	if e := m.log.current(); e != nil {
		parts := []string{m.s(words.EventLine, e.ID, time.UnixMilli(e.At).Format("2006-01-02 15:04:05.000")), e.Code}
		if e.Server != "" {
			parts = append(parts, m.s(words.ColServer)+" "+e.Server)
		}
		if e.Group != "" {
			parts = append(parts, m.s(words.ColGroup)+" "+e.Group)
		}
		detail = append(detail, m.th.cut(" "+cells.Clean(strings.Join(parts, "  ")), w))
		text := cells.Clean(e.Text)
		if e.Who != "" {
			text += "  " + m.s(words.EventBy, cells.Clean(e.Who))
		}
		for _, l := range cells.Wrap(text, w-2, 3, m.th.tail()) {
			detail = append(detail, " "+l)
		}
	}
	detail = padTo(detail, 5)
	out := m.eventsPane(w, h-len(detail))
	if cur := m.log.current(); cur != nil {
		for i, k := range m.log.window(h - len(detail) - 1) {
			if &m.log.all[k] == cur {
				out[1+i] = m.eventRow(cur, w, true)
			}
		}
	}
	return append(out, detail...)
}

// took is a duration of the picture.
func took(ms int64) string { return cells.Took(time.Duration(ms) * time.Millisecond) }
