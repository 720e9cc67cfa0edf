package console

import (
	"context"
	"time"

	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"

	"baton/daemon/api"
	"baton/tui/stage"
	"baton/tui/words"
)

// start is the moment of all pictures here. Times of day are shown in the local zone,
// which TestMain sets to UTC.
var start = time.Date(2026, 8, 14, 14, 2, 11, 0, time.UTC)

// The scenes as of start.
func cast(n int) *api.Status     { return stage.Healthy(start, n) }
func oneDown(n int) *api.Status  { return stage.OneDown(start, n) }
func mixed(n int) *api.Status    { return stage.Mixed(start, n) }
func detached(n int) *api.Status { return stage.Detached(start, n) }
func noQuorum(n int) *api.Status { return stage.NoQuorum(start, n) }
func forming(n int) *api.Status  { return stage.Forming(start, n) }

// view is a console of a size, with a picture that has just come.
type view struct {
	w, h  int
	st    *api.Status
	text  words.Text
	ascii bool
	opt   Options
	age   time.Duration
}

// at makes the model; its clock stands at start, or moves with what clock points to.
func (v view) at(clock *time.Time) *model {
	opt := v.opt
	opt.Text, opt.ASCII, opt.User = v.text, v.ascii, "ops"
	if clock == nil {
		now := start.Add(v.age)
		clock = &now
	}
	opt.now = func() time.Time { return *clock }
	m := newModel(context.Background(), opt, newTheme(colorprofile.ANSI256, v.ascii))
	m.feed = newFeed(&opt)
	m.Update(sizeMsg{v.w, v.h})
	if v.st != nil {
		m.onFeed(&feedMsg{status: v.st, at: start, events: stage.Events(start)})
	}
	return m
}

// plain is the frame as text.
func plain(m *model) []string {
	out := m.frame()
	for i := range out {
		out[i] = ansi.Strip(out[i])
	}
	return out
}
