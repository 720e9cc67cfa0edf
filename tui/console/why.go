package console

import (
	"errors"
	"strings"

	tea "charm.land/bubbletea/v2"

	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// whyBox shows the cluster's sentence about a group: why it is where it is, and what
// would bring it elsewhere; and at a key what its scripts have printed here.
type whyBox struct {
	group string
	text  string   // "" until the answer comes
	lines []string // of the group's script log, where that is shown instead
	kind  picture.Kind
}

// maxLogLines bounds what is wrapped at every frame; no screen shows more.
const maxLogLines = 200

// askWhy opens the box and asks.
func (m *model) askWhy() tea.Cmd {
	d := &whyBox{group: m.group}
	m.dialog = d
	client, ctx := m.client, m.ctx
	if client == nil {
		d.text, d.kind = m.trouble(), picture.Caution
		return nil
	}
	return func() tea.Msg {
		ctx, cancel := bounded(ctx)
		defer cancel()
		text, err := client.Why(ctx, d.group)
		return whyMsg{of: d, text: text, err: err}
	}
}

// askLog asks for what the group's scripts have printed on this server.
func (d *whyBox) askLog(m *model) tea.Cmd {
	client, ctx := m.client, m.ctx
	if client == nil {
		return nil
	}
	return func() tea.Msg {
		ctx, cancel := bounded(ctx)
		defer cancel()
		l, err := client.ScriptLog(ctx, d.group)
		lines := []string{} // not nil: it has been asked
		if l.Text != "" {
			lines = strings.Split(strings.TrimRight(l.Text, "\n"), "\n")
		}
		return whyMsg{of: d, lines: lines, err: err}
	}
}

func (d *whyBox) answered(m *model, msg *whyMsg) {
	var refused *api.Error
	switch {
	case msg.err == nil && msg.lines != nil:
		d.lines = msg.lines
	case msg.err == nil:
		d.text = cells.Clean(msg.text)
	case errors.As(msg.err, &refused):
		d.text, d.kind = cells.Clean(refused.Error()), picture.Caution
	default:
		d.text, d.kind = m.s(words.WhyUnknown, cells.Clean(msg.err.Error())), picture.Caution
	}
}

func (d *whyBox) draw(m *model, w int) (title string, body, foot []string) {
	title = bold(m.s(words.WhyTitle, m.th.cut(cells.Clean(d.group), w/2)))
	foot = []string{"", dim(m.s(words.AnyKeyCloses) + "   " + m.s(words.LShowsLog))}
	switch {
	case d.lines != nil:
		title = bold(m.s(words.LogTitle, m.th.cut(cells.Clean(d.group), w/2)))
		foot = []string{"", dim(m.s(words.AnyKeyCloses))}
		// Wrapped: how a run has ended is at the end of its line.
		for _, l := range d.lines[max(0, len(d.lines)-maxLogLines):] {
			body = append(body, cells.Wrap(cells.Clean(l), w-1, 4, m.th.tail())...)
		}
		body = body[max(0, len(body)-max(m.h-10, 3)):]
		if len(d.lines) == 0 {
			body = []string{dim(m.s(words.LogEmpty))}
		}
	case d.text == "":
		body = []string{dim(m.s(words.WhyAsked))}
	case d.kind == picture.Caution:
		body = m.cautious(d.text, w, 8)
	default:
		body = cells.Wrap(d.text, w-1, 12, m.th.tail())
	}
	return title, body, foot
}

// key closes the box; a key that is held down is no answer to what it has just opened.
func (d *whyBox) key(m *model, k tea.KeyPressMsg) tea.Cmd {
	switch {
	case k.IsRepeat:
	case k.String() == "l" && d.lines == nil:
		return d.askLog(m)
	default:
		m.dialog = nil
	}
	return nil
}
