package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/exp/golden"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/stage"
	"baton/tui/words"
)

var start = time.Date(2026, 8, 14, 14, 2, 11, 0, time.UTC)

// play opens a batond that shows st and returns it with its socket.
func play(t *testing.T, st *api.Status) (*stage.Daemon, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "baton") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	d, err := stage.New(socket, st, stage.Events(start))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, socket
}

// baton runs a command line and returns exit code, output and errors.
func baton(t *testing.T, socket string, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	return batonCtx(t.Context(), socket, env, args...)
}

func batonCtx(ctx context.Context, socket string, env map[string]string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	sys := &system{in: strings.NewReader(""), out: &o, err: &e, version: "1.2", getenv: func(k string) string {
		if k == "BATON_SOCKET" {
			return socket
		}
		return env[k]
	}}
	code = run(ctx, sys, args)
	return code, o.String(), e.String()
}

// Each end of an operation has its exit code and says what happened.
func TestOperations(t *testing.T) {
	d, socket := play(t, stage.Healthy(start, 3))
	end := func(state cluster.OpState, text, hint string) func(cluster.Op) error {
		return func(op cluster.Op) error {
			op.State, op.Begun, op.Ended, op.Text, op.Hint = state, 1000, 1042, text, hint
			d.Show(func(st *api.Status) { st.Ops = append(st.Ops, op) })
			return nil
		}
	}
	for _, c := range []struct {
		name   string
		args   string
		answer func(cluster.Op) error
		code   int
		out    string
		errs   string
		asked  cluster.Op
	}{
		{"move", "move web node2", end(cluster.OpDone, "web is online on node2", ""), 0, "move web: done in 0.04 s: web is online on node2\n", "", cluster.Op{Verb: cluster.VerbMove, Group: "web", Server: "node2"}},
		{"move --to", "move web --to node2", end(cluster.OpDone, "", ""), 0, "move web: done in 0.04 s\n", "", cluster.Op{Verb: cluster.VerbMove, Group: "web", Server: "node2"}},
		{"move anywhere", "move web", end(cluster.OpDone, "", ""), 0, "done", "", cluster.Op{Verb: cluster.VerbMove, Group: "web"}},
		{"start --on", "start web --on node3", end(cluster.OpDone, "", ""), 0, "done", "", cluster.Op{Verb: cluster.VerbStart, Group: "web", Server: "node3"}},
		{"start S", "start web node3", end(cluster.OpDone, "", ""), 0, "done", "", cluster.Op{Verb: cluster.VerbStart, Group: "web", Server: "node3"}},
		{"stop", "stop web", end(cluster.OpDone, "", ""), 0, "done", "", cluster.Op{Verb: cluster.VerbStop, Group: "web"}},
		{"failover", "failover web", end(cluster.OpDone, "", ""), 0, "done", "", cluster.Op{Verb: cluster.VerbFailover, Group: "web"}},
		{"restart", "restart web", end(cluster.OpDone, "", ""), 0, "restart web: done", "", cluster.Op{Verb: cluster.VerbRestart, Group: "web"}},
		{"return", "return node3", end(cluster.OpDone, "node3 is online", ""), 0, "return node3: done in 0.04 s: node3 is online\n", "", cluster.Op{Verb: cluster.VerbReturn, Server: "node3"}},
		{"disconnect", "disconnect node3", end(cluster.OpDone, "", ""), 0, "disconnect node3: done", "", cluster.Op{Verb: cluster.VerbDisconnect, Server: "node3"}},
		{"shut down", "shutdown node2 --yes", end(cluster.OpDone, "", ""), 0, "shutdown node2: done", "", cluster.Op{Verb: cluster.VerbShutdown, Server: "node2"}},
		{"shut the cluster down", "shutdown --cluster --yes", end(cluster.OpDone, "", ""), 0, "shutdown --cluster: done", "", cluster.Op{Verb: cluster.VerbShutdownCluster}},
		{"forced return", "return node1 --force --yes", func(cluster.Op) error { return nil }, 0, "return --force node1: done: node1 goes on alone\n", "", cluster.Op{Verb: api.VerbForceReturn, Server: "node1"}},
		{"forced return, no wait", "return node1 --force --yes --no-wait", func(cluster.Op) error { return nil }, 0, "return --force node1: accepted\n", "", cluster.Op{Verb: api.VerbForceReturn, Server: "node1"}},
		{"server time out", "shutdown node2 --yes --timeout 100ms", func(op cluster.Op) error {
			op.State = cluster.OpRunning
			d.Show(func(st *api.Status) { st.Ops = append(st.Ops, op) })
			return nil
		}, 4, "", "shutdown node2: still under way after 100ms", cluster.Op{Verb: cluster.VerbShutdown, Server: "node2"}},
		{"failed", "start web", end(cluster.OpFailed, "start script: exit code 3", ""), 1, "", "start web: failed: start script: exit code 3", cluster.Op{Verb: cluster.VerbStart, Group: "web"}},
		{"refused later", "start web", end(cluster.OpRefused, "web runs already", "stop it first"), 1, "", "web runs already (stop it first)", cluster.Op{Verb: cluster.VerbStart, Group: "web"}},
		{"refused at once", "move web node9", func(cluster.Op) error {
			return &api.Error{Code: "no-server", Message: "there is no server node9", Hint: "node1, node2, node3"}
		}, 1, "", "there is no server node9 (node1, node2, node3)", cluster.Op{Verb: cluster.VerbMove, Group: "web", Server: "node9"}},
		{"no wait", "stop web --no-wait", func(cluster.Op) error { return nil }, 0, "stop web: accepted (operation ", "", cluster.Op{Verb: cluster.VerbStop, Group: "web"}},
		{"time out", "stop web --timeout 100ms", func(op cluster.Op) error {
			op.State = cluster.OpRunning
			d.Show(func(st *api.Status) { st.Ops = append(st.Ops, op) })
			return nil
		}, 4, "", "still under way after 100ms", cluster.Op{Verb: cluster.VerbStop, Group: "web"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.Answer(c.answer)
			before := len(d.Asked())
			code, out, errs := baton(t, socket, nil, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
				t.Errorf("exit %d, out %q, errors %q; want %d, %q, %q", code, out, errs, c.code, c.out, c.errs)
			}
			asked := d.Asked()[before:]
			if len(asked) != 1 || asked[0].Verb != c.asked.Verb || asked[0].Group != c.asked.Group || asked[0].Server != c.asked.Server {
				t.Fatalf("asked %+v, want %+v", asked, c.asked)
			}
			if asked[0].Who.User == "" {
				t.Error("nobody asked")
			}
		})
	}
}

