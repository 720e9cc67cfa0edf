package picture_test

import (
	"strings"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/picture"
	"baton/tui/stage"
	"baton/tui/words"
)

var at = time.Date(2026, 8, 14, 14, 2, 11, 0, time.UTC)

func TestWorst(t *testing.T) {
	change := func(f func(*api.Status)) *api.Status {
		st := stage.Healthy(at, 3)
		f(st)
		return st
	}
	for _, c := range []struct {
		name string
		st   *api.Status
		want words.Key
		n    int
	}{
		{"healthy", stage.Healthy(at, 3), words.Healthy, 0},
		{"down", stage.OneDown(at, 3), words.Down, 1},
		{"failed", stage.Mixed(at, 3), words.FailedWord, 1},
		{"no quorum", stage.NoQuorum(at, 3), words.NoQuorum, 0},
		{"forming", stage.Forming(at, 3), words.Forming, 0},
		{"path", change(func(st *api.Status) { st.Paths[0].State = "lost" }), words.Caution, 0},
		{"rules", change(func(st *api.Status) { st.Servers[1].SameRules = false }), words.Caution, 0},
		{"degraded", change(func(st *api.Status) { st.Groups[0].Degraded = true }), words.Degraded, 1},
		{"wanted, not running", change(func(st *api.Status) { st.Groups[0].State, st.Groups[0].Server = "stopped", "" }), words.Waiting, 1},
		{"stopped on purpose", change(func(st *api.Status) {
			st.Groups[0].State, st.Groups[0].Server, st.Groups[0].Wanted = "stopped", "", false
		}), words.Healthy, 0},
		{"stopped server", change(func(st *api.Status) { st.Servers[2].State = "stopped" }), words.Healthy, 0},
		{"two of a kind", change(func(st *api.Status) { st.Groups[0].State, st.Groups[1].State = "failed", "failed" }), words.FailedWord, 2},
	} {
		if s, n := picture.Worst(c.st); s.Word != c.want || n != c.n {
			t.Errorf("%s: %v %d, want %v %d", c.name, s, n, c.want, c.n)
		}
	}
}

// Off because told to, and off for no known reason, never share a sign; and what an
// isolated server last knew is not shown as if it were so.
func TestSignsAreHonest(t *testing.T) {
	st := stage.Healthy(at, 3)
	wanted := st.Groups[0]
	wanted.State, wanted.Server = string(cluster.GroupStopped), ""
	told := wanted
	told.Wanted = false
	if a, b := picture.OfGroup(st, &wanted), picture.OfGroup(st, &told); a.Kind == b.Kind || b.Kind != picture.Off {
		t.Errorf("wanted %v, stopped by an operator %v", a, b)
	}
	failingOver := st.Groups[0]
	failingOver.State, failingOver.Step = string(cluster.GroupStopping), &api.Step{Kind: string(cluster.StepRecover)}
	if s := picture.OfGroup(st, &failingOver); s != (picture.Sign{Kind: picture.Changing, Word: words.Recovering}) {
		t.Errorf("between stop and start of a failover: %v", s)
	}
	alone := stage.NoQuorum(at, 3)
	for i := range alone.Groups {
		if s := picture.OfGroup(alone, &alone.Groups[i]); s.Kind != picture.Unknown {
			t.Errorf("without a quorum %s is %v", alone.Groups[i].Name, s)
		}
	}
	for i := range alone.Servers {
		if s := picture.OfServer(alone, &alone.Servers[i]); s.Kind == picture.Good {
			t.Errorf("without a quorum %s is %v", alone.Servers[i].Name, s)
		}
	}
	// While the lease lasts, this server's own groups go on, and it knows them; a
	// change of leader must not make the whole screen flicker.
	alone.LeaseMS = 300
	if s := picture.OfGroup(alone, &alone.Groups[0]); s.Kind != picture.Good {
		t.Errorf("under a lease the own group is %v", s)
	}
	alone.Servers[1].HeardMS = 40
	if s := picture.OfGroup(alone, &alone.Groups[1]); s.Kind != picture.Good {
		t.Errorf("under a lease a group of a server that is heard is %v", s)
	}
	if s := picture.OfGroup(alone, &alone.Groups[2]); s.Kind != picture.Unknown {
		t.Errorf("a group of a server that is not heard is %v", s)
	}
}

