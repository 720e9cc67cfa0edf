package console

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"

	"baton/tui/words"
)

// Whatever frames follow each other, the terminal shows the last one as if nothing
// else had been there: text, width and style of every cell. Random frames of narrow
// and wide characters, over an independent emulator.
func TestPainterShowsTheFrame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	const w, h = 23, 5
	pieces := []string{" ", " ", "  ", "a", "xyz", "受", "注API", "●", "\x1b[m", "\x1b[1m", "\x1b[2m", "\x1b[38;5;39m", "\x1b[7;38;5;203m", "\x1b[22m", "─", "\x1b[4mu\x1b[24m", "        "}
	screen := vt.NewEmulator(w, h)
	p := &painter{w: w, h: h}
	var sent bytes.Buffer
	for n := range 500 {
		frame := make([]string, r.IntN(h+1))
		for y := range frame {
			if y < len(p.frame) && r.IntN(3) > 0 {
				frame[y] = p.frame[y] // as most lines are
				continue
			}
			for range r.IntN(14) {
				frame[y] += pieces[r.IntN(len(pieces))]
			}
		}
		p.frame = frame
		b := p.diff()
		screen.Write(b)
		sent.Write(b)
		fresh := vt.NewEmulator(w, h)
		fresh.Write((&painter{w: w, h: h, frame: frame}).diff())
		if got, want := styled(screen, w, h), styled(fresh, w, h); got != want {
			t.Fatalf("frame %d:\ngot\n%s\nwant\n%s\nlast bytes %q", n, got, want, b)
		}
		var plain []string
		for y := range h {
			line := ""
			if y < len(frame) {
				line = frame[y]
			}
			plain = append(plain, rowText(line, w))
		}
		if got := fresh.String(); strings.TrimRight(got, "\n ") != strings.TrimRight(strings.Join(plain, "\n"), "\n ") {
			t.Fatalf("frame %d fresh:\ngot\n%s\nwant\n%s", n, got, strings.Join(plain, "\n"))
		}
	}
}

// rowText is what a line should look like: its characters up to w cells.
func rowText(line string, w int) string {
	s := ""
	for _, c := range appendRow(nil, line, w) {
		s += c.text
	}
	return strings.TrimRight(s, " ")
}

