// Package cells measures and cuts text in terminal cells. Names and texts come from
// configuration files and from other servers: what they hold that would move the
// cursor or be measured differently by a terminal is taken out here, once, before
// anything is laid out.
//
// Pure functions; strings may carry SGR sequences, except where Clean is to be used.
package cells

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/text/unicode/norm"
)

// longest is how much of a text is looked at, in bytes: more than any screen shows.
const longest = 4096

// Clean makes text from outside fit to be shown on one line. NFKC turns the halfwidth
// kana, which terminals and libraries measure differently, into ordinary ones;
// control characters and escape sequences could move the cursor or worse; joiners,
// variation selectors and direction marks have a width that nobody agrees on.
func Clean(s string) string {
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "")
	}
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == unicode.ReplacementChar, unicode.IsControl(r), !unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r):
			return '?'
		case unicode.Is(unicode.Cf, r), r >= 0xfe00 && r <= 0xfe0f:
			return -1
		}
		return r
	}, ansi.Strip(s))
	return norm.NFKC.String(s)
}

// Width is how many cells the string takes.
func Width(s string) int {
	return ansi.StringWidth(s)
}

// Cut shortens to at most w cells, ending in tail where something was cut off.
func Cut(s string, w int, tail string) string {
	if w <= 0 {
		return ""
	}
	if Width(s) <= w {
		return s
	}
	if w <= Width(tail) {
		tail = ""
	}
	return ansi.Truncate(s, w, tail)
}

// CutLeft keeps the end of the string, which for a path is the part that tells it
// from others.
func CutLeft(s string, w int, tail string) string {
	if w <= 0 {
		return ""
	}
	n := Width(s)
	if n <= w {
		return s
	}
	if w <= Width(tail) {
		tail = ""
	}
	out := ansi.TruncateLeft(s, n-w+Width(tail), tail)
	for Width(out) > w { // a wide character was cut in two
		out = ansi.TruncateLeft(s, n-w+Width(tail)+1, tail)
		n--
	}
	return out
}

// Fit makes the string exactly w cells wide: cut, or padded on the right.
func Fit(s string, w int, tail string) string {
	s = Cut(s, w, tail)
	return s + Space(w-Width(s))
}

// Right makes the string exactly w cells wide, padded on the left.
func Right(s string, w int, tail string) string {
	s = Cut(s, w, tail)
	return Space(w-Width(s)) + s
}

// Ends puts left and right at the ends of a line of w cells. The left one gives way.
func Ends(left, right string, w int, tail string) string {
	r := Width(right)
	if r >= w {
		return Fit(right, w, tail)
	}
	gap := 1
	if r == 0 {
		gap = 0
	}
	return Fit(left, w-r-gap, tail) + Space(gap) + right
}

// Space is n blanks; none for n below 1.
func Space(n int) string {
	if n <= 0 {
		return ""
	}
	if n <= len(blanks) {
		return blanks[:n]
	}
	return strings.Repeat(" ", n)
}

var blanks = strings.Repeat(" ", 256)

// Wrap breaks text without SGR sequences into lines of at most w cells, at blanks
// where there are any, anywhere for text without (Japanese). At most n lines; the last
// says with tail that there was more.
func Wrap(s string, w, n int, tail string) []string {
	if w <= 0 || n <= 0 || s == "" {
		return nil
	}
	var lines []string
	for l := range strings.SplitSeq(ansi.Wrap(strings.TrimLeft(s, " "), w, ""), "\n") {
		l = strings.TrimRight(l, " ")
		if Width(l) > w { // a word that is too long, after a blank
			lines = append(lines, strings.Split(ansi.Hardwrap(l, w, true), "\n")...)
			continue
		}
		lines = append(lines, l)
	}
	if len(lines) > n {
		rest := strings.Join(lines[n-1:], " ")
		lines = append(lines[:n-1:n-1], Cut(rest, w, tail))
	}
	return lines
}
