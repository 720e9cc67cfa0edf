package console

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/exp/golden"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/stage"
	"baton/tui/words"
)

// gone is the forecast of a server's loss with n more groups.
func gone(n int) cluster.Forecast {
	f := cluster.Forecast{Moves: []cluster.ForeseenMove{
		{Group: "web", From: "node1", To: "node2", State: cluster.GroupOnline, Reason: "node2: highest priority online"},
		{Group: "受注API", From: "node1", State: cluster.GroupStopped, Reason: "no server of its policy is online"},
	}}
	for i := range n {
		f.Moves = append(f.Moves, cluster.ForeseenMove{Group: fmt.Sprint("g", i), From: "node1", To: "node3", State: cluster.GroupOnline})
	}
	return f
}

// alone is a server without a quorum, of which one of the others is not off.
func alone() *api.Status {
	st := stage.NoQuorum(start, 3)
	st.Servers[2].HeardMS = 100
	return st
}

// recovers is the forecast of a return.
func recovers() cluster.Forecast {
	return cluster.Forecast{Runs: []cluster.ForeseenRun{{Round: 1, Step: cluster.Step{Kind: cluster.StepRecover, Group: "batch", Server: "node3"}}}}
}

// answers carries out a command as Bubble Tea would until the cluster's answer is in.
func (d *desk) answers(cmd tea.Cmd) {
	got := make(chan tea.Msg, 8)
	var run func(tea.Cmd)
	run = func(c tea.Cmd) {
		msg := c()
		if b, ok := msg.(tea.BatchMsg); ok {
			for _, c := range b {
				go run(c)
			}
			return
		}
		got <- msg
	}
	go run(cmd)
	for msg := range got {
		d.Update(msg)
		switch msg.(type) {
		case foreseenMsg, whyMsg:
			return
		}
	}
}

// opens presses keys, the last of which opens a dialog that asks the cluster.
func (d *desk) opens(keys ...string) {
	d.typed(keys[:len(keys)-1]...)
	d.answers(press(d.model, keys[len(keys)-1]))
}

