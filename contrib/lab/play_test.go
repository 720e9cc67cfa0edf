package lab_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// play is a cluster in which the seed's rules are tried, one case after another, with
// scripts that can be held and made to fail.
type play struct {
	*lab.Cluster
	stage  *stage
	policy map[string][]string
	seen   int // runs of scripts that have been judged
}

// stage is the test that is on: the cluster outlives the cases that are played in it.
type stage struct {
	*testing.T
	root *testing.T
}

func (s *stage) Cleanup(f func()) { s.root.Cleanup(f) }
func (s *stage) Failed() bool     { return s.root.Failed() }

const (
	// playTimeout is heartbeat.timeout here: a busy machine must not look like a dead
	// server, because the runs of scripts are compared one by one.
	playTimeout = 2 * time.Second
	// playLimit is how long anything may take to come to rest.
	playLimit = 30 * time.Second
	// calm is how long nothing must happen to call it rest.
	calm = 200 * time.Millisecond
)

// The groups of transitions.toml, on so many servers.
func playGroups(servers int, config string) []lab.Group {
	home := []string{"server1", "server2", "server3", "server4"}[:servers]
	other := slices.Clone(home)
	other[0], other[1] = other[1], other[0]
	var out []lab.Group
	for i, policy := range [][]string{home, other, home} {
		out = append(out, lab.Group{
			Name: string(rune('A' + i)), Policy: policy, Config: config,
			Start: gate("start"), Stop: gate("stop"),
		})
	}
	return out
}

// gateFails is the exit code of a script that a gate makes fail.
const gateFails = 3

// gate is what a script does: wait while a file hold.KIND.SERVER lies beside it, with
// KIND recover for the runs of that event; fail if there is a fail.KIND.SERVER;
// and take long enough for something to happen meanwhile.
func gate(kind string) string {
	return `d=${0%/*} k=` + kind + `
[ "$ARMS_EVENT" = RECOVER ] && k=recover
while [ -e $d/hold.$k.$host ]; do sleep 0.01; done
[ -e $d/fail.$k.$host ] && exit ` + strconv.Itoa(gateFails) + `
sleep 0.03`
}

// newPlay boots a cluster of so many servers, each in every group's policy.
func newPlay(t *testing.T, servers int, config string, more ...lab.Option) *play {
	t.Helper()
	st := &stage{t, t}
	groups := playGroups(servers, config)
	options := append([]lab.Option{
		lab.Servers(servers), lab.Groups(groups...), lab.Timeout(playTimeout),
		func(o *lab.Options) { o.StartupWait = 2 * time.Second },
	}, more...)
	p := &play{Cluster: lab.Boot(st, options...), stage: st, policy: map[string][]string{}}
	for _, g := range groups {
		p.policy[g.Name] = g.Policy
	}
	return p
}

// on plays something as a test of its own. What follows needs what it leaves behind,
// so the first failure ends the play.
func (p *play) on(name string, f func()) {
	p.stage.root.Helper()
	if !p.stage.root.Run(name, func(t *testing.T) {
		p.stage.T = t
		defer func() { p.stage.T = p.stage.root }()
		f()
	}) {
		p.stage.root.FailNow()
	}
}

// put and take lay and remove the files that gate looks at: put("A", "hold.stop.server1").
func (p *play) put(group, file string) {
	p.stage.Helper()
	must(p.stage.T, os.WriteFile(p.gateFile(group, file), nil, 0o644))
}

func (p *play) take(group, file string) {
	p.stage.Helper()
	must(p.stage.T, os.Remove(p.gateFile(group, file)))
}

// clear removes everything that put has laid for a group.
func (p *play) clear(group string) {
	p.stage.Helper()
	for _, kind := range []string{"hold", "fail"} {
		files, err := filepath.Glob(p.gateFile(group, kind+".*"))
		must(p.stage.T, err)
		for _, f := range files {
			must(p.stage.T, os.Remove(f))
		}
	}
}

func (p *play) gateFile(group, file string) string {
	return filepath.Join(p.Dir(), "scripts", group, file)
}

// journal is every run of a script that has not been judged yet.
func (p *play) journal() []lab.Run {
	p.stage.Helper()
	all, err := p.Journal()
	must(p.stage.T, err)
	return all[p.seen:]
}

// skip forgets the runs so far: they were made to get somewhere.
func (p *play) skip() { p.seen += len(p.journal()) }

// waitRun waits until a run of a script has begun, and returns it.
func (p *play) waitRun(group, kind, server string) lab.Run {
	p.stage.Helper()
	for end := time.Now().Add(playLimit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		for _, r := range p.journal() {
			if r.Group == group && r.Kind == kind && r.Server == server {
				return r
			}
		}
	}
	p.stage.Fatalf("no %s of %s on %s in %v", kind, group, server, p.journal())
	return lab.Run{}
}

// waitEvent is waitRun for a start script with that ARMS_EVENT.
func (p *play) waitEvent(group, server, event string) {
	p.stage.Helper()
	for end := time.Now().Add(playLimit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		for _, r := range p.journal() {
			if r.Group == group && r.Kind == "start" && r.Server == server && r.Event == event {
				return
			}
		}
	}
	p.stage.Fatalf("no %s of %s on %s in %v", event, group, server, p.journal())
}

