package conf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// Goal: the scanner finds the line of every key, however it is written. Method: each
// key and element in the source is followed, somewhere in its line, by the mark of
// what is expected: "#@ path path ...".
func TestScanLines(t *testing.T) {
	for _, tt := range []struct{ name, src string }{
		{"comments", `
# [not] = a table
#@
[cluster] # comment with "quote #@ cluster
name = "a # b" #@ cluster.name
  # indented ' comment
	port	=	1#@ cluster.port
`},
		{"quoted keys", `
"a.b" . 'c d'.e = 1 #@ "a.b" "a.b"."c_d" "a.b"."c_d".e
["x \" # y" . z] #@ "x_\"_#_y" "x_\"_#_y".z
"" = 1 #@ "x_\"_#_y".z.""
"日本" = 1 #@ "x_\"_#_y".z."日本"
`},
		{"dotted keys", `
a.b.c = 1 #@ a a.b a.b.c
a.b.d = 2 #@ a.b.d
[t] #@ t
x.y = 1 #@ t.x t.x.y
`},
		{"strings", `
a = """ #@ a
b = 1
[c] \""" # ]
""" #
d = ''' #@ d
\'''
e = """"quoted"""" #@ e
f = '\' #@ f
g = "\\" #@ g
h = "\"" #@ h
`},
		{"arrays", `
a = [ #@ a
  1, #@ a[0]
  # 2, ]
  "]", '[' #@ a[1] a[2]
  , [ #@ a[3]
     3, """ #@ a[3][0] a[3][1]
]"""
  ], #
]
b = [] #@ b
`},
		{"inline tables", `
a = {b = 1, c.d = "}", e = {f = [1, {g = 2}]}} #@ a a.b a.c a.c.d a.e a.e.f a.e.f[0] a.e.f[1] a.e.f[1].g
h = { #@ h
  i = 1, # } #@ h.i
  "j k" = 2, #@ h."j_k"
}
l = 1 #@ l
`},
		{"arrays of tables", `
[[s]] #@ s s[0]
n = 1 #@ s[0].n
[s.m] #@ s[0].m
x = 1 #@ s[0].m.x
[[s.f]] #@ s[0].f s[0].f[0]
[[s.f]] #@ s[0].f[1]
y = 1 #@ s[0].f[1].y
[[ s ]] #@ s[1]
[[s.f]] #@ s[1].f s[1].f[0]
[other] #@ other
[s.m] #@ s[1].m
`},
		{"dates and numbers", `
a = 1979-05-27 07:32:00 # 1 #@ a
b = [ 1e3 , 0x_f, inf ] #@ b b[0] b[1] b[2]
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]int{}
			for i, line := range strings.Split(tt.src, "\n") {
				if _, marks, ok := strings.Cut(line, "#@"); ok {
					for _, path := range strings.Fields(marks) {
						want[strings.ReplaceAll(path, "_", " ")] = i + 1
					}
				}
			}
			got := scan(tt.src)
			if diff := cmp.Diff(want, got.lines); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			for _, e := range got.entries {
				if e.fault != "" || e.kind == junk {
					t.Errorf("line %d: fault %q in %q", e.line, e.fault, tt.src[e.start:e.end])
				}
			}
		})
	}
}

// Goal: the scanner sees where a statement has no end, takes that line as its end,
// and goes on with the next statement.
func TestScanFaults(t *testing.T) {
	for _, tt := range []struct{ src, fault, next string }{
		{"a = \"x\nb = 1", "the text has no closing \"", "b"},
		{"a = 'x\nb = 1", "the text has no closing '", "b"},
		{"a = [1,\n2\nb = 1", "the array that begins here has no closing ]", "b"},
		{"a = [1,\n[b]", "the array that begins here has no closing ]", "b"},
		{"a = {x = 1\n[b]", "the table that begins here has no closing }", "b"},
		{"a\nb = 1", "no = after the key", "b"},
		{"[a\n[b]", "the brackets do not match", "b"},
		{"[[a]\n[b]", "the brackets do not match", "b"},
		{"[a]]\n[b]", "the brackets do not match", "b"},
		{"[a] x\n[b]", "the brackets do not match", "b"},
		{"a = [1,", "the array that begins here has no closing ]", ""},
		{"a = {", "the table that begins here has no closing }", ""},
		{"a = \"\"\"x\nb = 1", `the text that begins here has no closing """`, ""},
		{"a = " + strings.Repeat("[", 17), "nested more than 16 deep", ""},
		{strings.Repeat("a.", 17) + "a = 1", "a key of more than 16 parts", ""},
	} {
		got := scan(tt.src).entries
		if got[0].fault != tt.fault {
			t.Errorf("%q: fault %q, want %q", tt.src, got[0].fault, tt.fault)
		}
		next := ""
		if len(got) > 1 {
			next = got[1].path
		}
		if next != tt.next {
			t.Errorf("%q: goes on with %q, want %q", tt.src, next, tt.next)
		}
	}
}

// paths are all paths of a parsed source.
func paths(prefix string, v any, add func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			add(join(prefix, k))
			paths(join(prefix, k), v[k], add)
		}
	case []map[string]any:
		for i, e := range v {
			add(at(prefix, i))
			paths(at(prefix, i), e, add)
		}
	case []any:
		for i, e := range v {
			add(at(prefix, i))
			paths(at(prefix, i), e, add)
		}
	}
}

// unfound returns the paths that the parser sees and the scanner does not.
func unfound(src string) (missing []string, err error) {
	var values map[string]any
	if _, err := toml.Decode(src, &values); err != nil {
		return nil, err
	}
	lines := scan(src).lines
	last := 1 + strings.Count(src, "\n")
	paths("", values, func(p string) {
		if n, ok := lines[p]; !ok || n < 1 || n > last {
			missing = append(missing, fmt.Sprintf("%s (line %d of %d)", p, n, last))
		}
	})
	return missing, nil
}
