package conf

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Goal: no file within MaxFileSize keeps a command busy for long. Method: sources of
// an eighth of that, each the worst for some part of the reading. The bound is generous,
// for slow machines under the race detector: whatever takes a time that grows with the
// square of the size takes minutes.
func TestParseLarge(t *testing.T) {
	const size, bound = MaxFileSize / 8, 20 * time.Second
	fill := func(line func(i int) string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			b.WriteString(line(i))
		}
		return b.String()
	}
	same := func(s string) func(int) string { return func(int) string { return s } }
	for _, tt := range []struct{ name, src string }{
		{"headers", fill(same("[server]\n"))},
		{"half headers", fill(same("[[server]\n"))},
		{"servers", fill(func(i int) string { return fmt.Sprintf("[[server]]\nname=\"s%d\"\npublic=\"10.0.0.1\"\n", i) })},
		{"groups", fill(func(i int) string { return fmt.Sprintf("[[group]]\nname=\"g%d\"\npolicy=[\"s%d\"]\n", i, i) })},
		{"servers and groups", fill(func(i int) string {
			return fmt.Sprintf("[[server]]\nname=\"s%d\"\n[[group]]\npolicy=[\"t%d\"]\n", i, i)
		})},
		{"policy", "[[group]]\npolicy = [" + fill(func(i int) string { return fmt.Sprintf("\"%x\",", i) }) + "]"},
		{"garbage", fill(same("?\n"))},
		{"bad values", fill(func(i int) string { return fmt.Sprintf("a%d = x\n", i) })},
		{"unknown keys", fill(func(i int) string { return fmt.Sprintf("nam%d = 1\n", i) })},
		{"duplicates", fill(same("a = 1\n"))},
		{"open arrays", fill(same("a = [\n"))},
		{"deep", fill(same("["))},
		{"deep value", "a = " + fill(same("["))},
		{"deep tables", "a = " + fill(same("{a="))},
		{"long key", fill(same("a."))},
		{"long header", "[" + fill(same("a."))},
		{"many long keys", fill(func(i int) string { return fmt.Sprintf("%s%d = 1\n", strings.Repeat("a.", 14), i) })},
		{"one name", "[cluster]\nname = \"" + fill(same("x")) + "\""},
		{"one key", fill(same("x")) + " = 1"},
		{"newlines", fill(same("\n"))},
		{"quotes", fill(same(`"`))},
	} {
		begin := time.Now()
		_, err := Parse("x.toml", []byte(tt.src))
		took := time.Since(begin)
		ps, ok := err.(Problems)
		if !ok || len(ps) == 0 {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		t.Logf("%-20s %8v %6d problems, first: %.90s", tt.name, took.Round(time.Millisecond), len(ps), ps[0].Error())
		if took > bound {
			t.Errorf("%s: took %v, more than %v", tt.name, took, bound)
		}
	}
}