// request has some server, or the one named, accept an operation.
func (p *play) request(verb cluster.Verb, group, server string, at ...string) *lab.Request {
	p.stage.Helper()
	r, err := p.try(verb, group, server, at...)
	if err != nil {
		p.stage.Fatalf("%s %s %s: %v", verb, group, server, err)
	}
	return r
}

func (p *play) try(verb cluster.Verb, group, server string, at ...string) (*lab.Request, error) {
	p.stage.Helper()
	asked := strings.Join(at, "")
	if asked == "" {
		asked = p.WaitStatus("there is a quorum", func(s *api.Status) bool { return s.Quorum }).Server
	}
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	return p.Request(ctx, asked, api.Operation{Verb: verb, Group: group, Server: server, From: "lab"})
}

// refused asks for what the cluster must refuse with that code.
func (p *play) refused(code string, verb cluster.Verb, group, server string) {
	p.stage.Helper()
	if _, err := p.try(verb, group, server); !isRefusal(err, code) {
		p.stage.Errorf("%s %s %s: %v, want refusal %s", verb, group, server, err, code)
	}
}

// isRefusal says whether something was refused with that code and a reason.
func isRefusal(err error, code string) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Code == code && e.Message != ""
}

// outcome waits until an operation has ended, in the state named.
func (p *play) outcome(r *lab.Request, want cluster.OpState) cluster.Op {
	p.stage.Helper()
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	op, err := r.Outcome(ctx)
	must(p.stage.T, err)
	if op.State != want || op.Text == "" {
		p.stage.Errorf("%s: %s: %q, want %s and a reason", op.String(), op.State, op.Text, want)
	}
	return op
}

// overtaken waits for the end of an operation whose place another one took.
func (p *play) overtaken(r *lab.Request) {
	p.stage.Helper()
	if op := p.outcome(r, cluster.OpFailed); !strings.HasPrefix(op.Text, "overtaken by") {
		p.stage.Errorf("%s: %s, want: overtaken by", op.String(), op.Text)
	}
}

// do has operations carried out at the same time.
func (p *play) do(ops ...api.Operation) {
	p.stage.Helper()
	var all []*lab.Request
	for _, op := range ops {
		all = append(all, p.request(op.Verb, op.Group, op.Server))
	}
	for _, r := range all {
		p.outcome(r, cluster.OpDone)
	}
}

func contextOf(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), limit)
}

func op(verb cluster.Verb, group, server string) api.Operation {
	return api.Operation{Verb: verb, Group: group, Server: server}
}

// shuttingDown has the cluster shut down. The result waits until every batond has ended.
func (p *play) shuttingDown() (wait func()) {
	p.stage.Helper()
	var ends []func(context.Context) error
	for _, s := range p.Lab.Servers {
		if s.Batond() != nil {
			ends = append(ends, s.ExpectEnd())
		}
	}
	p.request(cluster.VerbShutdownCluster, "", "")
	return func() {
		p.stage.Helper()
		ctx, cancel := contextOf(playLimit)
		defer cancel()
		for _, wait := range ends {
			must(p.stage.T, wait(ctx))
		}
	}
}

// startUp boots the servers named, or where they are on starts batond there.
func (p *play) startUp(servers ...string) {
	p.stage.Helper()
	for _, name := range servers {
		s := p.Get(name)
		switch {
		case !s.On():
			p.PowerOn(name)
		case s.Batond() == nil:
			p.StartBatond(name)
		}
	}
}

// home boots, returns and moves until every server is online and every group runs on
// the first server of its policy, and forgets the runs that took.
func (p *play) home() {
	p.stage.Helper()
	var names []string
	for _, s := range p.Lab.Servers {
		names = append(names, s.Name)
	}
	p.startUp(names...)
	for _, name := range names {
		s := p.WaitStatus(name+" is online or detached", func(s *api.Status) bool {
			state := stateOf(s, name)
			return s.Quorum && (state == string(cluster.ServerOnline) || state == string(cluster.ServerDetached))
		})
		if stateOf(s, name) == string(cluster.ServerDetached) {
			p.do(op(cluster.VerbReturn, "", name))
		}
	}
	want := scene{Groups: map[string]string{}}
	for _, g := range p.settled().Groups {
		home := p.policy[g.Name][0]
		want.Groups[g.Name] = home
		switch {
		case g.Failovers > 0: // a start by an operator begins the count anew
			p.do(op(cluster.VerbStop, g.Name, ""))
			p.do(op(cluster.VerbStart, g.Name, home))
		case g.Server == home:
		case g.State == string(cluster.GroupOnline):
			p.do(op(cluster.VerbMove, g.Name, home))
		default:
			p.do(op(cluster.VerbStart, g.Name, home))
		}
	}
	p.rest(want)
	p.skip()
}

