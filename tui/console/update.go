package console

import (
	"errors"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// How long a notice stays: good news shortly, bad news until it was surely seen.
const (
	briefly = 6 * time.Second
	longer  = 20 * time.Second
	// seen is how long a notice stays at least, whatever key is pressed.
	seen = 700 * time.Millisecond
)

func (m *model) Init() tea.Cmd {
	cmds := []tea.Cmd{m.tick()}
	if m.feed != nil {
		cmds = append(cmds, m.feed.receive(m.ctx))
	}
	return tea.Batch(cmds...)
}

// Update takes one message. Everything slow happens in commands.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	defer m.crashed()
	switch msg := msg.(type) {
	case sizeMsg:
		m.w, m.h = msg.w, msg.h
	case tea.KeyPressMsg:
		return m, m.onKey(msg)
	case tea.PasteMsg:
		if c, ok := m.dialog.(*confirm); ok && c.typed != nil {
			c.typed.add(msg.Content)
		} else if m.input != nil {
			m.input.add(msg.Content)
			m.filtered()
		}
	case tea.CursorPositionMsg:
		m.probed(msg)
	case tea.ModeReportMsg:
		if msg.Mode == ansi.ModeSynchronizedOutput && m.paint != nil {
			m.paint.atOnce(msg.Value == ansi.ModeReset || msg.Value == ansi.ModeSet)
		}
	case tickMsg:
		if m.opt.Hint != nil {
			m.hinted = cells.Clean(m.opt.Hint())
		}
		return m, m.tick()
	case feedMsg:
		return m, tea.Batch(m.onFeed(&msg), m.feed.receiveLater(m.ctx))
	case askedMsg:
		return m, m.onAsked(&msg)
	case endedMsg:
		m.onEnded(&msg)
	case foreseenMsg:
		if c, ok := m.dialog.(*confirm); ok && c == msg.of {
			return m, c.foreseen(m, &msg)
		}
	case whyMsg:
		if d, ok := m.dialog.(*whyBox); ok && d == msg.of {
			d.answered(m, &msg)
		}
	case extraMsg:
		if msg.err != nil {
			m.say(picture.Failed, m.s(words.ExtraFailed, msg.label, cells.Clean(msg.err.Error())), longer)
		} else {
			m.say(picture.Good, m.s(words.ExtraDone, msg.label), briefly)
		}
	}
	return m, nil
}

func (m *model) onKey(k tea.KeyPressMsg) tea.Cmd {
	if k.String() == "ctrl+c" {
		return tea.Quit
	}
	if m.now().Sub(m.note.since) >= seen && m.note.until.IsZero() {
		m.note = notice{}
	}
	switch {
	case m.dialog != nil:
		return m.dialog.key(m, k)
	case m.input != nil:
		m.onInput(k)
		return nil
	}
	return m.press(k)
}

// onFeed takes a batch.
func (m *model) onFeed(b *feedMsg) (cmd tea.Cmd) {
	if b.status != nil {
		m.st, m.got = b.status, b.at
		m.down = ""
		m.keepCursor()
		if c, ok := m.dialog.(*confirm); ok {
			cmd = c.look(m)
		}
		for id, label := range m.waiting {
			if op := picture.Op(m.st, id); op != nil && op.State != cluster.OpRunning {
				m.report(id, label, op)
			}
		}
	}
	if len(b.events) > 0 {
		m.log.add(b.events)
	}
	if l := b.link; l != nil {
		if l.client != nil {
			if m.client != nil && l.via != m.via {
				m.say(picture.Good, m.s(words.Reconnected, cells.Clean(l.via)), briefly)
			}
			m.client, m.via = l.client, l.via
		}
		if l.err != nil && b.status == nil {
			m.down = cells.Clean(l.err.Error())
		}
	}
	return cmd
}

// keepCursor sees to it that something is selected.
func (m *model) keepCursor() {
	if picture.Server(m.st, m.server) == nil && len(m.st.Servers) > 0 {
		m.server = m.st.Servers[0].Name
	}
	names := m.order()
	if slices.Contains(names, m.group) {
		return
	}
	m.group = ""
	if len(names) > 0 {
		m.group = names[0]
	}
}

// ask sends an operation. Nothing is painted in advance: what comes of it comes with
// the cluster's own picture.
func (m *model) ask(op api.Operation) tea.Cmd {
	label := picture.CommandLine(op.Verb, cells.Clean(op.Group), cells.Clean(op.Server))[len("baton "):]
	client := m.client
	if client == nil {
		m.say(picture.Failed, m.s(words.NotSent, label, m.trouble()), longer)
		return nil
	}
	m.asking = true
	m.say(picture.Changing, m.s(words.Requested, label), longer)
	ctx := m.ctx
	return func() tea.Msg {
		ctx, cancel := bounded(ctx)
		defer cancel()
		a, err := client.Operate(ctx, op)
		return askedMsg{label: label, id: a.ID, err: err}
	}
}

func (m *model) onAsked(msg *askedMsg) tea.Cmd {
	m.asking = false
	var refused *api.Error
	switch {
	case errors.As(msg.err, &refused):
		m.say(picture.Failed, m.s(words.RefusedText, msg.label, cells.Clean(refused.Error())), 0)
		return nil
	case msg.err != nil:
		m.say(picture.Failed, m.s(words.NotSent, msg.label, cells.Clean(msg.err.Error())), 0)
		return nil
	}
	m.say(picture.Changing, m.s(words.Accepted, msg.label), longer)
	if msg.id == "" {
		return nil // a forced return: no operation that could be followed, the picture tells
	}
	m.waiting[msg.id] = msg.label
	if m.st != nil {
		if op := picture.Op(m.st, msg.id); op != nil && op.State != cluster.OpRunning {
			m.report(msg.id, msg.label, op)
			return nil
		}
	}
	client, ctx, id := m.client, m.ctx, msg.id
	return func() tea.Msg {
		op, err := client.Wait(ctx, id)
		return endedMsg{id: id, op: op, err: err}
	}
}

func (m *model) onEnded(msg *endedMsg) {
	label, ok := m.waiting[msg.id]
	if !ok {
		return // the picture was quicker
	}
	if msg.err != nil {
		// The picture goes on telling about it, if contact is made again.
		m.say(picture.Caution, m.s(words.Unsure, label), longer)
		return
	}
	m.report(msg.id, label, &msg.op)
}

// report tells how an operation from here has ended.
func (m *model) report(id, label string, op *cluster.Op) {
	delete(m.waiting, id)
	text := cells.Clean(op.Text)
	switch op.State {
	case cluster.OpDone:
		if op.Begun > 0 && op.Ended >= op.Begun {
			m.say(picture.Good, m.s(words.DoneIn, label, took(op.Ended-op.Begun), text), briefly)
		} else {
			m.say(picture.Good, m.s(words.Done, label, text), briefly)
		}
	case cluster.OpRefused:
		if op.Hint != "" {
			text += " (" + cells.Clean(op.Hint) + ")"
		}
		m.say(picture.Failed, m.s(words.RefusedText, label, text), 0)
	default:
		m.say(picture.Failed, m.s(words.FailedText, label, text), 0)
	}
}

// probed takes the answer to the question where the cursor is after characters that
// terminals set up for Japanese draw two cells wide.
func (m *model) probed(msg tea.CursorPositionMsg) {
	if msg.X <= probeCells || m.th.ascii {
		return
	}
	m.th.ascii = true
	m.redraw()
}
