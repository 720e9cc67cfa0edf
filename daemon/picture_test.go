package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"
	"baton/core/node"

	"github.com/google/go-cmp/cmp"

	"baton/daemon/api"
)

// testScene is three servers with two paths, seen from s1; s3 has been silent.
func testScene() scene {
	addr := netip.MustParseAddr
	c := &conf.Config{
		Cluster: conf.Cluster{Name: "payroll"},
		Servers: []conf.Server{
			{Name: "s1", Interconnect: []netip.Addr{addr("10.1.0.1")}, Public: addr("10.2.0.1")},
			{Name: "s2", Interconnect: []netip.Addr{addr("10.1.0.2")}, Public: addr("10.2.0.2")},
			{Name: "s3", Interconnect: []netip.Addr{addr("10.1.0.3")}, Public: addr("10.2.0.3")},
		},
		Groups: []conf.Group{
			{Name: "A", Policy: []string{"s1", "s2"}, Autostart: true, Failback: conf.Manual, StartScript: "/a/start", StopScript: "/a/stop", FloatingIPs: []conf.FloatingIP{{Address: addr("10.2.0.100"), Interface: "eth1"}}},
			{Name: "B", Policy: []string{"s2"}, Failback: conf.Auto},
		},
	}
	times := lease.Derive(3*time.Second, 500*time.Millisecond) // round 300 ms
	s := scene{Conf: c, Times: times, Wall: 1_000_000, Version: "v1", View: node.View{
		Server: "s1", Leader: "s2", Quorum: true, Epoch: epoch.ID{Number: 1}, Term: 4, Voters: []string{"s1", "s2"},
		Lease: 1500 * time.Millisecond,
		Peers: []node.Peer{
			{Name: "s1", Ever: true, SameRules: true},
			{Name: "s2", Ever: true, Age: 100 * time.Millisecond, Paths: []time.Duration{100 * time.Millisecond, 901 * time.Millisecond}, SameRules: true},
			{Name: "s3", Ever: true, Age: 5 * time.Second, Paths: []time.Duration{5 * time.Second, -1}},
		},
		State: &cluster.State{},
	}}
	s.View.Peers[1].Hears[0] = 0b01 // s2 hears s1 on the first path,
	s.View.Peers[1].Hears[2] = 0b10 // and s3 on the second
	s.View.Peers[2].Hears[0] = 0b11 // s3 heard s1, long ago
	return s
}

func TestPicturePaths(t *testing.T) {
	s := testScene()
	s.Figures = [][]pathFigures{nil, {{Age: 0, Loss: 0.25, RTT: 200 * time.Microsecond}}}
	got := map[string]string{}
	for _, p := range makePicture(s).Paths {
		got[p.From+" "+p.To+" "+p.Name] = p.State
		if p.From == "s2" && p.To == "s1" && p.Name == "lan1" && (p.AgeMS != 100 || p.Loss != 0.25 || p.RTTMicro != 200) {
			t.Errorf("measured path = %+v", p)
		}
		if p.To != "s1" && (p.AgeMS != -1 || p.Loss != -1 || p.RTTMicro != -1) {
			t.Errorf("path that ends elsewhere = %+v, want no figures", p)
		}
	}
	want := map[string]string{
		"s2 s1 lan1": "ok", "s2 s1 public": "lost", // three rounds and a millisecond
		"s3 s1 lan1": "lost", "s3 s1 public": "lost",
		"s1 s2 lan1": "ok", "s1 s2 public": "lost",
		"s3 s2 lan1": "lost", "s3 s2 public": "ok", // one direction is another matter
		"s1 s3 lan1": "unknown", "s1 s3 public": "unknown", // its word is old
		"s2 s3 lan1": "unknown", "s2 s3 public": "unknown",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("paths (-want +got):\n%s", d)
	}
}

