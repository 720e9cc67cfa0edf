package console

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/exp/golden"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // times of day in the golden frames
	os.Exit(m.Run())
}

// faults are the keys of a program that embeds the console.
func faults() Options {
	servers := func() []Choice { return []Choice{{"node1", ""}, {"node2", ""}, {"node3", "node3 (down)"}} }
	run := func(context.Context, string) error { return nil }
	return Options{
		Hint: func() string { return "client: 10.0.3.100 answers from node1, longest gap 0.93 s" },
		Extra: []ExtraAction{
			{Key: "c", Label: "cut power", Help: "Cut a server's power: links down, then every process killed at once.", Choices: servers, Run: run},
			{Key: "x", Label: "pull cable", Help: "Pull a cable out of a server.", Choices: servers, Run: run},
			{Key: "b", Label: "boot", Help: "Boot a server that is down.", Choices: func() []Choice { return nil }, Run: run},
		},
	}
}

var scenes = []struct {
	name string
	st   func() *api.Status
}{
	{"healthy", func() *api.Status { return cast(3) }},
	{"one-down", func() *api.Status { return oneDown(3) }},
	{"mixed", func() *api.Status { return mixed(3) }},
	{"no-quorum", func() *api.Status { return noQuorum(3) }},
	{"forming", func() *api.Status { return forming(3) }},
	{"two", func() *api.Status { return mixed(2) }},
	{"five", func() *api.Status { return oneDown(5) }},
	{"detached", func() *api.Status { return detached(3) }},
}

// Every scene at every size, and at 80x24 in Japanese and in ASCII: a change of the
// layout is seen as a diff of what people see. `go test ./tui/console -update` accepts.
func TestFrames(t *testing.T) {
	for _, s := range scenes {
		for _, size := range [][2]int{{60, 16}, {80, 24}, {120, 40}} {
			check(t, fmt.Sprintf("%s-%dx%d", s.name, size[0], size[1]), view{w: size[0], h: size[1], st: s.st()})
		}
		check(t, s.name+"-ja", view{w: 80, h: 24, st: s.st(), text: words.Japanese})
		check(t, s.name+"-ascii", view{w: 80, h: 24, st: s.st(), ascii: true})
	}
	check(t, "too-small", view{w: 59, h: 15, st: cast(3)})
	check(t, "too-small-ja", view{w: 40, h: 10, st: cast(3), text: words.Japanese})
	check(t, "connecting", view{w: 80, h: 24})
	check(t, "stale", view{w: 80, h: 24, st: cast(3), age: 3 * time.Second})
	check(t, "lost", view{w: 80, h: 24, st: cast(3), age: 42 * time.Second})
	check(t, "many-servers", view{w: 80, h: 24, st: oneDown(16)})
}

