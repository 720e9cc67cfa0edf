package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// watcher knows, from nothing but the steps pushed and the commands applied, which
// servers may carry which group, and checks the rules that must hold in every state.
type watcher struct {
	t     *rapid.T
	w     *world
	may   map[string]map[string]uint64 // group → server → session under which it was started there
	token uint64                       // highest seen
}

// apply applies a command and checks what it did.
func (k *watcher) apply(c Command) {
	before := k.w.s.Clone()
	k.w.apply(c)
	after := k.w.s
	k.released(before, c)
	k.starts(before)
	k.kept(before, c)
	k.marked(before)
	if fault := after.fault(); fault != "" {
		k.t.Fatalf("%s: %s", c.Kind, fault)
	}
}

// roundTrip checks that the state survives being stored.
func (k *watcher) roundTrip() {
	again, err := Decode(k.w.s.Encode())
	if err != nil || string(again.Encode()) != string(k.w.s.Encode()) {
		k.t.Fatalf("round trip: %v", err)
	}
}

// released forgets carriers: by a stop that released, a start that left nothing, or
// the end of the session.
func (k *watcher) released(before *State, c Command) {
	if c.Kind == KindResult && c.Outcome != nil {
		for i := range before.Groups {
			st := before.Groups[i].Step
			if st == nil || st.Token != c.Token || st.Server != c.Server || st.Session != c.Session {
				continue
			}
			o := *c.Outcome
			if st.Kind == StepStop && o.OK || st.Kind == StepStart && !o.OK && !o.Ran && !o.Held {
				delete(k.may[st.Group], st.Server)
			}
		}
	}
	for _, servers := range k.may {
		for name, session := range servers {
			if sv := k.w.s.Server(name); sv == nil || sv.Session != session {
				delete(servers, name)
			}
		}
	}
}

// starts checks every step that is new: no start while the group may be active, no
// stop of nothing, every step under the open session of its server.
func (k *watcher) starts(before *State) {
	known := map[uint64]bool{}
	for _, st := range allSteps(before) {
		known[st.Token] = true
	}
	for _, st := range allSteps(k.w.s) {
		if known[st.Token] {
			continue
		}
		if st.Token <= k.token {
			k.t.Fatalf("token %d after %d", st.Token, k.token)
		}
		if sv := k.w.s.Server(st.Server); sv.Session == 0 || sv.Session != st.Session {
			k.t.Fatalf("step %+v without its session", st)
		}
		carriers := k.may[st.Group]
		switch st.Kind {
		case StepStart:
			if len(carriers) > 0 {
				k.t.Fatalf("%s starts on %s while it may be active on %v", st.Group, st.Server, carriers)
			}
			if k.w.s.Server(st.Server).State != ServerOnline {
				k.t.Fatalf("%s starts on %s, which is %s", st.Group, st.Server, k.w.s.Server(st.Server).State)
			}
			if carriers == nil {
				carriers = map[string]uint64{}
				k.may[st.Group] = carriers
			}
			carriers[st.Server] = st.Session
		case StepStop:
			if carriers[st.Server] != st.Session {
				k.t.Fatalf("%s stops on %s, may be active on %v", st.Group, st.Server, carriers)
			}
		}
		if p := st.Env.Priority; p < 1 || p > 16 || st.Env.Home != (p == 1) {
			k.t.Fatalf("step %+v", st)
		}
	}
	for _, st := range allSteps(k.w.s) {
		k.token = max(k.token, st.Token)
	}
	for group, servers := range k.may {
		for name := range servers {
			if !slices.Contains(k.w.s.Carries(name), group) {
				k.t.Fatalf("%s may be active on %s, Carries says %v", group, name, k.w.s.Carries(name))
			}
		}
	}
}

// kept checks S4: a step goes away by its own result or with its session.
func (k *watcher) kept(before *State, c Command) {
	now := allSteps(k.w.s)
	for _, sv := range before.Servers {
		for _, st := range before.Steps(sv.Name) {
			isSame := func(o Step) bool { return o == st }
			ended := c.Kind == KindResult && c.Token == st.Token && c.Server == st.Server && c.Session == st.Session
			after := k.w.s.Server(st.Server)
			if !slices.ContainsFunc(now, isSame) && !ended && after != nil && after.Session == st.Session {
				k.t.Fatalf("step %+v was taken away by %s", st, c.Kind)
			}
		}
	}
}