// Before the servers have agreed on anything, the picture says what is heard.
func TestPictureBeforeFirstStart(t *testing.T) {
	s := testScene()
	s.View.Leader, s.View.Quorum, s.View.Lease, s.View.Waiting = "", false, -5, "the first start needs every server"
	p := makePicture(s)
	if p.Phase != "forming" || p.Quorum || p.LeaseMS != 0 || p.Waiting == "" || p.Tiebreaker.Kind != "none" {
		t.Errorf("picture = %+v", p)
	}
	var states []string
	for _, srv := range p.Servers {
		states = append(states, srv.State)
	}
	if d := cmp.Diff([]string{"starting", "starting", "stopped"}, states); d != "" {
		t.Errorf("servers (-want +got):\n%s", d)
	}
	if g := p.Groups[0]; g.State != "stopped" || g.Server != "" || len(g.Policy) != 2 || g.Resources == nil {
		t.Errorf("group = %+v", g)
	}
	s.View.State = nil
	makePicture(s) // does not panic
}

func TestPictureOfState(t *testing.T) {
	s := testScene()
	s.Took = map[tookKey]time.Duration{{"A", cluster.StepStop}: 1200 * time.Millisecond}
	s.View.State = &cluster.State{
		Revision: 77, Phase: cluster.PhaseRunning,
		Config: cluster.Config{Groups: []cluster.GroupConfig{{Name: "A", Policy: []string{"s2", "s1"}, FailbackAuto: true}}},
		Servers: []cluster.Server{
			{Name: "s1", State: cluster.ServerOnline, Since: 5, Reason: "r"},
			{Name: "s3", State: cluster.ServerDown, FailedWith: []string{"B"}},
		},
		Groups: []cluster.Group{{
			Name: "A", State: cluster.GroupStopping, Server: "s2", Since: 9, Reason: "because", Wanted: true, Failovers: 2,
			LastStart: cluster.Env{Event: cluster.EventFailover}, Warning: "w", Degraded: true,
			Step: &cluster.Step{Kind: cluster.StepStop, Server: "s2", Pushed: 8}, Next: make([]cluster.Intent, 2),
		}},
		Ops: []cluster.Op{{ID: "x", State: cluster.OpRunning}},
	}
	p := makePicture(s)
	if p.Revision != 77 || p.Phase != "running" || p.Leader != "s2" || p.Epoch != 1 || p.Term != 4 || p.LeaseMS != 1500 ||
		p.IntervalMS != 300 || p.TimeoutMS != 3000 || len(p.Ops) != 1 || p.Time != 1_000_000 || p.Version != "v1" {
		t.Errorf("picture = %+v", p)
	}
	wantGroup := api.Group{
		Name: "A", State: "stopping", Server: "s2", Event: "FAILOVER", Since: 9, Reason: "because", Failovers: 2, Wanted: true,
		Degraded: true, Warning: "w", Policy: []string{"s2", "s1"}, Failback: "auto", LastStopMS: 1200,
		Resources: []api.Resource{
			{Kind: "floating_ip", Name: "10.2.0.100", Detail: "eth1"},
			{Kind: "script", Name: "/a/start", Detail: "start"},
			{Kind: "script", Name: "/a/stop", Detail: "stop"},
		},
		Step: &api.Step{Kind: "stop", Server: "s2", Since: 8, Next: 2},
	}
	if d := cmp.Diff(wantGroup, p.Groups[0]); d != "" {
		t.Errorf("group (-want +got):\n%s", d)
	}
	want := []api.Server{
		{Name: "s1", State: "online", Since: 5, Reason: "r", Voter: true, HeardMS: 0, SameRules: true, Public: "10.2.0.1"},
		{Name: "s2", State: "starting", Reason: "batond runs there; the cluster has not formed yet", Voter: true, HeardMS: 100, SameRules: true, Public: "10.2.0.2"},
		{Name: "s3", State: "down", HeardMS: 5000, Public: "10.2.0.3", FailedWith: []string{"B"}},
	}
	if d := cmp.Diff(want, p.Servers); d != "" {
		t.Errorf("servers (-want +got):\n%s", d)
	}
}

// The names that SPEC section 8 promises are in the JSON, lists never as null.
func TestPictureJSON(t *testing.T) {
	b, err := json.Marshal(makePicture(testScene()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"cluster":"payroll"`, `"server":"s1"`, `"quorum":true`, `"leader":"s2"`, `"servers":[{"name":"s1","state":`,
		`"groups":[{"name":"A","state":"stopped","server":"","event":"","since":0,"reason":`, `"failovers":0`, `"resources":[]`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}
