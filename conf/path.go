package conf

import (
	"regexp"
	"strconv"
	"strings"
)

// A path names one place of a file: the keys, with the place in each array, e.g.
// "group[1].floating_ip[0].address" or "server[0].interconnect[1]". Keys that are not
// bare are quoted.

// join is the path of a key in a table.
func join(table, key string) string {
	bare := key != ""
	for _, r := range key {
		if !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			bare = false
		}
	}
	if !bare {
		key = strconv.Quote(key)
	}
	if table == "" {
		return key
	}
	return table + "." + key
}

// at is the path of the i-th element of an array.
func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// lineOf is the line of a path, or of the nearest thing around it that stands in the
// file.
func lineOf(lines map[string]int, path string) int {
	for path != "" {
		if n, ok := lines[path]; ok {
			return n
		}
		cut := max(strings.LastIndexByte(path, '.'), strings.LastIndexByte(path, '['))
		path = path[:max(cut, 0)]
	}
	return 1
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// documented is the key as README.md names it: the path without the places in
// arrays.
func documented(path string) string { return index.ReplaceAllString(path, "") }