// What an operator sees of operations on servers.
func TestServerScreens(t *testing.T) {
	refused := cluster.Forecast{Refusal: &cluster.Refusal{Message: "node3 has not finished leaving yet", Hint: "try again in a few seconds"}}
	for _, c := range []struct {
		name string
		v    view
		f    cluster.Forecast
		err  error
		keys []string
		open string
	}{
		{name: "select", v: view{w: 80, h: 24, st: detached(3)}, keys: []string{"tab", "l", "l"}},
		{name: "select-small", v: view{w: 60, h: 16, st: detached(3)}, keys: []string{"tab", "j", "j"}},
		{name: "select-five", v: view{w: 80, h: 24, st: detached(5)}, keys: []string{"tab", "G"}},
		{name: "select-many", v: view{w: 80, h: 24, st: detached(16)}, keys: []string{"tab", "j", "j", "j"}},
		{name: "select-wide", v: view{w: 120, h: 40, st: detached(3)}, keys: []string{"tab", "G"}},
		{name: "screen", v: view{w: 80, h: 24, st: detached(3)}, keys: []string{"3", "G"}},
		{name: "screen-ja", v: view{w: 80, h: 24, st: detached(3), text: words.Japanese}, keys: []string{"3", "G"}},
		{name: "help", v: view{w: 80, h: 24, st: detached(3)}, keys: []string{"tab", "?"}},
		{name: "help-ja", v: view{w: 80, h: 24, st: detached(3), text: words.Japanese}, keys: []string{"tab", "?"}},
		{name: "menu", v: view{w: 80, h: 24, st: detached(3)}, keys: []string{"tab", "G", "a"}},
		{name: "menu-ja", v: view{w: 80, h: 24, st: detached(3), text: words.Japanese}, keys: []string{"3", "a"}},
		{name: "group-menu", v: view{w: 80, h: 24, st: detached(3)}, keys: []string{"a"}},
		{name: "return", v: view{w: 80, h: 24, st: detached(3)}, f: recovers(), open: "r"},
		{name: "return-ja", v: view{w: 80, h: 24, st: detached(3), text: words.Japanese}, f: recovers(), open: "r"},
		{name: "return-refused", v: view{w: 80, h: 24, st: detached(3)}, f: refused, keys: []string{"3", "G"}, open: "r"},
		{name: "disconnect", v: view{w: 80, h: 24, st: cast(3)}, f: gone(0), keys: []string{"tab"}, open: "D"},
		{name: "disconnect-ja", v: view{w: 80, h: 24, st: cast(3), text: words.Japanese}, f: gone(0), keys: []string{"tab"}, open: "D"},
		{name: "disconnect-ascii", v: view{w: 60, h: 16, st: cast(3), ascii: true}, f: gone(9), keys: []string{"3"}, open: "D"},
		{name: "disconnect-unforeseen", v: view{w: 80, h: 24, st: cast(3)}, err: errors.New("no answer"), keys: []string{"tab"}, open: "D"},
		{name: "shutdown", v: view{w: 80, h: 24, st: cast(3)}, f: cluster.Forecast{}, keys: []string{"tab", "l"}, open: "X"},
		{name: "shutdown-many", v: view{w: 80, h: 24, st: cast(3)}, f: gone(30), keys: []string{"tab"}, open: "X"},
		{name: "cluster", v: view{w: 80, h: 24, st: cast(3)}, f: gone(0), open: "C"},
		{name: "cluster-ja", v: view{w: 80, h: 24, st: cast(3), text: words.Japanese}, f: gone(0), open: "C"},
		{name: "why", v: view{w: 80, h: 24, st: cast(3)}, open: "w"},
		{name: "why-ja", v: view{w: 60, h: 16, st: cast(3), text: words.Japanese}, open: "w"},
		{name: "force", v: view{w: 80, h: 24, st: alone()}, keys: []string{"F"}},
		{name: "force-menu", v: view{w: 80, h: 24, st: alone()}, keys: []string{"3", "j", "a"}},
		{name: "force-ja", v: view{w: 80, h: 24, st: alone(), text: words.Japanese}, keys: []string{"F"}},
		{name: "force-small", v: view{w: 60, h: 16, st: alone(), ascii: true}, keys: []string{"F"}},
		{name: "lost-shutdown", v: view{w: 80, h: 24, st: cast(3), age: 42 * time.Second}, keys: []string{"tab", "X"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := sitAt(c.v)
			d.client.f, d.client.ferr = c.f, c.err
			d.typed(c.keys...)
			if c.open != "" {
				d.opens(c.open)
			}
			frame := plain(d.model)
			fits(t, frame, c.v.w, c.v.h)
			for i := range frame {
				frame[i] = strings.TrimRight(frame[i], " ")
			}
			golden.RequireEqual(t, strings.Join(frame, "\n")+"\n")
		})
	}
}

// Held down, no key confirms anything, whatever the dialog and whether or not the
// cluster has answered yet.
func TestKeyRepeatConfirmsNothingOfServers(t *testing.T) {
	for _, open := range []string{"r", "D", "X", "C", "w"} {
		for _, held := range []string{"y", "enter", open, "space"} {
			for _, answered := range []bool{false, true} {
				st := detached(3)
				d := sit(st)
				if open != "w" {
					d.typed("3")
				}
				if open == "r" {
					d.typed("G")
				}
				if answered {
					d.opens(open)
				} else {
					d.typed(open)
				}
				if d.dialog == nil {
					t.Fatalf("%s opens nothing: %s", open, d.note.text)
				}
				for range 100 {
					d.typed(held)
					d.wait(33 * time.Millisecond)
				}
				if len(d.client.asked) != 0 {
					t.Errorf("%s: %s held down (answered %v) confirmed %+v", open, held, answered, d.client.asked[0])
				}
			}
		}
	}
}

