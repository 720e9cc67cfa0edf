package conf

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// layout says where everything in a TOML source stands. The scanner that makes it
// is lax: it finds its way through a source that is wrong, so that one fault does
// not hide the others. Whether the source is right is the parser's business.
type layout struct {
	// steep: something is nested so deep, or a key has so many parts, that the parser
	// must not see it (it recurses).
	steep bool
	// lines maps each path to the line where it is first mentioned (from 1). A path
	// is the key with the place in each array: "group[1].floating_ip[0].address",
	// "server[0].interconnect[1]". Keys that are not bare are quoted.
	lines   map[string]int
	entries []entry
}

// entryKind is what an entry is.
type entryKind int

const (
	junk   entryKind = iota // neither of the others
	header                  // [table] or [[table]]
	keyval                  // key = value
)

// entry is one statement of the source.
type entry struct {
	kind  entryKind
	path  string // "" where it has none
	table string // path of the table in which it stands
	array bool   // header: [[table]]
	// line is where it begins, last where it ends.
	line, last int
	// start and end are the bytes it takes, the newline behind it excluded.
	start, end int
	// fault is what the scanner saw to be wrong with it; "": nothing.
	fault string
	// earlier is the line that already defined the same; 0: none did.
	earlier int
}

// maxDepth bounds arrays in arrays and the parts of a dotted key; the configuration
// needs three. Without a bound a small file could cost the stack, or hours.
const maxDepth = 16

// looksLikeEntry matches the rest of a line that begins a statement, seen where an
// array has not been closed.
var (
	looksLikeHeader = regexp.MustCompile(`^[ \t]*\[\[?[ \t]*[A-Za-z_][A-Za-z0-9_.-]*[ \t]*\]`)
	looksLikeKeyval = regexp.MustCompile(`^[ \t]*[A-Za-z_][A-Za-z0-9_.-]*[ \t]*=`)
)

type scanner struct {
	src   string
	pos   int
	line  int
	table string         // path of the current table
	count map[string]int // elements of an array of tables, by its path
	depth int
	fault string // of the entry being read
	lay   layout
}

// scan reads a source. It must have no byte order mark.
func scan(src string) layout {
	s := &scanner{src: src, line: 1, count: map[string]int{}}
	s.lay.lines = map[string]int{}
	seen := map[string]int{}
	for {
		s.blank()
		if s.pos >= len(s.src) {
			return s.lay
		}
		e := s.entry()
		if e.path != "" {
			if first, ok := seen[e.path]; ok {
				e.earlier = first
			} else {
				seen[e.path] = e.line
			}
		}
		s.lay.entries = append(s.lay.entries, e)
	}
}

// entry reads one statement, to the end of its last line.
func (s *scanner) entry() entry {
	e := entry{line: s.line, start: s.pos, table: s.table}
	s.fault, s.depth = "", 0
	if s.peek() == '[' {
		s.header(&e)
	} else if keys := s.key(); len(keys) > 0 {
		e.kind = keyval
		e.path = s.mention(s.table, keys)
		s.space()
		if s.peek() == '=' {
			s.pos++
			s.space()
			s.value(e.path)
		} else if s.fault == "" {
			s.fault = "no = after the key"
		}
	}
	for s.pos < len(s.src) && s.src[s.pos] != '\n' {
		s.pos++ // a comment, or what does not belong here
	}
	e.end, e.fault = s.pos, s.fault
	s.line = e.line + strings.Count(s.src[e.start:e.end], "\n")
	e.last = s.line
	return e
}

func (s *scanner) header(e *entry) {
	s.pos++
	if s.peek() == '[' {
		e.array = true
		s.pos++
	}
	keys := s.key()
	if len(keys) == 0 {
		return
	}
	e.kind = header
	s.space()
	rest, _, _ := strings.Cut(s.src[s.pos:s.endOfLine()], "#")
	closing := "]"
	if e.array {
		closing = "]]"
	}
	if s.fault == "" && strings.TrimRight(rest, " \t\r") != closing {
		s.fault = "the brackets do not match"
	}
	path := ""
	for i, k := range keys {
		path = join(path, k)
		s.mark(path)
		if i == len(keys)-1 && e.array {
			s.count[path]++
		}
		if n := s.count[path]; n > 0 && (e.array || i < len(keys)-1) {
			path = at(path, n-1)
			s.mark(path)
		}
	}
	s.table, e.path = path, path
}

// mention notes the line of a dotted key under the table and returns its path.
func (s *scanner) mention(table string, keys []string) string {
	for _, k := range keys {
		table = join(table, k)
		s.mark(table)
	}
	return table
}

func (s *scanner) mark(path string) {
	if _, ok := s.lay.lines[path]; !ok {
		s.lay.lines[path] = s.line
	}
}

// value reads a value; path is its own.
func (s *scanner) value(path string) {
	switch {
	case s.has(`"""`), s.has(`'''`):
		s.multiline(s.src[s.pos : s.pos+3])
	case s.peek() == '"', s.peek() == '\'':
		s.quoted()
	case s.peek() == '[', s.peek() == '{':
		if s.depth++; s.depth > maxDepth {
			s.steep("nested more than " + strconv.Itoa(maxDepth) + " deep")
			return
		}
		if s.peek() == '[' {
			s.array(path)
		} else {
			s.inline(path)
		}
		s.depth--
	default:
		for s.pos < len(s.src) && !strings.ContainsRune(",]}#\n", rune(s.src[s.pos])) {
			s.pos++
		}
	}
}

