package console

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"baton/core/cluster"
	"baton/daemon/api"
)

// fakeClient takes operations; it has no streams.
type fakeClient struct {
	asked []api.Operation
	err   error
	op    cluster.Op
	f     cluster.Forecast
	ferr  error
	what  []string // was to be foreseen
}

func (f *fakeClient) Watch(context.Context) (*api.Watcher, error) { return nil, errors.New("none") }
func (f *fakeClient) Follow(context.Context, uint64) (*api.Follower, error) {
	return nil, errors.New("none")
}

func (f *fakeClient) Operate(_ context.Context, op api.Operation) (api.Accepted, error) {
	f.asked = append(f.asked, op)
	if op.Verb == api.VerbForceReturn {
		return api.Accepted{}, f.err
	}
	return api.Accepted{ID: "op-1"}, f.err
}

func (f *fakeClient) Wait(context.Context, string) (cluster.Op, error) { return f.op, nil }

func (f *fakeClient) ScriptLog(_ context.Context, group string) (api.ScriptLog, error) {
	return api.ScriptLog{Group: group, Server: "node1", Text: "# start " + group + "\nlistening\x1b[2J\n# 2026-08-14T14:02:11.104Z stop " + group + " on node1, token 1048578: " + strings.Repeat("/long/path", 6) + ": exit code 7 after 0.3 s\n# exit code 0\n"}, nil
}

func (f *fakeClient) Why(_ context.Context, group string) (string, error) {
	return "online on node1 since 09:02:11: " + group + " is " + strings.Repeat("there ", 30), f.err
}

func (f *fakeClient) Foresee(_ context.Context, what string) (cluster.Forecast, error) {
	f.what = append(f.what, what)
	return f.f, f.ferr
}

// desk is a console with a clock that stands until moved, and a client.
type desk struct {
	*model
	clock  time.Time
	client *fakeClient
}

func sit(st *api.Status) *desk { return sitAt(view{w: 80, h: 24, st: st}) }

func sitAt(v view) *desk {
	d := &desk{clock: start.Add(v.age), client: &fakeClient{}}
	d.model = v.at(&d.clock)
	d.model.ctx = context.Background()
	d.model.client = d.client
	return d
}

func (d *desk) wait(t time.Duration) {
	d.clock = d.clock.Add(t)
	d.got = d.clock // the picture goes on coming
}

// typed presses the keys and runs what comes of the last one, as Bubble Tea would,
// except for timers.
func (d *desk) typed(keys ...string) {
	for _, k := range keys {
		cmd := press(d.model, k)
		for d.asking && cmd != nil {
			_, cmd = d.Update(cmd())
			if cmd != nil {
				_, cmd = d.Update(cmd())
			}
		}
	}
}

func TestConfirmIsArmedLate(t *testing.T) {
	d := sit(cast(3))
	d.typed("m")
	if d.dialog == nil {
		t.Fatal("no dialog")
	}
	d.wait(armAfter - time.Millisecond)
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("y confirmed before the dialog was armed")
	}
	// The early press has put the arming off.
	d.wait(armAfter - time.Millisecond)
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("a second early y confirmed")
	}
	d.wait(armAfter)
	d.typed("y")
	if len(d.client.asked) != 1 || d.dialog != nil {
		t.Fatalf("y after %v: %d operations, dialog %v", armAfter, len(d.client.asked), d.dialog)
	}
	want := api.Operation{Verb: cluster.VerbMove, Group: "web", Server: "node2", Revision: 4711}
	if got := d.client.asked[0]; got != want {
		t.Errorf("asked %+v, want %+v", got, want)
	}
}

