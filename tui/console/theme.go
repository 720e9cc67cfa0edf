package console

import (
	"strings"

	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"

	"baton/tui/cells"
	"baton/tui/picture"
)

// theme paints. It writes SGR sequences itself: a frame is made after every message,
// and has a few hundred styled pieces.
type theme struct {
	ascii bool
	on    [7]string // by picture.Kind
}

const (
	sgrOff  = "\x1b[m"
	sgrBold = "\x1b[1m"
	sgrDim  = "\x1b[2m"
)

// newTheme chooses the colours that the terminal has; blue against red and yellow
// against violet are told apart by everyone, green against red is not. The attributes
// stay without colours.
func newTheme(p colorprofile.Profile, ascii bool) theme {
	t := theme{ascii: ascii}
	col := func(c256, c16 string) string {
		switch {
		case p >= colorprofile.ANSI256:
			return "38;5;" + c256
		case p == colorprofile.ANSI:
			return c16
		}
		return ""
	}
	sgr := func(parts ...string) string {
		s := strings.Trim(strings.Join(parts, ";"), ";")
		if s == "" {
			return ""
		}
		return "\x1b[" + s + "m"
	}
	t.on[picture.Good] = sgr(col("39", "36"))
	t.on[picture.Caution] = sgr("1", col("220", "33"))
	t.on[picture.Failed] = sgr("7", col("203", "31"))
	t.on[picture.Changing] = sgr(col("183", "35"))
	t.on[picture.Off] = sgr("2")
	t.on[picture.Apart] = sgr("1", col("183", "35"))
	t.on[picture.Unknown] = sgr("4")
	return t
}

func (t *theme) kind(k picture.Kind, s string) string {
	if t.on[k] == "" || s == "" {
		return s
	}
	return t.on[k] + s + sgrOff
}

// sign is the glyph and a word, painted.
func (t *theme) sign(k picture.Kind, word string) string {
	g := k.Glyph(t.ascii)
	if word != "" {
		g += " " + word
	}
	return t.kind(k, g)
}

func bold(s string) string {
	if s == "" {
		return s
	}
	return sgrBold + s + sgrOff
}

func dim(s string) string {
	if s == "" {
		return s
	}
	return sgrDim + s + sgrOff
}

// faded is a line of which only the text is left, dimmed.
func faded(line string) string { return dim(ansi.Strip(line)) }

// lines are the characters of boxes and rules.
type lines struct{ h, v, tl, tr, bl, br, tail, arrow, dash, left, right string }

func (t *theme) lines() *lines {
	if t.ascii {
		return &asciiLines
	}
	return &unicodeLines
}

var (
	asciiLines   = lines{"-", "|", "+", "+", "+", "+", "..", "->", "- -", "<", ">"}
	unicodeLines = lines{"─", "│", "┌", "┐", "└", "┘", "…", "→", "─ ─", "‹", "›"}
)

func (t *theme) tail() string { return t.lines().tail }

func (t *theme) fit(s string, w int) string { return cells.Fit(s, w, t.tail()) }
func (t *theme) cut(s string, w int) string { return cells.Cut(s, w, t.tail()) }

// rule is a line across with a title at the left and something at the right.
func (t *theme) rule(title, right string, w int, focused bool) string {
	l := t.lines()
	lead := l.h + l.h + " "
	if focused {
		lead = l.h + "> "
	}
	end := ""
	if right != "" {
		end = " " + right + " " + l.h + l.h
	}
	title = t.cut(title, w-6-cells.Width(end))
	fill := max(w-cells.Width(lead)-cells.Width(title)-1-cells.Width(end), 0)
	if focused {
		title = bold(title)
	}
	return dim(lead) + title + " " + dim(strings.Repeat(l.h, fill)) + end
}

// box draws a frame of w cells around lines that are at most w-2 wide, and exactly h
// lines high with its border.
func (t *theme) box(title string, body []string, w, h int) []string {
	l := t.lines()
	title = t.cut(title, w-5)
	fill := max(w-5-cells.Width(title), 0)
	out := make([]string, 0, h)
	out = append(out, dim(l.tl+l.h)+" "+title+" "+dim(strings.Repeat(l.h, fill)+l.tr))
	for i := range h - 2 {
		s := ""
		if i < len(body) {
			s = body[i]
		}
		out = append(out, dim(l.v)+t.fit(s, w-2)+dim(l.v))
	}
	return append(out, dim(l.bl+strings.Repeat(l.h, w-2)+l.br))
}