// array reads "[ value, value ]", over any number of lines.
func (s *scanner) array(path string) {
	s.pos++
	for i := 0; ; {
		if !s.within("the array that begins here has no closing ]", looksLikeHeader, looksLikeKeyval) {
			return
		}
		switch s.peek() {
		case ']':
			s.pos++
			return
		case ',':
			s.pos++
			i++
		case '}':
			s.pos++ // does not belong here
		default:
			s.mark(at(path, i))
			s.value(at(path, i))
		}
	}
}

// inline reads "{ key = value, key = value }", over any number of lines.
func (s *scanner) inline(path string) {
	s.pos++
	for {
		if !s.within("the table that begins here has no closing }", looksLikeHeader) {
			return
		}
		switch c := s.peek(); {
		case c == '}':
			s.pos++
			return
		default:
			keys := s.key()
			if len(keys) == 0 {
				s.pos++ // a comma, or what does not belong here
				continue
			}
			p := s.mention(path, keys)
			s.space()
			if s.peek() == '=' {
				s.pos++
				s.space()
				s.value(p)
			}
		}
	}
}

// within goes to the next thing in an array or inline table. It returns false, with
// the fault noted, where the source ends or goes on with a statement: the line
// before that is then taken as the end.
func (s *scanner) within(fault string, stops ...*regexp.Regexp) bool {
	for s.fault == "" && s.pos < len(s.src) {
		s.space()
		if s.pos >= len(s.src) {
			break
		}
		switch s.src[s.pos] {
		case '#':
			s.pos = s.endOfLine()
		case '\n':
			rest := s.src[s.pos+1:]
			if i := strings.IndexByte(rest, '\n'); i >= 0 {
				rest = rest[:i]
			}
			if slices.ContainsFunc(stops, func(re *regexp.Regexp) bool { return re.MatchString(rest) }) {
				s.fault = fault
				return false
			}
			s.pos++
			s.line++
		default:
			return true
		}
	}
	if s.fault == "" {
		s.fault = fault
	}
	return false
}

// quoted reads "..." or '...' on one line.
func (s *scanner) quoted() {
	q := s.src[s.pos]
	for s.pos++; s.pos < len(s.src) && s.src[s.pos] != '\n'; s.pos++ {
		switch {
		case s.src[s.pos] == q:
			s.pos++
			return
		case s.src[s.pos] == '\\' && q == '"' && s.pos+1 < len(s.src) && s.src[s.pos+1] != '\n':
			s.pos++
		}
	}
	s.fault = "the text has no closing " + string(q)
}

// multiline reads """...""" or ”'...”'.
func (s *scanner) multiline(q string) {
	for s.pos += 3; s.pos < len(s.src); s.pos++ {
		switch {
		case s.has(q):
			s.pos += 3
			for range 2 { // up to two quotes may end the text itself
				if s.peek() == q[0] {
					s.pos++
				}
			}
			return
		case s.src[s.pos] == '\\' && q[0] == '"' && s.pos+1 < len(s.src) && s.src[s.pos+1] != '\n':
			s.pos++
		case s.src[s.pos] == '\n':
			s.line++
		}
	}
	s.fault = "the text that begins here has no closing " + q
}

// key reads a dotted key; it returns nothing where there is none.
func (s *scanner) key() (keys []string) {
	for {
		s.space()
		start := s.pos
		if c := s.peek(); c == '"' || c == '\'' {
			s.quoted()
			keys = append(keys, unquote(s.src[start:s.pos]))
		} else {
			for s.pos < len(s.src) && !strings.ContainsRune(" \t\r\n=.,#[]{}\"'", rune(s.src[s.pos])) {
				s.pos++
			}
			if s.pos == start {
				return keys
			}
			keys = append(keys, s.src[start:s.pos])
		}
		s.space()
		if s.peek() != '.' {
			return keys
		}
		if len(keys) == maxDepth {
			s.steep("a key of more than " + strconv.Itoa(maxDepth) + " parts")
			return keys
		}
		s.pos++
	}
}

func unquote(s string) string {
	if len(s) < 2 {
		return s
	}
	if s[0] == '"' {
		if u, err := strconv.Unquote(s); err == nil {
			return u
		}
	}
	return s[1 : len(s)-1]
}

// blank skips empty lines and comments.
func (s *scanner) blank() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case '\n':
			s.line++
			s.pos++
		case ' ', '\t', '\r':
			s.pos++
		case '#':
			s.pos = s.endOfLine()
		default:
			return
		}
	}
}

func (s *scanner) space() {
	for s.pos < len(s.src) && strings.IndexByte(" \t\r", s.src[s.pos]) >= 0 {
		s.pos++
	}
}

// steep gives up on the rest of the source.
func (s *scanner) steep(fault string) {
	s.fault, s.lay.steep, s.pos = fault, true, len(s.src)
}

func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.src[s.pos:], prefix) }

func (s *scanner) endOfLine() int {
	if i := strings.IndexByte(s.src[s.pos:], '\n'); i >= 0 {
		return s.pos + i
	}
	return len(s.src)
}