// A key that is held down repeats every 30 ms or so, for as long as you like.
func TestKeyRepeatConfirmsNothing(t *testing.T) {
	for _, open := range []string{"m", "s", "f", "S"} {
		for _, held := range []string{"y", "enter", open, "space"} {
			st := cast(3)
			if open == "s" {
				st = mixed(3)
			}
			d := sit(st)
			if open == "s" {
				d.typed("G")
			}
			d.typed(open)
			if d.dialog == nil {
				t.Fatalf("%s opens nothing: %s", open, d.note.text)
			}
			for range 300 {
				d.typed(held)
				d.wait(33 * time.Millisecond)
			}
			if len(d.client.asked) != 0 {
				t.Errorf("%s: %s held down for 10 s confirmed %+v", open, held, d.client.asked[0])
			}
		}
	}
	// Where the terminal tells repeats from presses, one is never taken for the other.
	d := sit(cast(3))
	d.typed("m")
	d.wait(time.Second)
	d.Update(tea.KeyPressMsg{Code: 'y', Text: "y", IsRepeat: true})
	if d.asking || d.dialog == nil {
		t.Error("a repeat confirmed")
	}
}

func TestEnterNeverConfirms(t *testing.T) {
	for _, k := range []string{"m", "f"} {
		d := sit(cast(3))
		d.typed(k)
		d.wait(time.Second)
		d.typed("enter", "space", "enter")
		if len(d.client.asked) != 0 || d.dialog == nil {
			t.Errorf("%s, enter: asked %v, dialog %v", k, d.client.asked, d.dialog)
		}
	}
	// Through the menu: enter opens the question, and then does nothing.
	d := sit(cast(3))
	d.typed("a", "enter")
	d.wait(time.Second)
	d.typed("enter", "enter")
	if _, ok := d.dialog.(*confirm); !ok || len(d.client.asked) != 0 {
		t.Errorf("menu, enter: asked %v, dialog %T", d.client.asked, d.dialog)
	}
}

func TestStopWantsTheName(t *testing.T) {
	d := sit(cast(3))
	d.typed("S")
	d.wait(time.Second)
	d.typed("y", "enter")
	if len(d.client.asked) != 0 {
		t.Fatal("stopped by y")
	}
	d.typed("backspace", "w", "e", "enter")
	if len(d.client.asked) != 0 {
		t.Fatal("stopped by half the name")
	}
	d.typed("b", "enter")
	if len(d.client.asked) != 1 || d.client.asked[0].Verb != cluster.VerbStop || d.client.asked[0].Group != "web" {
		t.Fatalf("asked %+v", d.client.asked)
	}
	// A name of halfwidth kana is typed as it is shown.
	st := cast(3)
	st.Groups[0].Name = "ﾊﾞｯﾁ"
	d = sit(st)
	d.typed("S", "バ", "ッ", "チ", "enter")
	if len(d.client.asked) != 1 || d.client.asked[0].Group != "ﾊﾞｯﾁ" {
		t.Fatalf("asked %+v", d.client.asked)
	}
}

// If what matters changes under an open dialog, the operator must look again, and the
// revision that is sent is the one that he then saw.
func TestPictureChangesUnderDialog(t *testing.T) {
	d := sit(cast(3))
	d.typed("m")
	d.wait(time.Second)
	st := cast(3)
	st.Revision = 4720
	d.onFeed(&feedMsg{status: st, at: d.clock})
	d.typed("y")
	if len(d.client.asked) != 1 || d.client.asked[0].Revision != 4720 {
		t.Fatalf("a change elsewhere: asked %+v", d.client.asked)
	}
	d = sit(cast(3))
	d.typed("m")
	d.wait(time.Second)
	st = oneDown(3)
	st.Servers[1].State = string(cluster.ServerDetached) // the target
	d.onFeed(&feedMsg{status: st, at: d.clock})
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("confirmed what the operator had not seen")
	}
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("confirmed a move to a server that is not online")
	}
	if s := strings.Join(plain(d.model), "\n"); !strings.Contains(s, "NOT AVAILABLE") {
		t.Errorf("does not say so:\n%s", s)
	}
	// It is still possible, but no longer what the operator read.
	d = sit(cast(3))
	d.typed("m")
	d.wait(time.Second)
	st = cast(3)
	st.Groups[0].Server = "node3"
	d.onFeed(&feedMsg{status: st, at: d.clock})
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("confirmed a move from another server than the one that was shown")
	}
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 1 {
		t.Fatal("a second look does not confirm")
	}
	// And when the picture is lost meanwhile.
	d = sit(cast(3))
	d.typed("m")
	d.clock = d.clock.Add(11 * time.Second)
	d.typed("y")
	if len(d.client.asked) != 0 {
		t.Fatal("confirmed on a lost picture")
	}
}