// settled waits until nothing is under way.
func (p *play) settled() *api.Status {
	p.stage.Helper()
	return p.WaitStatus("nothing is under way", func(s *api.Status) bool {
		if !s.Quorum || slices.ContainsFunc(s.Ops, func(o cluster.Op) bool { return o.State == cluster.OpRunning }) {
			return false
		}
		return !slices.ContainsFunc(s.Groups, func(g api.Group) bool { return g.Step != nil })
	})
}

func stateOf(s *api.Status, server string) string {
	for _, v := range s.Servers {
		if v.Name == server {
			return v.State
		}
	}
	return ""
}

// breakAddress takes a group's floating IP from the server that has it, as a fault
// would: an anomaly of the group.
func (p *play) breakAddress(group, server string) {
	p.stage.Helper()
	s := p.Get(server)
	nl, err := s.NetlinkHandle()
	must(p.stage.T, err)
	link, err := nl.LinkByName(s.NIC(lab.Public))
	must(p.stage.T, err)
	list, err := nl.AddrList(link, netlink.FAMILY_V4)
	must(p.stage.T, err)
	for _, a := range list {
		if a.IP.Equal(net.IP(p.IP(group).AsSlice())) {
			must(p.stage.T, nl.AddrDel(link, &a))
			return
		}
	}
	p.stage.Fatalf("%s has no address of %s", server, group)
}

// scene is where everything is at some moment, in the words of transitions.toml.
type scene struct {
	Groups     map[string]string   `toml:"groups"`  // "" stopped
	Offline    map[string]string   `toml:"offline"` // every other server is online
	LastEvent  map[string]string   `toml:"last_event"`
	LastServer map[string]string   `toml:"last_server"` // no picture shows it: the runs do
	FailedWith map[string][]string `toml:"failed_with"`
}

// at is the scene with the groups A, B and C on these servers.
func at(a, b, c string, offline ...string) scene {
	out := scene{Groups: map[string]string{"A": a, "B": b, "C": c}, Offline: map[string]string{}}
	for i := 0; i < len(offline); i += 2 {
		out.Offline[offline[i]] = offline[i+1]
	}
	return out
}

// differs says what of a picture is not as in the scene, "" nothing. Whatever is
// still on its way differs from every scene.
func (p *play) differs(want scene, s *api.Status) string {
	for _, o := range s.Ops {
		if o.State == cluster.OpRunning {
			return o.String() + " goes on"
		}
	}
	for _, v := range s.Servers {
		state := want.Offline[v.Name]
		switch {
		case state == "" && (v.State != string(cluster.ServerOnline) || !v.Voter):
			return fmt.Sprintf("%s is %s (votes: %t), want online", v.Name, v.State, v.Voter)
		case state != "" && v.State != state:
			return fmt.Sprintf("%s is %s, want %s", v.Name, v.State, state)
		}
		if with, ok := want.FailedWith[v.Name]; ok && !slices.Equal(with, v.FailedWith) {
			return fmt.Sprintf("%s failed with %v, want %v", v.Name, v.FailedWith, with)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Groups)) {
		g, server := lab.GroupOf(s, name), want.Groups[name]
		state := cluster.GroupOnline
		if server == "" {
			state = cluster.GroupStopped
		}
		switch event := want.LastEvent[name]; {
		case g.Step != nil || g.State != string(state) || g.Server != server:
			return fmt.Sprintf("%s is %s on %q (%s), want %s on %q", name, g.State, g.Server, g.Reason, state, server)
		case event != "" && g.Event != event:
			return fmt.Sprintf("last start of %s: %s, want %s", name, g.Event, event)
		case server != "" && !p.IsOnline(s, name, server):
			return fmt.Sprintf("%s does not answer a client from %s", name, server)
		}
	}
	return ""
}

// rest waits until everything is as in the scene, and has come to rest there.
func (p *play) rest(want scene) {
	p.stage.Helper()
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	differs := ""
	_, err := p.Await(ctx, "all is as it should be", func(s *api.Status) bool {
		differs = "no quorum"
		if s.Quorum {
			differs = p.differs(want, s)
		}
		return differs == ""
	})
	if err != nil {
		p.stage.Fatalf("%s: %v", differs, err)
	}
	for n, since := len(p.journal()), time.Now(); time.Since(since) < calm; time.Sleep(10 * time.Millisecond) {
		if now := len(p.journal()); now != n {
			n, since = now, time.Now()
		}
	}
}

// Verify judges everything that has happened in this cluster so far: what must hold
// in every scenario (see Cluster.Verify), the variables of every run of a script, and,
// where a batond runs, that nobody has the address of a group but the server that
// carries it.
func (p *play) Verify() {
	p.stage.Helper()
	p.Cluster.Verify()
	p.judgeRuns()
	s, err := p.Status(context.Background())
	if err != nil || !s.Quorum {
		return
	}
	for _, g := range s.Groups {
		if has := p.Holders(p.IP(g.Name)); strings.Join(has, " ") != g.Server {
			p.stage.Errorf("the address of %s is on %q, %s is %s on %q", g.Name, has, g.Name, g.State, g.Server)
		}
	}
}
