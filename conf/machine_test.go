package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// put makes the files of a machine below a new root.
func put(t *testing.T, files map[string]string) machine {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return machine{root: root}
}

// Goal: virtual machines are known by whatever names them, and hosts are not taken for
// any.
func TestVirtual(t *testing.T) {
	const flagged, plain = "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n", "processor\t: 0\nflags\t\t: fpu vme lahf_lm\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing known", nil, ""},
		{"a host", map[string]string{"proc/cpuinfo": plain, "sys/class/dmi/id/sys_vendor": "Dell Inc.\n", "sys/class/dmi/id/product_name": "PowerEdge R640\n"}, ""},
		{"KVM", map[string]string{"proc/cpuinfo": flagged, "sys/class/dmi/id/sys_vendor": "QEMU\n", "sys/class/dmi/id/product_name": "Standard PC (Q35 + ICH9, 2009)\n"}, "QEMU"},
		{"VMware", map[string]string{"sys/class/dmi/id/product_name": "VMware Virtual Platform\n"}, "VMware"},
		{"VMware, newer", map[string]string{"sys/class/dmi/id/product_name": "VMware7,1\n"}, "VMware"},
		{"Hyper-V", map[string]string{"sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n", "sys/class/dmi/id/product_name": "Virtual Machine\n"}, "Hyper-V"},
		{"a computer of the same maker", map[string]string{"proc/cpuinfo": plain, "sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n", "sys/class/dmi/id/product_name": "Surface\n"}, ""},
		{"VirtualBox", map[string]string{"sys/class/dmi/id/sys_vendor": "innotek GmbH\n"}, "VirtualBox"},
		{"Amazon", map[string]string{"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "t3.large\n"}, "Amazon EC2"},
		{"Amazon's bare metal", map[string]string{"proc/cpuinfo": plain, "sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "i3.metal\n"}, ""},
		{"a Xen guest", map[string]string{"sys/hypervisor/type": "xen\n", "proc/xen/capabilities": ""}, "xen"},
		{"Xen's first domain", map[string]string{"sys/hypervisor/type": "xen\n", "proc/xen/capabilities": "control_d\n", "proc/cpuinfo": flagged}, ""},
		{"only the flag", map[string]string{"proc/cpuinfo": flagged}, "its processors say so"},
		{"the word, but no flag", map[string]string{"proc/cpuinfo": "model name\t: hypervisor\nflags\t\t: fpu hypervisors\n"}, ""},
		{"without x86", map[string]string{"proc/cpuinfo": "processor\t: 0\nFeatures\t: fp\n", "proc/device-tree/hypervisor": ""}, "its device tree says so"},
	} {
		if got := put(t, c.files).virtual(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Goal: what is said of a machine: where it is virtual and nothing outside of it would
// end it, and what is wrong with the watchdog.
func TestMachineWarnings(t *testing.T) {
	parse := func(file, dog string) *Config {
		t.Helper()
		text, err := os.ReadFile("examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if dog != "" {
			text = append([]byte("[recovery]\nwatchdog = \""+dog+"\"\n"), text...)
		}
		c, err := Parse("f", text)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	vm := func(more ...string) map[string]string {
		m := map[string]string{"sys/class/dmi/id/sys_vendor": "QEMU\n"}
		for i := 0; i+1 < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	const dog, identity = "dev/watchdog", "sys/class/watchdog/watchdog0/identity"
	for _, c := range []struct {
		name  string
		c     *Config
		files map[string]string
		want  []string // words of each warning
	}{
		{"a machine", parse("minimal.toml", ""), nil, nil},
		{"virtual", parse("minimal.toml", ""), vm(), []string{"server1 is a virtual machine (QEMU). While it is paused"}},
		{"virtual with fence", parse("two-servers-fence.toml", ""), vm(), nil},
		{"virtual, two servers", parse("two-servers-witness.toml", ""), vm(), []string{`for up to 2.91s, and no software inside can prevent that; never pause it, and take no snapshot with its memory, while it runs groups; or give it a watchdog that the hypervisor counts by its own clock (recovery.watchdog), or tiebreaker.kind = "fence"`}},
		{"virtual with its own watchdog", parse("minimal.toml", "/dev/watchdog"), vm(dog, "-> /dev/null", identity, "i6300ESB timer\n"), []string{"whether its watchdog goes on counting meanwhile is the hypervisor's affair"}},
		{"virtual with softdog", parse("minimal.toml", "/dev/watchdog"), vm(dog, "-> /dev/null", identity, "Software Watchdog\n"), []string{"is softdog", "a watchdog that the hypervisor counts"}},
		{"a watchdog", parse("minimal.toml", "/dev/watchdog"), map[string]string{dog: "-> /dev/null", identity: "iTCO_wdt\n"}, nil},
		{"no watchdog", parse("minimal.toml", "/dev/watchdog"), nil, []string{"/dev/watchdog is not there"}},
		{"a file", parse("minimal.toml", "/dev/watchdog"), map[string]string{dog: ""}, []string{"is not a watchdog device"}},
	} {
		got := c.c.machineWarnings("server1", put(t, c.files))
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
			continue
		}
		for i, p := range got {
			if !strings.Contains(p.Error(), c.want[i]) {
				t.Errorf("%s: %q, want %q", c.name, p.Error(), c.want[i])
			}
		}
	}
	if got := parse("minimal.toml", "").machineWarnings("elsewhere", put(t, vm())); got != nil {
		t.Errorf("another machine: %v", got)
	}
	if _, err := Parse("f", []byte("[recovery]\nwatchdog = \"watchdog\"\n")); err == nil || !strings.Contains(err.Error(), `such as "/dev/watchdog"`) {
		t.Errorf("a relative path: %v", err)
	}
}
