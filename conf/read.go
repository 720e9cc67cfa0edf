package conf

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// reader collects the problems of a file while its tables are read.
type reader struct {
	file     string
	lines    map[string]int
	broken   map[string]bool
	problems Problems
}

// line of a path, or of the nearest thing around it that stands in the file.
func (r *reader) line(path string) int { return lineOf(r.lines, path) }

func (r *reader) fail(path, message, remedy string) {
	r.problems = append(r.problems, Problem{r.file, r.line(path), documented(path), message, remedy})
}

// table is one table of the file while it is read. Its getters report what is wrong
// and then return false, as they do where the key is not there: what depends on the
// value is then left unchecked.
type table struct {
	r      *reader
	path   string // "group[1].monitor"
	name   tableName
	values map[string]any
	there  bool
}

// open checks the keys of a table.
func (r *reader) open(path string, name tableName, values map[string]any, there bool) *table {
	t := &table{r, path, name, values, there}
	known := accepted[name]
	if known == nil {
		panic("conf: no table " + name)
	}
	notYet := laterKeys(name)
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		switch {
		case slices.Contains(known, k):
		case slices.Contains(notYet, k):
			r.fail(join(path, k), "not supported yet", later[under(name, k)])
		default:
			t.unknown(k, append(slices.Clone(known), notYet...))
		}
	}
	return t
}

func (t *table) unknown(key string, known []string) {
	r, path := t.r, join(t.path, key)
	meant := nearest(key, known)
	other := elsewhere(key)
	switch {
	case meant != "" && t.values[meant] == nil && slices.Contains(accepted[t.name], meant):
		r.fail(path, "unknown key", "write "+meant)
		// Misspelt, not missing.
		r.broken[join(t.path, meant)] = true
	case other != "":
		r.fail(path, "unknown key here", "put it under "+brackets(other))
	case meant != "":
		r.fail(path, "unknown key", "did you mean "+meant+"?")
	default:
		r.fail(path, "unknown key", "take it out; known here: "+strings.Join(accepted[t.name], ", "))
	}
}

// get returns the value of a key, false where it is not there.
func (t *table) get(key string) (any, bool) {
	if !slices.Contains(accepted[t.name], key) {
		panic("conf: no key " + under(t.name, key))
	}
	v, ok := t.values[key]
	return v, ok
}

// has says whether the key is in the file, right or wrong.
func (t *table) has(key string) bool {
	_, ok := t.get(key)
	return ok || t.r.broken[join(t.path, key)]
}

func (t *table) key(key string) string { return join(t.path, key) }

func (t *table) fail(key, message, remedy string) { t.r.fail(t.key(key), message, remedy) }

// missing reports a key that must be there.
func (t *table) missing(key, example string) {
	if t.has(key) || t.r.broken[t.path] {
		return
	}
	where := brackets(t.name)
	if !t.there {
		t.fail(key, "missing, as is "+where, "write "+where+" and below it "+key+" = "+example)
		return
	}
	t.fail(key, "missing", "write "+key+" = "+example+" below "+where)
}

// wrong reports a value of the wrong type.
func (r *reader) wrong(path string, v any, want, remedy string) {
	r.fail(path, fmt.Sprintf("%s is %s, not %s", show(v), typeName(v), want), remedy)
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case int64:
		return "an integer"
	case float64:
		return "a number with a point"
	case bool:
		return "a truth value"
	case time.Time:
		return "a date or time"
	case []any, []map[string]any:
		return "an array"
	}
	return "a table"
}

func show(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case []any, []map[string]any:
		return "[...]"
	case map[string]any:
		return "{...}"
	case time.Time:
		return v.Format(time.DateOnly)
	default:
		return fmt.Sprint(v)
	}
}

func (t *table) text(key string) (string, bool) {
	v, ok := t.get(key)
	if !ok {
		return "", false
	}
	return t.r.text(t.key(key), v, "write "+key+` = "..."`)
}

func (r *reader) text(path string, v any, remedy string) (string, bool) {
	s, ok := v.(string)
	if !ok {
		switch v.(type) {
		case int64, float64, bool:
			remedy = fmt.Sprintf(`write it in quotes: "%v"`, v)
		}
		r.wrong(path, v, "text", remedy)
	}
	return s, ok
}

// choice returns one of the values, the first unless the file says another.
func (t *table) choice(key string, values ...string) string {
	v, ok := t.get(key)
	if !ok {
		return values[0]
	}
	s, ok := v.(string)
	switch {
	case !ok:
		t.r.wrong(t.key(key), v, "text", "write "+orList(values))
	case slices.Contains(values, s):
		return s
	case slices.Contains(laterChoices[under(t.name, key)], s):
		t.fail(key, quote(s)+" is not supported yet", "write "+orList(values))
	default:
		t.fail(key, quote(s)+" is not one of the choices", "write "+orList(values))
	}
	return values[0]
}

// orList is `"a", "b" or "c"`.
func orList(values []string) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i > 0 && i == len(values)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(quote(v))
	}
	return b.String()
}

