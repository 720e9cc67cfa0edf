package lab_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

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
