package cluster

import (
	"fmt"
	"slices"
	"strconv"
)

// world drives one State: it numbers the entries and carries out steps at once.
type world struct {
	t     tester
	s     *State
	index uint64
	runs  []run
	ops   int
	codes []string // of every event
	// outcome decides how a step ends; nil: well.
	outcome func(Step) Outcome
}

// tester is what testing.T and rapid.T have in common here.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// run is one script run, as transitions.toml lists them.
type run struct {
	Group  string            `toml:"group"`
	Server string            `toml:"server"`
	Script string            `toml:"script"`
	Order  int               `toml:"order"`
	Env    map[string]string `toml:"env"`
}

// testConfig is the cluster of transitions.toml: A and C prefer server1, B server2.
func testConfig(servers int) Config {
	names := []string{"server1", "server2", "server3"}[:servers]
	b := slices.Clone(names)
	b[0], b[1] = b[1], b[0]
	return Config{Cluster: "test", Servers: names, Groups: []GroupConfig{
		{Name: "A", Policy: names, Autostart: true},
		{Name: "B", Policy: b, Autostart: true},
		{Name: "C", Policy: names, Autostart: true},
	}}
}

func newWorld(t tester, cfg Config) *world {
	w := &world{t: t, s: &State{}}
	w.apply(Command{Kind: KindConfigure, Config: &cfg})
	return w
}

// running is a cluster in which all servers are online and every group with
// autostart runs.
func running(t tester, cfg Config) *world {
	w := newWorld(t, cfg)
	for _, name := range cfg.Servers {
		w.arrive(name, "boot1")
	}
	w.apply(Command{Kind: KindBegin})
	w.runAll()
	w.runs = nil
	return w
}

func (w *world) apply(c Command) []Event {
	w.t.Helper()
	w.index++
	c.At = int64(w.index) * 1000
	// Over the wire and back, as package node does it.
	decoded, err := DecodeCommand(EncodeCommand(c))
	if err != nil {
		w.t.Fatalf("command %+v: %v", c, err)
	}
	twin := w.s.Clone()
	events := w.s.Apply(w.index, decoded)
	if other := twin.Apply(w.index, decoded); !slices.Equal(events, other) {
		w.t.Fatalf("two servers say different things of %s:\n%+v\n%+v", c.Kind, events, other)
	}
	if got, want := bare(twin), bare(w.s); got != want {
		w.t.Fatalf("two servers differ after %s:\n%s\n%s", c.Kind, got, want)
	}
	for _, e := range events {
		w.codes = append(w.codes, e.Code)
	}
	return events
}

// bare is the state without its history, which is long and compared otherwise.
func bare(s *State) string {
	c := *s
	c.Events = nil
	return string(c.Encode())
}

// arrive lets a server come with a session that is newer than any it had.
func (w *world) arrive(server, boot string) {
	w.t.Helper()
	sv := w.s.Server(server)
	w.apply(Command{Kind: KindArrive, Server: server, Session: max(sv.LastSession, sv.Offered) + 1, Boot: boot})
}

func (w *world) lose(servers ...string) {
	w.t.Helper()
	c := Command{Kind: KindLost}
	for _, name := range servers {
		c.Lost = append(c.Lost, Loss{Server: name, Session: w.s.Server(name).Session, Reason: "silent on 3 of 3 paths"})
	}
	w.apply(c)
}

// ask proposes an operation and returns it as recorded.
func (w *world) ask(verb Verb, group, server string) *Op {
	w.t.Helper()
	w.ops++
	id := "op" + strconv.Itoa(w.ops)
	w.apply(Command{Kind: KindOperate, Op: &Op{ID: id, Verb: verb, Group: group, Server: server, Who: Who{User: "alice"}}})
	return w.s.Op(id)
}

// due are all steps due now, by server.
func (w *world) due() []Step {
	var out []Step
	for _, sv := range w.s.Servers {
		out = append(out, w.s.Steps(sv.Name)...)
	}
	return out
}

func (w *world) finish(st Step, o Outcome) []Event {
	w.t.Helper()
	if o.Ran || o.OK {
		r := run{Group: st.Group, Server: st.Server, Script: "start", Order: 1, Env: vars(st.Env)}
		if st.Kind == StepStop {
			r.Script = "stop"
		}
		for _, before := range w.runs {
			if before.Group == st.Group {
				r.Order++
			}
		}
		w.runs = append(w.runs, r)
	}
	return w.apply(Command{Kind: KindResult, Server: st.Server, Session: st.Session, Token: st.Token, Outcome: &o})
}

// end ends the one step that is due.
func (w *world) end(o Outcome) {
	w.t.Helper()
	due := w.due()
	if len(due) != 1 {
		w.t.Fatalf("due: %+v, want one step", due)
	}
	w.finish(due[0], o)
}

// runAll carries out steps until none is due.
func (w *world) runAll() {
	w.t.Helper()
	for range 200 {
		due := w.due()
		if len(due) == 0 {
			return
		}
		for _, st := range due {
			o := good
			if w.outcome != nil {
				o = w.outcome(st)
			}
			w.finish(st, o)
		}
	}
	w.t.Fatalf("no end of steps: %+v", w.due())
}

var good = Outcome{OK: true, Ran: true, Disk: DiskSuccess, Millis: 7}

func vars(e Env) map[string]string {
	out := map[string]string{"ARMS_EVENT": e.Event, "ARMS_SERVER": "OTHER", "ARMS_PRIORITY": strconv.Itoa(e.Priority)}
	if e.Home {
		out["ARMS_SERVER"] = "HOME"
	}
	if e.Factor != "" {
		out["ARMS_FACTOR"] = e.Factor
	}
	return out
}

// where describes where every group and server is, on one line.
func (w *world) where() string {
	out := string(w.s.Phase)
	for _, sv := range w.s.Servers {
		out += fmt.Sprintf(" %s=%s", sv.Name, sv.State)
	}
	for _, g := range w.s.Groups {
		at := ""
		if g.Server != "" {
			at = "@" + g.Server
		}
		out += fmt.Sprintf(" %s=%s%s", g.Name, g.State, at)
	}
	return out
}
