package stage

import (
	"fmt"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
)

// Scenes: pictures of clusters as of a moment, in the states that matter.

func ago(at time.Time, d time.Duration) int64 { return at.Add(-d).UnixMilli() }

// Healthy is a cluster with n servers on three paths and three groups, all well.
func Healthy(at time.Time, n int) *api.Status {
	st := &api.Status{
		Cluster: "prod-db", Server: "node1", Version: "0.1", Time: at.UnixMilli(), Revision: 4711,
		Phase: string(cluster.PhaseRunning), Quorum: true, Leader: "node1", Epoch: 1, Term: 3, LeaseMS: 700,
		IntervalMS: 100, TimeoutMS: 1000, Tiebreaker: api.Tiebreaker{Kind: "none", State: "none"}, Operator: true,
	}
	var policy []string
	for i := range n {
		name := fmt.Sprintf("node%d", i+1)
		policy = append(policy, name)
		st.Servers = append(st.Servers, api.Server{
			Name: name, State: string(cluster.ServerOnline), Since: ago(at, 76*time.Hour), Reason: "all servers are there",
			Voter: true, HeardMS: int64(40 * min(i, 1)), SameRules: true,
		})
	}
	for i := range n {
		for j := range n {
			for k, p := range []string{"lan1", "lan2", "public"} {
				if i == j {
					continue
				}
				path := api.Path{From: policy[i], To: policy[j], Name: p, Network: fmt.Sprintf("10.0.%d.0/24", k+1), State: "ok", AgeMS: -1, Loss: -1, RTTMicro: -1}
				if j == 0 {
					path.AgeMS, path.Loss, path.RTTMicro = 40, 0, 320
				}
				st.Paths = append(st.Paths, path)
			}
		}
	}
	group := func(name, server string, since time.Duration, ip string, rotate int) api.Group {
		pol := append(append([]string{}, policy[rotate%n:]...), policy[:rotate%n]...)
		return api.Group{
			Name: name, State: string(cluster.GroupOnline), Server: server, Event: cluster.EventStart, Since: ago(at, since), Wanted: true,
			Reason: server + ": highest priority online", Policy: pol, Autostart: true, Failback: "manual", LastStartMS: 31, LastStopMS: 1420,
			Resources: []api.Resource{
				{Kind: "floating_ip", Name: ip, Detail: "eth1"},
				{Kind: "script", Name: "/etc/baton/scripts/" + name + "/start", Detail: "start"},
				{Kind: "script", Name: "/etc/baton/scripts/" + name + "/stop", Detail: "stop"},
			},
		}
	}
	st.Groups = []api.Group{
		group("web", "node1", 76*time.Hour, "10.0.3.100", 0),
		group("受注API", "node2", 42*time.Minute, "10.0.3.101", 1),
		group("batch", fmt.Sprintf("node%d", min(n, 3)), 9*time.Second, "10.0.3.102", 2),
	}
	return st
}

// OneDown: node3 has lost its power, its group is online elsewhere.
func OneDown(at time.Time, n int) *api.Status {
	st := Healthy(at, n)
	last := &st.Servers[n-1]
	last.State, last.Since, last.HeardMS = string(cluster.ServerDown), ago(at, 8*time.Second), 9000
	last.Reason, last.FailedWith, last.Voter = "silent on 3 of 3 paths for 1.0s", []string{"batch"}, false
	for i := range st.Paths {
		switch p := &st.Paths[i]; last.Name {
		case p.From:
			p.State, p.AgeMS, p.Loss, p.RTTMicro = "lost", -1, -1, -1
			if p.To == "node1" {
				p.AgeMS = 9000
			}
		case p.To:
			p.State = "unknown"
		}
	}
	g := &st.Groups[2]
	g.Server, g.Event, g.Since = "node1", cluster.EventFailover, ago(at, 7*time.Second)
	g.Reason = "node1: highest priority online (" + last.Name + " down since 14:02:03)"
	return st
}