// Return: y, dead until 400 ms after the cluster has said what would happen.
func TestReturnIsArmedLate(t *testing.T) {
	d := sit(detached(3))
	d.typed("r") // the answer does not come yet
	d.wait(10 * armAfter)
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("confirmed before there was anything to read")
	}
	c := d.dialog.(*confirm)
	d.Update(foreseenMsg{of: c, asked: c.outlook.asked - 1})
	if c.read() {
		t.Fatal("an answer to an older question counts")
	}
	d.Update(foreseenMsg{of: c, asked: c.outlook.asked, f: recovers()})
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("confirmed at the moment the answer came")
	}
	d.wait(armAfter)
	d.typed("y")
	want := api.Operation{Verb: cluster.VerbReturn, Server: "node3", Revision: 4711}
	if len(d.client.asked) != 1 || d.client.asked[0] != want {
		t.Fatalf("asked %+v, want %+v", d.client.asked, want)
	}
	if got := strings.Join(plain(d.model), "\n"); !strings.Contains(got, "return node3:") {
		t.Errorf("no word of it:\n%s", got)
	}
}

// Disconnect and shut down: the name, in full, after the cluster has answered.
func TestServersWantTheName(t *testing.T) {
	for _, c := range []struct {
		keys  []string
		what  string
		name  string
		wrong string
		want  api.Operation
	}{
		{[]string{"tab", "l", "D"}, "disconnect node2", "node2", "node1", api.Operation{Verb: cluster.VerbDisconnect, Server: "node2", Revision: 4711}},
		{[]string{"3", "X"}, "shutdown node1", "node1", "prod-db", api.Operation{Verb: cluster.VerbShutdown, Server: "node1", Revision: 4711}},
		{[]string{"C"}, "shutdown --cluster", "prod-db", "web", api.Operation{Verb: cluster.VerbShutdownCluster, Revision: 4711}},
		{[]string{"a", "C"}, "shutdown --cluster", "prod-db", "y", api.Operation{Verb: cluster.VerbShutdownCluster, Revision: 4711}},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := sit(cast(3))
			spell := func(s string) {
				for _, r := range s {
					d.typed(string(r))
				}
			}
			d.typed(c.keys...)
			spell(c.name)
			d.typed("enter")
			if len(d.client.asked) != 0 {
				t.Fatal("confirmed before the cluster had answered")
			}
			d.typed("esc")
			d.typed(c.keys[:max(len(c.keys)-1, 0)]...)
			if c.keys[0] == "tab" {
				d.focus = inServers
				d.server = "node2"
			}
			d.opens(c.keys[len(c.keys)-1])
			if w := d.client.what; len(w) != 1 || w[0] != c.what {
				t.Fatalf("foreseen %q, want %q", w, c.what)
			}
			spell(c.wrong)
			d.wait(time.Second)
			d.typed("enter")
			if len(d.client.asked) != 0 {
				t.Fatalf("confirmed by %q", c.wrong)
			}
			for range c.wrong {
				d.typed("backspace")
			}
			spell(c.name)
			d.typed("enter")
			if len(d.client.asked) != 1 || d.client.asked[0] != c.want {
				t.Fatalf("asked %+v, want %+v", d.client.asked, c.want)
			}
		})
	}
}

// Whether a shutdown powers the machine off is chosen in its question by left and right, is
// off at first, and is shown in the command that does the same. Disconnect has no such choice.
func TestShutdownPowersOff(t *testing.T) {
	for _, c := range []struct {
		key  string
		name string
		keys []string
		want cluster.Then
	}{
		{"X", "node2", nil, ""},
		{"X", "node2", []string{"right"}, cluster.ThenPowerOff},
		{"X", "node2", []string{"right", "left"}, ""},
		{"C", "prod-db", []string{"left"}, cluster.ThenPowerOff},
		{"D", "node2", []string{"right"}, ""},
	} {
		d := sit(cast(3))
		d.focus, d.server = inServers, "node2"
		d.opens(c.key)
		d.typed(c.keys...)
		screen := strings.Join(plain(d.model), "\n")
		off := strings.Contains(screen, "--poweroff") && strings.Contains(screen, "POWERS OFF")
		if off != (c.want == cluster.ThenPowerOff) {
			t.Errorf("%s %q: says that the machine powers off: %t", c.key, c.keys, off)
		}
		for _, r := range c.name {
			d.typed(string(r))
		}
		d.wait(time.Second)
		d.typed("enter")
		if len(d.client.asked) != 1 || d.client.asked[0].Then != c.want {
			t.Errorf("%s %q: asked %+v, want then %q", c.key, c.keys, d.client.asked, c.want)
		}
	}
}

