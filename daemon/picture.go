package main

import (
	"cmp"
	"slices"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/core/lease"
	"baton/core/node"
	"baton/daemon/api"
)

// This file makes the picture that the API shows, from what the node knows, what the
// configuration says and what the heartbeats measured. It is a function of its
// arguments; backend.go calls it in a goroutine of its own.

// pathFigures is what this server measured on one path from another server.
type pathFigures struct {
	Age  time.Duration // of the newest packet; negative: never
	Loss float64       // share lost in the last minute, 0 to 1; -1: not known
	RTT  time.Duration // negative: not known
}

// scene is everything a picture is made of.
type scene struct {
	Conf    *conf.Config
	Times   lease.Params
	View    node.View
	Wall    int64 // unix milliseconds
	Version string
	// Figures of the paths to this server: by the sender's place in the
	// configuration, then by path. Nil or short: not known.
	Figures [][]pathFigures
	// Drops are what came or should have gone and was dropped, by side and reason.
	Drops map[string]uint64
	// Tie is the state of the tie-breaker; "" where there is none.
	Tie string
	// Took is how long steps took that were run here.
	Took map[tookKey]time.Duration
}

// tookKey names the last step of one kind of a group.
type tookKey struct {
	Group string
	Kind  cluster.StepKind
}

// recentRounds is how many heartbeats may be missing before a path counts as lost,
// here as in what servers tell each other (node.Message.Hears).
const recentRounds = 3

func makePicture(s scene) *api.Status {
	v, st := s.View, s.View.State
	if st == nil {
		st = &cluster.State{}
	}
	p := &api.Status{
		Cluster: s.Conf.Cluster.Name, Server: v.Server, Version: s.Version, Time: s.Wall,
		Revision: st.Revision, Phase: string(st.Phase), Quorum: v.Quorum, Leader: v.Leader,
		Epoch: v.Epoch.Number, Term: v.Term, Waiting: v.Waiting,
		LeaseMS: max(0, v.Lease.Milliseconds()), IntervalMS: s.Times.Round.Milliseconds(), TimeoutMS: s.Times.Timeout.Milliseconds(),
		Tiebreaker: api.Tiebreaker{Kind: s.Conf.Tiebreaker.Kind, State: cmp.Or(s.Tie, "none")},
		Ops:        st.Ops,
		Servers:    make([]api.Server, 0, len(s.Conf.Servers)),
		Groups:     make([]api.Group, 0, len(s.Conf.Groups)),
		Paths:      s.paths(),
		Drops:      s.Drops,
	}
	if p.Phase == "" {
		p.Phase = string(cluster.PhaseForming)
	}
	if p.Tiebreaker.Kind == "" {
		p.Tiebreaker.Kind = conf.TiebreakerNone
	}
	for i := range s.Conf.Servers {
		p.Servers = append(p.Servers, s.server(st, i))
	}
	for i := range s.Conf.Groups {
		p.Groups = append(p.Groups, s.group(st, &s.Conf.Groups[i]))
	}
	return p
}

// server describes the server at place i of the configuration.
func (s scene) server(st *cluster.State, i int) api.Server {
	c := &s.Conf.Servers[i]
	out := api.Server{Name: c.Name, HeardMS: -1, SameRules: true, Voter: slices.Contains(s.View.Voters, c.Name)}
	if c.Public.IsValid() {
		out.Public = c.Public.String()
	}
	if peer := s.peer(i); peer != nil {
		out.SameRules = peer.SameRules
		if peer.Ever {
			out.HeardMS = peer.Age.Milliseconds()
		}
	}
	if c.Name == s.View.Server {
		out.HeardMS = 0
	}
	if srv := st.Server(c.Name); srv != nil {
		out.State, out.Since, out.Reason, out.FailedWith, out.Then = string(srv.State), srv.Since, srv.Reason, srv.FailedWith, srv.Then
		return out
	}
	// The servers have not agreed on anything yet: say what is heard.
	out.State, out.Reason = string(cluster.ServerStopped), "not heard since batond started here"
	if out.HeardMS >= 0 && out.HeardMS < s.Times.Timeout.Milliseconds() {
		out.State, out.Reason = string(cluster.ServerStarting), "batond runs there; the cluster has not formed yet"
	}
	return out
}

