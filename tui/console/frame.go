package console

import (
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"baton/core/cluster"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// The smallest terminal that shows a list, and the smallest that shows the servers as
// boxes or a table.
const (
	minW, minH   = 60, 16
	homeW, homeH = 80, 20
	wideW        = 110
)

// View is called after every message, and hands the frame to the painter.
func (m *model) View() tea.View {
	defer m.crashed()
	if m.paint != nil {
		m.paint.show(m.frame(), m.w, m.h)
	}
	return tea.View{}
}

// frame is the whole screen: m.h lines, none wider than m.w.
func (m *model) frame() []string {
	w, h := m.w, m.h
	if w < minW || h < minH {
		out := make([]string, h)
		if h > 0 {
			out[h/2] = m.th.cut(m.s(words.TooSmall, w, h), w)
		}
		return out
	}
	top := m.header(w)
	bottom := m.footer(w)
	body := m.body(w, h-len(top)-len(bottom))
	if m.freshness() == lost {
		for i := range body {
			body[i] = faded(body[i])
		}
	}
	if n, ok := m.noticed(); ok {
		// Over the last line of the body: a notice must not move what is above it.
		body[len(body)-1] = m.th.cut(" "+m.th.sign(n.kind, n.text), w)
	}
	out := append(append(top, body...), bottom...)
	if m.dialog != nil {
		out = m.overlay(out)
	}
	return out
}

// body is the part between header and footer, h lines.
func (m *model) body(w, h int) []string {
	if m.st == nil {
		out := []string{"", " " + m.s(words.NoServers), ""}
		for _, l := range cells.Wrap(m.trouble(), w-2, max(h-4, 1), m.th.tail()) {
			out = append(out, " "+l)
		}
		return padTo(out, h)
	}
	var out []string
	switch m.screen {
	case onGroups:
		out = m.groupsScreen(w, h)
	case onServers:
		out = m.serversScreen(w, h)
	case onEvents:
		out = m.eventsScreen(w, h)
	default:
		out = m.clusterScreen(w, h)
	}
	return padTo(out, h)
}

// trouble is why there is no contact, as far as known.
func (m *model) trouble() string {
	if m.down == "" {
		return m.s(words.Tried)
	}
	return m.s(words.CannotReach, m.down)
}

// segment is a part of the header that may be left out.
type segment struct {
	text string
	rank int // the highest goes first when the line is too short; 0 stays
}

// join puts as many segments as fit on w cells.
func join(segs []segment, gap string, w int) string {
	for {
		parts := make([]string, 0, len(segs))
		worst := -1
		for i := range segs {
			parts = append(parts, segs[i].text)
			if segs[i].rank > 0 && (worst < 0 || segs[i].rank >= segs[worst].rank) {
				worst = i
			}
		}
		s := strings.Join(parts, gap)
		if cells.Width(s) <= w || worst < 0 {
			return s
		}
		segs = append(segs[:worst:worst], segs[worst+1:]...)
	}
}

// header is two lines: the cluster's worst state and the age of the picture; the
// screens and who is asking. A third one says what a cluster without quorum waits for.
func (m *model) header(w int) []string {
	right := m.age() + "  " + m.now().Format("15:04") + " "
	var segs []segment
	if st := m.st; st == nil {
		segs = append(segs, segment{bold("baton"), 0})
	} else {
		sign, n := picture.Worst(st)
		word := m.s(sign.Word)
		if n > 0 {
			word = strconv.Itoa(n) + " " + word
		}
		segs = append(segs,
			segment{bold(m.th.cut(cells.Clean(st.Cluster), 24)), 0},
			segment{m.th.sign(m.known(sign.Kind, word)), 0},
			segment{m.s(words.ServersCount, picture.Online(st), len(st.Servers)), 1})
		switch {
		case !st.Quorum:
			segs = append(segs, segment{m.th.sign(picture.Failed, m.s(words.NoQuorum)), 2})
		case st.Leader != "":
			segs = append(segs, segment{m.s(words.LeaderIs, cells.Clean(st.Leader)), 2})
		}
		if k := st.Tiebreaker.Kind; k != "" && k != "none" {
			segs = append(segs, segment{m.s(words.TieIs) + " " + m.th.sign(m.tieKind(), cells.Clean(k)), 3})
		}
		segs = append(segs, segment{m.s(words.Rev, st.Revision), 4})
		if !st.Quorum && sign.Word == words.NoQuorum { // once is enough
			segs = append(segs[:3:3], segs[4:]...)
		}
	}
	left := " " + join(segs, "  ", w-cells.Width(right)-2)
	out := []string{cells.Ends(left, right, w, m.th.tail()), m.tabs(w)}
	if s := m.alert(); s != "" {
		k := picture.Failed
		if m.freshness() != lost && m.st.Phase != string(cluster.PhaseRunning) {
			k = picture.Changing
		}
		out = append(out, m.th.kind(k, m.th.fit(" "+k.Glyph(m.th.ascii)+" "+s, w)))
	}
	return out
}

// known turns what a lost picture says into what was last known.
func (m *model) known(k picture.Kind, word string) (picture.Kind, string) {
	if m.freshness() == lost {
		return picture.Unknown, m.s(words.LastKnown, word)
	}
	return k, word
}

func (m *model) tieKind() picture.Kind {
	switch m.st.Tiebreaker.State {
	case "ok":
		return picture.Good
	case "lost":
		return picture.Failed
	}
	return picture.Unknown
}

// age says how old the picture is, without a figure while it is fresh.
func (m *model) age() string {
	d := cells.Age(m.now().Sub(m.got))
	switch m.freshness() {
	case live:
		return m.th.sign(picture.Good, m.s(words.Live))
	case stale:
		return m.th.sign(picture.Caution, m.s(words.Stale)+" "+d)
	case lost:
		return m.th.sign(picture.Failed, m.s(words.LostPicture)+" "+d)
	}
	return m.th.sign(picture.Changing, m.s(words.Connecting))
}

// alert is what stands in the way of everything, "" where nothing does.
func (m *model) alert() string {
	if m.freshness() == lost {
		s := m.s(words.NotHeard, cells.Age(m.now().Sub(m.got))) + " " + m.s(words.SeenIs, m.got.Format("15:04:05"))
		if m.down != "" {
			s += " " + m.down
		}
		return s
	}
	if m.st == nil || m.st.Waiting == "" {
		return ""
	}
	return m.s(words.WaitsFor, cells.Clean(m.st.Waiting))
}

var screens = [...]words.Key{words.ScreenCluster, words.ScreenGroups, words.ScreenServers, words.ScreenEvents}

func (m *model) tabs(w int) string {
	var b strings.Builder
	for i, k := range screens {
		name := strconv.Itoa(i+1) + " " + m.s(k)
		if screen(i) == m.screen {
			b.WriteString(bold("[" + name + "]"))
		} else {
			b.WriteString(" " + name + " ")
		}
	}
	left := " " + b.String()
	if m.filter != "" && !m.focusedEvents() && m.screen != onServers {
		left += "  " + m.th.kind(picture.Caution, m.s(words.FilterIs)+": "+m.th.cut(m.filter, 16))
	}
	role := words.ViewerRole
	switch {
	case m.opt.ViewOnly:
		role = words.ViewOnlyRole
	case m.st != nil && m.st.Operator:
		role = words.OperatorRole
	}
	var segs []segment
	who := m.opt.User
	if m.st != nil {
		who += "@" + cells.Clean(m.st.Server)
		segs = append(segs, segment{who, 1}, segment{m.s(role), 0})
	} else if who != "" {
		segs = append(segs, segment{who, 1})
	}
	right := join(segs, " ", w-cells.Width(left)-2) + " "
	return cells.Ends(left, right, w, m.th.tail())
}

// footer is the keys of this view, above them those of the embedding program.
func (m *model) footer(w int) []string {
	var out []string
	if m.opt.Hint != nil {
		out = append(out, m.th.cut(" "+m.hinted, w))
	}
	if len(m.opt.Extra) > 0 {
		var segs []segment
		for i := range m.opt.Extra {
			e := &m.opt.Extra[i]
			segs = append(segs, segment{bold(e.Key) + " " + e.Label, i + 1})
		}
		out = append(out, " "+join(segs, "  ", w-2))
	}
	if m.input != nil {
		return append(out, m.input.line(m, w))
	}
	keys := make([]*command, 0, len(m.cmds))
	for i := range m.cmds {
		if c := &m.cmds[i]; c.place > 0 && (c.shown == nil || c.shown(m)) {
			keys = append(keys, c)
		}
	}
	slices.SortStableFunc(keys, func(a, b *command) int { return a.place - b.place })
	segs := make([]segment, 0, len(keys))
	for _, c := range keys {
		text := c.b.Help().Key + " " + m.s(c.desc)
		if c.why != nil && c.why(m) != "" {
			text = dim(text)
		}
		segs = append(segs, segment{text, c.drop})
	}
	return append(out, " "+join(segs, "  ", w-2))
}

// overlay puts the dialog over the middle of the frame.
func (m *model) overlay(base []string) []string {
	width := min(m.w-4, 72)
	title, body, foot := m.dialog.draw(m, width-4)
	if room := m.h - 2 - len(foot); len(body) > room {
		body = append(body[:max(room-1, 0):max(room-1, 0)], dim(m.th.tail()))
	}
	all := append(body, foot...)
	for i := range all {
		all[i] = " " + all[i]
	}
	inner := cells.Width(title) + 6
	for _, l := range all {
		inner = max(inner, cells.Width(l)+1)
	}
	inner = min(max(inner, 44), width-2)
	box := m.th.box(title, all, inner+2, len(all)+2)
	x, y := (m.w-inner-2)/2, max((m.h-len(box))/2, 0)
	canvas := lipgloss.NewCanvas(m.w, m.h).Compose(lipgloss.NewCompositor(
		lipgloss.NewLayer(strings.Join(base, "\n")),
		lipgloss.NewLayer(strings.Join(box, "\n")).X(x).Y(y).Z(1)))
	return strings.Split(canvas.Render(), "\n")
}