func (t *table) boolean(key string, otherwise bool) bool {
	v, ok := t.get(key)
	if !ok {
		return otherwise
	}
	b, ok := v.(bool)
	if !ok {
		t.r.wrong(t.key(key), v, "true or false", "write "+key+" = true or "+key+" = false, without quotes")
		return otherwise
	}
	return b
}

// limits of a number, both included.
type limits struct{ least, most int }

func (t *table) integer(key string, otherwise int, l limits) int {
	v, ok := t.get(key)
	if !ok {
		return otherwise
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		t.r.wrong(t.key(key), v, "an integer", fmt.Sprintf("write %s = %d, without quotes", key, otherwise))
		return otherwise
	case n < int64(l.least):
		t.fail(key, fmt.Sprintf("%d is below %d", n, l.least), fmt.Sprintf("write %d to %d", l.least, l.most))
		return otherwise
	case n > int64(l.most):
		t.fail(key, fmt.Sprintf("%d is above %d", n, l.most), fmt.Sprintf("write %d to %d", l.least, l.most))
		return otherwise
	}
	return int(n)
}

// span is the limits of a duration, both included.
type span struct{ least, most time.Duration }

// duration returns false where the file has a value that is wrong.
func (t *table) duration(key string, otherwise time.Duration, l span) (Duration, bool) {
	v, ok := t.get(key)
	if !ok {
		return Of(otherwise), !t.has(key)
	}
	s, ok := v.(string)
	if !ok {
		switch v.(type) {
		case int64, float64:
			t.fail(key, show(v)+" has no unit", withUnit(show(v)))
		default:
			t.r.wrong(t.key(key), v, "a duration", `write `+key+` = "`+Of(otherwise).String()+`"`)
		}
		return Of(otherwise), false
	}
	d, message, remedy := parseDuration(s)
	allowed := fmt.Sprintf(`write "%v" to "%v"`, Of(l.least), Of(l.most))
	switch {
	case message != "":
	case d < l.least:
		message, remedy = fmt.Sprintf("%v is below %v", Of(d), Of(l.least)), allowed
	case d > l.most:
		message, remedy = fmt.Sprintf("%v is above %v", Of(d), Of(l.most)), allowed
	default:
		return Of(d), true
	}
	t.fail(key, message, remedy)
	return Of(otherwise), false
}

// absolutePath returns the path that the file gives, or otherwise.
func (t *table) absolutePath(key, otherwise string) string {
	s, ok := t.text(key)
	switch {
	case !ok:
		return otherwise
	case s == "":
		t.fail(key, "is empty", "write a path, or take the line out")
	case strings.ContainsFunc(s, isControl):
		t.fail(key, quote(s)+" has a control character", "write a path without")
	case !strings.HasPrefix(s, "/"):
		example := otherwise
		if example == "" {
			example = "/etc/baton/scripts/A/start"
			switch key {
			case "device":
				example = "/dev/disk/by-id/scsi-0001-part1"
			case "watchdog":
				example = "/dev/watchdog"
			}
		}
		t.fail(key, quote(s)+" is a relative path", "write it from the root on, such as "+quote(example))
	case !absolute(s):
		t.fail(key, quote(s)+` has a "..", "//" or a "/" at its end`, "write it straight")
	default:
		return s
	}
	return otherwise
}

// item is one element of an array, with the path under which its line is known.
type item struct {
	path, text string
}

// texts returns an array of texts, less the elements that are none.
func (t *table) texts(key, example string) (items []item, ok bool) {
	v, ok := t.get(key)
	if !ok {
		return nil, false
	}
	list, ok := v.([]any)
	if !ok {
		remedy := "write " + key + " = " + example
		if s, isText := v.(string); isText {
			remedy = fmt.Sprintf("write %s = [%s]", key, quote(s))
		}
		t.r.wrong(t.key(key), v, "an array", remedy)
		return nil, false
	}
	for i, v := range list {
		p := at(t.key(key), i)
		s, isText := t.r.text(p, v, "write "+key+" = "+example)
		if !isText {
			ok = false
			continue
		}
		items = append(items, item{p, s})
	}
	return items, ok
}

// table opens a table below this one, empty where the file has none.
func (t *table) table(key string) *table {
	path, name := t.key(key), under(t.name, key)
	v, ok := t.get(key)
	m, isTable := v.(map[string]any)
	if ok && !isTable {
		t.r.wrong(path, v, "a table", "write "+brackets(name))
		t.r.broken[path] = true
	}
	return t.r.open(path, name, m, ok)
}

// tables opens each table of an array of tables.
func (t *table) tables(key string) (all []*table) {
	path, name := t.key(key), under(t.name, key)
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	switch v := v.(type) {
	case []map[string]any:
		for i, m := range v {
			all = append(all, t.r.open(at(path, i), name, m, true))
		}
		return all
	case []any:
		for i, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				t.r.wrong(at(path, i), e, "a table", "write "+brackets(name))
				t.r.broken[path] = true
				continue
			}
			all = append(all, t.r.open(at(path, i), name, m, true))
		}
		return all
	}
	t.r.wrong(path, v, "an array of tables", "write "+brackets(name))
	t.r.broken[path] = true
	return nil
}
