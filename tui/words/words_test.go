package words

import (
	"regexp"
	"slices"
	"testing"
)

var verb = regexp.MustCompile(`%(\[(\d+)\])?[a-z]`)

// Every phrase exists in both languages, and both use the same arguments with the
// same verbs: numbered in order where no number is given.
func TestBothLanguages(t *testing.T) {
	for k := Key(0); k < last; k++ {
		en, ja := table[k][English], table[k][Japanese]
		if en == "" || ja == "" {
			t.Errorf("key %d: English %q, Japanese %q: one is missing", k, en, ja)
		}
		if got, want := verbs(ja), verbs(en); !slices.Equal(got, want) {
			t.Errorf("key %d: Japanese %q uses %v, English %q uses %v", k, ja, got, en, want)
		}
	}
}

// verbs lists the arguments as "1s", "2d", in order of their numbers.
func verbs(s string) []string {
	var out []string
	next := 1
	for _, m := range verb.FindAllStringSubmatch(s, -1) {
		n := m[2]
		if n == "" {
			n = string(rune('0' + next))
		}
		next = int(n[0]-'0') + 1
		out = append(out, n+m[0][len(m[0])-1:])
	}
	slices.Sort(out)
	return out
}

func TestFromEnv(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want Locale
	}{
		{map[string]string{}, Locale{English, false}},
		{map[string]string{"LANG": "C.UTF-8"}, Locale{English, true}},
		{map[string]string{"LANG": "ja_JP.UTF-8"}, Locale{Japanese, true}},
		{map[string]string{"LANG": "ja_JP.utf8"}, Locale{Japanese, true}},
		{map[string]string{"LANG": "ja_JP.eucJP"}, Locale{English, false}},
		{map[string]string{"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, Locale{English, false}},
		{map[string]string{"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, Locale{English, true}},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_MESSAGES": "ja_JP.UTF-8"}, Locale{Japanese, true}},
		{map[string]string{"LC_CTYPE": "en_US.UTF-8", "LANG": "ja_JP"}, Locale{Japanese, true}},
		{map[string]string{"LANG": "ja_JP.UTF-8", "TERM": "linux"}, Locale{English, true}},
		{map[string]string{"LANG": "jam_JM.UTF-8"}, Locale{English, true}},
	} {
		if got := FromEnv(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.env, got, c.want)
		}
	}
}
