package console

import (
	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// column of the help that a key is listed in.
type column int

const (
	moving column = iota
	looking
	acting
)

// command is a key and all that hangs on it: dispatcher, footer and help read this.
type command struct {
	b     key.Binding
	desc  words.Key
	col   column
	place int                    // in the footer, from the left; 0: not there
	drop  int                    // the higher, the sooner it is left out where room is short; 0: never
	shown func(*model) bool      // belongs to this view; nil: to all
	why   func(*model) string    // why it cannot act now, "" if it can; nil: always can
	do    func(m *model) tea.Cmd //
	verb  cluster.Verb           // of an operation: in the menu
	about func(*model) string    // in the menu: what it is for, where the title does not say; nil: it does
}

func bind(help string, keys ...string) key.Binding {
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(help, ""))
}

// commands are all keys of the console.
func commands() []command {
	listing := func(m *model) bool { return m.screen != onEvents && !m.onServer() }
	acts := func(m *model) bool { return m.screen != onEvents }
	clustered := func(m *model) bool { return m.screen == onCluster }
	withEvents := func(m *model) bool { return m.screen == onCluster || m.screen == onEvents }
	detail := func(m *model) bool { return m.screen == onGroups && m.open && m.w < wideW }
	return []command{
		{b: bind("j/k", "j", "down"), desc: words.KeySelect, col: moving, place: 1, drop: 2, do: func(m *model) tea.Cmd { m.step(1); return nil }},
		{b: bind("", "k", "up"), do: func(m *model) tea.Cmd { m.step(-1); return nil }},
		{b: bind("", "pgdown", "ctrl+d"), do: func(m *model) tea.Cmd { m.step(10); return nil }},
		{b: bind("", "pgup", "ctrl+u"), do: func(m *model) tea.Cmd { m.step(-10); return nil }},
		{b: bind("g G", "g", "home"), desc: words.KeyEnds, col: moving, do: func(m *model) tea.Cmd { m.step(-1 << 20); return nil }},
		{b: bind("", "G", "end"), do: func(m *model) tea.Cmd { m.step(1 << 20); return nil }},
		{b: bind("h/l", "l", "right"), desc: words.KeyServer, col: moving, shown: (*model).hasBoxes, do: func(m *model) tea.Cmd { m.across(1); return nil }},
		{b: bind("", "h", "left"), shown: (*model).hasBoxes, do: func(m *model) tea.Cmd { m.across(-1); return nil }},
		{b: bind("tab", "tab"), desc: words.KeyPane, col: moving, place: 2, drop: 9, shown: clustered, do: func(m *model) tea.Cmd { return m.nextPane(1) }},
		{b: bind("", "shift+tab"), shown: clustered, do: func(m *model) tea.Cmd { return m.nextPane(-1) }},
		{b: bind("1-4", "1"), desc: words.KeyScreens, col: moving, do: func(m *model) tea.Cmd { return m.show(onCluster) }},
		{b: bind("", "2"), do: func(m *model) tea.Cmd { return m.show(onGroups) }},
		{b: bind("", "3"), do: func(m *model) tea.Cmd { return m.show(onServers) }},
		{b: bind("", "4"), do: func(m *model) tea.Cmd { return m.show(onEvents) }},

		{b: bind("enter", "enter"), desc: words.KeyOpen, col: looking, place: 3, drop: 3, shown: func(m *model) bool { return acts(m) && m.screen != onServers && !detail(m) }, why: whyNothing, do: (*model).openIt},
		{b: bind("esc", "esc"), desc: words.KeyBack, col: looking, place: 4, drop: 4, shown: func(m *model) bool {
			return detail(m) || m.filter != "" || m.log.filter != "" || m.screen != onCluster
		}, do: (*model).back},
		{b: bind("/", "/"), desc: words.KeyFilter, col: looking, place: 10, drop: 6, shown: func(m *model) bool { return m.screen != onServers }, do: (*model).startFilter},
		{b: bind("y", "y"), desc: words.KeyCopy, col: looking, place: 12, drop: 8, why: whyNothing, do: (*model).copy},
		{b: bind("p", "p"), desc: words.KeyPause, col: looking, place: 11, drop: 7, shown: withEvents, do: func(m *model) tea.Cmd { m.log.pause(); return nil }},
		{b: bind("e", "e"), desc: words.KeySeverity, col: looking, shown: withEvents, do: func(m *model) tea.Cmd {
			m.log.floor = (m.log.floor + 1) % len(floorWords)
			m.log.refresh()
			return nil
		}},
		{b: bind("w", "w"), desc: words.KeyWhy, col: looking, place: 10, drop: 10, shown: listing, why: whyNoWhy, do: (*model).askWhy},
		{b: bind("ctrl+l", "ctrl+l"), desc: words.KeyRedraw, col: looking, do: func(m *model) tea.Cmd { m.redraw(); return nil }},
		{b: bind("ctrl+r", "ctrl+r"), desc: words.KeyReconnect, col: looking, do: (*model).reconnect},

		{b: bind("a", "a"), desc: words.KeyActions, col: acting, place: 5, drop: 1, shown: acts, why: whyMayNot, do: (*model).menu},
		operation("m", 6, words.KeyMove, cluster.VerbMove, listing),
		operation("s", 7, words.KeyStart, cluster.VerbStart, listing),
		operation("S", 8, words.KeyStop, cluster.VerbStop, listing),
		operation("f", 9, words.KeyFailover, cluster.VerbFailover, listing),
		serverOperation("r", 6, words.KeyReturn, cluster.VerbReturn, func(m *model) bool { return m.onServer() || acts(m) && m.returnable() != "" }),
		serverOperation("F", 6, words.KeyForce, api.VerbForceReturn, func(m *model) bool { return acts(m) && m.st != nil && !m.st.Quorum }),
		serverOperation("D", 7, words.KeyDisconnect, cluster.VerbDisconnect, (*model).onServer),
		serverOperation("X", 8, words.KeyShutdown, cluster.VerbShutdown, (*model).onServer),
		{b: bind("3 a"), desc: words.KeyServerActions, col: acting, shown: listing, why: whyMayNot},
		serverOperation("C", 0, words.KeyShutdownCluster, cluster.VerbShutdownCluster, acts),

		{b: bind("?", "?"), desc: words.KeyHelp, col: looking, place: 20, drop: 0, do: func(m *model) tea.Cmd { m.dialog = &help{}; return nil }},
		{b: bind("q", "q", "ctrl+c"), desc: words.KeyQuit, col: looking, place: 21, drop: 0, do: func(*model) tea.Cmd { return tea.Quit }},
	}
}

