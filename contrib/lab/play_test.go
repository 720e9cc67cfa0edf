package lab_test

import (
	"context"
	"errors"
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
	seen   int            // runs of scripts that have been judged
	offs   map[string]int // by server: how often it had powered itself off when last looked at
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
