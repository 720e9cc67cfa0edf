package conf

import (
	"encoding"
	"fmt"
	goparser "go/parser"
	"go/token"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compare = cmp.Options{
	cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateComparable(netip.Addr{}), cmp.AllowUnexported(Duration{}),
}

func load(t *testing.T, path string) *Config {
	t.Helper()
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Goal: an operator may begin with any of the examples. Method: load each; no
// warnings but those that its own comments announce.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("examples/*.toml")
	if err != nil || len(files) != 6 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	warnings := map[string]string{
		"minimal.toml": "one heartbeat path", "two-servers.toml": "two servers without a tie-breaker",
		"two-servers-fence.toml": "fence takes seconds",
	}
	for _, file := range files {
		var got []string
		for _, p := range load(t, file).Warnings() {
			got = append(got, p.Error())
		}
		want := warnings[filepath.Base(file)]
		switch {
		case want == "" && len(got) > 0, len(got) > 1, want != "" && (len(got) == 0 || !strings.Contains(got[0], want)):
			t.Errorf("%s: warnings %q, want one with %q", file, got, want)
		}
	}
}

// Goal: what the file leaves out has the default that README.md names, and what it
// says arrives. The defaults of three-servers.toml are spelt out there, so that it
// must give the same as a file without them.
func TestDefaults(t *testing.T) {
	got := load(t, "examples/minimal.toml")
	want := &Config{
		Cluster:    Cluster{"minimal", "/etc/baton/cluster.key", "/var/lib/baton", 22860},
		Heartbeat:  Heartbeat{Of(500 * time.Millisecond), Of(3 * time.Second)},
		Startup:    Startup{Of(5 * time.Minute)},
		Recovery:   Recovery{Return: "manual", OnQuorumLoss: "stop"},
		Tiebreaker: Tiebreaker{Kind: "none"},
		Servers: []Server{
			{Name: "server1", Interconnect: []netip.Addr{addr("192.168.100.1")}},
			{Name: "server2", Interconnect: []netip.Addr{addr("192.168.100.2")}},
			{Name: "server3", Interconnect: []netip.Addr{addr("192.168.100.3")}},
		},
		Groups: []Group{{
			Name: "A", Policy: []string{"server1", "server2", "server3"}, Autostart: true, Failback: "manual",
			ScriptTimeout: Of(30 * time.Minute),
			FloatingIPs:   []FloatingIP{{Address: addr("10.0.0.100"), Prefix: -1}},
			Monitor:       Monitor{[]string{"floating_ip", "script"}, "failover", "priority", 8},
		}},
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("minimal.toml (-want +got):\n%s", diff)
	}

	spelt := load(t, "examples/three-servers.toml")
	for name, pair := range map[string][2]any{
		"cluster":   {spelt.Cluster, Cluster{"payroll", want.Cluster.KeyFile, want.Cluster.StateDir, want.Cluster.Port}},
		"heartbeat": {spelt.Heartbeat, want.Heartbeat}, "startup": {spelt.Startup, want.Startup},
		"recovery": {spelt.Recovery, want.Recovery}, "tiebreaker": {spelt.Tiebreaker, want.Tiebreaker},
		"autostart": {spelt.Groups[0].Autostart, true}, "failback": {spelt.Groups[0].Failback, "manual"},
		"script_timeout": {spelt.Groups[0].ScriptTimeout, want.Groups[0].ScriptTimeout},
		"monitor":        {spelt.Groups[0].Monitor, Monitor{[]string{"floating_ip", "script"}, "failover", "priority", 8}},
	} {
		if diff := cmp.Diff(pair[1], pair[0], compare); diff != "" {
			t.Errorf("three-servers.toml, %s (-want +got):\n%s", name, diff)
		}
	}
}

// Goal: every key arrives in its own field. Method: a file that has none of the
// defaults.
func TestEveryKeyArrives(t *testing.T) {
	got, err := Parse("x", []byte(`
[cluster]
name      = "c"
key_file  = "/k"
state_dir = "/s"
port      = 1
[heartbeat]
interval = "200ms"
timeout  = "1m"
[startup]
wait = "1h"
[recovery]
return = "auto"
[[server]]
name         = "a"
interconnect = ["192.168.1.1", "fd00::1"]
public       = "10.0.0.1"
[[server]]
name         = "b"
interconnect = ["192.168.1.2", "fd00::2"]
public       = "10.0.0.2"
[[group]]
name           = "g"
policy         = ["b", "a"]
autostart      = false
failback       = "auto"
start_script   = "/start"
stop_script    = "/stop"
script_timeout = "2m"
[[group.floating_ip]]
address   = "10.0.0.3/25"
interface = "eth1"
[[group.floating_ip]]
address = "10.0.0.4"
[group.monitor]
resources     = ["script"]
on_anomaly    = "stop"
failover_to   = "stable"
max_failovers = 3
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Cluster:    Cluster{"c", "/k", "/s", 1},
		Heartbeat:  Heartbeat{Of(200 * time.Millisecond), Of(time.Minute)},
		Startup:    Startup{Of(time.Hour)},
		Recovery:   Recovery{Return: "auto", OnQuorumLoss: "stop"},
		Tiebreaker: Tiebreaker{Kind: "none"},
		Servers: []Server{
			{Name: "a", Interconnect: []netip.Addr{addr("192.168.1.1"), addr("fd00::1")}, Public: addr("10.0.0.1")},
			{Name: "b", Interconnect: []netip.Addr{addr("192.168.1.2"), addr("fd00::2")}, Public: addr("10.0.0.2")},
		},
		Groups: []Group{{
			"g",
			[]string{"b", "a"},
			false, "auto", "/start", "/stop", Of(2 * time.Minute),
			[]FloatingIP{{addr("10.0.0.3"), 25, "eth1"}, {addr("10.0.0.4"), -1, ""}},
			Monitor{[]string{"script"}, "stop", "stable", 3},
		}},
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	paths := []Path{
		{"lan1", addr("192.168.1.2"), addr("192.168.1.1")},
		{"lan2", addr("fd00::2"), addr("fd00::1")},
		{"public", addr("10.0.0.2"), addr("10.0.0.1")},
	}
	if diff := cmp.Diff(paths, got.Paths(1, 0), compare); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if got.PathCount() != 3 || got.Index("b") != 1 || got.Index("c") != -1 || got.Group("g") != &got.Groups[0] || got.Group("x") != nil {
		t.Error("PathCount, Index or Group is wrong")
	}
	if m := got.Groups[0].Monitor; !m.Watches(ResourceScript) || m.Watches(ResourceFloatingIP) {
		t.Error("Watches is wrong")
	}
}

func TestDuration(t *testing.T) {
	var _ encoding.TextUnmarshaler = (*Duration)(nil)
	for _, tt := range []struct{ in, out, err string }{
		{"500ms", "500ms", ""},
		{"1.5s", "1.5s", ""},
		{"90s", "1m30s", ""},
		{"60m", "1h", ""},
		{"1h0m1s", "1h0m1s", ""},
		{"10m", "10m", ""},
		{"100s", "1m40s", ""},
		{"20h", "20h", ""},
		{"0s", "0s", ""},
		{" 3s ", "3s", ""},
		{"5", "", `"5" has no unit; write "5s" for seconds`},
		{"0", "", `"0" has no unit; write a number and its unit`},
		{"-5", "", `"-5" has no unit; write a number and its unit`},
		{"1e3", "", `"1e3" has no unit`},
		{"inf", "", `"inf" has no unit`},
		{"-5s", "", `"-5s" is negative`},
		{"", "", "is empty"},
		{"3 s", "", `"3 s" is not a duration`},
		{"1d", "", `"1d" is not a duration`},
		{"9999999h", "", `"9999999h" is not a duration`},
	} {
		var d Duration
		err := d.UnmarshalText([]byte(tt.in))
		if tt.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) || d != (Duration{}) {
				t.Errorf("%q: %v, error %v, want %s...", tt.in, d, err, tt.err)
			}
			continue
		}
		if err != nil || d.String() != tt.out {
			t.Errorf("%q: %v, %v, want %s", tt.in, d, err, tt.out)
		}
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"interval", "timeout", "name", "policy", "server1", "server2"}
	for s, want := range map[string]string{
		"intervall": "interval", "Timeout": "timeout", "tiemout": "timeout", "nmae": "name", "time_out": "timeout",
		"polciy": "policy", "server3": "", "sevrer2": "server2", "x": "", "": "", "interconnect": "", "names": "name",
		strings.Repeat("x", 1000): "",
	} {
		if got := nearest(s, keys); got != want {
			t.Errorf("nearest to %.20q: %q, want %q", s, got, want)
		}
	}
}

// Goal: the room depends on no other.
func TestImports(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := goparser.ParseFile(token.NewFileSet(), file, nil, goparser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.HasPrefix(i.Path.Value, `"baton/`) {
				t.Errorf("%s imports %s", file, i.Path.Value)
			}
		}
	}
}