// Detached: node3 has booted after its failure, and waits to be returned.
func Detached(at time.Time, n int) *api.Status {
	st := OneDown(at, n)
	last := &st.Servers[n-1]
	last.State, last.Since, last.HeardMS = string(cluster.ServerDetached), ago(at, 3*time.Minute), 40
	last.Reason, last.SameRules = "it failed at 14:02:03 and has booted again", true
	healthy := Healthy(at, n)
	st.Paths = healthy.Paths
	return st
}

// Mixed: one group starts, one has failed, one was stopped by an operator.
func Mixed(at time.Time, n int) *api.Status {
	st := Healthy(at, n)
	g := &st.Groups[0]
	g.State, g.Server, g.Since = string(cluster.GroupStarting), "node2", ago(at, 8*time.Second)
	g.Reason, g.Step = "moved by ops from node1", &api.Step{Kind: string(cluster.StepStart), Server: "node2", Since: ago(at, 8*time.Second)}
	g = &st.Groups[1]
	g.State, g.Reason, g.Since = string(cluster.GroupFailed), "start script: exit code 1 on node2, no other server left", ago(at, 2*time.Minute)
	g = &st.Groups[2]
	g.State, g.Server, g.Reason, g.Since, g.Wanted = string(cluster.GroupStopped), "", "stopped by ops", ago(at, 26*time.Hour), false
	st.Paths[0].State = "lost"
	return st
}

// NoQuorum: node1 hears nobody any more, and its lease is over.
func NoQuorum(at time.Time, n int) *api.Status {
	st := Healthy(at, n)
	st.Quorum, st.Leader, st.LeaseMS = false, "", 0
	st.Waiting = "for node2 or node3: 2 of 3 servers are a quorum, this one is alone"
	for i := 1; i < n; i++ {
		st.Servers[i].HeardMS = 5300
	}
	for i := range st.Paths {
		if p := &st.Paths[i]; p.To == "node1" {
			p.State, p.AgeMS = "lost", 5300
		} else {
			p.State = "unknown"
		}
	}
	return st
}

// Forming: the cluster starts; node3 is still missing.
func Forming(at time.Time, n int) *api.Status {
	st := Healthy(at, n)
	st.Phase, st.Waiting = string(cluster.PhaseForming), "for node3 (wait of 5m0s ends in 4m51s)"
	for i := range st.Servers {
		s := &st.Servers[i]
		s.State, s.Since, s.Reason = string(cluster.ServerStarting), ago(at, 9*time.Second), "waits for the others"
		if i == n-1 {
			s.State, s.HeardMS, s.Reason = string(cluster.ServerStopped), -1, "not heard yet"
		}
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		g.State, g.Server, g.Since, g.Reason = string(cluster.GroupStopped), "", 0, "the cluster has not begun yet"
	}
	return st
}

// Events are six of the last hours.
func Events(at time.Time) []cluster.Event {
	ev := func(id uint64, back time.Duration, sev, server, group, text, who string) cluster.Event {
		return cluster.Event{ID: id, At: ago(at, back), Severity: sev, Code: "code", Server: server, Group: group, Text: text, Who: who}
	}
	return []cluster.Event{
		ev(81, 4*time.Hour, cluster.Info, "node1", "web", "online on node1", ""),
		ev(82, 44*time.Second, cluster.Warn, "node1", "", "path lan2 from node2: 2 heartbeats missed", ""),
		ev(83, 22*time.Second, cluster.Info, "node1", "受注API", "stopped on node1 in 3.2 s", ""),
		ev(84, 21*time.Second, cluster.Info, "node2", "受注API", "start requested: move from node1", "ops@node1"),
		ev(85, 13*time.Second, cluster.Error, "node2", "batch", "start script: exit code 1 after 12.4 s: ORA-12541: TNS:no listener", ""),
		ev(86, 2*time.Second, cluster.Error, "node1", "", "path lan2 from node2 is lost (silent for 42 s)", ""),
	}
}
