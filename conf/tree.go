package conf

import (
	"errors"
	"fmt"
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
	r.faults()
	values, whole := r.parse()
	return tree{values, r.layout.lines, r.broken, whole}, r.problems
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
	entries := scan(text).entries
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		name := documented(e.path)
		if e.kind != header || !isTable(name) || e.array == repeated[name] && e.fault == "" {
			continue
		}
		is, _, _ := strings.Cut(text[e.start:e.end], "#")
		is = strings.TrimSpace(is)
		r.fail(e.line, name, "the table's header is "+is, "write "+brackets(name))
		text = text[:e.start] + brackets(name) + text[e.end:]
	}
	return text
}

// faults reports and blanks what the scanner has seen.
func (r *repair) faults() {
	for i, e := range r.layout.entries {
		key := documented(e.path)
		switch {
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
	}
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
	// Each round blanks one statement.
	for range len(r.layout.entries) + 1 {
		values, err := decode(string(r.text))
		if err == nil {
			return values, true
		}
		var pe toml.ParseError
		if !errors.As(err, &pe) {
			r.fail(1, "", "cannot be read: "+err.Error(), "compare it with the example files")
			return nil, false
		}
		i := r.at(pe.Position.Line)
		if i < 0 {
			r.fail(min(max(pe.Position.Line, 1), r.lastLine()), "", lowerFirst(pe.Message), "compare it with the example files")
			return nil, false
		}
		e := r.layout.entries[i]
		line := min(max(pe.Position.Line, e.line), e.last)
		message, remedy := explain(pe.Message, string(r.text[e.start:e.end]))
		r.fail(line, documented(e.path), message, remedy)
		r.blank(i, true)
	}
	return nil, false
}

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
		if strings.TrimSpace(string(r.text[e.start:e.end])) != "" {
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
func explain(message, statement string) (text, remedy string) {
	_, value, _ := strings.Cut(statement, "=")
	value, _, _ = strings.Cut(value, "#")
	value = strings.TrimSpace(value)
	bare := value != "" && !strings.ContainsAny(value, "\"'[]{}\n")
	switch {
	case strings.Contains(message, "expected value but found") && bare:
		return value + " is not a value", `write text in quotes: "` + value + `"`
	case strings.Contains(message, "already"):
		return lowerFirst(message), "take one of the two out"
	}
	return lowerFirst(message), "compare it with the example files"
}

func lowerFirst(s string) string {
	if s == "" {
		return "not TOML"
	}
	return strings.TrimSuffix(strings.ToLower(s[:1])+s[1:], ".")
}
