package conf

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a file, or worth a word.
type Problem struct {
	File string
	Line int // from 1; 0 where it is no line's
	// Key is the key as README.md names it, e.g. "group.floating_ip.address"; ""
	// where the fault is in no key.
	Key string
	// Message says what is wrong, with value and limit.
	Message string
	// Remedy says what to write or do instead.
	Remedy string
}

// Error is the problem in one line, file:line first, as compilers do, so that editors
// find the place.
func (p Problem) Error() string { return p.text("") }

// text puts a word such as "warning" between the place and the rest.
func (p Problem) text(word string) string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(p.Line))
	}
	b.WriteString(": ")
	for _, s := range []string{word, p.Key} {
		if s != "" {
			b.WriteString(s)
			b.WriteString(": ")
		}
	}
	b.WriteString(p.Message)
	if p.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(p.Remedy)
	}
	return b.String()
}

// Problems is every fault of a file, in the order of its lines. As an error it is
// never empty.
type Problems []Problem

// Error has one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message))
	})
}

// quote shows a value of the file: in quotes, control characters escaped, and not so
// long that it hides the message.
func quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	return strconv.Quote(s)
}

// nearest returns the candidate that s was probably meant to be; "" where none is near
// or two are equally near.
func nearest(s string, candidates []string) string {
	if len(s) > 64 {
		return ""
	}
	best, bestCost, tied := "", len(s)/3+1, false
	if len(s) <= 3 {
		bestCost = 1
	}
	for _, c := range candidates {
		if c == s {
			continue
		}
		switch d := distance(strings.ToLower(s), strings.ToLower(c)); {
		case d < bestCost, d == bestCost && best == "" && !tied:
			best, bestCost, tied = c, d, false
		case d == bestCost:
			best, tied = "", true
		}
	}
	return best
}

// distance is the number of letters to change, put in, take out or swap with their
// neighbour (optimal string alignment) to make b of a.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := rows[i-1][j-1]
			if x[i-1] != y[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
