package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// tree is a source as the parser has it, with the lines, and with what had to be left
// out to get there.
type tree struct {
	values map[string]any
	lines  map[string]int
	// broken are the paths of statements that were left out: they are neither
	// missing nor there.
	broken map[string]bool
	// whole: every statement was read or left out knowingly. If not, values is nil
	// and whatever else could be said of the file would be guesswork.
	whole bool
}

// readTree parses a source. A statement that is not TOML is reported and then blanked,
// so that the parser sees the rest: an operator wants all faults at once, and the
// parser stops at the first.
func readTree(file string, src []byte) (tree, Problems) {
	text := strings.TrimPrefix(string(src), "\ufeff")
	r := &repair{file: file, broken: map[string]bool{}}
	if !r.readable(text) {
		return tree{lines: map[string]int{}}, r.problems
	}
	text = r.brackets(text)
	r.layout, r.text = scan(text), []byte(text)
	t := tree{lines: r.layout.lines, broken: r.broken}
	if !r.layout.steep {
		if values, err := decode(text); err == nil {
			t.values, t.whole = values, true
			return t, r.problems
		}
	}
	r.faults()
	t.values, t.whole = r.parse()
	return t, r.problems
}

type repair struct {
	file     string
	text     []byte
	layout   layout
	broken   map[string]bool
	problems Problems
}

func (r *repair) fail(line int, key, message, remedy string) {
	r.problems = append(r.problems, Problem{r.file, line, key, message, remedy})
}

// readable checks what no scanner can get through.
func (r *repair) readable(text string) bool {
	if len(text) > MaxFileSize {
		r.fail(1, "", fmt.Sprintf("the file has %d bytes, more than %d", len(text), MaxFileSize), "is it the right file?")
		return false
	}
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.ContainsRune(line, 0):
			r.fail(i+1, "", "a zero byte", "save the file as UTF-8 text")
			return false
		case !utf8.ValidString(line):
			r.fail(i+1, "", "not UTF-8", "save the file as UTF-8 text")
			return false
		}
	}
	return true
}

// brackets corrects the headers of tables we know, so that what stands below them is
// checked as what it was meant to be.
func (r *repair) brackets(text string) string {
	var b strings.Builder
	done := 0
	for _, e := range scan(text).entries {
		name := documented(e.path)
		if e.kind != header || !isTable(name) || e.array == repeated[name] && e.fault == "" {
			continue
		}
		is, _, _ := strings.Cut(text[e.start:e.end], "#")
		is = strings.TrimSpace(is)
		r.fail(e.line, name, "the table's header is "+quote(is), "write "+brackets(name))
		b.WriteString(text[done:e.start] + brackets(name))
		done = e.end
	}
	return b.String() + text[done:]
}

// faults reports and blanks what the scanner has seen.
func (r *repair) faults() {
	for i, e := range r.layout.entries {
		key := documented(e.path)
		switch {
		case r.isBlank(e):
			continue // stood below a header that is blanked
		case e.fault != "" && e.kind == header:
			r.fail(e.line, key, e.fault, "write [table] or [[table]]")
		case e.fault != "":
			r.fail(e.line, key, e.fault, remedyFor(e.fault))
		case e.earlier > 0 && e.kind == header:
			r.fail(e.line, key, fmt.Sprintf("%s is in line %d already", brackets(key), e.earlier), "put all keys of the table under one header")
		case e.earlier > 0:
			r.fail(e.line, key, fmt.Sprintf("is set in line %d already", e.earlier), "take one of the two out")
		default:
			continue
		}
		r.blank(i, e.earlier == 0)
		if e.end == len(r.text) && e.last > e.line {
			r.swallowed(e)
		}
	}
}

// swallowed notes that a statement without an end has taken the rest of the file with
// it: whatever is missing may be in there.
func (r *repair) swallowed(e entry) {
	r.broken[e.table] = true
	for _, key := range accepted[""] {
		r.broken[key] = true
	}
}

