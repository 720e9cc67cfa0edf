package cells

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"web":                   "web",
		"ｻｰﾊﾞ":                  "サーバ",
		"受注API":                 "受注API",
		"a\nb\tc\rd":            "a b c d",
		"\x1b[31mred\x1b[0m":    "red",
		"\x1b]52;c;aGk=\x07x":   "x",
		"a\x07b":                "a?b",
		"a\u202eb\u200bc\ufe0f": "abc",
		"a\u0085b":              "a?b",
		"e\u0301":               "é",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// Nothing that Clean lets through moves a cursor, and it is stable.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"web", "\x1b[2J", "\x9b2J", "ﾊﾞ", "\xff\xfe", "a\x1b", "\x1bP1$r\x1b\\", "👩‍👩‍👧", "\u0e33"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) {
			t.Errorf("%q: not UTF-8: %q", s, got)
		}
		for _, r := range got {
			if r < 0x20 || r >= 0x7f && r < 0xa0 {
				t.Errorf("%q: %U is left in %q", s, r, got)
			}
		}
		if again := Clean(got); again != got {
			t.Errorf("%q: %q becomes %q", s, got, again)
		}
	})
}

// Fit and Right give exactly the width, whatever is in the string.
func FuzzFit(f *testing.F) {
	f.Add("受注API", 5)
	f.Add("\x1b[1mabc\x1b[m", 2)
	f.Fuzz(func(t *testing.T, s string, w int) {
		s, w = Clean(s), min(max(w, 0), 300)
		for name, got := range map[string]string{"Fit": Fit(s, w, "…"), "Right": Right(s, w, ".."), "Ends": Ends(s, "x", w, "…")} {
			if n := Width(got); n != w {
				t.Errorf("%s(%q, %d) = %q is %d wide", name, s, w, got, n)
			}
		}
		for _, l := range Wrap(s, w, 3, "…") {
			if n := Width(l); n > w {
				t.Errorf("Wrap(%q, %d): %q is %d wide", s, w, l, n)
			}
		}
		if got := CutLeft(s, w, "…"); Width(got) > w {
			t.Errorf("CutLeft(%q, %d) = %q is %d wide", s, w, got, Width(got))
		}
	})
}

func TestCutLeft(t *testing.T) {
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{
		{"/etc/baton/start", 16, "/etc/baton/start"},
		{"/etc/baton/start", 8, "…n/start"},
		{"/受注/start", 9, "…注/start"},
		{"/受注/start", 8, "…/start"},
		{"/etc", 0, ""},
	} {
		if got := CutLeft(c.in, c.w, "…"); got != c.want {
			t.Errorf("CutLeft(%q, %d) = %q, want %q", c.in, c.w, got, c.want)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m", 61 * time.Minute: "1h01",
		23*time.Hour + 59*time.Minute: "23h59", 24 * time.Hour: "1d00", 76 * time.Hour: "3d04", 240 * time.Hour: "10d", 1 << 62: "9999d",
	} {
		if got := Age(d); got != want || len(got) > 5 {
			t.Errorf("Age(%v) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{4 * time.Millisecond: "0.004 s", 42 * time.Millisecond: "0.04 s", 1420 * time.Millisecond: "1.4 s", 90 * time.Second: "1m"} {
		if got := Took(d); got != want {
			t.Errorf("Took(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	if got := strings.Join(Wrap("the quick brown fox jumps", 10, 2, "…"), "|"); got != "the quick|brown fox…" {
		t.Errorf("got %q", got)
	}
	if got := strings.Join(Wrap("過半数がないため決定できません", 10, 9, "…"), "|"); got != "過半数がな|いため決定|できません" {
		t.Errorf("got %q", got)
	}
}