// A refusal by the cluster closes the way; one that cannot be asked does not.
func TestForecastDecides(t *testing.T) {
	d := sit(detached(3))
	d.client.f.Refusal = &cluster.Refusal{Message: "node3 has not finished leaving yet"}
	d.opens("r")
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Error("asked for what is refused")
	}
	d = sit(detached(3))
	d.client.ferr = errors.New("no answer")
	d.opens("r")
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 1 {
		t.Error("a forecast that fails stands in the way")
	}
}

// What matters changes under the dialog: it asks anew, and the operator looks again.
func TestForecastFollowsThePicture(t *testing.T) {
	d := sit(detached(3))
	d.client.f = recovers()
	d.opens("r")
	d.wait(time.Second)
	st := detached(3)
	st.Revision = 4712
	if cmd := d.onFeed(&feedMsg{status: st, at: d.clock}); cmd != nil {
		t.Error("asked anew although nothing that matters has changed")
	}
	st = detached(3)
	st.Groups[2].Server, st.Revision = "node2", 4713
	cmd := d.onFeed(&feedMsg{status: st, at: d.clock})
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("confirmed on the forecast of another picture")
	}
	d.answers(cmd)
	if len(d.client.what) != 2 {
		t.Fatalf("foreseen %q", d.client.what)
	}
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 1 || d.client.asked[0].Revision != 4713 {
		t.Errorf("asked %+v", d.client.asked)
	}
}

// Keys for servers that cannot act say why, and open nothing.
func TestWhyNotServer(t *testing.T) {
	viewer := detached(3)
	viewer.Operator = false
	leaving := cast(3)
	leaving.Servers[0].State = string(cluster.ServerLeaving)
	ending := cast(3)
	ending.Phase = string(cluster.PhaseStopping)
	for _, c := range []struct {
		name string
		st   *api.Status
		opt  Options
		keys []string
		want string
	}{
		{"in already", cast(3), Options{}, []string{"3", "r"}, "node1 is in the cluster already"},
		{"down", oneDown(3), Options{}, []string{"3", "G", "r"}, "node3 is DOWN: boot it first"},
		{"disconnect what is down", oneDown(3), Options{}, []string{"3", "G", "D"}, "node3 is DOWN now"},
		{"leaving", leaving, Options{}, []string{"3", "D"}, "node1 is LEAVING now"},
		{"alone", noQuorum(3), Options{}, []string{"3", "r"}, "F, the forced return of node1"},
		{"quorum", noQuorum(3), Options{}, []string{"3", "X"}, "nobody may decide now"},
		{"ending", ending, Options{}, []string{"C"}, "the cluster is being shut down"},
		{"viewer", viewer, Options{}, []string{"3", "G", "r"}, "you may view, not operate"},
		{"view only", cast(3), Options{ViewOnly: true}, []string{"C"}, "--view"},
	} {
		m := view{w: 120, h: 40, st: c.st, opt: c.opt}.at(nil)
		for _, k := range c.keys {
			press(m, k)
		}
		if m.dialog != nil {
			t.Errorf("%s: a dialog opened", c.name)
		}
		if s := strings.Join(plain(m), "\n"); !strings.Contains(s, c.want) {
			t.Errorf("%s: %q is not shown; notice %q", c.name, c.want, m.note.text)
		}
		if c.name != "viewer" {
			continue
		}
		if s := strings.Join(plain(m), "\n"); strings.Contains(s, "a → return") {
			t.Errorf("who may not is told to return a server:\n%s", s)
		}
	}
}

