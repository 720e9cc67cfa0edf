package command

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/stage"
)

// seat is baton in a terminal of its own: a PTY with an emulator behind it, which
// answers what terminals answer.
type seat struct {
	t     *testing.T
	cmd   *exec.Cmd
	tty   *os.File
	begun time.Time
	exit  chan error

	mu     sync.Mutex
	screen *vt.Emulator
	raw    bytes.Buffer
	last   time.Time // of the last byte
}

// seatAt starts the console and begins to watch. Env is added to a small environment.
func seatAt(t *testing.T, socket string, w, h int, env ...string) *seat {
	t.Helper()
	return seatFor(t, nil, socket, w, h, env...)
}

// seatFor starts a command.
func seatFor(t *testing.T, args []string, socket string, w, h int, env ...string) *seat {
	t.Helper()
	s := &seat{t: t, screen: vt.NewEmulator(max(w, 1), max(h, 1)), exit: make(chan error, 1)}
	s.cmd = exec.Command(os.Args[0], args...)
	s.cmd.Env = append([]string{"BATON_TEST_IS_BATON=1", "TERM=xterm-256color", "LANG=C.UTF-8", "TZ=UTC", "BATON_SOCKET=" + socket, "HOME=/nonexistent"}, env...)
	s.begun = time.Now()
	tty, err := pty.StartWithSize(s.cmd, &pty.Winsize{Cols: uint16(w), Rows: uint16(h)})
	if err != nil {
		t.Fatal(err)
	}
	s.tty = tty
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b := make([]byte, 64<<10)
		for {
			n, err := tty.Read(b)
			s.mu.Lock()
			s.raw.Write(b[:n])
			s.screen.Write(b[:n])
			s.last = time.Now()
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		io.Copy(tty, s.screen)
	}()
	go func() {
		err := s.cmd.Wait()
		<-drained
		s.exit <- err
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		tty.Close()
		<-drained
		s.screen.InputPipe().(io.Closer).Close() // Close would race with its Read
		<-answers
	})
	return s
}

func (s *seat) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.screen.String()
}

func (s *seat) bytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.Len()
}

func (s *seat) sent() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}

// shows waits until the screen has the text, and returns when that was.
func (s *seat) shows(want string) time.Duration {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if strings.Contains(s.text(), want) {
			return time.Since(s.begun)
		}
	}
	s.t.Fatalf("%q is not shown:\n%s", want, s.text())
	return 0
}

// settled waits until nothing has been written for a while.
func (s *seat) settled(quiet time.Duration) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		still := time.Since(s.last) > quiet
		s.mu.Unlock()
		if still {
			return
		}
	}
}

