package lab_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// A shutdown that is to power the machine off, or to reboot it, does so as the last act
// of the server's batond: after its groups have left in order, on every server that is
// meant and on no other, and also where the server that accepted it, or its own batond,
// dies in between. Method: reboot(2) in a virtual server is real, for that server.
func TestPowerOff(t *testing.T) {
	t.Parallel()
	p := newPlay(t, 3, "")
	p.offs = map[string]int{}
	p.scenario("by command, and back by the power button", func() {
		wait := p.willGo("server1")
		p.baton(0, "server2", "shutdown", "server1", "--poweroff", "--yes")
		wait()
		p.poweredOff("server1")
		p.rest(at("server2", "server2", "server2", "server1", "stopped"))
		p.ran("A stop server1 SERVERSHUTDOWN", "A start server2 FAILOVER", "C stop server1 SERVERSHUTDOWN", "C start server2 FAILOVER")
		p.PowerOn("server1")
		p.rest(at("server2", "server2", "server2")) // joined by itself
		p.ran()
	})
	p.scenario("without it only the daemon ends", func() {
		p.down("server1")
		p.rest(at("server2", "server2", "server2", "server1", "stopped"))
		p.staysOn("server1")
		p.startUp("server1")
		p.rest(at("server2", "server2", "server2"))
		p.skip()
		p.down("server1") // what was asked for the time before is not asked for again
		p.staysOn("server1")
	})
	p.scenario("reboot", func() {
		before := p.Get("server3").BootID()
		wait := p.willGo("server3")
		p.baton(0, "server3", "shutdown", "server3", "--reboot", "--yes")
		wait()
		p.rest(at("server1", "server2", "server1"))
		p.ran()
		if after := p.Get("server3").BootID(); after == before {
			p.stage.Errorf("boot id is %s before and after the reboot", after)
		}
	})
	p.scenario("its batond is killed meanwhile", func() {
		p.put("A", "hold.stop.server1")
		r := p.requestThen(cluster.VerbShutdown, "server1", cluster.ThenPowerOff, "server1")
		p.waitRun("A", "stop", "server1")
		p.KillBatond("server1")
		p.StartBatond("server1")
		wait := p.willGo("server1")
		p.take("A", "hold.stop.server1")
		p.outcome(r, cluster.OpDone)
		wait()
		p.poweredOff("server1")
		p.rest(at("server2", "server2", "server2", "server1", "stopped"))
	})
	p.scenario("the server that accepted it loses its power meanwhile", func() {
		asked := p.Leader()
		if asked == "server1" {
			p.do(op(cluster.VerbMove, "A", "server2"), op(cluster.VerbMove, "C", "server2"))
			p.skip()
		}
		victim := map[string]string{"server1": "server2", "server2": "server1", "server3": "server1"}[asked]
		p.put("A", "hold.stop."+victim)
		wait := p.willGo(victim)
		r := p.requestThen(cluster.VerbShutdown, victim, cluster.ThenPowerOff, asked)
		p.waitRun("A", "stop", victim)
		p.PowerCut(asked)
		p.WaitServer(asked, cluster.ServerDown)
		p.take("A", "hold.stop."+victim)
		p.outcome(r, cluster.OpDone)
		wait()
		p.poweredOff(victim) // (one of three is left, which may not decide anything)
	})
	p.scenario("the cluster, one server detached", func() {
		p.do(op(cluster.VerbDisconnect, "", "server3"))
		p.WaitServer("server3", cluster.ServerDetached)
		wait := p.willGo("server1", "server2", "server3")
		p.baton(0, "server1", "shutdown", "--cluster", "--poweroff", "--yes")
		wait()
		p.poweredOff("server1", "server2", "server3")
		p.ran("A stop server1 CLUSTERSHUTDOWN", "B stop server2 CLUSTERSHUTDOWN", "C stop server1 CLUSTERSHUTDOWN")
		p.startUp("server3", "server2", "server1")
		p.rest(at("server1", "server2", "server1", "server3", "detached"))
		p.ran("A start server1 START", "B start server2 START", "C start server1 START")
	})
	p.Verify()
}

// willGo says that batond on these servers is about to end. The result waits until the
// servers have gone down with it.
func (p *play) willGo(servers ...string) (wait func()) {
	p.stage.Helper()
	boots := map[string]string{}
	for _, name := range servers {
		p.Get(name).ExpectEnd()
		boots[name] = p.Get(name).BootID()
	}
	return func() {
		p.stage.Helper()
		for end := time.Now().Add(playLimit); ; time.Sleep(2 * time.Millisecond) {
			var left []string
			for _, name := range servers {
				if s := p.Get(name); s.On() && s.BootID() == boots[name] {
					left = append(left, name)
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(end) {
				p.stage.Fatalf("%s has not gone down", left)
			}
		}
	}
}

// poweredOff checks that these servers have powered themselves off since it was last
// asked, once, and no other one has.
func (p *play) poweredOff(servers ...string) {
	p.stage.Helper()
	for _, s := range p.Lab.Servers {
		want := 0
		if slices.Contains(servers, s.Name) {
			want = 1
		}
		if got := s.PoweredOff() - p.offs[s.Name]; got != want || want == 1 && s.On() {
			p.stage.Errorf("%s has powered itself off %d times, want %d; it is on: %t", s.Name, got, want, s.On())
		}
		p.offs[s.Name] = s.PoweredOff()
	}
}

// staysOn checks that a server has power, and that its batond has ended.
func (p *play) staysOn(server string) {
	p.stage.Helper()
	time.Sleep(calm) // long enough for what a last act takes
	if s := p.Get(server); !s.On() || s.Batond() != nil {
		p.stage.Errorf("%s is on: %t, want on, without batond", server, s.On())
	}
}

// requestThen is request for a shutdown.
func (p *play) requestThen(verb cluster.Verb, server string, then cluster.Then, asked string) *lab.Request {
	p.stage.Helper()
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	r, err := p.Request(ctx, asked, api.Operation{Verb: verb, Server: server, Then: then, From: "lab"})
	must(p.stage.T, err)
	return r
}

// baton runs the program on a server and wants that exit code.
func (p *play) baton(code int, server string, args ...string) string {
	p.stage.Helper()
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	end := p.HandOver()
	defer end()
	on, boot := p.Get(server), p.Get(server).BootID()
	text, got, err := lab.Baton{}.Run(ctx, on, args...)
	isGone := func() bool { return !on.On() || on.BootID() != boot }
	for end := time.Now().Add(playLimit); got == 128+9 && !isGone() && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // it may have gone with its server
	}
	if err == nil && got != code && (got != 128+9 || !isGone()) {
		p.stage.Errorf("baton %s on %s: exit code %d, want %d: %s", strings.Join(args, " "), server, got, code, text)
	}
	must(p.stage.T, err)
	return text
}

// Nothing that runs on a virtual server can end the machine: whoever is told where it
// may is told its own PID namespace.
func TestPowerIsConfined(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{Servers: 2})
	for _, s := range l.Servers {
		got := run(t, s, `readlink /proc/self/ns/pid; echo $BATON_POWER`)
		f := strings.Fields(got)
		own, err := os.Readlink("/proc/self/ns/pid")
		must(t, err)
		if len(f) != 2 || f[0] != f[1] || f[0] == own || f[0] == "pid:[4026531836]" {
			t.Errorf("%s: PID namespace and BATON_POWER: %q; the test runs in %s", s.Name, f, own)
		}
	}
}