func TestLinks(t *testing.T) {
	for _, c := range []struct {
		there, back string
		server      cluster.ServerState
		want        picture.Sign
		from        string
	}{
		{"ok", "ok", cluster.ServerOnline, picture.Sign{Kind: picture.Good, Word: words.OK}, ""},
		{"lost", "ok", cluster.ServerOnline, picture.Sign{Kind: picture.Failed, Word: words.OneWay}, "node1"},
		{"ok", "lost", cluster.ServerOnline, picture.Sign{Kind: picture.Failed, Word: words.OneWay}, "node2"},
		{"lost", "lost", cluster.ServerOnline, picture.Sign{Kind: picture.Failed, Word: words.Lost}, ""},
		{"lost", "unknown", cluster.ServerDown, picture.Sign{Kind: picture.Failed, Word: words.Lost}, ""},
		{"unknown", "unknown", cluster.ServerOnline, picture.Sign{Kind: picture.Unknown, Word: words.NoReport}, ""},
		{"ok", "unknown", cluster.ServerOnline, picture.Sign{Kind: picture.Unknown, Word: words.NoReport}, ""},
		{"lost", "lost", cluster.ServerStopped, picture.Sign{Kind: picture.Off, Word: words.PathOff}, ""},
	} {
		st := &api.Status{
			Servers: []api.Server{{Name: "node1", State: "online"}, {Name: "node2", State: string(c.server)}},
			Paths:   []api.Path{{From: "node1", To: "node2", Name: "lan1", State: c.there, AgeMS: -1, RTTMicro: -1}, {From: "node2", To: "node1", Name: "lan1", State: c.back, AgeMS: 42000, RTTMicro: 300}},
		}
		p := picture.Pairs(st)
		if len(p) != 1 || len(p[0].Links) != 1 {
			t.Fatalf("pairs %+v", p)
		}
		l := p[0].Links[0]
		if l.Sign != c.want || l.From != c.from {
			t.Errorf("%s, %s: %+v, want %v from %q", c.there, c.back, l, c.want, c.from)
		}
		if (l.Sign.Word == words.Lost) != (l.Age == 42*time.Second) && c.want.Kind == picture.Failed && c.from == "" {
			t.Errorf("%s, %s: age %v", c.there, c.back, l.Age)
		}
	}
	if n := picture.PathsLost(stage.OneDown(at, 3)); n != 0 {
		t.Errorf("a server that is down counts as %d lost paths", n)
	}
}

func TestWhyNot(t *testing.T) {
	st := stage.Healthy(at, 3)
	g := &st.Groups[0]
	for _, v := range []cluster.Verb{cluster.VerbStop, cluster.VerbMove, cluster.VerbFailover} {
		if why := picture.WhyNot(words.English, st, v, g); why != "" {
			t.Errorf("%s: %s", v, why)
		}
	}
	if why := picture.WhyNot(words.English, st, cluster.VerbStart, g); why != "web runs already, on node1" {
		t.Errorf("start: %q", why)
	}
	if got := picture.FirstOnline(stage.OneDown(at, 3), &st.Groups[2], "node1"); got != "node2" {
		t.Errorf("first online: %q", got)
	}
}

