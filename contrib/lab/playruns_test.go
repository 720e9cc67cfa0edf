package lab_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"baton/contrib/lab"
	"baton/core/cluster"
)

// scriptRun is a run of a script as transitions.toml has it.
type scriptRun struct {
	Group  string            `toml:"group"`
	Server string            `toml:"server"`
	Script string            `toml:"script"`
	Order  int               `toml:"order"`
	Env    map[string]string `toml:"env"`
	Cut    bool              `toml:"-"` // it never came to its end
	Code   int               `toml:"-"` // its exit code
}

// runOf is one in the words of a test: "A stop server1 GROUPMOVE", "A start server2
// FAILOVER cut", "A start server1 RECOVER failed".
func runOf(words string) scriptRun {
	f := strings.Fields(words)
	r := scriptRun{Group: f[0], Script: f[1], Server: f[2], Env: map[string]string{}}
	if r.Script == "stop" {
		r.Env["ARMS_FACTOR"] = f[3]
	} else {
		r.Env["ARMS_EVENT"] = f[3]
	}
	switch {
	case len(f) > 4 && f[4] == "cut":
		r.Cut = true
	case len(f) > 4:
		r.Code = gateFails
	}
	return r
}

// ran compares the runs since the last comparison with those given, in the order of
// each group. Groups do not wait for each other.
func (p *play) ran(want ...string) {
	p.stage.Helper()
	var runs []scriptRun
	for _, w := range want {
		r := runOf(w)
		for _, other := range runs {
			if other.Group == r.Group {
				r.Order++
			}
		}
		r.Order++
		runs = append(runs, r)
	}
	p.compare(runs)
}

// ranOf is ran for one group; what others ran is forgotten.
func (p *play) ranOf(group string, want ...string) {
	p.stage.Helper()
	others := p.policy
	p.policy = map[string][]string{group: others[group]}
	p.ran(want...)
	p.policy = others
}

// compare compares the runs since the last comparison: exactly these, no run more, on
// these servers, each with these variables, and of each group in this order, the one
// begun after the other had ended.
func (p *play) compare(want []scriptRun) {
	p.stage.Helper()
	all := p.journal()
	p.seen += len(all)
	for group := range p.policy {
		got := slices.DeleteFunc(slices.Clone(all), func(r lab.Run) bool { return r.Group != group })
		ours := slices.DeleteFunc(slices.Clone(want), func(r scriptRun) bool { return r.Group != group })
		slices.SortFunc(ours, func(a, b scriptRun) int { return a.Order - b.Order })
		for i, r := range got {
			switch {
			case i >= len(ours):
				p.stage.Errorf("one run too many: %s", r)
				continue
			case i > 0 && got[i-1].Order[1] > r.Order[0]:
				p.stage.Errorf("%s begins before the end of %s", r, got[i-1])
			case ours[i].Cut != (r.Order[1] == 0):
				p.stage.Errorf("%s came to its end: %t", r, r.Order[1] != 0)
			case r.Code != ours[i].Code:
				p.stage.Errorf("%s: exit code %d, want %d", r, r.Code, ours[i].Code)
			}
			env := p.environment(r)
			for _, name := range slices.Sorted(maps.Keys(ours[i].Env)) {
				if got, want := env[name], ours[i].Env[name]; got != want {
					p.stage.Errorf("%s: %s is %q, want %q", r, name, got, want)
				}
			}
			if r.Server != ours[i].Server || r.Kind != ours[i].Script {
				p.stage.Errorf("run %d of %s: %s on %s, want %s on %s", i+1, group, r.Kind, r.Server, ours[i].Script, ours[i].Server)
			}
		}
		for _, r := range ours[min(len(got), len(ours)):] {
			p.stage.Errorf("no %s of %s on %s", r.Script, r.Group, r.Server)
		}
	}
}

// environment is what the shell's export -p has written of a run.
func (p *play) environment(r lab.Run) map[string]string {
	p.stage.Helper()
	text, err := p.Environment(r)
	must(p.stage.T, err)
	env := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		// POSIX leaves the words before the name to the shell.
		name, value, _ := strings.Cut(line[strings.LastIndex(strings.SplitN(line, "=", 2)[0], " ")+1:], "=")
		env[name] = strings.Trim(value, `'"`)
	}
	return env
}

// What a script finds in its environment, beside its variables: the rest is the
// shell's own (PWD and what other shells than dash set).
var plainEnv = []string{"PATH", "HOME", "SHELL", "LANG", "PWD", "OLDPWD", "SHLVL", "_", "BATON_CLUSTER", "BATON_SERVER", "BATON_SOCKET", "BATON_TOKEN", "BATON_GROUP_MARK"}

var factors = []string{
	cluster.FactorClusterShutdown, cluster.FactorServerShutdown, cluster.FactorClusterLeave, cluster.FactorGroupStop,
	cluster.FactorGroupMove, cluster.FactorGroupFailover, cluster.FactorGroupRestart,
}

// judgeRuns holds every run so far against SPEC section 4: nothing in its environment
// but what belongs there; a stop script with the values of the group's last start that
// was not a RECOVER run, on the same server, and with ARMS_FACTOR; no token twice.
func (p *play) judgeRuns() {
	p.stage.Helper()
	all, err := p.Journal()
	must(p.stage.T, err)
	starts := map[string]map[string]string{}
	tokens := map[string]lab.Run{}
	for _, r := range all {
		env := p.environment(r)
		if fault := p.wrong(r, env, starts[r.Group]); fault != "" {
			p.stage.Errorf("%s: %s", r, fault)
		}
		if other, ok := tokens[r.Token]; ok {
			p.stage.Errorf("%s and %s have the same token %s", r, other, r.Token)
		}
		tokens[r.Token] = r
		if r.Kind == "start" && r.Event != cluster.EventRecover {
			starts[r.Group] = env
		}
	}
}

// wrong says what is wrong with a run, "" nothing. start is the environment of the
// start script that a stop belongs to.
func (p *play) wrong(r lab.Run, env, start map[string]string) string {
	for name := range env {
		if !strings.HasPrefix(name, "ARMS_") && !slices.Contains(plainEnv, name) {
			return "a variable " + name
		}
	}
	place := slices.Index(p.policy[r.Group], r.Server)
	home := "OTHER"
	if place == 0 {
		home = "HOME"
	}
	want := map[string]string{
		"ARMS_GROUPNAME": r.Group, "ARMS_SERVER": home, "ARMS_PRIORITY": strconv.Itoa(place + 1),
		"ARMS_DISK": cluster.DiskSuccess, "BATON_SERVER": r.Server,
	}
	if r.Kind == "stop" {
		if start == nil {
			return "a stop of what was never started"
		}
		for _, name := range []string{"ARMS_EVENT", "ARMS_SERVER", "ARMS_PRIORITY", "ARMS_DISK", "BATON_SERVER"} {
			want[name] = start[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if env[name] != want[name] {
			return fmt.Sprintf("%s is %q, want %q", name, env[name], want[name])
		}
	}
	factor, given := env["ARMS_FACTOR"]
	switch {
	case r.Kind == "stop" && !slices.Contains(factors, factor):
		return fmt.Sprintf("ARMS_FACTOR is %q", factor)
	case r.Kind == "stop" && r.Event == cluster.EventRecover:
		return "a stop script with RECOVER"
	case r.Kind == "start" && given:
		return "a start script with ARMS_FACTOR"
	case !slices.Contains([]string{cluster.EventStart, cluster.EventFailover, cluster.EventRecover}, r.Event):
		return fmt.Sprintf("ARMS_EVENT is %q", r.Event)
	}
	return ""
}
