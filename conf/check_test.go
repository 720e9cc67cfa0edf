package conf

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Goal: what baton check says of a right and of a wrong file, on a machine that the
// file does not name. (The faults themselves are TestFixtures' business.)
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		file string
		ok   bool
	}{
		{"examples/minimal.toml", true},
		{"examples/two-servers.toml", true},
		{"examples/three-servers.toml", true},
		{"examples/two-servers-disk.toml", true},
		{"examples/two-servers-witness.toml", true},
		{"examples/two-servers-fence.toml", true},
		{"testdata/warn-ping.toml", true},
		{"testdata/ten-faults.toml", false},
		{"testdata/none.toml", false},
	} {
		var out bytes.Buffer
		if ok := check(&out, tt.file, machine{host: "elsewhere", root: t.TempDir()}); ok != tt.ok {
			t.Errorf("%s: ok %v, want %v", tt.file, ok, tt.ok)
		}
		golden(t, "testdata/check-"+strings.TrimSuffix(filepath.Base(tt.file), ".toml")+".txt", out.String())
	}
}

// Goal: on a machine that the file names, the key, the scripts and the machine itself
// are looked at. Method: a root directory with one fault of each kind, server2's; then
// all of them put right.
func TestCheckHere(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string, mode os.FileMode) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	run := func() string {
		t.Helper()
		var out bytes.Buffer
		if !check(&out, "examples/three-servers.toml", machine{host: "server2", root: root}) {
			t.Error("not ok")
		}
		return strings.ReplaceAll(out.String(), root, "ROOT")
	}
	put("etc/baton/cluster.key", GenerateKey(), 0o644)
	put("etc/baton/scripts/web/start", "", 0o755)
	put("etc/baton/scripts/web/stop", "", 0o777)
	put("etc/baton/scripts/database/start", "", 0o644)
	put("etc/baton/scripts/payroll/start/here", "", 0o755)
	put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n", 0o644)
	golden(t, "testdata/check-here.txt", run())

	put("etc/baton/cluster.key", GenerateKey(), 0o600)
	put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme lahf_lm\n", 0o644)
	if err := os.RemoveAll(filepath.Join(root, "etc/baton/scripts/payroll/start")); err != nil {
		t.Fatal(err)
	}
	for _, g := range []string{"web", "database", "payroll"} {
		put("etc/baton/scripts/"+g+"/start", "", 0o755)
		put("etc/baton/scripts/"+g+"/stop", "", 0o755)
	}
	if got := run(); strings.Contains(got, "warning") {
		t.Errorf("all is well, and yet:\n%s", got)
	}
}

// Goal: what a tie-breaker needs on this machine is looked at: the CLUSTER partition,
// the agents, and who may read their passwords.
func TestCheckTiebreakerHere(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string, mode os.FileMode) string {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("etc/baton/cluster.key", GenerateKey(), 0o600)
	for _, s := range []string{"start", "stop"} {
		put("etc/baton/scripts/A/"+s, "", 0o755)
	}
	run := func(path string) string {
		t.Helper()
		var out bytes.Buffer
		if !check(&out, path, machine{host: "server1", root: root}) {
			t.Error("not ok")
		}
		return out.String()
	}
	const device = "dev/disk/by-id/scsi-0001-part1"
	if got := run("examples/two-servers-disk.toml"); !strings.Contains(got, "/"+device+" is not there") {
		t.Errorf("no disk:\n%s", got)
	}
	put(device, "", 0o600)
	if got := run("examples/two-servers-disk.toml"); !strings.Contains(got, "/"+device+" is not a block device") {
		t.Errorf("a file:\n%s", got)
	}

	text, err := os.ReadFile("examples/two-servers-fence.toml")
	if err != nil {
		t.Fatal(err)
	}
	file := put("baton.toml", string(text), 0o644)
	got := run(file)
	for _, want := range []string{"fence_ipmilan is not installed here", "a password in a file that others can read (mode 0644)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no word of %q:\n%s", want, got)
		}
	}
	put("usr/sbin/fence_ipmilan", "", 0o755)
	put("baton.toml", string(text), 0o600)
	if got := run(file); strings.Count(got, "warning") != 1 { // the one of the kind itself
		t.Errorf("all is well, and yet:\n%s", got)
	}
}
