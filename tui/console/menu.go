package console

import (
	"strconv"

	tea "charm.land/bubbletea/v2"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// menu lists what can be done with the selected group or server. It only opens
// questions, and keeps the operations that it had when it was opened: none moves under
// the cursor.
type menu struct {
	ops []*command
	at  int
}

func (m *model) menu() tea.Cmd {
	d := &menu{}
	for i := range m.cmds {
		if c := &m.cmds[i]; c.verb != "" && (c.shown == nil || c.shown(m)) {
			d.ops = append(d.ops, c)
		}
	}
	m.dialog = d
	return nil
}

// subject is what the menu is about.
func (m *model) subject() string {
	switch {
	case m.onServer():
		return cells.Clean(m.server)
	case m.group == "":
		return cells.Clean(m.st.Cluster)
	}
	return cells.Clean(m.group)
}

func (d *menu) draw(m *model, w int) (title string, body, foot []string) {
	for i, c := range d.ops {
		lead := "  "
		if i == d.at {
			lead = bold("> ")
		}
		text := m.th.fit(c.b.Help().Key, 2) + " " + m.th.fit(m.s(c.desc), 18)
		if c.about != nil {
			text += m.th.cut(c.about(m), max(w-24, 4))
		}
		if why := c.why(m); why != "" {
			text = dim(m.th.cut(text+" "+why, w-3))
		}
		body = append(body, lead+text)
	}
	return bold(m.s(words.ActionsOn, m.subject())), body, []string{"", m.s(words.EscCancels)}
}

func (d *menu) key(m *model, k tea.KeyPressMsg) tea.Cmd {
	ops := d.ops
	do := func(c *command) tea.Cmd {
		if why := c.why(m); why != "" {
			m.say(picture.Caution, why, 0)
			return nil
		}
		m.dialog = nil
		return c.do(m)
	}
	switch k.String() {
	case "esc", "a", "q":
		m.dialog = nil
	case "j", "down":
		d.at = (d.at + 1) % len(ops)
	case "k", "up":
		d.at = (d.at + len(ops) - 1) % len(ops)
	case "enter":
		return do(ops[d.at])
	default:
		for _, c := range ops {
			if c.b.Help().Key == k.String() {
				return do(c)
			}
		}
	}
	return nil
}

// unavailable says that the picture is lost, and nothing can be asked.
type unavailable struct{ verb cluster.Verb }

func (d *unavailable) draw(m *model, w int) (title string, body, foot []string) {
	title = m.s(words.ActionsOn, m.subject())
	if k, ok := verbTitles[d.verb]; ok {
		name := m.subject()
		switch d.verb {
		case cluster.VerbShutdownCluster:
			name = cells.Clean(m.st.Cluster)
		case cluster.VerbReturn, api.VerbForceReturn:
			name = cells.Clean(m.object(d.verb))
		}
		title = m.s(k, name)
	}
	text := picture.Failed.Glyph(m.th.ascii) + " " + m.s(words.NotAvailable) + ": " +
		m.s(words.NotHeard, cells.Age(m.now().Sub(m.got))) + " " + m.s(words.SeenIs, m.got.Format("15:04:05"))
	for _, l := range cells.Wrap(text, w-1, 4, m.th.tail()) {
		body = append(body, m.th.kind(picture.Failed, l))
	}
	return bold(title), body, []string{m.s(words.EscClose) + "     " + m.s(words.ReconnectNow)}
}

func (d *unavailable) key(m *model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc", "q":
		m.dialog = nil
	case "ctrl+r":
		m.dialog = nil
		return m.reconnect()
	}
	return nil
}

// chooser lets the operator pick what an extra action is for.
type chooser struct {
	action  *ExtraAction
	choices []Choice
	at      int
}

// extra runs an action of the embedding program, after asking for whom.
func (m *model) extra(e *ExtraAction) tea.Cmd {
	if e.Choices == nil {
		return m.runExtra(e, Choice{})
	}
	c := e.Choices()
	if len(c) == 0 {
		m.say(picture.Caution, e.Label+": "+m.s(words.NoneThere), briefly)
		return nil
	}
	m.dialog = &chooser{action: e, choices: c}
	return nil
}

func (m *model) runExtra(e *ExtraAction, c Choice) tea.Cmd {
	label := e.Label
	if c.Value != "" {
		label += " " + c.label()
	}
	m.say(picture.Changing, m.s(words.ExtraRuns, label), longer)
	ctx := m.ctx
	return func() tea.Msg { return extraMsg{label: label, err: e.Run(ctx, c.Value)} }
}

func (c *Choice) label() string {
	if c.Label != "" {
		return cells.Clean(c.Label)
	}
	return cells.Clean(c.Value)
}

func (d *chooser) draw(m *model, w int) (title string, body, foot []string) {
	for _, l := range cells.Wrap(d.action.Help, w-1, 3, m.th.tail()) {
		body = append(body, dim(l))
	}
	// Nine at a time, so that each has a digit.
	first := d.at / 9 * 9
	for i := first; i < min(first+9, len(d.choices)); i++ {
		lead := "  "
		if i == d.at {
			lead = bold("> ")
		}
		body = append(body, lead+strconv.Itoa(i-first+1)+"  "+m.th.cut(d.choices[i].label(), w-7))
	}
	return bold(d.action.Label), body, []string{"", m.s(words.ChooseOne) + "   " + m.s(words.EnterPicks) + "   " + m.s(words.EscCancels)}
}

func (d *chooser) key(m *model, k tea.KeyPressMsg) tea.Cmd {
	n := len(d.choices)
	switch s := k.String(); s {
	case "esc", "q":
		m.dialog = nil
	case "j", "down":
		d.at = (d.at + 1) % n
	case "k", "up":
		d.at = (d.at + n - 1) % n
	case "enter":
		if k.IsRepeat {
			return nil
		}
		m.dialog = nil
		return m.runExtra(d.action, d.choices[d.at])
	default:
		if len(s) == 1 && s[0] >= '1' && s[0] <= '9' {
			if i := d.at/9*9 + int(s[0]-'1'); i < n {
				m.dialog = nil
				return m.runExtra(d.action, d.choices[i])
			}
		}
	}
	return nil
}
