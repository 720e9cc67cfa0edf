package console

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
)

const (
	// firstPicture is how long the first frame waits for a picture: a frame that is
	// painted over at once costs more than it shows.
	firstPicture = 40 * time.Millisecond
	// frameEvery bounds the frames to 30 a second.
	frameEvery = time.Second / 30
)

// Run shows the console until the operator quits (nil), or ctx ends or a signal ends
// it (context.Canceled or ctx's error). It leaves the terminal as it was.
func Run(ctx context.Context, opt Options) (err error) {
	if opt.In == nil {
		opt.In = os.Stdin
	}
	if opt.Out == nil {
		opt.Out = os.Stdout
	}
	if opt.Env == nil {
		opt.Env = os.Environ()
	}
	if opt.User == "" {
		if u, err := user.Current(); err == nil {
			opt.User = u.Username
		}
	}
	if err := opt.check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	running, cancel := context.WithCancel(ctx)
	profile := profileOf(opt.Out, opt.Env)
	m := newModel(running, opt, newTheme(profile, opt.ASCII))
	m.feed = newFeed(&opt)
	var background sync.WaitGroup
	background.Go(func() { m.feed.run(running) })
	defer background.Wait()
	defer cancel()

	// A frame at the earliest when there is something to show.
	select {
	case <-m.feed.ready:
		batch := m.feed.take()
		m.onFeed(&batch)
	case <-time.After(firstPicture):
	case <-ctx.Done():
		return ctx.Err()
	}
	t, err := openTerminal(&opt)
	if err != nil {
		return err
	}
	defer t.restore()
	m.w, m.h = t.w, t.h
	m.paint = &painter{out: opt.Out, every: frameEvery}
	defer func() {
		m.paint.close()
		if errors.Is(err, tea.ErrProgramPanic) {
			os.Stderr.Write(m.crash) // Bubble Tea's own account went to the alternate screen
		}
	}()
	// Bubble Tea reads the keys and runs the commands. It writes nothing: the painter
	// does, and one writer is enough.
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(opt.In), tea.WithOutput(io.Discard), tea.WithEnvironment(opt.Env),
		tea.WithColorProfile(profile), tea.WithoutRenderer(), tea.WithoutSignalHandler(), tea.WithFPS(1))
	background.Go(func() { t.resizes(running, p.Send) })
	_, err = p.Run()
	if ctx.Err() != nil && (err == nil || errors.Is(err, tea.ErrProgramKilled)) {
		return ctx.Err()
	}
	return err
}

// crashed keeps what there is to say about a panic until the screen is left.
func (m *model) crashed() {
	if r := recover(); r != nil {
		m.crash = debug.Stack()
		panic(r)
	}
}
