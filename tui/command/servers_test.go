package command

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/stage"
)

// leaves is what would happen if node1 went.
func leaves(what string) (cluster.Forecast, error) {
	return cluster.Forecast{
		Runs: []cluster.ForeseenRun{
			{Round: 1, Step: cluster.Step{Kind: cluster.StepStop, Group: "web", Server: "node1", Env: cluster.Env{Event: cluster.EventStart, Factor: cluster.FactorServerShutdown, Priority: 1}}},
			{Round: 1, Step: cluster.Step{Kind: cluster.StepStop, Group: "batch", Server: "node1", Env: cluster.Env{Factor: cluster.FactorServerShutdown}}},
			{Round: 2, Step: cluster.Step{Kind: cluster.StepStart, Group: "web", Server: "node2", Env: cluster.Env{Event: cluster.EventFailover, Priority: 2}}},
		},
		Moves: []cluster.ForeseenMove{
			{Group: "web", From: "node1", To: "node2", State: cluster.GroupOnline, Reason: "node2: highest priority online"},
			{Group: "batch", From: "node1", State: cluster.GroupStopped, Reason: "no server of its policy is online"},
		},
	}, nil
}

// A name must be typed at a terminal, in full; then, and only then, it is asked for.
func TestShutdownWantsTheName(t *testing.T) {
	d, socket := play(t, stage.Healthy(start, 3))
	d.Foretell(leaves)
	d.Answer(func(op cluster.Op) error {
		op.State, op.Begun, op.Ended = cluster.OpDone, 1000, 3000
		d.Show(func(st *api.Status) { st.Ops = append(st.Ops, op) })
		return nil
	})
	for _, c := range []struct {
		name, args, shows, keys, end string
		ok                           bool
	}{
		{"enter", "shutdown node1", "Type the server's name to go on:", "\r", `"" is not "node1": nothing was done`, false},
		{"y", "shutdown node1", "web: stops on node1, starts on node2", "y\r", "nothing was done", false},
		{"part", "shutdown node1", "batch: stops on node1 (no server of its policy is online)", "node\r", "nothing was done", false},
		{"end of file", "shutdown node1", "Type the server's name", "\x04", "not confirmed: nothing was done", false},
		{"interrupted", "shutdown --cluster", "Type the cluster's name to go on:", "\x03", "not confirmed: nothing was done", false},
		{"wrong cluster", "shutdown --cluster", "every server", "node1\r", "nothing was done", false},
		{"cluster", "shutdown --cluster", "Type the cluster's name", "prod-db\r", "shutdown --cluster: done in 2.0 s", true},
		{"server", "shutdown node1", "Type the server's name", "node1\r", "shutdown node1: done in 2.0 s", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(d.Asked())
			s := seatFor(t, strings.Fields(c.args), socket, 100, 24)
			s.shows(c.shows)
			s.shows("name to go on:")
			s.keys(c.keys)
			err := s.ends()
			s.shows(c.end)
			if got := len(d.Asked()) - before; (got == 1) != c.ok || (err == nil) != c.ok {
				t.Errorf("%d operations were asked for, exit %v:\n%s", got, err, s.text())
			}
		})
	}
	// A refusal is told before anything is typed.
	d.Foretell(func(string) (cluster.Forecast, error) {
		return cluster.Forecast{Refusal: &cluster.Refusal{Code: cluster.RefusedServerBusy, Message: "node1 is leaving", Hint: "wait until that has ended"}}, nil
	})
	s := seatFor(t, []string{"shutdown", "node1"}, socket, 100, 24)
	if err := s.ends(); err == nil {
		t.Error("not refused")
	}
	s.shows("node1 is leaving (wait until that has ended)")
}