func (r *repair) isBlank(e entry) bool {
	return strings.TrimSpace(string(r.text[e.start:e.end])) == ""
}

func remedyFor(fault string) string {
	_, closing, ok := strings.Cut(fault, "no closing ")
	switch {
	case ok:
		return "put " + closing + " at its end"
	case strings.HasPrefix(fault, "no ="):
		return "write key = value"
	}
	return "write it as in README.md"
}

// parse lets the parser have the text, less every statement that it refuses.
func (r *repair) parse() (values map[string]any, whole bool) {
	for range maxRounds {
		values, err := decode(string(r.text))
		if err == nil {
			return values, true
		}
		var pe toml.ParseError
		if !errors.As(err, &pe) {
			r.fail(1, "", "cannot be read: "+strings.TrimSpace(err.Error()), "compare it with the example files")
			return nil, false
		}
		i := r.at(pe.Position.Line) // a round blanks one statement
		if i < 0 {
			r.fail(min(max(pe.Position.Line, 1), r.lastLine()), "", lowerFirst(pe.Message), "compare it with the example files")
			return nil, false
		}
		e := r.layout.entries[i]
		line := min(max(pe.Position.Line, e.line), e.last)
		message, remedy := explain(pe.Message, e.kind, string(r.text[e.start:e.end]))
		r.fail(line, documented(e.path), message, remedy)
		r.blank(i, true)
	}
	r.fail(1, "", fmt.Sprintf("more than %d lines are not TOML", maxRounds), "is it the right file?")
	return nil, false
}

// maxRounds bounds how often the parser is run anew, each time over the whole text.
const maxRounds = 50

// decode never panics: what the parser does with a source that it was not made for
// must not take the command down.
func decode(text string) (values map[string]any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser gave up: %v", p)
		}
	}()
	_, err = toml.Decode(text, &values)
	return values, err
}

// at finds the statement in that line, or the last one before it: the parser may
// notice only behind the newline.
func (r *repair) at(line int) int {
	found := -1
	for i, e := range r.layout.entries {
		if e.line > line {
			break
		}
		if !r.isBlank(e) {
			found = i
		}
	}
	return found
}

// blank takes a statement out, a header with all that stands below it. Lines keep
// their numbers.
func (r *repair) blank(i int, broken bool) {
	e := r.layout.entries[i]
	end := e.end
	if e.kind == header {
		end = len(r.text)
		for _, next := range r.layout.entries[i+1:] {
			if next.kind == header {
				end = next.start
				break
			}
		}
	}
	for k := e.start; k < end; k++ {
		if r.text[k] != '\n' {
			r.text[k] = ' '
		}
	}
	if broken && e.path != "" {
		r.broken[e.path] = true
	}
}

func (r *repair) lastLine() int { return 1 + strings.Count(string(r.text), "\n") }

// explain puts the parser's message in an operator's words where it can.
func explain(message string, kind entryKind, statement string) (text, remedy string) {
	_, value, _ := strings.Cut(statement, "=")
	value, _, _ = strings.Cut(value, "#")
	value = strings.TrimSpace(value)
	bare := kind == keyval && value != "" && !strings.ContainsAny(value, "\"'[]{}\n")
	switch {
	case bare && slices.Contains([]string{"yes", "no", "on", "off", "true", "false"}, strings.ToLower(value)):
		return value + " is not a value", "write true or false"
	case bare:
		return quote(value) + " is not a value without quotes", "write " + quote(value)
	case strings.HasPrefix(message, "expected a comma"):
		return "a comma is missing, or the closing bracket", "write a comma between each two elements"
	}
	return lowerFirst(message), "compare it with the example files"
}

func lowerFirst(s string) string {
	if s == "" {
		return "not TOML"
	}
	return strings.TrimSuffix(strings.ToLower(s[:1])+s[1:], ".")
}
