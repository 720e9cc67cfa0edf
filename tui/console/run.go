package console

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
)

const (
	// firstPicture is how long the first frame waits for a picture: a frame that is
	// painted over at once costs more than it shows.
	firstPicture = 40 * time.Millisecond
	fps          = 30
	// probe is what terminals set up for Japanese draw two cells a piece; the answer
	// is the cursor's column after it.
	probe      = "\r─●×\x1b[6n\r\x1b[K"
	probeCells = 3
)

// Run shows the console until the operator quits (nil) or ctx ends (its error).
func Run(ctx context.Context, opt Options) error {
	if opt.In == nil {
		opt.In = os.Stdin
	}
	if opt.Out == nil {
		opt.Out = os.Stdout
	}
	if opt.Env == nil {
		opt.Env = os.Environ()
	}
	if err := opt.check(); err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	profile := profileOf(opt.Out, opt.Env)
	m := newModel(running, opt, newTheme(profile, opt.ASCII))
	m.feed = newFeed(&opt)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.feed.run(running)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	select {
	case <-m.feed.ready:
		batch := m.feed.take()
		m.onFeed(&batch)
	case <-time.After(firstPicture):
	case <-ctx.Done():
		return ctx.Err()
	}
	restore := probeWidth(&opt)
	defer restore()
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(opt.In), tea.WithOutput(opt.Out), tea.WithEnvironment(opt.Env),
		tea.WithColorProfile(profile), tea.WithFPS(fps), tea.WithFilter(sized))
	_, err := p.Run()
	if ctx.Err() != nil && (err == nil || errors.Is(err, tea.ErrProgramKilled)) {
		return ctx.Err()
	}
	return err
}

// sized turns a terminal of no size, which some serial lines and containers have,
// into an ordinary one; it would stay empty for ever.
func sized(_ tea.Model, msg tea.Msg) tea.Msg {
	if s, ok := msg.(tea.WindowSizeMsg); ok && (s.Width <= 0 || s.Height <= 0) {
		return tea.WindowSizeMsg{Width: 80, Height: 24}
	}
	return msg
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

// probeWidth asks the terminal how wide it draws our signs; the answer comes among
// the keys. The terminal is set to raw before, so that it does not echo the answer,
// and is restored by the function that is returned.
func probeWidth(opt *Options) func() {
	in, ok := opt.In.(term.File)
	out, ok2 := opt.Out.(term.File)
	if opt.ASCII || !ok || !ok2 || !term.IsTerminal(in.Fd()) || !term.IsTerminal(out.Fd()) {
		return func() {}
	}
	state, err := term.MakeRaw(in.Fd())
	if err != nil {
		return func() {}
	}
	io.WriteString(out, probe)
	return func() { term.Restore(in.Fd(), state) }
}

// overSSH says whether synchronized output must be asked for here, because Bubble Tea
// does not over SSH.
func overSSH(env []string) bool {
	_, ok := lookup(env, "SSH_TTY")
	return ok
}

func askSynchronized() tea.Cmd { return tea.Raw(ansi.RequestModeSynchronizedOutput) }
