package console

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// painter writes frames to the terminal: of each only the cells that differ from what
// is there, in one write. Bubble Tea's own renderer erases and rewrites every line
// that holds a wide character whenever anything on the screen changes, which over SSH
// makes a Japanese screen flicker and costs five times the bytes.
//
// Frames may be shown from any goroutine; the newest wins.
type painter struct {
	out   io.Writer
	every time.Duration // between two frames, at least

	mu     sync.Mutex
	w, h   int
	cells  []cell // what the terminal shows, row by row; nil: not known
	frame  []string
	extra  bytes.Buffer  // goes out with the next frame: the clipboard
	due    *time.Timer   // nil: no frame waits
	busy   chan struct{} // closed when the write under way has ended; nil: none is
	again  bool          // something came during the write
	anew   bool          // the next frame is painted from nothing
	last   time.Time
	sync   bool // the terminal shows a frame at once if told where it ends
	closed bool
}

// cell is a column of a row. A wide character has its text in the first of its two
// columns, and wide 2 there and 0 in the second.
type cell struct {
	text string
	wide uint8
	pen  pen
}

// pen is how a cell is drawn: bits for the attributes that the theme uses, and the
// colour as SGR parameters.
type pen struct {
	attr uint8
	fg   string
}

const (
	penBold = 1 << iota
	penDim
	penUnderline
	penReverse
)

var penCodes = [...]struct {
	bit  uint8
	code string
}{{penBold, "1"}, {penDim, "2"}, {penUnderline, "4"}, {penReverse, "7"}}

var blank = cell{text: " ", wide: 1}

// The sequences around the console: alternate screen, no cursor, pasted text marked
// as such, and the question whether the terminal can show frames at once.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?2026$p"
	leaveScreen = "\x1b[m\x1b[?2004l\x1b[?25h\x1b[?1049l"
)

// show takes a frame; it is painted at once, or when the time for it has come.
func (p *painter) show(frame []string, w, h int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w != p.w || h != p.h || p.anew {
		p.w, p.h, p.cells, p.anew = w, h, nil, false
	} else if p.frame != nil && slices.Equal(frame, p.frame) && p.cells != nil && p.extra.Len() == 0 {
		return
	}
	p.frame = frame
	p.wake()
}

// wake arranges for a flush; the lock is held.
func (p *painter) wake() {
	switch {
	case p.closed || p.due != nil:
	case p.busy != nil:
		p.again = true
	default:
		p.due = time.AfterFunc(max(p.every-time.Since(p.last), 0), p.flush)
	}
}

// repaint has the next frame painted from nothing, because what the terminal shows is
// not known. It waits for that frame: the one that is there may be what went wrong.
func (p *painter) repaint() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.anew = true
}

// also writes a sequence that shows nothing, between frames.
func (p *painter) also(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.extra.WriteString(s)
	p.wake()
}

func (p *painter) atOnce(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sync = yes
}

// flush writes what is due. The lock is not held while it writes: a terminal may be
// stopped, and the console goes on behind it.
func (p *painter) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due, p.last = nil, time.Now()
	if p.closed {
		return
	}
	b := p.diff()
	if p.sync && len(b) > 0 {
		b = slices.Concat([]byte("\x1b[?2026h"), b, []byte("\x1b[?2026l"))
	}
	b = append(b, p.extra.Bytes()...)
	p.extra.Reset()
	if len(b) == 0 {
		return
	}
	p.busy = make(chan struct{})
	p.mu.Unlock()
	p.out.Write(b)
	p.mu.Lock()
	close(p.busy)
	p.busy = nil
	if p.again {
		p.again = false
		p.wake()
	}
}

// stopped is how long the end waits for a terminal that takes nothing.
const stopped = time.Second

// close ends painting and gives the terminal back.
func (p *painter) close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	busy, rest := p.busy, append(slices.Clone(p.extra.Bytes()), leaveScreen...)
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if busy != nil {
			<-busy
		}
		p.out.Write(rest)
	}()
	select {
	case <-done:
	case <-time.After(stopped):
	}
}

// diff makes the terminal show p.frame and remembers that it does. The lock is held.
func (p *painter) diff() []byte {
	b := brush{row: -1}
	old := p.cells
	if old == nil {
		b.WriteString("\x1b[m\x1b[H\x1b[2J")
		b.row = 0
		old = slices.Repeat([]cell{blank}, p.w*p.h)
	}
	now := make([]cell, 0, p.w*p.h)
	for y := range p.h {
		line := ""
		if y < len(p.frame) {
			line = p.frame[y]
		}
		now = appendRow(now, line, p.w)
		b.line(y, old[y*p.w:(y+1)*p.w], now[y*p.w:])
	}
	p.cells = now
	b.take(pen{})
	return b.Bytes()
}