// marked checks that whatever differs carries the index of the entry that did it.
func (k *watcher) marked(before *State) {
	s := k.w.s
	strip := func(v State) string {
		v.Index, v.Revision = 0, 0
		return bare(&v)
	}
	if s.Revision != s.Index && strip(*before) != strip(*s) {
		k.t.Fatalf("entry %d changed the state, its revision is %d", s.Index, s.Revision)
	}
	for i := range s.Groups {
		g, old := &s.Groups[i], before.Group(s.Groups[i].Name)
		if old != nil && g.Changed != s.Index && string(mustJSON(old)) != string(mustJSON(g)) {
			k.t.Fatalf("entry %d changed %s, marked %d:\n%s\n%s", s.Index, g.Name, g.Changed, mustJSON(old), mustJSON(g))
		}
	}
	for i := range s.Servers {
		sv, old := &s.Servers[i], before.Server(s.Servers[i].Name)
		if old != nil && sv.Changed != s.Index && string(mustJSON(old)) != string(mustJSON(sv)) {
			k.t.Fatalf("entry %d changed %s, marked %d:\n%s\n%s", s.Index, sv.Name, sv.Changed, mustJSON(old), mustJSON(sv))
		}
	}
}

func allSteps(s *State) []Step {
	var out []Step
	for i := range s.Groups {
		if st := s.Groups[i].Step; st != nil {
			out = append(out, *st)
		}
	}
	for i := range s.Servers {
		out = append(out, s.Servers[i].Recovering...)
	}
	return out
}

// TestRandom applies random commands, sensible ones and nonsense, with the watcher
// looking on; then it lets everything come to an end and checks that operations have
// ended and that every wanted group runs or says why not.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := &watcher{t: t, w: newWorld(t, randomConfig(t)), may: map[string]map[string]uint64{}}
		if rapid.Bool().Draw(t, "up") {
			for _, name := range k.w.s.Config.Servers {
				k.apply(Command{Kind: KindArrive, Server: name, Session: 1, Boot: "b1"})
			}
			k.apply(Command{Kind: KindBegin})
		}
		for range rapid.IntRange(1, 120).Draw(t, "n") {
			k.apply(randomCommand(t, k.w.s))
		}
		k.roundTrip()
		k.calm()
		k.roundTrip()
	})
}

// calm ends every step well, ends the sessions that hold stuck groups, and starts
// the cluster if it is not running.
func (k *watcher) calm() {
	s := k.w.s
	for range 4 {
		for range 300 {
			due := k.w.due()
			if len(due) == 0 {
				break
			}
			o := good
			k.apply(Command{Kind: KindResult, Server: due[0].Server, Session: due[0].Session, Token: due[0].Token, Outcome: &o})
		}
		for i := range s.Groups {
			if g := &s.Groups[i]; g.Stuck {
				k.apply(Command{Kind: KindLost, Lost: []Loss{{Server: g.Server, Session: s.Server(g.Server).Session, Reason: "cleared", Offers: s.Server(g.Server).Session + 1}}})
			}
		}
	}
	if due := k.w.due(); len(due) > 0 {
		k.t.Fatalf("steps without end: %+v", due)
	}
	for _, op := range s.Ops {
		if op.State == OpRunning || op.Text == "" {
			k.t.Fatalf("operation without end: %+v\n%s", op, k.w.where())
		}
	}
	if s.Phase == PhaseStopping {
		k.t.Fatalf("the cluster does not come to its end: %s", k.w.where())
	}
	for i := range s.Servers {
		switch sv := &s.Servers[i]; sv.State {
		case ServerReturning, ServerLeaving:
			k.t.Fatalf("%s is %s for ever", sv.Name, sv.State)
		}
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		switch {
		case g.State == GroupStarting, g.State == GroupStopping:
			k.t.Fatalf("%s is %s for ever", g.Name, g.State)
		case g.Reason == "":
			k.t.Fatalf("%s is %s without a reason", g.Name, g.State)
		case s.Phase == PhaseRunning && g.Wanted && g.State == GroupStopped && s.best(s.Config.Group(g.Name)) != "":
			k.t.Fatalf("%s waits although %s is online", g.Name, s.best(s.Config.Group(g.Name)))
		}
	}
}

var randomNames = []string{"s1", "s2", "s3"}

func randomConfig(t *rapid.T) Config {
	cfg := Config{Cluster: "r", Servers: randomNames, ReturnAuto: rapid.Bool().Draw(t, "auto")}
	for i := range rapid.IntRange(1, 4).Draw(t, "groups") {
		cfg.Groups = append(cfg.Groups, GroupConfig{
			Name:          "G" + strconv.Itoa(i),
			Policy:        rapid.Permutation(randomNames).Draw(t, "policy")[:rapid.IntRange(1, 3).Draw(t, "length")],
			Autostart:     rapid.Bool().Draw(t, "autostart"),
			FailbackAuto:  rapid.Bool().Draw(t, "failback"),
			OnAnomaly:     rapid.SampledFrom([]string{"", "failover", "stop"}).Draw(t, "on"),
			FailoverTo:    rapid.SampledFrom([]string{"", "stable"}).Draw(t, "to"),
			MaxFailovers:  rapid.IntRange(0, 3).Draw(t, "max"),
			MonitorScript: rapid.Bool().Draw(t, "monitor"),
		})
	}
	return cfg
}