// A menu keeps what it had when it was opened: nothing moves under the cursor.
func TestMenuStandsStill(t *testing.T) {
	d := sit(detached(3))
	d.typed("a", "G", "j", "j", "j", "j")
	before := len(d.dialog.(*menu).ops)
	d.onFeed(&feedMsg{status: cast(3), at: d.clock}) // node3 was returned by somebody else
	plain(d.model)
	if got := len(d.dialog.(*menu).ops); got != before {
		t.Errorf("%d operations, was %d", got, before)
	}
	d.typed("enter")
	if _, ok := d.dialog.(*menu); !ok || d.note.text == "" {
		t.Errorf("dialog %T, notice %q: return of nothing", d.dialog, d.note.text)
	}
}

// The tab goes round: groups, servers, events, and back.
func TestPanes(t *testing.T) {
	d := sit(cast(3))
	for _, want := range []pane{inServers, inEvents, inBody} {
		if d.typed("tab"); d.focus != want {
			t.Errorf("focus %d, want %d", d.focus, want)
		}
	}
	d.typed("tab", "j", "j", "j", "k", "h", "l")
	if d.server != "node3" && d.server != "node2" || d.group != "web" {
		t.Errorf("server %s, group %s", d.server, d.group)
	}
	at := d.server
	d.typed("enter")
	if d.screen != onServers || d.server != at {
		t.Errorf("enter: screen %d, server %s", d.screen, d.server)
	}
}

// Who asked for what an event tells is said in full below the list, however long the
// line before it is.
func TestEventSaysWho(t *testing.T) {
	d := sit(cast(3))
	d.log.add([]cluster.Event{{
		ID: 1 << 40, At: start.UnixMilli(), Severity: cluster.Info, Code: cluster.CodeOpDone, Server: "node2", Group: "web",
		Text: "done: move web to node2: web is online on node2", Who: "alice as root from /dev/pts/3 ssh 10.0.0.9",
	}})
	d.typed("4")
	got := strings.Join(strings.Fields(strings.Join(plain(d.model), " ")), " ")
	if want := "web is online on node2 by alice as root from /dev/pts/3 ssh 10.0.0.9"; !strings.Contains(got, want) {
		t.Errorf("lacks %q:\n%s", want, strings.Join(plain(d.model), "\n"))
	}
}

// What a group's scripts have printed on this server is one key behind why; control
// characters do not get through, and the next key closes.
func TestScriptLogInWhy(t *testing.T) {
	d := sit(cast(3))
	d.opens("w")
	if got := strings.Join(plain(d.model), "\n"); !strings.Contains(got, "l = log of its scripts here") {
		t.Fatalf("no word of the log:\n%s", got)
	}
	d.opens("l")
	got := strings.Join(plain(d.model), "\n")
	for _, want := range []string{"SCRIPT LOG OF", "listening", "# exit code 0", "code 7 after 0.3 s"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "[2J") {
		t.Errorf("an escape sequence got through:\n%s", got)
	}
	d.typed("l")
	if d.dialog != nil {
		t.Error("a key does not close it")
	}
}

// Forced return: only for the server that the console is on, only without a quorum, and by
// its name typed.
func TestForcedReturn(t *testing.T) {
	d := sit(cast(3))
	d.typed("F")
	if d.dialog != nil {
		t.Fatal("a forced return is offered with a quorum")
	}
	d = sit(alone())
	d.typed("3", "j", "r") // of another server there is none, and return does not do it
	if d.dialog != nil {
		t.Fatal("a return is offered without a quorum")
	}
	d.typed("F")
	for _, r := range "node2" {
		d.typed(string(r))
	}
	d.wait(time.Second)
	d.typed("enter")
	if len(d.client.asked) != 0 {
		t.Fatal("confirmed by the name of another server")
	}
	d.typed("backspace", "1", "enter")
	want := api.Operation{Verb: api.VerbForceReturn, Server: "node1", Revision: 4711}
	if len(d.client.asked) != 1 || d.client.asked[0] != want {
		t.Fatalf("asked %+v, want %+v", d.client.asked, want)
	}
	got := strings.Join(plain(d.model), "\n")
	if !strings.Contains(got, "return node1 --force: accepted") || len(d.waiting) != 0 {
		t.Errorf("waiting %v, screen:\n%s", d.waiting, got)
	}
}
