package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// transition is one case of testdata/transitions.toml.
type transition struct {
	ID      string
	Title   string
	Servers int
	Before  place
	Event   string
	After   place
	Runs    []run
}

type place struct {
	Groups     map[string]string   `toml:"groups"`
	Offline    map[string]string   `toml:"offline"`
	LastEvent  map[string]string   `toml:"last_event"`
	LastServer map[string]string   `toml:"last_server"`
	FailedWith map[string][]string `toml:"failed_with"`
}

// TestTransitions plays every state transition of the seed on one State: steps are
// carried out at once, every script run they make is recorded, and runs, their order
// within each group, their variables and the state behind must be those listed.
func TestTransitions(t *testing.T) {
	var file struct{ Case []transition }
	meta, err := toml.DecodeFile("testdata/transitions.toml", &file)
	if err != nil {
		t.Fatal(err)
	}
	if keys := meta.Undecoded(); len(keys) > 0 {
		t.Fatalf("keys this test does not look at: %v", keys)
	}
	if got, want := len(file.Case), 22; got != want {
		t.Fatalf("%d cases, want %d", got, want)
	}
	for _, c := range file.Case {
		t.Run(c.ID, func(t *testing.T) {
			w := c.before(t)
			for part := range strings.SplitSeq(c.Event, "; ") {
				happen(w, strings.Fields(part))
			}
			w.runAll()
			c.compare(t, w)
		})
	}
}

// before brings a cluster into the state ahead of a case, by commands where there
// are any and by hand only where the case says what the past was.
func (c *transition) before(t *testing.T) *world {
	cfg := testConfig(max(c.Servers, 2))
	cfg.ReturnAuto = strings.Contains(c.Event, "return = auto")
	w := newWorld(t, cfg)
	s := w.s
	for name, state := range c.Before.Offline {
		sv := s.Server(name)
		sv.State, sv.LastSession = ServerState(state), 4
		sv.Failed, sv.FailedBoot, sv.FailedWith = state != "stopped", "boot0", c.Before.FailedWith[name]
		if state == "detached" {
			sv.Present, sv.Offered, sv.Boot = true, 5, "boot1"
		}
	}
	if len(c.Before.Offline) < len(s.Servers) {
		s.Phase = PhaseRunning
	}
	for i := range s.Servers {
		if sv := &s.Servers[i]; c.Before.Offline[sv.Name] == "" {
			sv.State, sv.Session, sv.LastSession, sv.Present = ServerOnline, 5, 5, true
		}
	}
	for name, server := range c.Before.Groups {
		g, gc := s.Group(name), s.Config.Group(name)
		g.LastServer = cmp.Or(server, c.Before.LastServer[name])
		if server != "" {
			g.State, g.Server, g.Wanted = GroupOnline, server, true
			g.LastStart = startEnv(gc, server, cmp.Or(c.Before.LastEvent[name], EventStart))
		}
	}
	if fault := s.fault(); fault != "" {
		t.Fatalf("state ahead of the case: %s", fault)
	}
	return w
}

// happen turns a case's words into commands.
func happen(w *world, words []string) {
	w.t.Helper()
	accept := func(op *Op) {
		w.t.Helper()
		if op.State == OpRefused {
			w.t.Fatalf("refused: %s: %s", op.String(), op.Text)
		}
	}
	switch words[0] {
	case "cluster-start":
		for _, name := range words[1:] {
			w.arrive(name, "boot2")
		}
		w.apply(Command{Kind: KindBegin, Text: "all servers are there"})
	case "cluster-shutdown":
		accept(w.ask(VerbShutdownCluster, "", ""))
	case "server-fails":
		w.lose(words[1])
	case "boot":
		w.arrive(words[1], "boot2")
	case "group-fails":
		g := w.s.Group(words[1])
		w.apply(Command{
			Kind: KindAnomaly, Group: g.Name, Server: g.Server, Session: w.s.Server(g.Server).Session,
			Resource: "partition", Text: "no answer",
		})
	case "application-dies":
		verb := VerbFailover
		if strings.Contains(strings.Join(words, " "), "restart") {
			verb = VerbRestart
		}
		accept(w.ask(verb, words[1], ""))
	case "move":
		accept(w.ask(VerbMove, words[1], words[2]))
	case "start", "stop":
		accept(w.ask(Verb(words[0]), words[1], ""))
	case "return", "disconnect", "shutdown":
		accept(w.ask(Verb(words[0]), "", words[1]))
	default:
		w.t.Fatalf("unknown event %q", words)
	}
}

func (c *transition) compare(t *testing.T, w *world) {
	t.Helper()
	byGroup := func(a, b run) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Order, b.Order))
	}
	got, want := w.runs, c.Runs
	slices.SortFunc(got, byGroup)
	slices.SortFunc(want, byGroup)
	for i := range want {
		if i >= len(got) || i >= len(want) {
			break
		}
		// Only the variables listed are to be compared, but a start script has no
		// ARMS_FACTOR.
		checked := map[string]string{}
		for _, key := range slices.Sorted(maps.Keys(want[i].Env)) {
			checked[key] = got[i].Env[key]
		}
		if f := got[i].Env["ARMS_FACTOR"]; got[i].Script == "start" && f != "" {
			t.Errorf("start script of %s with ARMS_FACTOR %s", got[i].Group, f)
		}
		if !maps.Equal(checked, want[i].Env) || got[i].Group != want[i].Group || got[i].Server != want[i].Server ||
			got[i].Script != want[i].Script || got[i].Order != want[i].Order {
			t.Errorf("run %d\ngot  %+v\nwant %+v", i+1, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d runs, want %d: %+v", len(got), len(want), got)
	}
	for name, server := range c.After.Groups {
		g := w.s.Group(name)
		if g.Server != server || (server == "") != (g.State == GroupStopped) || server != "" && g.State != GroupOnline {
			t.Errorf("group %s: %s on %q, want %q", name, g.State, g.Server, server)
		}
	}
	for _, sv := range w.s.Servers {
		if want := cmp.Or(c.After.Offline[sv.Name], "online"); string(sv.State) != want {
			t.Errorf("%s: %s, want %s", sv.Name, sv.State, want)
		}
	}
	for _, op := range w.s.Ops {
		if op.State != OpDone {
			t.Errorf("%s: %s: %s", op.String(), op.State, op.Text)
		}
	}
}