// What keys bring up.
func TestScreens(t *testing.T) {
	for _, c := range []struct {
		name string
		v    view
		keys []string
	}{
		{"move", view{w: 80, h: 24, st: mixed(3)}, []string{"m"}}, // not possible: says why
		{"move-healthy", view{w: 80, h: 24, st: cast(3)}, []string{"m"}},
		{"move-to-down", view{w: 80, h: 24, st: oneDown(3)}, []string{"m", "right"}},
		{"move-ascii", view{w: 60, h: 16, st: cast(3), ascii: true}, []string{"m"}},
		{"move-ja", view{w: 80, h: 24, st: cast(3), text: words.Japanese}, []string{"m"}},
		{"move-ja-small", view{w: 60, h: 16, st: cast(3), text: words.Japanese}, []string{"m"}},
		{"start", view{w: 80, h: 24, st: mixed(3)}, []string{"G", "s"}},
		{"stop", view{w: 80, h: 24, st: cast(3)}, []string{"S", "w", "e"}},
		{"stop-ja", view{w: 80, h: 24, st: cast(3), text: words.Japanese}, []string{"l", "S", "受"}},
		{"failover", view{w: 80, h: 24, st: cast(3)}, []string{"f"}},
		{"menu", view{w: 80, h: 24, st: mixed(3)}, []string{"a", "j"}},
		{"lost-move", view{w: 80, h: 24, st: cast(3), age: 42 * time.Second}, []string{"m"}},
		{"help", view{w: 80, h: 24, st: cast(3)}, []string{"?"}},
		{"help-ja", view{w: 80, h: 24, st: cast(3), text: words.Japanese}, []string{"?"}},
		{"help-small", view{w: 60, h: 16, st: cast(3)}, []string{"?"}},
		{"groups", view{w: 80, h: 24, st: mixed(3)}, []string{"2"}},
		{"group", view{w: 80, h: 24, st: oneDown(3)}, []string{"j", "enter"}},
		{"group-wide", view{w: 120, h: 40, st: mixed(3)}, []string{"enter"}},
		{"servers", view{w: 80, h: 24, st: oneDown(3)}, []string{"3", "G"}},
		{"events", view{w: 80, h: 24, st: oneDown(3)}, []string{"4", "j"}},
		{"events-errors", view{w: 80, h: 24, st: oneDown(3)}, []string{"e", "e", "p"}},
		{"events-focus", view{w: 80, h: 24, st: oneDown(3)}, []string{"tab", "tab", "j", "j"}},
		{"filter", view{w: 80, h: 24, st: cast(3)}, []string{"/", "w", "e", "b"}},
		{"filtered-five", view{w: 80, h: 24, st: oneDown(5)}, []string{"/", "x", "enter"}},
		{"demo", view{w: 80, h: 24, st: oneDown(3), opt: faults()}, nil},
		{"demo-choose", view{w: 80, h: 24, st: oneDown(3), opt: faults()}, []string{"c", "j"}},
		{"demo-none-left", view{w: 80, h: 24, st: oneDown(3), opt: faults()}, []string{"b"}},
		{"demo-help", view{w: 80, h: 24, st: oneDown(3), opt: faults()}, []string{"?"}},
		{"view-only", view{w: 80, h: 24, st: cast(3), opt: Options{ViewOnly: true}}, []string{"m"}},
	} {
		check(t, c.name, c.v, c.keys...)
	}
}

func check(t *testing.T, name string, v view, keys ...string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		m := v.at(nil)
		for _, k := range keys {
			press(m, k)
		}
		frame := plain(m)
		fits(t, frame, v.w, v.h)
		for i := range frame {
			frame[i] = strings.TrimRight(frame[i], " ")
		}
		golden.RequireEqual(t, strings.Join(frame, "\n")+"\n")
	})
}

// fits: exactly h lines, none wider than w cells.
func fits(t *testing.T, frame []string, w, h int) {
	t.Helper()
	if len(frame) != h {
		t.Errorf("%dx%d: %d lines, want %d", w, h, len(frame), h)
	}
	for i, l := range frame {
		if n := cells.Width(l); n > w {
			t.Errorf("%dx%d: line %d is %d cells wide: %q", w, h, i+1, n, l)
		}
	}
}