func TestTargets(t *testing.T) {
	d := sit(cast(3))
	d.typed("m", "right")
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 1 || d.client.asked[0].Server != "node3" {
		t.Fatalf("right, y: asked %+v", d.client.asked)
	}
	d = sit(mixed(3))
	d.typed("G", "s")
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 1 || d.client.asked[0].Server != "" || d.client.asked[0].Group != "batch" {
		t.Fatalf("start: asked %+v", d.client.asked)
	}
	d.asking = false
	d.typed("s", "left")
	d.wait(time.Second)
	d.typed("y")
	if len(d.client.asked) != 2 || d.client.asked[1].Server != "node2" {
		t.Fatalf("start, left: asked %+v", d.client.asked)
	}
}

func TestResultIsShown(t *testing.T) {
	show := func(d *desk) string { return strings.Join(plain(d.model), "\n") }
	d := sit(cast(3))
	d.client.op = cluster.Op{ID: "op-1", State: cluster.OpDone, Begun: 1000, Ended: 1040, Text: "web is online on node2"}
	d.typed("m")
	d.wait(time.Second)
	d.typed("y")
	if s := show(d); !strings.Contains(s, "move web node2: done in 0.04 s. web is online on node2") {
		t.Errorf("done:\n%s", s)
	}
	d = sit(cast(3))
	d.client.err = &api.Error{Code: "changed", Message: "web has changed since revision 4711", Hint: "look again"}
	d.typed("m")
	d.wait(time.Second)
	d.typed("y")
	if s := show(d); !strings.Contains(s, "refused: web has changed since revision 4711 (look again)") {
		t.Errorf("refused:\n%s", s)
	}
	d.wait(10 * time.Minute)
	if s := show(d); !strings.Contains(s, "refused") {
		t.Error("a refusal went away by itself")
	}
	d.typed("j")
	if s := show(d); strings.Contains(s, "refused") {
		t.Error("a refusal stays after a key")
	}
	// The picture may be quicker than the answer to Wait.
	d = sit(cast(3))
	d.waiting["op-1"] = "move web node2"
	st := cast(3)
	st.Ops = []cluster.Op{{ID: "op-1", State: cluster.OpFailed, Text: "start script: exit code 1"}}
	d.onFeed(&feedMsg{status: st, at: d.clock})
	if s := show(d); !strings.Contains(s, "move web node2: failed: start script: exit code 1") {
		t.Errorf("failed:\n%s", s)
	}
	if len(d.waiting) != 0 {
		t.Error("still waiting")
	}
}

// Keys that cannot act say why, and open nothing.
func TestWhyNot(t *testing.T) {
	viewer := cast(3)
	viewer.Operator = false
	stuck := cast(3)
	for i := range 2 {
		stuck.Servers[i+1].State = string(cluster.ServerDown)
	}
	for _, c := range []struct {
		name string
		st   *api.Status
		opt  Options
		key  string
		want string
	}{
		{"running", cast(3), Options{}, "s", "web runs already, on node1"},
		{"busy", mixed(3), Options{}, "m", "web is STARTING now"},
		{"quorum", noQuorum(3), Options{}, "m", "no quorum"},
		{"forming", forming(3), Options{}, "s", "has not begun yet: for node3"},
		{"viewer", viewer, Options{}, "f", "you may view, not operate"},
		{"view only", cast(3), Options{ViewOnly: true}, "S", "--view"},
		{"alone", stuck, Options{}, "m", "no other server of its policy is online (node1, node2, node3)"},
	} {
		m := view{w: 120, h: 40, st: c.st, opt: c.opt}.at(nil)
		press(m, c.key)
		if m.dialog != nil {
			t.Errorf("%s: a dialog opened", c.name)
		}
		if s := strings.Join(plain(m), "\n"); !strings.Contains(s, c.want) {
			t.Errorf("%s: %q is not shown; notice %q", c.name, c.want, m.note.text)
		}
	}
}

