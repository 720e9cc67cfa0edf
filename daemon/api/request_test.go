package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzDecodeOperation: whatever comes in, it is refused as a bad request or is an
// operation that is safe to put into the log and onto a terminal.
func FuzzDecodeOperation(f *testing.F) {
	for _, s := range []string{
		`{"verb":"move","group":"A","server":"server2","revision":12,"from":"pts/0"}`,
		`{"verb":"shutdown-cluster","dry":true}`,
		`{"verb":"stop","group":"受注API"}`,
		`{"verb":"stop","group":"\u0000"}`,
		`{"verb":"stop","group":"A"}{}`, `null`, `[]`, ``, `{"revision":-1}`, `{"verb":"stop","group":"A","from":"\ud800\u202e"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := decodeOperation(bytes.NewReader(b))
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || statusOf(e.Code) != 400 || e.Message == "" {
				t.Fatalf("error %#v is no bad request", err)
			}
			return
		}
		if _, ok := verbs[op.Verb]; !ok {
			t.Errorf("verb %q", op.Verb)
		}
		for _, s := range []string{op.Group, op.Server, cleanFrom(op.From)} {
			if len(s) > maxName || strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
				t.Errorf("%q got in", s)
			}
		}
		again, err := json.Marshal(op)
		if err != nil {
			t.Fatal(err)
		}
		if op2, err := decodeOperation(bytes.NewReader(again)); err != nil || op2 != op {
			t.Errorf("%+v becomes %+v, %v", op, op2, err)
		}
	})
}

func TestCleanFrom(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		" pts/1 \n":                "pts/1",
		"10.0.0.9\x1b]0;owned\x07": "10.0.0.9]0;owned",
		"a\u202eb\u2028c\u200bd":   "abcd",
		"a\xffb":                   "ab",
		strings.Repeat("あ", 100):   strings.Repeat("あ", maxFrom/3),
		strings.Repeat("x", 1000):  strings.Repeat("x", maxFrom),
	} {
		if got := cleanFrom(in); got != want {
			t.Errorf("cleanFrom(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNextMessage(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"data: a\n\n", "a"},
		{": quiet\n\nid: 4\ndata: a\n\n", "a"},
		{"data:a\r\n\r\n", "a"},
		{"data: {\ndata: }\n\n", "{}"},
		{"data: unfinished\n", ""},
		{"data: unfinished", ""},
		{"", ""},
	} {
		got, err := nextMessage(bufioReader(tc.in), 100)
		if string(got) != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%q = %q, %v; want %q", tc.in, got, err, tc.want)
		}
	}
	for _, end := range []string{"", "\n\n", strings.Repeat("x", 1000)} {
		long := "data: " + strings.Repeat("x", 95) + end
		if _, err := nextMessage(bufioReader(long), 100); !errors.Is(err, io.ErrShortBuffer) && end != "" {
			t.Errorf("%q: %v, want it refused as too long", long, err)
		}
	}
}

// bufioReader has a buffer smaller than a line, as real lines are larger than theirs.
func bufioReader(s string) *bufio.Reader { return bufio.NewReaderSize(strings.NewReader(s), 16) }
