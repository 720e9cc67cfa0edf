package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestPlans plays the scripts in testdata/plans: each opens with its story, and every
// command shows the events it yields and the steps that are due behind it. The
// commands are the cases of play. Rewrite the expected output with -rewrite, and
// read the difference.
func TestPlans(t *testing.T) {
	datadriven.Walk(t, "testdata/plans", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "cluster" {
				w = &world{t: t, s: &State{}}
				return printEvents(w.apply(Command{Kind: KindConfigure, Config: parseConfig(t, d)}))
			}
			w.t = t
			return play(t, w, d)
		})
	})
}

func play(t *testing.T, w *world, d *datadriven.TestData) string {
	var names []string
	opts := map[string]string{}
	for _, arg := range d.CmdArgs {
		if len(arg.Vals) > 0 {
			opts[arg.Key] = arg.Vals[0]
		} else {
			names = append(names, arg.Key)
		}
	}
	name := func(i int) string {
		if i < len(names) {
			return names[i]
		}
		return ""
	}
	c := Command{Server: name(0)}
	switch d.Cmd {
	case "up": // all servers arrive and the cluster begins; "run" its steps
		for _, sv := range w.s.Config.Servers {
			w.arrive(sv, "b1")
		}
		w.apply(Command{Kind: KindBegin})
		w.runAll()
		return show(w)
	case "run":
		w.codes, w.runs = nil, nil
		w.runAll()
		out := ""
		for _, r := range w.runs {
			out += fmt.Sprintf("ran %s %s on %s: %s %s %s\n", r.Script, r.Group, r.Server, r.Env["ARMS_EVENT"], r.Env["ARMS_SERVER"], r.Env["ARMS_FACTOR"])
		}
		return out + show(w)
	case "show":
		return show(w)
	case "configure":
		c = Command{Kind: KindConfigure, Config: parseConfig(t, d)}
	case "arrive":
		c.Kind, c.Boot, c.Life = KindArrive, opts["boot"], opts["life"]
		sv := w.s.Server(c.Server)
		c.Session = max(sv.LastSession, sv.Offered) + 1
		if s := opts["session"]; s != "" {
			c.Session, _ = strconv.ParseUint(s, 10, 64)
		}
	case "lost", "gone":
		c = Command{Kind: KindLost}
		for _, n := range names {
			l := Loss{Server: n, Reason: "silent on 3 of 3 paths"}
			if d.Cmd == "lost" {
				l.Session = w.s.Server(n).Session
			}
			if opts["offers"] == "next" {
				l.Offers, l.Reason = w.s.Server(n).LastSession+1, "its lease was over"
			}
			c.Lost = append(c.Lost, l)
		}
	case "begin":
		c = Command{Kind: KindBegin, Text: strings.Join(names, " ")}
	case "op":
		op := &Op{ID: "op" + strconv.Itoa(w.ops+1), Verb: Verb(name(0)), Group: name(1), Server: name(2), Who: Who{User: "alice"}}
		if !op.Verb.isOfGroup() {
			op.Group, op.Server = "", name(1)
		}
		w.ops++
		c = Command{Kind: KindOperate, Op: op}
	case "end": // of the step of a group, or of a server's RECOVER run
		var st Step
		if g := w.s.Group(name(0)); g != nil && g.Step != nil {
			st = *g.Step
		} else if sv := w.s.Server(name(0)); sv != nil && len(sv.Recovering) > 0 {
			st = sv.Recovering[0]
		} else {
			t.Fatalf("%s: nothing to end", name(0))
		}
		o := good
		switch name(1) {
		case "inactive":
			o = Outcome{Text: "10.0.0.100: 02:00:00:00:00:09 answers for it"}
		case "held":
			o = Outcome{Held: true, Text: "10.0.0.100: cannot be removed"}
		case "stuck":
			o = Outcome{Ran: true, Text: "umount /mnt/a: device busy"}
		}
		o.Exit, _ = strconv.Atoi(opts["exit"])
		c = Command{Kind: KindResult, Server: st.Server, Session: st.Session, Token: st.Token, Outcome: &o}
	case "anomaly", "normal":
		g := w.s.Group(name(0))
		c = Command{Kind: Kind(d.Cmd), Group: g.Name, Server: g.Server, Session: w.s.Server(g.Server).Session, Resource: "nfs", Text: "nfs: no answer"}
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
	before := w.s.Revision
	out := printEvents(w.apply(c))
	for _, st := range w.due() {
		out += fmt.Sprintf("due: %s %s on %s, %s", st.Kind, st.Group, st.Server, st.Env.Event)
		if st.Env.Factor != "" {
			out += " " + st.Env.Factor
		}
		if st.Handover {
			out += ", handover"
		}
		out += "\n"
	}
	if w.s.Revision == before {
		out += "nothing changed\n"
	}
	return out
}

func printEvents(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%-5s %-19s %s\n", e.Severity, e.Code, e.Text)
	}
	return b.String()
}

func show(w *world) string {
	out := w.where() + "\n"
	for _, g := range w.s.Groups {
		out += fmt.Sprintf("%s: %s", g.Name, g.Reason)
		if g.Degraded {
			out += ", DEGRADED"
		}
		if g.Warning != "" {
			out += ", warning: " + g.Warning
		}
		if !g.Wanted {
			out += ", not wanted"
		}
		if g.Failovers > 0 {
			out += ", failovers " + strconv.Itoa(g.Failovers)
		}
		out += "\n"
	}
	return out
}

// parseConfig reads "cluster servers=2 return=auto" and a line for each group:
// "A server1,server2 autostart failback monitor stable stop max=2".
func parseConfig(t *testing.T, d *datadriven.TestData) *Config {
	cfg := testConfig(3)
	cfg.Groups = nil
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "servers":
			n, err := strconv.Atoi(arg.Vals[0])
			if err != nil {
				t.Fatal(err)
			}
			cfg.Servers = cfg.Servers[:n]
		case "return":
			cfg.ReturnAuto = arg.Vals[0] == "auto"
		}
	}
	for line := range strings.Lines(d.Input) {
		words := strings.Fields(line)
		gc := GroupConfig{Name: words[0], Policy: strings.Split(words[1], ",")}
		has := func(word string) bool { return slices.Contains(words[2:], word) }
		gc.Autostart, gc.FailbackAuto, gc.MonitorScript = has("autostart"), has("failback"), has("monitor")
		if has("stable") {
			gc.FailoverTo = "stable"
		}
		if has("stop") {
			gc.OnAnomaly = "stop"
		}
		for _, word := range words[2:] {
			if v, ok := strings.CutPrefix(word, "max="); ok {
				gc.MaxFailovers, _ = strconv.Atoi(v)
			}
		}
		cfg.Groups = append(cfg.Groups, gc)
	}
	return &cfg
}
