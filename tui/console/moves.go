package console

import (
	"context"
	"fmt"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// askTime bounds how long an operation may take to be accepted.
const askTime = 10 * time.Second

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askTime)
}

func (m *model) focusedEvents() bool {
	return m.screen == onEvents || m.screen == onCluster && m.focus == inEvents
}

// onServer: the keys are for the selected server and not for a group.
func (m *model) onServer() bool {
	return m.screen == onServers || m.screen == onCluster && m.focus == inServers
}

func (m *model) hasBoxes() bool {
	return m.screen == onCluster && m.st != nil && m.focus != inEvents && m.shape(m.w, m.h) != asList && m.shape(m.w, m.h) != asTable
}

// step moves the cursor of the part that has the focus.
func (m *model) step(n int) {
	switch {
	case m.focusedEvents():
		m.log.move(n)
	case m.st == nil:
	case m.onServer():
		i := slices.IndexFunc(m.st.Servers, func(s api.Server) bool { return s.Name == m.server })
		if len(m.st.Servers) > 0 {
			m.server = m.st.Servers[min(max(i+n, 0), len(m.st.Servers)-1)].Name
		}
	default:
		names := m.order()
		if len(names) > 0 {
			m.group = names[min(max(slices.Index(names, m.group)+n, 0), len(names)-1)]
		}
	}
}

// across moves to the first group of the next box that has one, or to the next server.
func (m *model) across(n int) {
	if m.onServer() {
		m.step(n)
		return
	}
	var columns [][]*api.Group
	at := 0
	add := func(groups []*api.Group) {
		if groups = m.sift(groups); len(groups) == 0 {
			return
		}
		if m.hasSelected(groups) {
			at = len(columns)
		}
		columns = append(columns, groups)
	}
	for i := range m.st.Servers {
		add(picture.On(m.st, m.st.Servers[i].Name))
	}
	add(picture.Unplaced(m.st))
	if len(columns) > 0 {
		m.group = columns[min(max(at+n, 0), len(columns)-1)][0].Name
	}
}

func (m *model) nextPane(n pane) tea.Cmd {
	m.focus = (m.focus + n + panes) % panes
	return nil
}

func (m *model) show(s screen) tea.Cmd {
	m.screen, m.open = s, false
	if m.st != nil {
		m.keepCursor()
	}
	return nil
}

func (m *model) openIt() tea.Cmd {
	if m.focusedEvents() {
		return m.show(onEvents)
	}
	if m.onServer() {
		return m.show(onServers)
	}
	m.screen, m.open = onGroups, true
	return nil
}

func (m *model) back() tea.Cmd {
	switch {
	case m.focusedEvents() && m.log.filter != "":
		m.log.filter = ""
		m.log.refresh()
	case !m.focusedEvents() && m.filter != "":
		m.filter = ""
	case m.screen == onGroups && m.open && m.w < wideW:
		m.open = false
	case m.screen != onCluster:
		m.show(onCluster)
	default:
		m.filter, m.log.filter = "", ""
		m.log.refresh()
	}
	if m.st != nil {
		m.keepCursor()
	}
	return nil
}

func (m *model) reconnect() tea.Cmd {
	if m.feed != nil {
		m.feed.reconnect()
	}
	m.say(picture.Changing, m.s(words.Tried), briefly)
	return nil
}

// copy puts the selection on the operator's clipboard (OSC 52), as plain text.
func (m *model) copy() tea.Cmd {
	text := ""
	switch {
	case m.focusedEvents():
		e := m.log.current()
		text = fmt.Sprintf("%s %s %s %s", time.UnixMilli(e.At).Format("2006-01-02 15:04:05.000"), e.Severity, sourceOf(e), m.textOf(e))
	case m.onServer():
		s := picture.Server(m.st, m.server)
		text = fmt.Sprintf("%s %s %s", cells.Clean(s.Name), s.State, cells.Clean(s.Reason))
	default:
		g := m.selected()
		text = fmt.Sprintf("%s %s %s %s", cells.Clean(g.Name), g.State, cells.Clean(g.Server), cells.Clean(g.Reason))
	}
	m.say(picture.Good, m.s(words.Copied, text), briefly)
	if m.paint != nil {
		m.paint.also(ansi.SetSystemClipboard(text))
	}
	return nil
}

// redraw paints everything anew, for a terminal that was written to by others.
func (m *model) redraw() {
	if m.paint != nil {
		m.paint.repaint()
	}
}

// lineInput is a line that is being typed.
type lineInput struct {
	text string
	// max bounds what may be typed or pasted, in bytes.
	max int
}

// add appends what was typed or pasted.
func (l *lineInput) add(s string) {
	if s = cells.Clean(s); len(l.text)+len(s) <= l.max {
		l.text += s
	}
}

// edit takes a key and says whether it was one for editing.
func (l *lineInput) edit(k tea.KeyPressMsg) bool {
	switch k.String() {
	case "backspace", "ctrl+h":
		if r := []rune(l.text); len(r) > 0 {
			l.text = string(r[:len(r)-1])
		}
	case "ctrl+u", "ctrl+w":
		l.text = ""
	default:
		if k.Text == "" {
			return false
		}
		l.add(k.Text)
	}
	return true
}

func (l *lineInput) line(m *model, w int) string {
	return m.th.fit(" /"+l.text+"_", w)
}

func (m *model) startFilter() tea.Cmd {
	m.input = &lineInput{text: m.filter, max: 64}
	if m.focusedEvents() {
		m.input.text = m.log.filter
	}
	return nil
}

func (m *model) onInput(k tea.KeyPressMsg) {
	switch k.String() {
	case "enter":
		m.input = nil
		return
	case "esc":
		m.input.text = ""
		m.filtered()
		m.input = nil
		return
	}
	if m.input.edit(k) {
		m.filtered()
	}
}

// filtered applies what is being typed.
func (m *model) filtered() {
	if m.focusedEvents() {
		m.log.filter = m.input.text
		m.log.refresh()
		return
	}
	m.filter = m.input.text
	if m.st != nil {
		m.keepCursor()
	}
}