// Any size from far too small to large, any screen, any dialog, either language: the
// frame fits. Names and texts are long and hostile here.
func TestEverySizeFits(t *testing.T) {
	hostile := mixed(3)
	hostile.Cluster = "基幹システム用クラスタ-with-a-name-that-is-far-too-long"
	hostile.Servers[1].Name, hostile.Servers[1].Reason = "ｻｰﾊﾞ-\x1b[31mred\x07-with-a-long-name", strings.Repeat("理由 and ", 30)
	hostile.Groups[0].Name, hostile.Groups[0].Server = strings.Repeat("長い名前", 12), hostile.Servers[1].Name
	hostile.Groups[0].Reason = strings.Repeat("because\n", 40)
	hostile.Servers[2].State, hostile.Servers[2].Name = string(cluster.ServerDetached), strings.Repeat("切離", 20)
	hostile.Groups[1].Warning = strings.Repeat("警告", 60)
	hostile.Groups[1].Resources = append(hostile.Groups[1].Resources, api.Resource{Kind: "new\tkind", Name: "/" + strings.Repeat("深い/", 40)})
	all := []*api.Status{nil, hostile, detached(16), cast(1), oneDown(16), noQuorum(3), forming(4)}
	for _, s := range scenes {
		all = append(all, s.st())
	}
	keys := [][]string{
		nil,
		{"m"},
		{"S"},
		{"a"},
		{"?"},
		{"2"},
		{"enter"},
		{"3"},
		{"4"},
		{"tab", "j"},
		{"/", "x"},
		{"c"},
		{"s"},
		{"l", "l", "f"},
		{"j", "j", "m"},
		{"tab"},
		{"tab", "l", "D"},
		{"tab", "X"},
		{"tab", "a"},
		{"r"},
		{"C"},
		{"w"},
		{"3", "j", "j", "r"},
		{"3", "a"},
		{"tab", "?"},
		{"tab", "j", "j", "j"},
	}
	n := 0
	for w := 40; w <= 140; w++ {
		for h := 10; h <= 50; h += 1 + n%3 {
			n++
			v := view{w: w, h: h, st: all[n%len(all)], text: words.Text(n / 3 % 2), ascii: n%5 == 0}
			if n%4 == 0 {
				v.opt = faults()
			}
			if n%11 == 0 {
				v.age = 15 * time.Second
			}
			m := v.at(nil)
			ks := keys[n*7%len(keys)]
			for _, k := range ks {
				press(m, k)
			}
			if c, ok := m.dialog.(*confirm); ok && n%2 == 0 {
				c.foreseen(m, &foreseenMsg{asked: c.outlook.asked, f: gone(40)})
			}
			if d, ok := m.dialog.(*whyBox); ok && n%2 == 0 {
				d.answered(m, &whyMsg{text: strings.Repeat("理由 and because\x1b[31m ", 60)})
			}
			if fits(t, plain(m), w, h); t.Failed() {
				t.Fatalf("keys %v, scene %d", ks, n%len(all))
			}
		}
	}
	if n < 2000 {
		t.Errorf("only %d frames", n)
	}
}

// What other servers and configuration files say never reaches the terminal as
// control characters.
func TestHostileTextIsHarmless(t *testing.T) {
	st := cast(3)
	evil := "a\x1b]52;c;aGVsbG8=\x07b\x1b[2Jc\u202ed\u0085e\x9bf"
	st.Cluster, st.Waiting, st.Groups[0].Reason, st.Groups[0].Warning, st.Servers[0].Reason = evil, evil, evil, evil, evil
	st.Groups[0].Resources[0].Name, st.Groups[0].Resources[0].Detail, st.Paths[0].Name = evil, evil, evil
	for _, k := range []string{"1", "2", "3", "4", "a", "?"} {
		m := view{w: 120, h: 40, st: st}.at(nil)
		press(m, k)
		for _, l := range plain(m) {
			for _, r := range l {
				if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x202e {
					t.Errorf("screen %s shows %U: %q", k, r, l)
				}
			}
		}
	}
}

// Without colours every state can still be told from every other: the glyph and the
// word are there, and the failed one is reversed.
func TestStatesWithoutColour(t *testing.T) {
	th := newTheme(0, false)
	seen := map[string]bool{}
	for k := picture.Good; k <= picture.Unknown; k++ {
		s := th.sign(k, "X")
		if seen[s] {
			t.Errorf("kind %d looks like another: %q", k, s)
		}
		seen[s] = true
		if strings.Contains(s, "38;5") || strings.Contains(s, "\x1b[3") {
			t.Errorf("kind %d has a colour: %q", k, s)
		}
	}
	if s := th.sign(picture.Failed, "X"); !strings.HasPrefix(s, "\x1b[7m") {
		t.Errorf("failed is not reversed: %q", s)
	}
}
