package main

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/core/node"
	"baton/daemon/cgroup"
	"baton/daemon/guard"
	"baton/daemon/heartbeat"
	"baton/daemon/link"

	"github.com/google/go-cmp/cmp"
)

const wiringFile = `
[cluster]
name = "payroll"
[heartbeat]
interval = "100ms"
timeout = "1s"
[recovery]
return = "auto"
[[server]]
name = "s1"
interconnect = ["192.0.2.1", "192.0.3.1"]
public = "198.51.100.1"
[[server]]
name = "s2"
interconnect = ["192.0.2.2", "192.0.3.2"]
public = "198.51.100.2"
[[server]]
name = "s3"
interconnect = ["192.0.2.3", "192.0.3.3"]
public = "198.51.100.3"
[[group]]
name = "A"
policy = ["s1", "s2"]
start_script = "/a"
script_timeout = "90s"
failback = "auto"
[[group.floating_ip]]
address = "198.51.100.100"
[group.monitor]
resources = ["floating_ip"]
on_anomaly = "stop"
[[group]]
name = "B"
policy = ["s2"]
[[group.floating_ip]]
address = "198.51.100.101"
[group.monitor]
resources = ["script"]
`

func wiringConf(t *testing.T) *conf.Config {
	t.Helper()
	c, err := conf.Parse("test.toml", []byte(wiringFile))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every server must derive the same rules, the same paths in the same order, and
// clear the addresses of all groups.
func TestWiring(t *testing.T) {
	c := wiringConf(t)
	rules := rulesOf(c)
	if rules.Cluster != "payroll" || !rules.ReturnAuto || len(rules.Groups) != 2 || !rules.Groups[0].FailbackAuto ||
		rules.Groups[0].OnAnomaly != "stop" || rules.Groups[0].MonitorScript || rules.Groups[1].FailbackAuto {
		t.Errorf("rules = %+v", rules)
	}
	addr := netip.MustParseAddr
	want := []link.Path{
		{Name: "lan1", Local: addr("192.0.2.2"), Remote: []netip.Addr{addr("192.0.2.1"), {}, addr("192.0.2.3")}},
		{Name: "lan2", Local: addr("192.0.3.2"), Remote: []netip.Addr{addr("192.0.3.1"), {}, addr("192.0.3.3")}},
		{Name: "public", Local: addr("198.51.100.2"), Remote: []netip.Addr{addr("198.51.100.1"), {}, addr("198.51.100.3")}},
	}
	id := identity{self: 2, name: "s2"}
	if d := cmp.Diff(want, ends(c, id, nil).Paths, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("paths (-want +got):\n%s", d)
	}
	nc := nodeConfig(c, id)
	if nc.Self != 2 || nc.Paths != 3 || nc.Times.Timeout != time.Second || nc.Clean || nc.Adopt != 0 {
		t.Errorf("node config = %+v", nc)
	}
	if a, b := nc.Random(), nc.Random(); a == b {
		t.Errorf("random numbers %d and %d", a, b)
	}
	spec := guardSpec(c, "/state", cgroup.Place{Mark: "m"})
	if len(spec.Addresses) != 2 || spec.Timeout != time.Second || spec.Stop != 250*time.Millisecond || spec.Reboot != guard.WhenStuck || spec.Record != "/state/guard.rebooted" {
		t.Errorf("guard spec = %+v", spec)
	}
	c.Recovery.OnQuorumLoss, c.Recovery.Watchdog = conf.OnQuorumLossReboot, "/dev/watchdog"
	if spec := guardSpec(c, "/state", cgroup.Place{}); spec.Reboot != guard.WhenLost || spec.Watchdog != "/dev/watchdog" {
		t.Errorf("guard spec with reboot = %+v", spec)
	}
	if g := runnerGroups(c)["A"]; g.Timeout != 90*time.Second || g.StartScript != "/a" || len(g.FloatingIPs) != 1 || g.FloatingIPs[0].Prefix != 0 {
		t.Errorf("runner's A = %+v", g)
	}
	if w := watchedIPs(c); len(w) != 1 || len(w["A"]) != 1 {
		t.Errorf("watched = %v, want A's only", w)
	}
	if got := handOverLimit(c); got < 2*30*time.Minute {
		t.Errorf("hand-over limit = %v, shorter than B's scripts may take", got)
	}
	if e := ends(c, id, nil); len(e.Paths) != 3 || e.Paths[2].Name != "public" {
		t.Errorf("ends = %+v", e)
	}
}

// Watching follows the state, but ends before a step touches the group.
func TestAddressWatch(t *testing.T) {
	w := newAddressWatch(wiringConf(t), func(node.Input) {})
	view := func(s cluster.GroupState, on string, step *cluster.Step, lease time.Duration) *node.View {
		return &node.View{Server: "s1", Lease: lease, State: &cluster.State{Groups: []cluster.Group{
			{Name: "A", State: s, Server: on, Step: step}, {Name: "B", State: s, Server: on},
		}}}
	}
	for _, tc := range []struct {
		v    *node.View
		want bool
	}{
		{view(cluster.GroupStarting, "s1", &cluster.Step{}, 1), false},
		{view(cluster.GroupOnline, "s1", nil, 1), true},
		{view(cluster.GroupOnline, "s1", &cluster.Step{}, 1), false},
		{view(cluster.GroupOnline, "s2", nil, 1), false},
		{view(cluster.GroupOnline, "s1", nil, 0), false}, // the guard is taking it away
		{&node.View{Server: "s1", Lease: 1, State: &cluster.State{}}, false},
	} {
		w.follow(tc.v)
		if w.on["A"] != tc.want || w.on["B"] {
			t.Errorf("%+v: on = %v, want A %v, B never", tc.v, w.on, tc.want)
		}
	}
	w.follow(view(cluster.GroupOnline, "s1", nil, 1))
	w.pause(cluster.Step{Kind: cluster.StepRecover, Group: "A"})
	if !w.on["A"] {
		t.Error("a RECOVER run ended the watching")
	}
	w.pause(cluster.Step{Kind: cluster.StepStop, Group: "A"})
	if w.on["A"] {
		t.Error("A is watched while it is being stopped")
	}
}

// A lost path is noted once, when the server is heard on another; and its return.
func TestPathNotes(t *testing.T) {
	var got []string
	n := newPathNotes(wiringConf(t), identity{self: 1, name: "s1"}, func(e *cluster.Event) { got = append(got, e.Code+": "+e.Text) })
	stats := func(lan1, lan2 bool) heartbeat.Stats {
		d := func(path int, name string, ok bool) heartbeat.Directed {
			return heartbeat.Directed{Path: path, Name: name, From: 2, OK: ok, Age: 400 * time.Millisecond}
		}
		return heartbeat.Stats{Paths: []heartbeat.Directed{d(0, "lan1", lan1), d(1, "lan2", lan2), {Path: 0, Name: "lan1", From: 3, Age: -1}}}
	}
	n.look(stats(true, true), 10_000)
	n.look(stats(true, false), 20_000)
	n.look(stats(true, false), 25_000)
	n.look(stats(false, false), 26_000) // the server is down: not a matter of paths
	n.look(stats(true, true), 32_000)
	want := []string{
		"path-lost: heartbeat path lan2 from s2 to s1 is lost; s2 is heard on another one",
		"path-works: heartbeat path lan2 from s2 to s1 works again after 12.4s",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("notes (-want +got):\n%s", d)
	}
}

func TestOptions(t *testing.T) {
	var out bytes.Buffer
	o, err := parseOptions([]string{"--config", "f", "--server=s2", "--socket", "/x"}, &out)
	if err != nil || o.config != "f" || o.server != "s2" || o.socket != "/x" || o.logLevel != "info" {
		t.Errorf("options = %+v, %v", o, err)
	}
	for _, bad := range [][]string{{"--nonsense"}, {"start"}, {"--config"}} {
		if _, err := parseOptions(bad, &out); err == nil || errors.Is(err, errPrinted) {
			t.Errorf("%q: %v, want an error", bad, err)
		}
	}
	for arg, want := range map[string]string{"--version": "batond", "--help": "--state-dir"} {
		out.Reset()
		if _, err := parseOptions([]string{arg}, &out); !errors.Is(err, errPrinted) || !strings.Contains(strings.ReplaceAll(out.String(), " -", " --"), want) {
			t.Errorf("%s: %v, %q", arg, err, &out)
		}
	}
	c := wiringConf(t)
	if name, err := (options{server: "s3"}).serverName(c); err != nil || name != "s3" {
		t.Errorf("--server s3 = %q, %v", name, err)
	}
	if _, err := (options{server: "s9"}).serverName(c); err == nil || !strings.Contains(err.Error(), "s1, s2, s3") {
		t.Errorf("--server s9: %v, want the names there are", err)
	}
}

// What an operator gets wrong ends with code 2 and all of it at once, before anything
// is opened; what somebody else has in use, with code 1 and whose it is.
func TestMistakes(t *testing.T) {
	if !inside(t) {
		return
	}
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) (int, string) {
		cmd := exec.Command("/proc/self/exe", args...)
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	key := write("key", conf.GenerateKey(), 0o600)
	good := strings.Replace(wiringFile, `name = "payroll"`, `name = "payroll"`+"\nkey_file = \""+key+"\"", 1)
	config := write("good.toml", good, 0o644)
	for name, tc := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"two faults": {[]string{"--config", write("bad.toml", strings.NewReplacer(`"1s"`, `"1ms"`, `"s2"]`, `"s9"]`).Replace(good), 0o644)}, 2, []string{"heartbeat.timeout", "s9", "bad.toml:"}},
		"no file":    {[]string{"--config", dir + "/none.toml"}, 2, []string{"none.toml"}},
		"open key":   {[]string{"--config", write("open.toml", strings.Replace(good, key, write("openkey", conf.GenerateKey(), 0o644), 1), 0o644), "--server", "s1"}, 2, []string{"openkey", "chmod 600"}},
		"log level":  {[]string{"--config", config, "--log-level", "loud"}, 2, []string{"loud"}},
		"no server":  {[]string{"--config", config, "--server", "s9"}, 2, []string{"s9", "s1, s2, s3"}},
	} {
		code, out := run(tc.args...)
		for _, w := range tc.want {
			if code != tc.code || !strings.Contains(out, w) {
				t.Errorf("%s: code %d, want %d; no %q in:\n%s", name, code, tc.code, w, out)
			}
		}
	}

	first := exec.Command("/proc/self/exe", "--config", config, "--server", "s1", "--state-dir", dir+"/state", "--socket", dir+"/sock")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer reapAll(t, 10*time.Second)
	defer first.Wait()
	defer first.Process.Kill()
	eventually(t, "the first one has its socket", func() bool { _, err := os.Lstat(dir + "/sock"); return err == nil })
	if code, out := run("--config", config, "--server", "s2", "--state-dir", dir+"/state", "--socket", dir+"/sock2"); code != 1 || !strings.Contains(out, "in use by") {
		t.Errorf("the same state directory: code %d:\n%s", code, out)
	}
	if code, out := run("--config", config, "--server", "s2", "--state-dir", dir+"/state2", "--socket", dir+"/sock"); code != 1 || !strings.Contains(out, "in use by") {
		t.Errorf("the same socket: code %d:\n%s", code, out)
	}
}