// What was accepted survives its daemon, and the command waits on over a restart.
func TestWaitsOverRestart(t *testing.T) {
	d, socket := play(t, stage.Healthy(start, 3))
	var id string
	accepted := make(chan struct{})
	d.Answer(func(op cluster.Op) error {
		id = op.ID
		op.State = cluster.OpRunning
		d.Show(func(st *api.Status) { st.Ops = append(st.Ops, op) })
		close(accepted)
		return nil
	})
	type result struct {
		code      int
		out, errs string
	}
	ended := make(chan result, 1)
	go func() {
		code, out, errs := batonCtx(t.Context(), socket, nil, "stop", "web", "--timeout", "20s")
		ended <- result{code, out, errs}
	}()
	<-accepted
	for d.Watched() == 0 { // it has the answer, and waits for the end
		time.Sleep(time.Millisecond)
	}
	d.Close()
	st := stage.Healthy(start, 3)
	st.Ops = []cluster.Op{{ID: id, State: cluster.OpDone}}
	again, err := stage.New(socket, st, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if r := <-ended; r.code != 0 || !strings.Contains(r.out, "done") {
		t.Errorf("exit %d, out %q, errors %q", r.code, r.out, r.errs)
	}
}

// A daemon that neither accepts nor refuses: the operator is told that it is silent, and
// can give up without being told that nothing has happened.
func TestSilentDaemon(t *testing.T) {
	d, socket := play(t, stage.Healthy(start, 3))
	release := make(chan struct{})
	d.Answer(func(cluster.Op) error { <-release; return errors.New("too late") })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := &watched{want: "has not answered for", found: cancel}
	var out bytes.Buffer
	sys := &system{in: strings.NewReader(""), out: &out, err: errs, getenv: func(string) string { return "" }, silent: 20 * time.Millisecond}
	code := run(ctx, sys, []string{"--socket", socket, "stop", "web"})
	if want := "stop web: batond at " + socket + " has not answered for 20ms; waiting. If you give up, `baton events` shows later whether the cluster has it\n"; code != 1 || out.String() != "" || errs.text() != want+"baton: stop web: given up before an answer; `baton events` shows whether the cluster has it\n" {
		t.Errorf("exit %d, out %q, errors %q", code, out.String(), errs.text())
	}
}

func TestUsage(t *testing.T) {
	d, socket := play(t, stage.Healthy(start, 3))
	for _, args := range []string{
		"start", "stop", "stop a b", "move", "move a b c", "move a b --to c", "start a b --on c", "status x", "frobnicate", "events -n -1", "events -n x", "--frob", "stop web --timeout -1s", "stop web --timeout x", "check", "failover",
		"return", "return a b", "disconnect", "shutdown", "shutdown a b --yes", "shutdown a --cluster --yes", "why", "why a b", "simulate", "explain a b", "explain no-such-code",
		"disk", "disk frobnicate", "disk init", "disk init a b", "version x", "keygen x", "log", "shutdown a --poweroff --reboot",
		// There is no terminal here to ask at.
		"shutdown node1", "shutdown --cluster", "return node1 --force",
	} {
		if code, _, errs := baton(t, socket, nil, strings.Fields(args)...); code != 2 || errs == "" {
			t.Errorf("baton %s: exit %d, errors %q; want 2 and a reason", args, code, errs)
		}
	}
	if n := len(d.Asked()); n != 0 {
		t.Errorf("%d operations were asked for", n)
	}
	for _, args := range []string{"--help", "move --help", "version", "keygen", "explain", "explain server-down"} {
		if code, out, errs := baton(t, socket, nil, strings.Fields(args)...); code != 0 || out == "" || errs != "" {
			t.Errorf("baton %s: exit %d, out %q, errors %q", args, code, out, errs)
		}
	}
}

// What a wrong command line is told, in words that name what was expected.
func TestUsageText(t *testing.T) {
	for args, want := range map[string]string{
		"why":                            "baton why takes GROUP, and none is given; see: baton why --help",
		"move a b c":                     "baton move takes GROUP [SERVER], and 3 are given; see: baton move --help",
		"keygen x":                       `baton keygen takes no arguments, and "x" is given; see: baton keygen --help`,
		"disk init":                      "baton disk init takes DEVICE, and none is given; see: baton disk init --help",
		"stat":                           `there is no command "stat"; did you mean: baton status; see: baton --help`,
		"frobnicate":                     `there is no command "frobnicate"; see: baton --help`,
		"move --frob":                    "unknown flag: --frob; see: baton move --help",
		"shutdown":                       "name one server, or say --cluster; see: baton shutdown --help",
		"shutdown a --poweroff --reboot": "--poweroff and --reboot exclude each other; see: baton shutdown --help",
	} {
		if code, _, errs := baton(t, "/nowhere", nil, strings.Fields(args)...); code != 2 || errs != "baton: "+want+"\n" {
			t.Errorf("baton %s: exit %d\ngot  %swant baton: %s", args, code, errs, want)
		}
	}
}

func TestNoDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	for _, args := range []string{"status", "status --json", "events", "start web", "stop web", "move web", "failover web", "return node3", "return node3 --force --yes", "disconnect node3", "shutdown node1 --yes", "shutdown --cluster --yes", "why web", "simulate x", ""} {
		code, _, errs := baton(t, socket, nil, strings.Fields(args)...)
		if code != 3 || !strings.Contains(errs, socket) || !strings.Contains(errs, "systemctl status batond") {
			t.Errorf("baton %s: exit %d, errors %q; want 3 and what to do", args, code, errs)
		}
	}
}