func (s *seat) keys(k string) {
	s.t.Helper()
	if _, err := io.WriteString(s.tty, k); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the process.
func (s *seat) ends() error {
	s.t.Helper()
	select {
	case err := <-s.exit:
		return err
	case <-time.After(10 * time.Second):
		s.t.Fatalf("does not end:\n%s", s.text())
	}
	return nil
}

// old is a healthy cluster on which nothing has happened for days: a screen that
// should stand still.
func old() *api.Status {
	st := stage.Healthy(time.Now(), 3)
	for i := range st.Groups {
		st.Groups[i].Since -= (30 * 24 * time.Hour).Milliseconds()
	}
	return st
}

// It starts, shows the cluster, quits, and leaves the terminal as it was.
func TestTerminal(t *testing.T) {
	_, socket := play(t, old())
	s := seatAt(t, socket, 80, 24)
	before, err := getattr(s.tty)
	if err != nil {
		t.Fatal(err)
	}
	s.shows("node1 ONLINE (here)")
	s.shows("path lan2 from node2 is lost")
	s.mu.Lock()
	if !s.screen.IsAltScreen() {
		t.Error("not on the alternate screen")
	}
	s.mu.Unlock()
	s.keys("q")
	if err := s.ends(); err != nil {
		t.Errorf("q: %v", err)
	}
	s.mu.Lock()
	if s.screen.IsAltScreen() {
		t.Error("left on the alternate screen")
	}
	s.mu.Unlock()
	sent := s.sent()
	for _, pair := range [][2]string{{"\x1b[?1049h", "\x1b[?1049l"}, {"\x1b[?25l", "\x1b[?25h"}, {"\x1b[?2004h", "\x1b[?2004l"}} {
		if on, off := strings.LastIndex(sent, pair[0]), strings.LastIndex(sent, pair[1]); on >= 0 && off < on {
			t.Errorf("%q is not undone", pair[0])
		}
	}
	if after, err := getattr(s.tty); err == nil && after != before {
		t.Errorf("the terminal's modes changed:\n%+v\n%+v", before, after)
	}
}

// The budgets: what goes over a slow line.
func TestBytes(t *testing.T) {
	t.Parallel()
	d, socket := play(t, old())
	s := seatAt(t, socket, 80, 24)
	s.shows("path lan2 from node2 is lost")
	first := time.Since(s.begun)
	s.settled(300 * time.Millisecond)
	n := s.bytes()
	t.Logf("first frame with events: %d bytes, %v after exec", n, first.Round(time.Millisecond))
	if n > 3072 {
		t.Errorf("first frame: %d bytes, more than 3 kB", n)
	}
	// Nothing happens: nothing is written. The clock in the header may turn once.
	at := time.Now()
	time.Sleep(2500 * time.Millisecond)
	idle := s.bytes() - n
	t.Logf("idle for 2.5 s: %d bytes", idle)
	if idle != 0 && at.Minute() == time.Now().Minute() {
		t.Errorf("idle: %d bytes\n%q", idle, s.sent()[n:])
	}
	n = s.bytes()
	s.keys("j")
	s.shows("受注API: node2")
	s.settled(200 * time.Millisecond)
	moved := s.bytes() - n
	t.Logf("selection moved: %d bytes", moved)
	if moved > 300 {
		t.Errorf("selection moved: %d bytes\n%q", moved, s.sent()[n:])
	}
	n = s.bytes()
	d.Show(func(st *api.Status) {
		st.Groups[0].State = string(cluster.GroupFailed)
		st.Groups[0].Reason = "start script: exit code 1"
	})
	s.shows("× FAILED")
	s.settled(200 * time.Millisecond)
	flip := s.bytes() - n
	t.Logf("a state changed: %d bytes", flip)
	if flip > 500 {
		t.Errorf("a state changed: %d bytes\n%q", flip, s.sent()[n:])
	}
}

// A move by keys, as an operator does it, against the API: asked once, with the
// revision that was on the screen, and the end is shown.
func TestMoveByKeys(t *testing.T) {
	d, socket := play(t, old())
	d.Answer(func(op cluster.Op) error {
		go func() {
			d.Show(func(st *api.Status) {
				st.Groups[0].State = string(cluster.GroupStopping)
				op.State, op.Begun = cluster.OpRunning, 5000
				st.Ops = append(st.Ops, op)
			})
			time.Sleep(150 * time.Millisecond)
			d.Show(func(st *api.Status) {
				st.Groups[0].State, st.Groups[0].Server = string(cluster.GroupOnline), "node2"
				op.State, op.Ended, op.Text = cluster.OpDone, 5040, "web is online on node2"
				st.Ops = []cluster.Op{op}
			})
		}()
		return nil
	})
	s := seatAt(t, socket, 80, 24)
	s.shows("node1 ONLINE (here)")
	s.keys("m")
	s.shows("MOVE GROUP web")
	s.keys("\r\r") // does nothing
	s.keys("y")    // too early
	s.shows("y works now")
	if n := len(d.Asked()); n != 0 {
		t.Fatalf("%d operations before y", n)
	}
	s.keys("y")
	s.shows("move web node2: done in 0.04 s. web is online on node2")
	asked := d.Asked()
	if len(asked) != 1 || asked[0].Verb != cluster.VerbMove || asked[0].Group != "web" || asked[0].Server != "node2" || asked[0].Revision != 4711 {
		t.Errorf("asked %+v", asked)
	}
	if w := asked[0].Who; !strings.HasPrefix(w.From, "pts/") || w.Says != "" {
		t.Errorf("who %+v, want the terminal, by the kernel's word", w)
	}
}

// A daemon that hangs or is gone: the picture's age says so, the console stays and
// finds the next daemon by itself.
func TestDaemonGoesAndComes(t *testing.T) {
	t.Parallel()
	d, socket := play(t, old())
	s := seatAt(t, socket, 80, 24)
	s.shows("● LIVE")
	d.Silence(true)
	s.shows("▲ STALE")
	d.Silence(false)
	s.shows("● LIVE")
	d.Close()
	s.shows("▲ STALE")
	again, err := stage.New(socket, stage.OneDown(time.Now(), 3), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	s.shows("× node3 DOWN")
	s.shows("● LIVE")
	s.keys("q")
	if err := s.ends(); err != nil {
		t.Error(err)
	}
}

func TestTerminalKinds(t *testing.T) {
	t.Parallel()
	_, socket := play(t, old())
	colours := func(s string) bool { return strings.Contains(s, "38;5;") || strings.Contains(s, "\x1b[36m") }
	t.Run("NO_COLOR", func(t *testing.T) {
		for _, v := range []string{"1", "yes please", "0", "false"} {
			s := seatAt(t, socket, 80, 24, "NO_COLOR="+v)
			s.shows("● ONLINE")
			s.settled(100 * time.Millisecond)
			if colours(s.sent()) {
				t.Errorf("NO_COLOR=%s: colours", v)
			}
			s.keys("q")
			s.ends()
		}
		s := seatAt(t, socket, 80, 24, "NO_COLOR=")
		s.shows("● ONLINE")
		if !colours(s.sent()) {
			t.Error("NO_COLOR empty: no colours")
		}
	})
	t.Run("not UTF-8", func(t *testing.T) {
		s := seatAt(t, socket, 80, 24, "LANG=ja_JP.eucJP")
		s.shows("o node1 ONLINE (here)")
	})
	t.Run("linux console", func(t *testing.T) {
		s := seatAt(t, socket, 80, 24, "TERM=linux", "LANG=ja_JP.UTF-8")
		s.shows("o node1 ONLINE (here)")
	})
	t.Run("Japanese", func(t *testing.T) {
		s := seatAt(t, socket, 80, 24, "LANG=ja_JP.UTF-8")
		s.shows("サーバ 3/3")
	})
	t.Run("dumb", func(t *testing.T) {
		s := seatAt(t, socket, 80, 24, "TERM=dumb")
		s.shows("node1 - node2  lan1 ● ok")
		if err := s.ends(); err != nil {
			t.Error(err)
		}
		if strings.Contains(s.sent(), "\x1b") {
			t.Errorf("escape sequences: %q", s.sent())
		}
	})
	t.Run("no size", func(t *testing.T) {
		s := seatAt(t, socket, 0, 0)
		for end := time.Now().Add(10 * time.Second); !strings.Contains(s.sent(), "prod-db"); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("paints nothing: %q", s.sent())
			}
		}
	})
	t.Run("small", func(t *testing.T) {
		s := seatAt(t, socket, 50, 12)
		s.shows("baton needs 60x16, this is 50x12")
		pty.Setsize(s.tty, &pty.Winsize{Cols: 80, Rows: 24})
		s.mu.Lock()
		s.screen.Resize(80, 24)
		s.mu.Unlock()
		s.shows("node1 ONLINE (here)")
	})
	t.Run("over SSH", func(t *testing.T) {
		s := seatAt(t, socket, 80, 24, "SSH_TTY=/dev/pts/9")
		s.shows("node1 ONLINE (here)")
		if !strings.Contains(s.sent(), "\x1b[?2026$p") {
			t.Error("synchronized output was not asked for")
		}
	})
}

