package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// MachineWarnings are what Check says of the machine itself where it is the named
// server: that it is a virtual one, and what there is of its watchdog. batond logs them
// when it starts.
func (c *Config) MachineWarnings(server string) []Problem {
	return c.machineWarnings(server, machine{root: "/"})
}

func (c *Config) machineWarnings(server string, m machine) []Problem {
	i := c.Index(server)
	if i < 0 {
		return nil
	}
	w := &reader{file: c.file, lines: c.lines}
	c.ofMachine(w, i, m)
	w.problems.sort()
	return w.problems
}

func (c *Config) ofMachine(w *reader, i int, m machine) {
	dog := c.Recovery.Watchdog
	message, remedy, soft := m.watchdog(dog)
	if message != "" {
		w.fail("recovery.watchdog", message, remedy)
	}
	kind := m.virtual()
	// With two servers every takeover without the other's word is fenced; with more, a
	// majority takes over without.
	if kind == "" || c.Tiebreaker.Kind == TiebreakerFence && len(c.Servers) == 2 {
		return
	}
	// At the end of its lease and E: 0.97 T after it last got one (package lease).
	most := (c.Heartbeat.Timeout.D() * 97 / 100).Round(10 * time.Millisecond)
	message = fmt.Sprintf("%s is a virtual machine (%s). While it is paused, suspended or restored from a snapshot its clock stands still, and it does not notice that its groups are taken over. "+
		"When it goes on, it runs them too, for up to %v, and no software inside can prevent that", c.Servers[i].Name, kind, most)
	remedy = "never pause it, and take no snapshot with its memory, while it runs groups"
	if dog != "" && !soft {
		message += "; whether its watchdog goes on counting meanwhile is the hypervisor's affair (that of QEMU does not)"
	} else {
		remedy += "; or give it a watchdog that the hypervisor counts by its own clock (recovery.watchdog)"
		if len(c.Servers) == 2 {
			remedy += `, or tiebreaker.kind = "fence", by the hypervisor's agent`
		}
	}
	w.fail(at("server", i), message, remedy)
}

// watchdog says what is wrong with the watchdog device, and whether it is software.
// It must not be opened: that would start it.
func (m machine) watchdog(path string) (message, remedy string, soft bool) {
	if path == "" {
		return "", "", false
	}
	info, err := os.Stat(filepath.Join(m.root, path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path + " is not there: the groups run without a watchdog", "load the driver of the hardware when the machine boots (/etc/modules-load.d)", false
	case err != nil:
		return err.Error(), "load the driver of the hardware", false
	case info.Mode()&os.ModeCharDevice == 0:
		return path + " is not a watchdog device", "write /dev/watchdog", false
	}
	name := filepath.Base(path)
	if name == "watchdog" {
		name = "watchdog0" // the same device (Documentation/watchdog)
	}
	if strings.HasPrefix(m.line("sys/class/watchdog", name, "identity"), "Software Watchdog") {
		return path + " is softdog, a timer of the kernel: where the kernel itself stands still, so does the watchdog", "use that of the hardware where there is one", true
	}
	return "", "", false
}

// line is the first line of a file, "" where there is none.
func (m machine) line(path ...string) string {
	b, err := os.ReadFile(filepath.Join(append([]string{m.root}, path...)...))
	if err != nil {
		return ""
	}
	s, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(s)
}

// virtualNames are what hypervisors write into the DMI table, and how they are called.
var virtualNames = [...]struct{ prefix, name string }{
	{"QEMU", "QEMU"},
	{"KVM", "KVM"},
	{"VMware", "VMware"},
	{"VMW", "VMware"},
	{"innotek GmbH", "VirtualBox"},
	{"VirtualBox", "VirtualBox"},
	{"Oracle Corporation VirtualBox", "VirtualBox"},
	{"Xen", "Xen"},
	{"Bochs", "Bochs"},
	{"Parallels", "Parallels"},
	{"BHYVE", "bhyve"},
	{"Virtual Machine", "Hyper-V"},
	{"Google Compute Engine", "Google Compute Engine"},
	{"Amazon EC2", "Amazon EC2"},
	{"OpenStack", "OpenStack"},
	{"RHEV Hypervisor", "oVirt"},
	{"Apple Virtualization", "Apple Virtualization"},
}

// virtual names what kind of virtual machine this is, "" where it is not known to be
// one. In this order: Xen says so itself, and its first domain is the host; a virtual
// machine's firmware names its maker; and every hypervisor that does not hide sets a
// flag (CPUID leaf 1, ECX bit 31) or, without x86, a node of the device tree.
func (m machine) virtual() string {
	if strings.Contains(m.line("proc/xen/capabilities"), "control_d") {
		return ""
	}
	if kind := m.line("sys/hypervisor/type"); kind != "" {
		return kind
	}
	product := m.line("sys/class/dmi/id/product_name")
	if strings.HasSuffix(product, ".metal") { // of a cloud, and yet a machine
		return ""
	}
	for _, file := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor"} {
		text := m.line("sys/class/dmi/id", file)
		for _, v := range virtualNames {
			if strings.HasPrefix(text, v.prefix) {
				return v.name
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(m.root, "proc/cpuinfo"))
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if name, flags, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "flags" {
				if slices.Contains(strings.Fields(flags), "hypervisor") {
					return "its processors say so"
				}
				return ""
			}
		}
	}
	if _, err := os.Stat(filepath.Join(m.root, "proc/device-tree/hypervisor")); err == nil {
		return "its device tree says so"
	}
	return ""
}
