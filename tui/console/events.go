package console

import (
	"slices"
	"strings"
	"time"

	"baton/core/cluster"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// maxEvents is how many events the console remembers; the log has more.
const maxEvents = 4096

// eventLog holds the events that came, oldest first, and where the operator is in
// them. Only lines that are on the screen are ever laid out.
type eventLog struct {
	all    []cluster.Event
	filter string
	floor  int    // 0 all, 1 warnings and errors, 2 errors
	paused uint64 // show nothing newer than this id; 0: not paused
	cursor uint64 // the selected event's id; 0: stay on the newest
	shown  []int  // indexes into all, newest first, under filter, floor and pause
}

// add takes events that may have come already.
func (l *eventLog) add(ev []cluster.Event) {
	for i := range ev {
		if n := len(l.all); n > 0 && ev[i].ID <= l.all[n-1].ID {
			continue
		}
		l.all = append(l.all, ev[i])
	}
	l.all = keepLast(l.all, maxEvents)
	l.refresh()
}

// refresh selects what is shown.
func (l *eventLog) refresh() {
	l.shown = l.shown[:0]
	want := strings.ToLower(l.filter)
	for i := len(l.all) - 1; i >= 0; i-- {
		e := &l.all[i]
		if l.paused != 0 && e.ID > l.paused || rank(e.Severity) < l.floor || want != "" && !matches(e, want) {
			continue
		}
		l.shown = append(l.shown, i)
	}
}

func rank(sev string) int {
	switch sev {
	case cluster.Error:
		return 2
	case cluster.Warn:
		return 1
	}
	return 0
}

func matches(e *cluster.Event, want string) bool {
	for _, s := range [...]string{e.Text, e.Group, e.Server, e.Code, e.Who, e.Severity} {
		if strings.Contains(strings.ToLower(cells.Clean(s)), want) {
			return true
		}
	}
	return false
}

// newer counts what came since the pause.
func (l *eventLog) newer() int {
	n := 0
	for i := len(l.all) - 1; i >= 0 && l.paused != 0 && l.all[i].ID > l.paused; i-- {
		n++
	}
	return n
}

func (l *eventLog) pause() {
	if l.paused != 0 || len(l.all) == 0 {
		l.paused = 0
	} else {
		l.paused = l.all[len(l.all)-1].ID
	}
	l.refresh()
}

// at is the cursor's place in shown; the newest is 0.
func (l *eventLog) at() int {
	if l.cursor == 0 {
		return 0
	}
	for i, k := range l.shown {
		if l.all[k].ID <= l.cursor {
			return i
		}
	}
	return max(len(l.shown)-1, 0)
}

// move goes by n lines; moving to the newest lets the cursor stay on the newest.
func (l *eventLog) move(n int) {
	i := min(max(l.at()+n, 0), len(l.shown)-1)
	l.cursor = 0
	if i > 0 {
		l.cursor = l.all[l.shown[i]].ID
	}
}

// current is the selected event; nil where there is none.
func (l *eventLog) current() *cluster.Event {
	if len(l.shown) == 0 {
		return nil
	}
	return &l.all[l.shown[l.at()]]
}

// window is the part of n lines that has the cursor in it.
func (l *eventLog) window(n int) []int {
	top := 0
	if i := l.at(); i >= n {
		top = i - n + 1
	}
	return l.shown[top:min(top+n, len(l.shown))]
}

// of returns a group's newest events, newest first.
func (l *eventLog) of(group string, n int) []*cluster.Event {
	var out []*cluster.Event
	for i := len(l.all) - 1; i >= 0 && len(out) < n; i-- {
		if l.all[i].Group == group {
			out = append(out, &l.all[i])
		}
	}
	return out
}

// sourceOf is whom an event is about.
func sourceOf(e *cluster.Event) string {
	switch {
	case e.Group != "":
		return cells.Clean(e.Group)
	case e.Server != "":
		return cells.Clean(e.Server)
	}
	return "-"
}

// textOf is an event's sentence and who asked for it.
func (m *model) textOf(e *cluster.Event) string {
	s := cells.Clean(e.Text)
	if e.Who != "" && !strings.Contains(e.Text, e.Who) {
		s += " (" + cells.Clean(e.Who) + ")"
	}
	return s
}

func (m *model) severity(sev string) string {
	s := picture.OfSeverity(sev)
	word := m.s(s.Word)
	if s.Kind == picture.Off {
		return dim(word)
	}
	return m.th.kind(s.Kind, word)
}

// eventRow is one event on one line of w cells.
func (m *model) eventRow(e *cluster.Event, w int, chosen bool) string {
	stamp := time.UnixMilli(e.At).Format("15:04:05")
	if w >= 100 {
		stamp = time.UnixMilli(e.At).Format("15:04:05.000")
	}
	source := 8
	if w < 70 {
		source = 6
	} else if w >= 100 {
		source = 12
	}
	lead := " "
	if chosen {
		lead = ">"
	}
	s := lead + stamp + " " + m.severity(e.Severity) + " " + m.th.fit(sourceOf(e), source) + " "
	if w >= 100 {
		s += m.th.fit(cells.Clean(e.Server), 8) + " "
	}
	text := m.textOf(e)
	if chosen {
		return bold(lead) + s[1:] + bold(m.th.cut(text, w-cells.Width(s)))
	}
	return s + m.th.cut(text, w-cells.Width(s))
}

// eventsPane is a rule and n lines of events.
func (m *model) eventsPane(w, n int) []string {
	if n <= 0 {
		return nil
	}
	title := m.s(words.EventsRule)
	if m.log.floor > 0 {
		title += "  " + m.s(floorWords[m.log.floor])
	}
	if m.log.filter != "" {
		title += "  " + m.s(words.FilterIs) + ": " + cells.Clean(m.log.filter)
	}
	state := m.s(words.LiveWord)
	if m.log.paused != 0 {
		state = m.th.kind(picture.Caution, m.s(words.PausedWord))
		if k := m.log.newer(); k > 0 {
			state += " " + m.s(words.NewMeanwhile, k)
		}
	}
	focused := m.focus == inEvents && m.screen == onCluster
	out := []string{m.th.rule(title, state, w, focused)}
	rows := m.log.window(n - 1)
	if len(rows) == 0 {
		k := m.s(words.NoEvents)
		if len(m.log.all) > 0 && m.log.filter != "" {
			k = m.s(words.NoMatch, cells.Clean(m.log.filter))
		}
		out = append(out, dim(m.th.cut(" "+k, w)))
	}
	cur := m.log.current()
	for _, i := range rows {
		e := &m.log.all[i]
		out = append(out, m.eventRow(e, w, focused && e == cur))
	}
	return padTo(out, n)
}

var floorWords = [...]words.Key{words.SevAll, words.SevWarn, words.SevError}

// padTo makes it exactly n lines.
func padTo(lines []string, n int) []string {
	if len(lines) > n {
		return lines[:n]
	}
	return append(lines, slices.Repeat([]string{""}, n-len(lines))...)
}