func operation(k string, place int, desc words.Key, v cluster.Verb, shown func(*model) bool) command {
	return command{
		b: bind(k, k), desc: desc, col: acting, place: place, drop: 20 + place, shown: shown, verb: v,
		why: func(m *model) string { return m.whyNot(v) },
		do:  func(m *model) tea.Cmd { return m.confirm(v) },
	}
}

// serverOperation is an operation on a server, or on the cluster.
func serverOperation(k string, place int, desc words.Key, v cluster.Verb, shown func(*model) bool) command {
	c := command{
		b: bind(k, k), desc: desc, col: acting, place: place, drop: 20 + place, shown: shown, verb: v,
		why: func(m *model) string { return m.whyNotServer(v, m.object(v)) },
		do:  func(m *model) tea.Cmd { return m.confirmServer(v, m.object(v)) },
	}
	switch v {
	case cluster.VerbReturn:
		c.about = func(m *model) string {
			if m.onServer() {
				return ""
			}
			return cells.Clean(m.returnable())
		}
	case api.VerbForceReturn:
		c.about = func(m *model) string { return cells.Clean(m.object(v)) }
	}
	return c
}

// object is the server that an operation would be for: the selected one, else, of a
// return, the one that waits for it; of a forced return, the one that this console is on.
// The cluster's has none.
func (m *model) object(v cluster.Verb) string {
	switch {
	case v == cluster.VerbShutdownCluster:
		return ""
	case v == api.VerbForceReturn:
		if m.st == nil {
			return ""
		}
		return m.st.Server // nobody can do that for another one
	case !m.onServer():
		return m.returnable()
	}
	return m.server
}

// returnable is the first server that waits to be returned; "" where none does.
func (m *model) returnable() string {
	if m.st == nil {
		return ""
	}
	for i := range m.st.Servers {
		if s := &m.st.Servers[i]; s.State == string(cluster.ServerDetached) && picture.WhyNotServer(m.t, m.st, cluster.VerbReturn, s) == "" {
			return s.Name
		}
	}
	return ""
}

// whyMayNot says why nothing at all may be asked for.
func whyMayNot(m *model) string {
	switch {
	case m.opt.ViewOnly:
		return m.s(words.WhyViewOnly)
	case m.st == nil:
		return m.s(words.WhyNoPicture)
	case m.freshness() == lost:
		return m.s(words.WhyLost)
	case !m.st.Operator:
		return m.s(words.WhyViewer)
	}
	return ""
}

// whyNot says why the selected group cannot be operated on so.
func (m *model) whyNot(v cluster.Verb) string {
	if why := whyMayNot(m); why != "" {
		return why
	}
	return m.stillNot(v, m.group)
}

// whyNotServer says why the server, or the cluster, cannot be operated on so.
func (m *model) whyNotServer(v cluster.Verb, server string) string {
	if why := whyMayNot(m); why != "" {
		return why
	}
	if m.asking {
		return m.s(words.WhyOpPending)
	}
	return picture.WhyNotServer(m.t, m.st, v, picture.Server(m.st, server))
}

// whyNoWhy says why the cluster cannot be asked about the selected group.
func whyNoWhy(m *model) string {
	switch {
	case m.selected() == nil:
		return m.s(words.WhyNoGroup)
	case m.freshness() == lost:
		return m.s(words.WhyLost)
	}
	return ""
}

func whyNothing(m *model) string {
	switch {
	case m.focusedEvents():
		if m.log.current() == nil {
			return m.s(words.WhyNothingToCopy)
		}
	case m.onServer():
		if m.st == nil || m.server == "" {
			return m.s(words.WhyNothingToCopy)
		}
	case m.selected() == nil:
		return m.s(words.WhyNoGroup)
	}
	return ""
}

// press finds what hangs on a key and does it, or says why not.
func (m *model) press(k tea.KeyPressMsg) tea.Cmd {
	for i := range m.cmds {
		c := &m.cmds[i]
		if !key.Matches(k, c.b) || c.shown != nil && !c.shown(m) {
			continue
		}
		if c.why != nil {
			if why := c.why(m); why != "" {
				if c.col == acting && m.freshness() == lost && !m.opt.ViewOnly {
					m.dialog = &unavailable{verb: c.verb}
					return nil
				}
				m.say(picture.Caution, why, 0)
				return nil
			}
		}
		return c.do(m)
	}
	for i := range m.opt.Extra {
		if m.opt.Extra[i].Key == k.String() {
			return m.extra(&m.opt.Extra[i])
		}
	}
	return nil
}