func TestCommandLine(t *testing.T) {
	for want, got := range map[string]string{
		"baton move web node2":       picture.CommandLine(cluster.VerbMove, "web", "node2"),
		"baton start 受注API":          picture.CommandLine(cluster.VerbStart, "受注API", ""),
		`baton stop 'it'\''s; $(x)'`: picture.CommandLine(cluster.VerbStop, "it's; $(x)", ""),
		"baton return node3":         picture.CommandLine(cluster.VerbReturn, "", "node3"),
		"baton disconnect node3":     picture.CommandLine(cluster.VerbDisconnect, "", "node3"),
		"baton shutdown node3":       picture.CommandLine(cluster.VerbShutdown, "", "node3"),
		"baton shutdown --cluster":   picture.CommandLine(cluster.VerbShutdownCluster, "", ""),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Each way that a group may go is told, and no group gone is told too.
func TestEffects(t *testing.T) {
	f := cluster.Forecast{
		Runs: []cluster.ForeseenRun{
			{Round: 1, Step: cluster.Step{Kind: cluster.StepRecover, Group: "r", Server: "s1"}},
			{Round: 1, Step: cluster.Step{Kind: cluster.StepStop, Group: "a", Server: "s1"}},
		},
		Moves: []cluster.ForeseenMove{
			{Group: "a", From: "s1", To: "s2", State: cluster.GroupOnline},
			{Group: "b", To: "s2", State: cluster.GroupOnline},
			{Group: "c", From: "s1", State: cluster.GroupStopped, Reason: "nowhere\x1b"},
			{Group: "d", From: "s1", To: "s1", State: cluster.GroupFailed, Reason: "stuck"},
			{Group: "e", From: "s1", To: "s1", State: cluster.GroupOnline},
		},
	}
	got := strings.Join(picture.Effects(words.English, &f), "\n")
	want := "r: start script with RECOVER on s1\na: stops on s1, starts on s2\nb: starts on s2\nc: stops on s1 (nowhere)\nd: failed (stuck)\ne: starts on s1"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := picture.Effects(words.English, &cluster.Forecast{}); len(got) != 1 || got[0] != "No group stops or moves." {
		t.Errorf("nothing: %q", got)
	}
	if got := picture.Effects(words.English, &cluster.Forecast{Phase: cluster.PhaseForming}); len(got) != 2 || !strings.HasPrefix(got[0], "No server is left in the cluster then.") {
		t.Errorf("the last server: %q", got)
	}
}

// Without a quorum a server knows that what it ran itself is stopped, and of the others
// what was last known; with one, or where nothing was active, there is no doubt.
func TestDoubt(t *testing.T) {
	st := stage.NoQuorum(at, 3)
	st.Servers[2].HeardMS = 60_000
	for i, want := range []string{
		"stopped here, for want of a quorum; another server may run it (last known: ONLINE)",
		"last known: ONLINE", "last known: STARTING", "",
	} {
		g := api.Group{State: string(cluster.GroupOnline), Server: "node1"}
		switch i {
		case 1:
			g.Server = "node3"
		case 2:
			g.Server, g.State = "node3", string(cluster.GroupStarting)
		case 3:
			g.State = string(cluster.GroupStopped)
		}
		if got := picture.Doubt(words.English, st, &g); got != want {
			t.Errorf("%s on %s: %q, want %q", g.State, g.Server, got, want)
		}
		if got := picture.Doubt(words.English, stage.Healthy(at, 3), &g); got != "" {
			t.Errorf("with a quorum: %q", got)
		}
	}
}

func TestCountResources(t *testing.T) {
	for _, c := range []struct {
		kinds string
		want  int
	}{{"", 0}, {"script script", 1}, {"floating_ip script script", 2}, {"partition floating_ip floating_ip", 3}} {
		var g api.Group
		for _, k := range strings.Fields(c.kinds) {
			g.Resources = append(g.Resources, api.Resource{Kind: k})
		}
		if got := picture.CountResources(&g); got != c.want {
			t.Errorf("%q: %d, want %d", c.kinds, got, c.want)
		}
	}
}

// Every state of a server or group has its word.
func TestStateWords(t *testing.T) {
	for _, s := range []string{
		string(cluster.ServerOnline), string(cluster.ServerStopped), string(cluster.ServerDown), string(cluster.ServerDetached), string(cluster.ServerStarting),
		string(cluster.ServerLeaving), string(cluster.ServerReturning), string(cluster.GroupStopped), string(cluster.GroupStarting), string(cluster.GroupOnline),
		string(cluster.GroupStopping), string(cluster.GroupFailed),
	} {
		if picture.StateWord(s) == words.NotKnown {
			t.Errorf("%s has no word", s)
		}
	}
	if got := picture.StateWord("from a later version"); got != words.NotKnown {
		t.Errorf("an unknown state is %v", got)
	}
}