// The selection is a group and not a place: it goes along when the group moves.
func TestCursorFollowsGroup(t *testing.T) {
	d := sit(cast(3))
	d.typed("G")
	if d.group != "batch" {
		t.Fatalf("selected %q", d.group)
	}
	d.onFeed(&feedMsg{status: oneDown(3), at: d.clock})
	if d.group != "batch" {
		t.Errorf("after failover %q is selected", d.group)
	}
	st := cast(3)
	st.Groups = st.Groups[:2]
	d.onFeed(&feedMsg{status: st, at: d.clock})
	if d.group != "web" {
		t.Errorf("after the group went away %q is selected", d.group)
	}
}

func TestExtraAction(t *testing.T) {
	var got []string
	opt := faults()
	opt.Extra[0].Run = func(_ context.Context, c string) error {
		got = append(got, c)
		return errors.New("node2: no such fuse")
	}
	m := view{w: 80, h: 24, st: cast(3), opt: opt}.at(nil)
	press(m, "c")
	cmd := press(m, "2")
	if cmd == nil || m.dialog != nil {
		t.Fatal("a digit does not pick")
	}
	m.Update(cmd())
	if len(got) != 1 || got[0] != "node2" {
		t.Errorf("ran for %v", got)
	}
	if s := strings.Join(plain(m), "\n"); !strings.Contains(s, "cut power node2: node2: no such fuse") {
		t.Errorf("error not shown:\n%s", s)
	}
	opt.Extra[0].Key = "m"
	opt.Client = &fakeClient{}
	if err := opt.check(); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("key m taken twice: %v", err)
	}
}

// No key is bound twice in one view, and each that the help lists has its words.
func TestBindings(t *testing.T) {
	for s := onCluster; s <= onEvents; s++ {
		m := view{w: 80, h: 24, st: cast(3)}.at(nil)
		m.screen = s
		bound := map[string]bool{}
		for i := range m.cmds {
			c := &m.cmds[i]
			if c.shown != nil && !c.shown(m) {
				continue
			}
			for _, k := range c.b.Keys() {
				if bound[k] {
					t.Errorf("screen %d: key %q is bound twice", s, k)
				}
				bound[k] = true
			}
			if c.b.Help().Key != "" && m.s(c.desc) == "" || c.place > 0 && c.b.Help().Key == "" {
				t.Errorf("key %v has no words", c.b.Keys())
			}
		}
	}
}

func TestEventLog(t *testing.T) {
	var l eventLog
	for i := range 3 * maxEvents {
		l.add([]cluster.Event{{ID: uint64(i + 1), Severity: cluster.Info, Text: "x"}})
		if i == 2*maxEvents {
			l.move(5)
			l.pause()
		}
	}
	if len(l.all) > maxEvents {
		t.Errorf("%d events are kept, at most %d may be", len(l.all), maxEvents)
	}
	if got := l.newer(); got == 0 {
		t.Error("nothing new since the pause")
	}
	l.pause()
	l.move(-1 << 20)
	if e := l.current(); e == nil || e.ID != 3*maxEvents {
		t.Errorf("the newest is %+v", e)
	}
	l.add([]cluster.Event{{ID: 7}, {ID: 3*maxEvents + 1}}) // an old one again, and a new one
	if e := l.current(); e.ID != 3*maxEvents+1 {
		t.Errorf("the cursor is on %d, not on the newest", e.ID)
	}
	l.move(3)
	id := l.current().ID
	l.add([]cluster.Event{{ID: 4 * maxEvents}})
	if l.current().ID != id {
		t.Error("the cursor did not stay on its event")
	}
}