// Goal: each kind's keys arrive where they belong.
func TestTiebreaker(t *testing.T) {
	for _, tt := range []struct {
		file string
		want Tiebreaker
	}{
		{"examples/two-servers-disk.toml", Tiebreaker{Kind: "disk", Device: "/dev/disk/by-id/scsi-0001-part1"}},
		{"examples/two-servers-witness.toml", Tiebreaker{Kind: "witness", Witness: []netip.AddrPort{
			netip.MustParseAddrPort("10.0.0.9:22861"), netip.MustParseAddrPort("192.168.100.9:22861"),
		}}},
		{"testdata/tiebreaker-witness.toml", Tiebreaker{Kind: "witness", Witness: []netip.AddrPort{
			netip.MustParseAddrPort("10.0.0.9:4000"), netip.MustParseAddrPort("[fd00::9]:22861"),
		}}},
		{"testdata/warn-ping.toml", Tiebreaker{Kind: "ping", Ping: []netip.Addr{addr("10.0.0.254")}}},
		{"testdata/warn-fence.toml", Tiebreaker{Kind: "fence"}},
	} {
		if diff := cmp.Diff(tt.want, load(t, tt.file).Tiebreaker, compare, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.file, diff)
		}
	}
	c := load(t, "testdata/warn-fence.toml")
	want := []Fence{
		{Agent: "fence_ipmilan", Options: map[string]string{"ip": "10.0.1.1", "username": "baton", "password": "x", "lanplus": "true", "ipport": "623"}},
		{Agent: "/usr/local/sbin/fence_ours"},
	}
	for i, w := range want {
		if diff := cmp.Diff(w, c.Servers[i].Fence, compare); diff != "" {
			t.Errorf("server %d (-want +got):\n%s", i+1, diff)
		}
	}
	if d := load(t, "testdata/fence-right.toml").Servers[0].Fence.Delay.D(); d != 10*time.Second {
		t.Errorf("delay %v", d)
	}
}

// Goal: the agents' passwords show in no way of printing a Config.
func TestFenceHides(t *testing.T) {
	c := load(t, "examples/two-servers-fence.toml")
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "server", c.Servers[0], "fence", c.Servers[0].Fence)
	fmt.Fprintf(&b, "%v %+v %#v %s", c.Servers, *c, c.Servers[0].Fence, c.Servers[0].Fence)
	if strings.Contains(b.String(), "secret") {
		t.Errorf("%s", b.String())
	}
}
