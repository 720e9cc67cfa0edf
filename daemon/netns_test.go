package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"baton/daemon/nettest"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be batond, its guard and its steps.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "guard", "step", "--config", "--version", "--help", "--cleanup":
			main()
			return
		}
	}
	os.Exit(m.Run())
}

const insideEnv = "BATOND_TEST_INSIDE"

// inside runs the test again in namespaces of its own (network and mounts, and users
// where we are not root) and reports true there. Outside it reports false, when that
// run has ended and its outcome is the test's.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		if err := settle(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	for try := 1; ; try++ {
		out, err := runInside(t)
		switch {
		case err == nil:
			t.Logf("%s", out)
			return false
		case try < 3 && stalled.MatchString(out):
			t.Logf("try %d: this machine stood still for longer than a lease allows; once more", try)
		default:
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// stalled is what batond says when the machine gave it no time for half a second or
// more: with the short timeouts of a test, groups rightly stop then.
var stalled = regexp.MustCompile(`event loop is late.* late=([5-9]\d\dms|\d+\.\d+s|\d+s)`)

func runInside(t *testing.T) (string, error) {
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=5m"}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = nettest.New(unix.CLONE_NEWNET | unix.CLONE_NEWNS)
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	out, err := cmd.CombinedOutput()
	if nettest.Refused(err) {
		t.Skipf("this machine lets nobody make a network namespace: %v", err)
	}
	return string(out), err
}

// settle makes the namespaces livable: a /run of our own, so that nothing is left on
// the machine, and addresses that are no loopback addresses.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	// Guards that lose their batond become our children, so that all can be waited for.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, net := range []string{"192.0.2.%d/32", "198.51.100.%d/32"} {
		for i := 1; i <= 3; i++ {
			addr, err := netlink.ParseAddr(fmt.Sprintf(net, i))
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(lo, addr); err != nil {
				return fmt.Errorf("address %v: %w", addr, err)
			}
		}
	}
	return netlink.LinkSetUp(lo)
}

// reapAll waits for all children, and kills those that do not end.
func reapAll(t *testing.T, patience time.Duration) {
	end := time.Now().Add(patience)
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.ECHILD):
			return
		case pid > 0:
			continue
		case time.Now().After(end):
			for _, pid := range children() {
				cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				t.Errorf("process %d (%s) is left", pid, strings.ReplaceAll(string(cmd), "\x00", " "))
				unix.Kill(pid, unix.SIGKILL)
			}
			end = end.Add(time.Minute)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func children() []int {
	var out []int
	lists, _ := os.ReadDir("/proc/self/task")
	for _, l := range lists {
		b, _ := os.ReadFile("/proc/self/task/" + l.Name() + "/children")
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}
