package console

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/picture"
	"baton/tui/words"
)

// The age of the last message from which on the picture is no longer current, and
// from which on nothing may be asked on the strength of it.
const (
	staleAfter = 2 * time.Second
	lostAfter  = 10 * time.Second
)

// screen is one of the console's screens; their keys are 1 to 4.
type screen int

const (
	onCluster screen = iota
	onGroups
	onServers
	onEvents
)

// pane is the part of a screen that the keys move in.
type pane int

const (
	inBody pane = iota
	inServers
	inEvents
	panes // how many
)

// model is everything the console knows. It is changed by Update only.
type model struct {
	opt  Options
	t    words.Text
	th   theme
	ctx  context.Context // ends with the program
	feed *feed
	// paint writes to the terminal; nil in tests of the model alone.
	paint *painter
	crash []byte // the stack of a panic
	cmds  []command

	w, h   int
	screen screen
	focus  pane
	open   bool   // a group's detail covers the list
	group  string // the selected group, by name: it keeps the cursor when it moves
	server string // the selected server

	st     *api.Status // nil before the first
	got    time.Time   // when it came
	client Client
	via    string // what the client reaches
	down   string // why there is no contact; "" while there is

	log    eventLog
	filter string // what the groups shown must contain
	input  *lineInput
	dialog dialog
	note   notice
	asking bool // an operation is on its way to the daemon
	// waiting are operations that the daemon has accepted from here, by id.
	waiting map[string]string
	hinted  string // what Hint said when the last second began
}

// notice is a line about what has just happened.
type notice struct {
	kind  picture.Kind
	text  string
	until time.Time // zero: until the next key
	since time.Time
}

type (
	tickMsg struct{}
	armMsg  struct{}
	feedMsg struct {
		status *api.Status
		at     time.Time
		events []cluster.Event
		link   *link
	}
	askedMsg struct {
		label string
		id    string
		err   error
	}
	endedMsg struct {
		id  string
		op  cluster.Op
		err error
	}
	foreseenMsg struct {
		of    *confirm
		asked int // which of its questions this answers
		f     cluster.Forecast
		err   error
	}
	whyMsg struct {
		of    *whyBox
		text  string
		lines []string // not nil: of the script log
		err   error
	}
	extraMsg struct {
		label string
		err   error
	}
)

func newModel(ctx context.Context, opt Options, th theme) *model {
	if opt.now == nil {
		opt.now = time.Now
	}
	m := &model{opt: opt, t: opt.Text, th: th, ctx: ctx, cmds: commands(), w: 80, h: 24, waiting: map[string]string{}}
	if opt.Hint != nil {
		m.hinted = opt.Hint()
	}
	return m
}

func (m *model) s(k words.Key, args ...any) string { return m.t.S(k, args...) }

func (m *model) now() time.Time { return m.opt.now() }

// wall is the cluster's clock: the picture's time and what has passed since.
func (m *model) wall() int64 {
	if m.st == nil {
		return m.now().UnixMilli()
	}
	if m.freshness() == lost {
		return m.st.Time // the picture stands still
	}
	return m.st.Time + m.now().Sub(m.got).Milliseconds()
}

// since is how long ago a moment of the picture was.
func (m *model) since(ms int64) time.Duration {
	if ms <= 0 {
		return 0
	}
	return max(time.Duration(m.wall()-ms)*time.Millisecond, 0)
}

type freshness int

const (
	none freshness = iota // no picture yet
	live
	stale
	lost
)

// freshness goes by the age of the last message and not by the state of a socket.
func (m *model) freshness() freshness {
	if m.st == nil {
		return none
	}
	switch age := m.now().Sub(m.got); {
	case age < staleAfter:
		return live
	case age < lostAfter:
		return stale
	}
	return lost
}

func (m *model) say(k picture.Kind, text string, d time.Duration) {
	m.note = notice{kind: k, text: text, since: m.now()}
	if d > 0 {
		m.note.until = m.now().Add(d)
	}
}

// noticed is the notice if it still holds.
func (m *model) noticed() (notice, bool) {
	if m.note.text == "" || !m.note.until.IsZero() && m.now().After(m.note.until) {
		return notice{}, false
	}
	return m.note, true
}

// selected is the group under the cursor; nil where there is none.
func (m *model) selected() *api.Group {
	if m.st == nil {
		return nil
	}
	return picture.Group(m.st, m.group)
}

// tick paints the ages anew; the embedding program's line may move faster.
func (m *model) tick() tea.Cmd {
	d := time.Second
	if m.opt.Hint != nil {
		d = time.Second / 4
	}
	return tea.Tick(d, func(time.Time) tea.Msg { return tickMsg{} })
}