// The socket: the flag, else the environment, else the default.
func TestSocket(t *testing.T) {
	sys := &system{getenv: func(k string) string { return map[string]string{"BATON_SOCKET": "/env"}[k] }}
	if got := (&options{sys: sys, socket: "/flag"}).path(); got != "/flag" {
		t.Errorf("flag: %s", got)
	}
	if got := (&options{sys: sys}).path(); got != "/env" {
		t.Errorf("environment: %s", got)
	}
	sys.getenv = func(string) string { return "" }
	if got := (&options{sys: sys}).path(); got != api.DefaultSocket {
		t.Errorf("default: %s", got)
	}
}

func TestStatusJSON(t *testing.T) {
	_, socket := play(t, stage.OneDown(start, 3))
	code, out, _ := baton(t, socket, nil, "status", "--json")
	var st struct {
		Cluster, Server, Leader string
		Quorum                  bool
		Servers                 []struct{ Name, State string }
		Groups                  []struct {
			Name, State, Server, Event, Reason string
			Since                              int64
			Failovers                          int
		}
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil || code != 0 {
		t.Fatalf("exit %d: %v\n%s", code, err, out)
	}
	if st.Cluster != "prod-db" || !st.Quorum || len(st.Servers) != 3 || st.Servers[2].State != "down" || st.Groups[2].Event != "FAILOVER" || st.Groups[2].Since == 0 {
		t.Errorf("got %+v", st)
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name  string
		st    *api.Status
		text  words.Text
		ascii bool
	}{
		{"healthy", stage.Healthy(start, 3), words.English, false},
		{"one-down-ascii", stage.OneDown(start, 3), words.English, true},
		{"mixed-ja", stage.Mixed(start, 3), words.Japanese, false},
		{"no-quorum", stage.NoQuorum(start, 3), words.English, false},
	} {
		t.Run(c.name, func(t *testing.T) { golden.RequireEqual(t, Report(c.st, c.text, c.ascii)) })
	}
}

func TestEvents(t *testing.T) {
	d, socket := play(t, stage.Healthy(start, 3))
	code, out, _ := baton(t, socket, nil, "events")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 6 || !strings.HasPrefix(lines[5], "2026-08-14 14:02:09.000 ERROR node1") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if !strings.Contains(out, "move from node1 (ops@node1)") {
		t.Errorf("does not say who asked:\n%s", out)
	}
	_, out, _ = baton(t, socket, nil, "events", "-n", "2", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var e cluster.Event
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil || len(lines) != 2 || e.ID != 86 {
		t.Errorf("-n 2 --json: %v\n%s", err, out)
	}

	// -f goes on over a restart of the daemon, and says each event once.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w := &watched{want: "the end", found: cancel}
	ended := make(chan int)
	go func() {
		sys := &system{in: strings.NewReader(""), out: w, err: &bytes.Buffer{}, getenv: func(string) string { return socket }}
		ended <- run(ctx, sys, []string{"events", "-f", "-n", "1"})
	}()
	w.has(t, "path lan2 from node2 is lost")
	d.Say(cluster.Event{ID: 90, Severity: cluster.Info, Text: "one more"})
	w.has(t, "one more")
	d.Close()
	again, err := stage.New(socket, stage.Healthy(start, 3), append(stage.Events(start), cluster.Event{ID: 90, Text: "one more"}, cluster.Event{ID: 91, Text: "the end"}))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if code := <-ended; code != 0 {
		t.Errorf("events -f: exit %d", code)
	}
	if out := w.text(); strings.Count(out, "one more") != 1 || strings.Count(out, "is lost") != 1 || !strings.Contains(out, "the end") {
		t.Errorf("events -f:\n%s", out)
	}
}

func TestCheckAndKey(t *testing.T) {
	code, out, _ := baton(t, "", nil, "check", filepath.Join(t.TempDir(), "none.toml"))
	if code != 1 || out == "" {
		t.Errorf("check of no file: exit %d, out %q", code, out)
	}
	_, a, _ := baton(t, "", nil, "keygen")
	_, b, _ := baton(t, "", nil, "keygen")
	if a == b || strings.Count(a, "\n") != 1 {
		t.Errorf("keys %q and %q", a, b)
	}
}

// An operation that takes its time says on standard error which steps are under way, each
// once; one that is quick says nothing.
func TestSlowOperationSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	d, socket := play(t, stage.Healthy(start, 3))
	step := func(kind, server string) {
		d.Show(func(st *api.Status) {
			for i := range st.Groups {
				if g := &st.Groups[i]; g.Name == "web" {
					g.Step = nil
					if kind != "" {
						g.Step = &api.Step{Kind: kind, Server: server, Since: start.UnixMilli()}
					}
				} else {
					g.Step = &api.Step{Kind: "stop", Server: "node3", Since: start.UnixMilli()} // no part of it
				}
			}
		})
	}
	d.Answer(func(op cluster.Op) error {
		op.State = cluster.OpRunning
		step("stop", "node1")
		d.Show(func(st *api.Status) { st.Ops = append(st.Ops, op) })
		go func() {
			time.Sleep(quietFor * 3 / 2)
			step("start", "node2")
			time.Sleep(quietFor / 2)
			step("", "")
			d.Show(func(st *api.Status) { st.Ops[len(st.Ops)-1].State = cluster.OpDone })
		}()
		return nil
	})
	exit, out, errs := baton(t, socket, nil, "move", "web", "node2")
	if exit != 0 || !strings.HasPrefix(out, "move web: done") {
		t.Errorf("exit %d, output %q", exit, out)
	}
	var lines []string
	for line := range strings.Lines(errs) {
		before, _, _ := strings.Cut(line, ", under way since")
		lines = append(lines, before)
	}
	if want := []string{"move web: stop of web on node1", "move web: start of web on node2"}; !slices.Equal(lines, want) {
		t.Errorf("said %q, want %q", lines, want)
	}
}

// What scripts have printed is shown line by line, without control characters.
func TestLog(t *testing.T) {
	_, socket := play(t, stage.Healthy(start, 3))
	const all = "# start web on node1\nlistening on 8080\n# start web: exit code 0\n"
	for args, want := range map[string]string{"log web": all, "log web -n 1": "# start web: exit code 0\n", "log web -n 9": all} {
		if exit, out, errs := baton(t, socket, nil, strings.Fields(args)...); exit != 0 || out != want || errs != "" {
			t.Errorf("%s: exit %d, %q, %q; want %q", args, exit, out, errs, want)
		}
	}
	if exit, _, _ := baton(t, socket, nil, "log", "web", "-n", "-1"); exit != exitUsage {
		t.Errorf("a negative number: exit %d", exit)
	}
}

// How far a server is that comes back, or goes, is told once for each change.
func TestNarratesServers(t *testing.T) {
	st := stage.Healthy(start, 3)
	var errs bytes.Buffer
	o := &options{sys: &system{err: &errs}}
	told := map[string]string{}
	op := &api.Operation{Verb: cluster.VerbReturn, Server: "node3"}
	for _, s := range [][2]string{
		{"returning", "RECOVER of web runs first, then of batch"},
		{"returning", "RECOVER of web runs first, then of batch"},
		{"returning", "RECOVER of batch runs first"},
		{"online", "returned"},
	} {
		st.Servers[2].State, st.Servers[2].Reason = s[0], s[1]
		o.narrateSteps(st, op, "return node3", told)
	}
	want := "return node3: node3 is returning: RECOVER of web runs first, then of batch\nreturn node3: node3 is returning: RECOVER of batch runs first\n"
	if errs.String() != want {
		t.Errorf("got %q, want %q", errs.String(), want)
	}
}