// peer is the node's word on the server at place i; nil where there is none.
func (s scene) peer(i int) *node.Peer {
	for k := range s.View.Peers {
		if s.View.Peers[k].Name == s.Conf.Servers[i].Name {
			return &s.View.Peers[k]
		}
	}
	return nil
}

func (s scene) group(st *cluster.State, c *conf.Group) api.Group {
	out := api.Group{
		Name: c.Name, State: string(cluster.GroupStopped), Reason: "the cluster has not formed yet",
		Policy: c.Policy, Autostart: c.Autostart, Failback: c.Failback, Resources: resources(c),
		LastStartMS: s.Took[tookKey{c.Name, cluster.StepStart}].Milliseconds(),
		LastStopMS:  s.Took[tookKey{c.Name, cluster.StepStop}].Milliseconds(),
	}
	// What the servers agreed on counts, and not this server's file.
	if rules := st.Config.Group(c.Name); rules != nil {
		out.Policy, out.Autostart, out.Failback = rules.Policy, rules.Autostart, conf.Manual
		if rules.FailbackAuto {
			out.Failback = conf.Auto
		}
	}
	g := st.Group(c.Name)
	if g == nil {
		return out
	}
	out.State, out.Server, out.Event, out.Since, out.Reason = string(g.State), g.Server, g.LastStart.Event, g.Since, g.Reason
	out.Failovers, out.Wanted, out.Degraded, out.Warning = g.Failovers, g.Wanted, g.Degraded, g.Warning
	if g.Step != nil {
		out.Step = &api.Step{Kind: string(g.Step.Kind), Server: g.Step.Server, Since: g.Step.Pushed, Next: len(g.Next)}
	}
	return out
}

// resources are in the order in which they are activated.
func resources(c *conf.Group) []api.Resource {
	out := []api.Resource{}
	for _, ip := range c.FloatingIPs {
		out = append(out, api.Resource{Kind: conf.ResourceFloatingIP, Name: ip.Address.String(), Detail: ip.Interface})
	}
	if c.StartScript != "" {
		out = append(out, api.Resource{Kind: conf.ResourceScript, Name: c.StartScript, Detail: "start"})
	}
	if c.StopScript != "" {
		out = append(out, api.Resource{Kind: conf.ResourceScript, Name: c.StopScript, Detail: "stop"})
	}
	return out
}

// paths is the whole matrix: every path in both directions between any two servers.
func (s scene) paths() []api.Path {
	var out []api.Path
	for from := range s.Conf.Servers {
		for to := range s.Conf.Servers {
			if from == to {
				continue
			}
			paths := s.Conf.Paths(from, to)
			if s.Conf.HasDiskPath() {
				paths = append(paths, conf.Path{Name: conf.DiskPath})
			}
			for i, path := range paths {
				p := api.Path{
					From: s.Conf.Servers[from].Name, To: s.Conf.Servers[to].Name, Name: path.Name,
					AgeMS: -1, Loss: -1, RTTMicro: -1,
				}
				if p.To == s.View.Server {
					s.measured(&p, from, i)
				} else {
					p.State = s.told(from, to, i)
				}
				out = append(out, p)
			}
		}
	}
	return out
}

// measured fills in a path that ends here.
func (s scene) measured(p *api.Path, from, path int) {
	f := pathFigures{Age: -1, Loss: -1, RTT: -1}
	if from < len(s.Figures) && path < len(s.Figures[from]) {
		f = s.Figures[from][path]
	}
	// The node's ages count packets that made sense, which is more than arriving.
	if peer := s.peer(from); peer != nil && path < len(peer.Paths) {
		f.Age = peer.Paths[path]
	}
	p.State = "lost"
	if f.Age >= 0 {
		p.AgeMS = f.Age.Milliseconds()
		if f.Age <= recentRounds*s.Times.Round {
			p.State = "ok"
		}
	}
	p.Loss = f.Loss
	if f.RTT >= 0 {
		p.RTTMicro = f.RTT.Microseconds()
	}
}

// told is the receiver's own word on a path, if it is fresh enough to mean anything.
func (s scene) told(from, to, path int) string {
	peer := s.peer(to)
	if peer == nil || !peer.Ever || peer.Age >= s.Times.Timeout || from >= len(peer.Hears) {
		return "unknown"
	}
	if peer.Hears[from]&(1<<path) != 0 {
		return "ok"
	}
	return "lost"
}