func styled(e *vt.Emulator, w, h int) string {
	var b strings.Builder
	for y := range h {
		for x := range w {
			c := e.CellAt(x, y)
			if c == nil {
				fmt.Fprintf(&b, "nil ")
				continue
			}
			text := c.Content
			if text == "" {
				text = " "
			}
			fmt.Fprintf(&b, "%q%d%v ", text, c.Width, c.Style)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// slow is a terminal that takes its time.
type slow struct {
	mu     sync.Mutex
	writes []string
	gate   chan struct{}
}

func (s *slow) Write(p []byte) (int, error) {
	<-s.gate
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

// A frame is one write; equal frames are none; of many quick ones the newest counts.
func TestPainterPace(t *testing.T) {
	open := make(chan struct{})
	close(open)
	out := &slow{gate: open}
	p := &painter{out: out, every: 20 * time.Millisecond}
	for i := range 500 {
		p.show([]string{fmt.Sprint("frame ", i)}, 20, 2)
	}
	time.Sleep(60 * time.Millisecond)
	for range 10 {
		p.show([]string{"frame 499"}, 20, 2)
	}
	time.Sleep(60 * time.Millisecond)
	p.close()
	p.show([]string{"late"}, 20, 2)
	time.Sleep(30 * time.Millisecond)
	out.mu.Lock()
	defer out.mu.Unlock()
	if n := len(out.writes); n < 2 || n > 5 {
		t.Errorf("%d writes: %q", n, out.writes)
	}
	screen := vt.NewEmulator(20, 2)
	for _, s := range out.writes[:len(out.writes)-1] {
		screen.WriteString(s)
	}
	if s := screen.String(); !strings.Contains(s, "frame 499") || out.writes[len(out.writes)-1] != leaveScreen {
		t.Errorf("shows %q after %q", s, out.writes)
	}
}

// A terminal that takes nothing (ctrl+s) holds up neither the console nor its end.
func TestPainterStoppedTerminal(t *testing.T) {
	out := &slow{gate: make(chan struct{})}
	p := &painter{out: out}
	p.show([]string{"a"}, 20, 2)
	time.Sleep(10 * time.Millisecond)
	ended := make(chan struct{})
	go func() {
		p.show([]string{"b"}, 20, 2)
		p.also("c")
		p.repaint()
		p.close()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("close waits for ever")
	}
	close(out.gate)
}

// The bytes of ordinary changes, in both languages: what goes over a slow line.
func TestBytesPerChange(t *testing.T) {
	for _, text := range []words.Text{words.English, words.Japanese} {
		m := view{w: 80, h: 24, st: cast(3), text: text}.at(nil)
		p := &painter{w: 80, h: 24}
		frame := func() int {
			p.frame = m.frame()
			return len(p.diff())
		}
		first := frame()
		press(m, "j")
		move := frame()
		idle := frame()
		m.onFeed(&feedMsg{status: oneDown(3), at: start})
		down := frame()
		m.onFeed(&feedMsg{status: cast(3), at: start})
		frame()
		st := cast(3)
		st.Groups[0].State = "starting"
		m.onFeed(&feedMsg{status: st, at: start})
		flip := frame()
		t.Logf("language %d: first %d, move %d, idle %d, flip %d, a server down %d bytes", text, first, move, idle, flip, down)
		for _, c := range []struct {
			what      string
			n, atMost int
		}{{"first frame", first, 3000}, {"moving the selection", move, 300}, {"idle", idle, 0}, {"a state's change", flip, 500}} {
			if c.n > c.atMost {
				t.Errorf("language %d: %s takes %d bytes, at most %d may be", text, c.what, c.n, c.atMost)
			}
		}
	}
}

// 16 servers with 256 groups take no more than a fraction of the frame's interval.
func BenchmarkFrame(b *testing.B) {
	for _, c := range []struct {
		name    string
		servers int
		groups  int
	}{{"3x3", 3, 3}, {"16x256", 16, 256}} {
		b.Run(c.name, func(b *testing.B) {
			st := cast(c.servers)
			for i := len(st.Groups); i < c.groups; i++ {
				g := st.Groups[i%3]
				g.Name, g.Server = fmt.Sprintf("group%03d", i), st.Servers[i%c.servers].Name
				st.Groups = append(st.Groups, g)
			}
			m := view{w: 80, h: 24, st: st}.at(nil)
			p := &painter{w: 80, h: 24}
			for b.Loop() {
				m.onFeed(&feedMsg{status: st, at: start})
				p.frame = m.frame()
				p.diff()
			}
		})
	}
}

// Some terminals erase with the attributes in hand: a line shall not end in reverse.
func TestPainterErasesWithoutPen(t *testing.T) {
	p := &painter{w: 20, h: 1, frame: []string{"\x1b[7mfailed and more\x1b[m"}}
	p.diff()
	p.frame = []string{"\x1b[7mok\x1b[m"}
	if b := p.diff(); !bytes.Contains(b, []byte("ok\x1b[m\x1b[K")) {
		t.Errorf("wrote %q", b)
	}
}

// A terminal that turns out to draw the signs too wide has to be painted from nothing,
// and with the frame that has no such signs any more.
func TestRepaintTakesTheNextFrame(t *testing.T) {
	open := make(chan struct{})
	close(open)
	out := &slow{gate: open}
	p := &painter{out: out}
	p.show([]string{"old"}, 20, 2)
	time.Sleep(20 * time.Millisecond)
	p.repaint()
	time.Sleep(20 * time.Millisecond)
	p.show([]string{"new"}, 20, 2)
	time.Sleep(20 * time.Millisecond)
	out.mu.Lock()
	defer out.mu.Unlock()
	if len(out.writes) != 2 || !strings.Contains(out.writes[1], "\x1b[2J") || !strings.Contains(out.writes[1], "new") {
		t.Errorf("wrote %q", out.writes)
	}
}
