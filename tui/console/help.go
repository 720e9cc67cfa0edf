package console

import (
	tea "charm.land/bubbletea/v2"

	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// help lists the keys of this view, from the same commands that act on them.
type help struct{}

func (*help) key(m *model, _ tea.KeyPressMsg) tea.Cmd {
	m.dialog = nil
	return nil
}

func (*help) draw(m *model, w int) (title string, body, foot []string) {
	heads := [...]words.Key{moving: words.HelpMove, looking: words.HelpLook, acting: words.HelpAct}
	var cols [len(heads)][]string
	for i := range m.cmds {
		c := &m.cmds[i]
		if c.b.Help().Key == "" || c.shown != nil && !c.shown(m) {
			continue
		}
		text := m.th.fit(c.b.Help().Key, 7) + m.s(c.desc)
		if c.why != nil && c.why(m) != "" {
			text = dim(text)
		}
		cols[c.col] = append(cols[c.col], text)
	}
	each := w / len(cols)
	high := 0
	head := ""
	for i := range cols {
		high = max(high, len(cols[i]))
		head += m.th.fit(bold(m.s(heads[i])), each)
	}
	body = append(body, head)
	for r := range high {
		row := ""
		for i := range cols {
			cell := ""
			if r < len(cols[i]) {
				cell = cols[i][r]
			}
			row += m.th.fit(cell, each)
		}
		body = append(body, row)
	}
	body = append(body, bold(m.s(words.HelpSigns)))
	row := ""
	for _, k := range [...]struct {
		kind picture.Kind
		word words.Key
	}{
		{picture.Good, words.Online},
		{picture.Caution, words.Caution},
		{picture.Failed, words.FailedWord},
		{picture.Changing, words.Starting},
		{picture.Off, words.Stopped},
		{picture.Apart, words.Detached},
		{picture.Unknown, words.NoContact},
	} {
		part := m.th.sign(k.kind, m.s(k.word)) + "  "
		if cells.Width(row)+cells.Width(part) > w-1 {
			body = append(body, row)
			row = ""
		}
		row += part
	}
	body = append(body, row)
	for i := range m.opt.Extra {
		if i == 0 {
			body = append(body, bold(m.s(words.HelpExtra)))
		}
		e := &m.opt.Extra[i]
		body = append(body, m.th.cut(m.th.fit(e.Key, 7)+e.Help, w-1))
	}
	return bold(m.s(words.HelpTitle, m.s(screens[m.screen]))), body, []string{
		dim(m.th.cut(m.s(words.HelpGrey), w-1)), dim(m.th.cut(m.s(words.HelpRecord), w-1)),
	}
}