// brush writes cells where they belong. It ends as it began, with no pen.
type brush struct {
	bytes.Buffer
	row int // the cursor's; -1: not known
	pen pen
}

// jump is how many equal cells are cheaper to write than to skip: a cursor movement
// takes about five bytes.
const jump = 5

// line writes the runs of cells that differ in row y.
func (b *brush) line(y int, old, now []cell) {
	for x := 0; x < len(now); {
		if old[x] == now[x] {
			x++
			continue
		}
		from, to := x, x+1 // to: behind the last cell that differs
		for k := to; k < len(now) && k < to+jump; k++ {
			if old[k] != now[k] {
				to = k + 1
			}
		}
		// A wide character is never cut in two: its second cell equals no other kind
		// of cell, so a run cannot begin there, and where one ends before it the
		// terminal fills it by itself.
		b.moveTo(y, from)
		b.run(now[from:to], blankFrom(now[to:]))
		x = to
	}
}

// moveTo never goes by columns relative to where the cursor is: a terminal that
// draws a character wider than we think is put right with every movement.
func (b *brush) moveTo(y, x int) {
	switch {
	case y == b.row:
		b.WriteString("\x1b[" + strconv.Itoa(x+1) + "G")
	case y == b.row+1 && b.row >= 0 && x == 0:
		b.WriteString("\r\n")
	default:
		b.WriteString("\x1b[" + strconv.Itoa(y+1) + ";" + strconv.Itoa(x+1) + "H")
	}
	b.row = y
}

// run writes cells. Where only blanks follow, those at its end are erased and not
// written.
func (b *brush) run(run []cell, last bool) {
	erase := false
	if last {
		n := len(run)
		for n > 0 && run[n-1] == blank {
			n--
		}
		if len(run)-n > 3 {
			run, erase = run[:n], true
		}
	}
	for i := range run {
		if run[i].wide == 0 {
			continue
		}
		b.take(run[i].pen)
		b.WriteString(run[i].text)
	}
	if erase {
		b.take(pen{}) // some terminals erase with the attributes in hand
		b.WriteString("\x1b[K")
	}
}

func blankFrom(row []cell) bool {
	for i := range row {
		if row[i] != blank {
			return false
		}
	}
	return true
}

// take changes the pen.
func (b *brush) take(p pen) {
	if p == b.pen {
		return
	}
	b.WriteString("\x1b[")
	sep := ""
	if b.pen != (pen{}) && p != (pen{}) {
		b.WriteByte('0')
		sep = ";"
	}
	for _, c := range penCodes {
		if p.attr&c.bit != 0 {
			b.WriteString(sep + c.code)
			sep = ";"
		}
	}
	if p.fg != "" {
		b.WriteString(sep + p.fg)
	}
	b.WriteByte('m')
	b.pen = p
}

// appendRow turns a line with SGR sequences into exactly w cells.
func appendRow(row []cell, line string, w int) []cell {
	end := len(row) + w
	var state byte
	var hand pen
	for len(line) > 0 {
		text, width, n, next := ansi.DecodeSequence(line, state, nil)
		state, line = next, line[n:]
		switch {
		case width > 0 && len(row)+width <= end:
			row = append(row, cell{text: text, wide: uint8(width), pen: hand})
			for range width - 1 {
				row = append(row, cell{pen: hand})
			}
		case width == 0 && len(text) > 2 && text[0] == '\x1b' && text[len(text)-1] == 'm':
			hand = hand.sgr(text[2 : len(text)-1])
		}
	}
	for len(row) < end {
		row = append(row, blank)
	}
	return row
}

// sgr follows the parameters of a Select Graphic Rendition.
func (p pen) sgr(params string) pen {
	for params != "" || p != (pen{}) {
		var one string
		one, params = nextParam(params)
		switch n, _ := strconv.Atoi(one); {
		case n == 0:
			p = pen{}
		case n == 1:
			p.attr |= penBold
		case n == 2:
			p.attr |= penDim
		case n == 4:
			p.attr |= penUnderline
		case n == 7:
			p.attr |= penReverse
		case n == 22:
			p.attr &^= penBold | penDim
		case n == 24:
			p.attr &^= penUnderline
		case n == 27:
			p.attr &^= penReverse
		case n == 38:
			var kind, colour string
			kind, params = nextParam(params)
			colour, params = nextParam(params)
			p.fg = "38;" + kind + ";" + colour
		case n == 39:
			p.fg = ""
		case n >= 30 && n <= 37, n >= 90 && n <= 97:
			p.fg = one
		}
		if params == "" {
			break
		}
	}
	return p
}

func nextParam(s string) (one, rest string) {
	for i := range len(s) {
		if s[i] == ';' || s[i] == ':' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