// The same by keys: what would happen is on the screen before the name is typed, and
// the operation carries the revision that was seen.
func TestDisconnectByKeys(t *testing.T) {
	d, socket := play(t, old())
	d.Foretell(leaves)
	d.Answer(func(op cluster.Op) error {
		d.Show(func(st *api.Status) {
			st.Servers[1].State, st.Servers[1].Reason = string(cluster.ServerDetached), "disconnected by "+op.Who.User
			op.State, op.Begun, op.Ended = cluster.OpDone, 1000, 3000
			st.Ops = append(st.Ops, op)
		})
		return nil
	})
	s := seatAt(t, socket, 80, 24)
	s.shows("node1 ONLINE (here)")
	s.keys("\tl")
	s.shows("> ● node2 ONLINE")
	s.keys("D")
	s.shows("DISCONNECT SERVER node2")
	s.shows("web: stops on node1, starts on node2")
	s.keys("node1\r\x15node2\r")
	s.shows("disconnect node2: done in 2.0 s")
	s.shows("◇ node2 DETACHED")
	s.shows("a → return")
	asked := d.Asked()
	if len(asked) != 1 || asked[0].Verb != cluster.VerbDisconnect || asked[0].Server != "node2" || asked[0].Revision != 4711 {
		t.Errorf("asked %+v", asked)
	}
	s.keys("\tk\tw") // groups again
	s.shows("WHY IS web WHERE IT IS")
	s.shows("node1: highest priority online")
}

// Forcing: the operator is told what he vouches for, and by whom he is still heard.
func TestForcedReturnVouches(t *testing.T) {
	st := stage.NoQuorum(start, 3)
	st.Servers[2].HeardMS = 100
	d, socket := play(t, st)
	d.Answer(func(cluster.Op) error {
		go func() {
			time.Sleep(300 * time.Millisecond)
			d.Show(func(st *api.Status) { st.Quorum = true })
		}()
		return nil
	})
	s := seatFor(t, []string{"return", "node1", "--force"}, socket, 100, 24)
	for _, want := range []string{"YOU VOUCH", "node2  last heard 5s ago", "node3  HEARD NOW: it is not off", "Type the server's name to go on:"} {
		s.shows(want)
	}
	s.keys("node1\r")
	s.shows("return --force node1: done: node1 goes on alone")
	if err := s.ends(); err != nil {
		t.Error(err)
	}
	if asked := d.Asked(); len(asked) != 1 || asked[0].Verb != api.VerbForceReturn || asked[0].Server != "node1" {
		t.Errorf("asked %+v", asked)
	}
	// With a quorum, and elsewhere, nobody is asked to type anything.
	for _, server := range []string{"node1", "node2"} {
		s := seatFor(t, []string{"return", server, "--force"}, socket, 100, 24)
		if err := s.ends(); err == nil || strings.Contains(s.text(), "Type the") {
			t.Errorf("return %s --force: exit %v:\n%s", server, err, s.text())
		}
	}
}

// The batond that is asked may be among those that end: then its end is the
// operation's. One that only vanishes is not.
func TestShutdownEndsTheDaemon(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"shutdown node1 --yes", 0, "shutdown node1: done: batond has ended here"},
		{"shutdown --cluster --yes", 0, "shutdown --cluster: done: batond has ended here"},
		{"shutdown node2 --yes --timeout 1500ms", 4, "still under way"}, // another server's
		{"disconnect node1 --timeout 1500ms", 4, "still under way"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			d, socket := play(t, stage.Healthy(start, 3))
			d.Answer(func(op cluster.Op) error {
				op.State = cluster.OpRunning
				d.Show(func(st *api.Status) { st.Ops = append(st.Ops, op) })
				return nil
			})
			go func() {
				for d.Watched() == 0 {
					time.Sleep(time.Millisecond)
				}
				d.Close()
			}()
			code, out, errs := batonCtx(t.Context(), socket, nil, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out+errs, c.want) {
				t.Errorf("exit %d, out %q, errors %q; want %d and %q", code, out, errs, c.code, c.want)
			}
		})
	}
	// What a crash leaves behind.
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if endedInOrder(socket) {
		t.Error("a crash is taken for an end in order")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*goneFor)
	defer cancel()
	if op, err := await(ctx, api.Dial(socket), "x", true); err == nil {
		t.Errorf("after a crash: %+v", op)
	}
}

// What is behind the line that was typed stays for whoever reads next.
func TestReadLine(t *testing.T) {
	r := strings.NewReader("node1\r\nrest")
	if got, err := readLine(r); got != "node1\r" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := readLine(r); got != "rest" || err == nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, _ := readLine(strings.NewReader(strings.Repeat("x", 1<<20))); len(got) > 1024 {
		t.Errorf("%d bytes", len(got))
	}
	if isTerminal(strings.NewReader("")) || isTerminal(nil) {
		t.Error("no terminal is taken for one")
	}
	a, b, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	if !isTerminal(b) {
		t.Error("a terminal is not taken for one")
	}
}
