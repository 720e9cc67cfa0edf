package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"baton/contrib/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// The demo's cluster comes up, the visitor is answered by the web server, and after a
// power cut by another one; it has noticed the outage.
func TestVisitor(t *testing.T) {
	t.Parallel()
	if err := lab.Err(); err != nil {
		t.Skip(err)
	}
	l, err := start(t.Context(), lab.Options{Servers: 3, Interval: interval, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	v := newVisitor(l, web)
	defer v.stop()
	until(t, v, "answered by server1")
	for _, line := range []string{"cut server1", "wait web"} {
		if _, err := l.Command(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	until(t, v, "answered by server2, last outage")
	if err := l.Verify(); err != nil {
		t.Error(err)
	}
}

func until(t *testing.T, v *visitor, want string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(v.line(&english), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the visitor says %q, want %q", v.line(&english), want)
		}
	}
}

// The whole demo in a terminal, by its keys: power cut, boot, quit. It ends with 0 and
// leaves nothing.
func TestInTerminal(t *testing.T) {
	t.Parallel()
	if err := lab.Err(); err != nil {
		t.Skip(err)
	}
	var bin string
	for _, pkg := range []string{"baton/daemon", "baton/contrib/lab/demo"} {
		path, err := lab.Build(pkg)
		if err != nil {
			t.Fatal(err)
		}
		bin = filepath.Dir(path)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	temp, err := os.MkdirTemp("/tmp", "demo") // short: unix sockets are below
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "demo"))
	// Not this world's child: one of its own, as for a person.
	cmd.Env = []string{"TERM=xterm-256color", "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "BATON_LAB_BIN=" + bin, "TMPDIR=" + temp}
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	out := &screen{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(out, tty) // ends with EIO when the demo has ended
	}()
	press := func(keys string) {
		t.Helper()
		if _, err := tty.WriteString(keys); err != nil {
			t.Fatalf("after %q: %v", out.tail(), err)
		}
	}
	out.wait(t, "freeze") // the demo's keys in the footer
	out.wait(t, "server1")
	press("x")
	out.wait(t, "every program on it is gone at once")
	press("\r")
	out.wait(t, "DOWN")
	press("b")
	out.wait(t, "with the disk it had")
	press("\r")
	out.wait(t, "DETACHED")
	press("q")
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v:\n%s", err, out.tail())
	}
	<-read
	if text := out.tail(); !strings.Contains(text, english.bye) {
		t.Errorf("no farewell at the end of %q", text)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
}

// screen is everything that was written to the terminal. What is waited for must be
// new since the last wait and written in one piece; words are.
type screen struct {
	mu   sync.Mutex
	all  []byte
	seen int
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, p...)
	return len(p), nil
}

func (s *screen) wait(t *testing.T, word string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		i := bytes.Index(s.all[s.seen:], []byte(word))
		if i >= 0 {
			s.seen += i + len(word)
		}
		s.mu.Unlock()
		if i >= 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%q does not appear after %q", word, s.tail())
		}
	}
}

func (s *screen) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.all[max(0, len(s.all)-3000):])
}
