package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"baton/core/cluster"
)

// logQueue is how many lines may wait for whoever reads standard error. The loop logs
// too, and a journal that hangs must not stop it: what does not fit is counted and
// dropped.
const logQueue = 4096

// lateWriter writes lines in a goroutine of its own.
type lateWriter struct {
	out     io.Writer
	lines   chan []byte
	dropped atomic.Int64
	mu      sync.RWMutex // held for writing while closing
	closed  bool
	drained chan struct{}
}

func newLateWriter(out io.Writer) *lateWriter {
	w := &lateWriter{out: out, lines: make(chan []byte, logQueue), drained: make(chan struct{})}
	go w.run()
	return w
}

func (w *lateWriter) run() {
	defer close(w.drained)
	for line := range w.lines {
		w.out.Write(line)
		if n := w.dropped.Swap(0); n > 0 {
			fmt.Fprintf(w.out, "level=WARN msg=\"log lines dropped: standard error was not read\" lines=%d\n", n)
		}
	}
}

// Write never waits and never fails. slog gives it whole lines, in a buffer that it
// uses again.
func (w *lateWriter) Write(b []byte) (int, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return w.out.Write(b)
	}
	line := append([]byte(nil), b...)
	select {
	case w.lines <- line:
	default:
		w.dropped.Add(1)
	}
	return len(b), nil
}

// Close writes what is waiting, for a second at most. Later lines go out directly.
func (w *lateWriter) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.drained:
	case <-time.After(time.Second):
	}
}

// newLogger makes the daemon's log. Under systemd lines get the journal's priority
// prefix instead of time and level (sd-daemon(3)).
func newLogger(out io.Writer, format, level string) (*slog.Logger, error) {
	var lv slog.Level
	if err := lv.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is none of debug, info, warn, error", level)
	}
	opts := &slog.HandlerOptions{Level: lv}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(out, opts)), nil
	case "text":
		if os.Getenv("JOURNAL_STREAM") == "" {
			return slog.New(slog.NewTextHandler(out, opts)), nil
		}
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}
		var h journalHandler
		for i := range h.by {
			h.by[i] = slog.NewTextHandler(prefixWriter{out, fmt.Sprintf("<%d>", priorities[i])}, opts)
		}
		return slog.New(h), nil
	}
	return nil, fmt.Errorf("--log-format: %q is none of text, json", format)
}

// priorities are syslog's for debug, info, warn and error.
var priorities = [4]int{7, 6, 4, 3}

// journalHandler has one handler for each level, which prefixes its lines with the
// priority.
type journalHandler struct{ by [4]slog.Handler }

func (h journalHandler) of(l slog.Level) slog.Handler {
	switch {
	case l < slog.LevelInfo:
		return h.by[0]
	case l < slog.LevelWarn:
		return h.by[1]
	case l < slog.LevelError:
		return h.by[2]
	}
	return h.by[3]
}

func (h journalHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.of(l).Enabled(ctx, l)
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

func (h journalHandler) WithAttrs(a []slog.Attr) slog.Handler {
	for i := range h.by {
		h.by[i] = h.by[i].WithAttrs(a)
	}
	return h
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	for i := range h.by {
		h.by[i] = h.by[i].WithGroup(name)
	}
	return h
}

// prefixWriter puts a prefix before each line.
type prefixWriter struct {
	out    io.Writer
	prefix string
}

func (w prefixWriter) Write(b []byte) (int, error) {
	if _, err := w.out.Write(append([]byte(w.prefix), b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// logEvent logs one event of the cluster, with the words that the console shows.
func logEvent(log *slog.Logger, e cluster.Event) {
	level := slog.LevelInfo
	switch e.Severity {
	case cluster.Warn:
		level = slog.LevelWarn
	case cluster.Error:
		level = slog.LevelError
	}
	attrs := []slog.Attr{slog.String("event", e.Code), slog.Uint64("id", e.ID)}
	for _, a := range []struct{ key, value string }{{"server", e.Server}, {"group", e.Group}, {"who", e.Who}} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	log.LogAttrs(context.Background(), level, e.Text, attrs...)
}
