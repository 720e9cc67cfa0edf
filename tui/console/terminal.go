package console

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/term"
)

// probe is what terminals set up for Japanese draw two cells a piece; the answer to
// the question behind it is the cursor's column, and comes among the keys.
const (
	probe      = "\r─●×\x1b[6n\r\x1b[K"
	probeCells = 3
)

// terminal is what the console runs in. Where In or Out is none, it has a size and no
// modes.
type terminal struct {
	in, out term.File
	state   *term.State
	w, h    int
}

// openTerminal sets raw mode: nothing is echoed, not even the terminal's answers.
func openTerminal(opt *Options) (*terminal, error) {
	t := &terminal{w: 80, h: 24}
	if f, ok := opt.Out.(term.File); ok && term.IsTerminal(f.Fd()) {
		t.out = f
		t.w, t.h = t.measure()
	}
	if f, ok := opt.In.(term.File); ok && term.IsTerminal(f.Fd()) {
		state, err := term.MakeRaw(f.Fd())
		if err != nil {
			return nil, err
		}
		t.in, t.state = f, state
	}
	hello := enterScreen
	if !opt.ASCII && t.in != nil && t.out != nil {
		hello = probe + hello
	}
	_, err := io.WriteString(opt.Out, hello)
	return t, err
}

// measure asks for the size. A terminal of no size, which some serial lines and
// containers have, is taken for an ordinary one; it would stay empty for ever.
func (t *terminal) measure() (w, h int) {
	w, h, err := term.GetSize(t.out.Fd())
	if err != nil || w <= 0 || h <= 0 {
		return 80, 24
	}
	return w, h
}

// restore undoes raw mode.
func (t *terminal) restore() {
	if t.state != nil {
		term.Restore(t.in.Fd(), t.state)
	}
}

// sizeMsg is a size as measured by resizes. Bubble Tea sends sizes of its own, which
// know nothing of the terminal because it does not write there.
type sizeMsg struct{ w, h int }

// resizes tells of new sizes until ctx ends.
func (t *terminal) resizes(ctx context.Context, send func(tea.Msg)) {
	if t.out == nil {
		return
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGWINCH)
	defer signal.Stop(ch)
	for {
		// First without being told: the size may have changed while we began.
		w, h := t.measure()
		send(sizeMsg{w, h})
		select {
		case <-ch:
		case <-ctx.Done():
			return
		}
	}
}

// profileOf is how many colours the terminal has. NO_COLOR set to anything at all
// means none.
func profileOf(out io.Writer, env []string) colorprofile.Profile {
	if v, ok := lookup(env, "NO_COLOR"); ok && v != "" {
		return colorprofile.Ascii
	}
	return colorprofile.Detect(out, env)
}

func lookup(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}