func randomOutcome(t *rapid.T) Outcome {
	switch rapid.IntRange(0, 9).Draw(t, "outcome") {
	case 0:
		return Outcome{Text: "address in use"}
	case 1:
		return Outcome{Ran: true, Exit: 3}
	case 2:
		return Outcome{OK: true, Ran: true, Exit: 1}
	case 3:
		return Outcome{Held: true, Text: "cannot unmount"}
	}
	return good
}

func randomCommand(t *rapid.T, s *State) Command {
	server := rapid.SampledFrom(append([]string{"", "s4"}, append(randomNames, randomNames...)...)).Draw(t, "server")
	group := rapid.SampledFrom([]string{"G0", "G1", "G2", "G3", ""}).Draw(t, "group")
	sv, g := s.Server(server), s.Group(group)
	near := func(x uint64) uint64 { return x + uint64(rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "near")) }
	switch rapid.IntRange(0, 13).Draw(t, "kind") {
	case 0, 1:
		c := Command{Kind: KindArrive, Server: server, Boot: rapid.SampledFrom([]string{"b1", "b2", "b3"}).Draw(t, "boot")}
		if sv != nil {
			c.Session = near(max(sv.LastSession, sv.Offered))
		}
		return c
	case 2:
		c := Command{Kind: KindLost}
		for _, name := range rapid.Permutation(randomNames).Draw(t, "lost")[:rapid.IntRange(1, 3).Draw(t, "count")] {
			l := Loss{Server: name, Reason: "silent"}
			if sv := s.Server(name); sv != nil && rapid.Bool().Draw(t, "offers") {
				l.Offers = near(sv.LastSession)
			}
			if rapid.IntRange(0, 4).Draw(t, "zero") > 0 && s.Server(name) != nil {
				l.Session = s.Server(name).Session
			}
			c.Lost = append(c.Lost, l)
		}
		return c
	case 3:
		return Command{Kind: KindBegin}
	case 4, 5, 6:
		var due []Step
		for _, name := range randomNames {
			due = append(due, s.Steps(name)...)
		}
		o := randomOutcome(t)
		if len(due) == 0 {
			return Command{Kind: KindResult, Server: server, Token: 7, Outcome: &o}
		}
		st := rapid.SampledFrom(due).Draw(t, "step")
		c := Command{Kind: KindResult, Server: st.Server, Session: st.Session, Token: st.Token, Outcome: &o}
		switch rapid.IntRange(0, 19).Draw(t, "wrong") {
		case 0:
			c.Token--
		case 1:
			c.Session++
		case 2:
			c.Server = server
		}
		return c
	case 7:
		c := Command{Kind: rapid.SampledFrom([]Kind{KindAnomaly, KindAnomaly, KindNormal}).Draw(t, "report"), Group: group, Resource: "nfs"}
		if g != nil && g.Server != "" {
			c.Server, c.Session = g.Server, s.Server(g.Server).Session
		}
		return c
	case 8:
		cfg := randomConfig(t)
		if rapid.Bool().Draw(t, "fewer") {
			cfg.Servers = cfg.Servers[:2] // most often wrong: a policy names the third
		}
		return Command{Kind: KindConfigure, Config: &cfg}
	case 9:
		return rapid.SampledFrom([]Command{
			{Kind: KindNote, Text: "hello", Severity: "loud"},
			{Kind: KindConfigure},
			{Kind: KindOperate},
			{Kind: KindOperate, Op: &Op{Verb: VerbStop}},
			{Kind: KindResult},
			{Kind: KindLost},
			{Kind: KindLost, Lost: []Loss{{Server: "s9"}, {}}},
			{Kind: KindAnomaly},
			{Kind: KindNormal},
		}).Draw(t, "nonsense")
	}
	op := &Op{
		ID: fmt.Sprint("op", rapid.IntRange(0, 300).Draw(t, "id")),
		Verb: rapid.SampledFrom([]Verb{
			VerbStart, VerbStart, VerbStop, VerbMove, VerbMove, VerbFailover, VerbRestart, VerbDisconnect,
			VerbReturn, VerbReturn, VerbShutdown, VerbShutdownCluster, "dance",
		}).Draw(t, "verb"),
		Group: group, Server: server,
	}
	if rapid.IntRange(0, 5).Draw(t, "revised") == 0 {
		op.Revision = s.Revision - min(s.Revision, 2)
	}
	return Command{Kind: KindOperate, Op: op}
}
