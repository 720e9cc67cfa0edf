// Package nettest gives tests a network namespace of their own, as root and, through
// a user namespace, as anybody else. Only tests import it.
//
// Main, from TestMain, puts a whole package into one; Again puts one test into another.
package nettest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// inside is set in the process that runs in the namespace: "yes", or why there is none.
const inside = "BATON_TEST_NAMESPACE"

// Main starts the test binary again in a new network namespace and returns the exit
// code. A hidden sub-command that the tests start is carried out instead.
func Main(m *testing.M, commands map[string]func([]string) int) int {
	if len(os.Args) > 1 {
		if command, ok := commands[os.Args[1]]; ok {
			return command(os.Args[2:])
		}
	}
	if os.Getenv(inside) != "" {
		if lo, err := netlink.LinkByName("lo"); err == nil {
			_ = netlink.LinkSetUp(lo)
		}
		return m.Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.SysProcAttr = New(syscall.CLONE_NEWNET)
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(1, exit.ExitCode())
	}
	os.Setenv(inside, fmt.Sprintf("no network namespace here: %v", err))
	return m.Run()
}

// New asks for new namespaces (clone(2)); for anybody but root a user namespace is one of
// them, in which he is root.
func New(flags uintptr) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: flags}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// Again runs the calling test again, in a process with an empty network of its own, and
// reports whether this is that process.
func Again(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.SysProcAttr = New(syscall.CLONE_NEWNET)
	out, err := cmd.CombinedOutput()
	if Refused(err) {
		t.Skipf("no network namespace here: %v", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a network of its own: %v\n%s", err, out)
	}
	return false
}

// Refused reports whether the machine lets us make no such namespaces.
func Refused(err error) bool {
	for _, e := range []error{syscall.EPERM, syscall.EACCES, syscall.ENOSPC, syscall.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Need skips a test that changes the network, where there is no namespace for it.
func Need(t testing.TB) {
	t.Helper()
	if why := os.Getenv(inside); why != "yes" {
		t.Skip(why)
	}
}

// Cable makes two interfaces that are connected, the first with the address, and
// takes them away at the end of the test.
func Cable(t testing.TB, here, there string, prefix netip.Prefix) {
	t.Helper()
	Need(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = here
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: there}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	if prefix.IsValid() {
		addr, err := netlink.ParseAddr(prefix.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(veth, addr); err != nil {
			t.Fatal(err)
		}
	}
	Up(t, here, true)
	Up(t, there, true)
}

// Up switches an interface on or off.
func Up(t testing.TB, name string, on bool) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	set := netlink.LinkSetUp
	if !on {
		set = netlink.LinkSetDown
	}
	if err := set(link); err != nil {
		t.Fatal(err)
	}
}

// Add puts an address on an interface, for ever if seconds is 0.
func Add(t testing.TB, name string, prefix netip.Prefix, seconds int) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(prefix.String())
	if err != nil {
		t.Fatal(err)
	}
	addr.ValidLft, addr.PreferedLft = seconds, seconds
	if err := netlink.AddrReplace(link, addr); err != nil {
		t.Fatal(err)
	}
}

// Has says whether the address is on any interface.
func Has(t testing.TB, addr netip.Addr) bool {
	t.Helper()
	for {
		list, err := netlink.AddrList(nil, netlink.FAMILY_V4)
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if got, ok := netip.AddrFromSlice(a.IP.To4()); ok && got == addr {
				return true
			}
		}
		return false
	}
}

// Index is the interface's number.
func Index(t testing.TB, name string) int {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().Index
}