// Signals end it with the terminal restored.
func TestSignals(t *testing.T) {
	_, socket := play(t, old())
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := seatAt(t, socket, 80, 24)
		s.shows("node1 ONLINE (here)")
		before, _ := getattr(s.tty)
		s.cmd.Process.Signal(sig)
		s.ends()
		s.mu.Lock()
		if s.screen.IsAltScreen() {
			t.Errorf("%v: left on the alternate screen", sig)
		}
		s.mu.Unlock()
		if after, err := getattr(s.tty); err == nil && after == before {
			t.Errorf("%v: the terminal is still raw", sig)
		}
	}
}

// A terminal that draws the signs two cells wide gets ASCII.
func TestWideTerminal(t *testing.T) {
	_, socket := play(t, old())
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"BATON_TEST_IS_BATON=1", "TERM=xterm-256color", "LANG=ja_JP.UTF-8", "BATON_SOCKET=" + socket}
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	defer cmd.Process.Kill()
	w := &watched{}
	go func() {
		b := make([]byte, 64<<10)
		asked := false
		for {
			n, err := tty.Read(b)
			w.Write(b[:n])
			if err != nil {
				return
			}
			if !asked && bytes.Contains(b[:n], []byte("\x1b[6n")) {
				asked = true
				io.WriteString(tty, "\x1b[5;7R") // three signs, six cells
			}
		}
	}()
	w.has(t, "mo 稼働中")
	w.has(t, "..n/scripts/web/start")
	if !strings.Contains(w.text(), "サーバ") {
		t.Error("not in Japanese any more")
	}
	io.WriteString(tty, "q")
	cmd.Wait()
}
