package reboot

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/daemon/nettest"

	"golang.org/x/sys/unix"
)

// TestMain is also the program inside of a pid namespace: it reboots it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "inside" {
		os.Exit(inside(os.Args[2]))
	}
	os.Exit(m.Run())
}

// Goal: who may reboot what. Nothing that is unknown is taken for a yes.
func TestWay(t *testing.T) {
	const other = 4026532001
	all := facts{pid: initialPID, net: 7, initNet: 7, capable: true}
	with := func(change func(*facts)) facts { f := all; change(&f); return f }
	for _, c := range []struct {
		name string
		f    facts
		want Way
		say  string
	}{
		{"the machine's batond", all, Machine, ""},
		{"without /proc", with(func(f *facts) { f.pid = 0 }), None, "cannot be told"},
		{"without the capability", with(func(f *facts) { f.capable = false }), None, "CAP_SYS_BOOT"},
		{"in a network namespace", with(func(f *facts) { f.net = 8 }), None, "not the machine's own"},
		{"own network namespace unknown", with(func(f *facts) { f.net = 0 }), None, "cannot be told"},
		{"process 1's unknown", with(func(f *facts) { f.initNet = 0 }), None, "cannot be told"},
		{"both unknown", with(func(f *facts) { f.net, f.initNet = 0, 0 }), None, "cannot be told"},
		{"in a container", with(func(f *facts) { f.pid = other }), Namespace, ""},
		{"in a container, network namespace unknown", with(func(f *facts) { f.pid, f.net = other, 0 }), Namespace, ""},
		{"in a container without the capability", with(func(f *facts) { f.pid, f.capable = other, false }), None, "CAP_SYS_BOOT"},
		{"forbidden", with(func(f *facts) { f.power = "never" }), None, "forbids"},
		{"forbidden in a container", with(func(f *facts) { f.pid, f.power = other, "never" }), None, "forbids"},
		{"confined to another container", with(func(f *facts) { f.pid, f.power = other, "pid:[4026532002]" }), None, "forbids"},
		{"confined to the machine", with(func(f *facts) { f.power = "pid:[4026531836]" }), None, "forbids"},
		{"confined to this container", with(func(f *facts) { f.pid, f.power = other, "pid:[4026532001]" }), Namespace, ""},
		{"a test", with(func(f *facts) { f.test = true }), None, "a test does not"},
		{"a test that asks for it", with(func(f *facts) { f.test, f.allowed = true, fmt.Sprint(initialPID) }), None, "a test does not"},
		{"a test in a container", with(func(f *facts) { f.test, f.pid = true, other }), None, "made for it"},
		{"a test that means another one", with(func(f *facts) { f.test, f.pid, f.allowed = true, other, "4026532002" }), None, "made for it"},
		{"a test in the one it made", with(func(f *facts) { f.test, f.pid, f.allowed = true, other, "4026532001" }), Namespace, ""},
		{"a test without /proc", with(func(f *facts) { f.test, f.pid, f.allowed = true, 0, "0" }), None, "cannot be told"},
	} {
		way, err := c.f.way()
		if way != c.want || (err == nil) != (c.say == "") || err != nil && !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %d, %v; want %d, %q", c.name, way, err, c.want, c.say)
		}
	}
}

// This very process, as root on a real machine, must be refused. (Now is not called:
// were it wrong, nobody would read the failure.)
func TestThisTestIsRefused(t *testing.T) {
	if way, err := Find(); way != None || err == nil {
		t.Fatalf("Find() = %d, %v in a test", way, err)
	}
}

// inside is the first process of a pid namespace: it starts a child that stays, checks
// once more where it is, and has the child of a child reboot.
func inside(role string) int {
	f := look()
	if f.pid == initialPID || f.pid == 0 {
		fmt.Println("not in a pid namespace")
		return 3
	}
	if role == "reboot" {
		os.Setenv(AllowEnv, fmt.Sprint(f.pid))
		fmt.Println("refused:", Now())
		return 4
	}
	fmt.Println("pid", os.Getpid())
	cmd := exec.Command("/proc/self/exe", "inside", "reboot")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Println(err)
	}
	time.Sleep(10 * time.Second) // killed long before
	return 5
}

// Goal: in a pid namespace, a reboot ends every process of it and nothing else, and
// whoever started the namespace can tell: its first process ended by SIGHUP.
func TestNamespace(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "inside", "init")
	cmd.SysProcAttr = nettest.New(unix.CLONE_NEWPID | unix.CLONE_NEWNS)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if nettest.Refused(err) {
		t.Skipf("this machine lets nobody make a pid namespace: %v", err)
	}
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() || ws.Signal() != unix.SIGHUP {
		t.Fatalf("its first process ended with %v, want by SIGHUP\n%s", err, out)
	}
	if strings.TrimSpace(string(out)) != "pid 1" {
		t.Errorf("output %q", out)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}
