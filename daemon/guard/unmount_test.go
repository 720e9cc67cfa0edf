package guard

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/lease"
	"baton/daemon/cgroup"
	"baton/daemon/guard/mounts"
	"baton/daemon/guard/page"
	"baton/daemon/guard/reboot"
	"baton/daemon/nettest"
)

const ownMountsEnv = "BATON_TEST_OWN_MOUNTS"

// ownMounts goes on in a mount namespace of its own, once nettest has made the network
// namespace. By exec: all threads must be in it.
func ownMounts() {
	if os.Getenv("BATON_TEST_NAMESPACE") != "yes" || os.Getenv(ownMountsEnv) != "" || len(os.Args) > 1 && os.Args[1] == "guard" {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Unshare(unix.CLONE_NEWNS) != nil || unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") != nil {
		os.Setenv(ownMountsEnv, "no")
		return
	}
	_ = unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), ownMountsEnv+"=yes"))
}

// A guard's attempt to unmount hangs as long as there is a file "hang" beside its page.
func init() {
	clearMounts = func(c *mounts.Clearer) error {
		for {
			if _, err := os.Stat(filepath.Join(filepath.Dir(rebootsFile), "hang")); err != nil {
				return c.Clear()
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// mount mounts a tmpfs that the guard is to unmount.
func (b *bench) mount() string {
	b.t.Helper()
	if os.Getenv(ownMountsEnv) != "yes" {
		b.t.Skip("no mount namespace here")
	}
	point := filepath.Join(b.config.StateDir, "data")
	if err := os.Mkdir(point, 0o755); err != nil {
		b.t.Fatal(err)
	}
	// Its name is its own: by that alone another test's with the same number is another one.
	if err := unix.Mount(point, point, "tmpfs", 0, ""); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	b.config.Spec.Mounts = []string{point}
	return point
}

func isMounted(point string) bool {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	return strings.Contains(string(text), " "+point+" ")
}

// stranger starts a process that belongs to no group and uses the directory.
func stranger(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return cmd
}

// Goal: batond is dead; at the deadline, and not before, a file system of a group is
// unmounted, with processes of the group and of nobody's in it, within E.
func TestUnmount(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		point := b.mount()
		b.config.Spec.Reboot = WhenStuck
		cmd := b.startOwner(long)
		b.process()
		stranger(t, point)
		p := b.page()
		_ = cmd.Process.Kill()
		deadline := p.Load().Deadline
		b.eventually("unmounted", func() bool { return !isMounted(point) })
		gone := time.Duration(page.Now() - deadline)
		b.eventually("finished", func() bool { return p.Load().Finished })
		finished := time.Duration(page.Now() - deadline)
		t.Logf("unmounted %s after the deadline, verified clear %s after it", gone, finished)
		if gone < 0 || finished > stop+b.slack() {
			t.Errorf("want both between 0 and %s (and %s for a loaded machine)", stop, b.slack())
		}
	})
}

// Goal: an unmount that hangs neither keeps the addresses and processes from going nor
// stops the guard; at the end of E a reboot is wanted, and not before; when it comes
// back after all, the session is cleared.
func TestUnmountHangs(t *testing.T) {
	b := newBench(t, true)
	point := b.mount()
	b.config.Spec.Reboot, b.config.Spec.Record = WhenStuck, filepath.Join(b.config.StateDir, "rebooted")
	hang := filepath.Join(b.config.RunDir, "hang")
	g := b.open()
	if err := os.WriteFile(hang, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.process()
	guard := g.page.Guard()
	end := in(300 * time.Millisecond)
	if !g.Extend(5, end) {
		t.Fatal("not armed")
	}
	b.eventually("processes gone", func() bool { return !b.left() })
	b.eventually("reboot", func() bool { return b.reboots() > 0 })
	if after := time.Duration(page.Now() - int64(end)); after < stop {
		t.Errorf("reboot %s after the deadline, before E (%s) was over", after, stop)
	}
	note, _ := os.ReadFile(b.config.Spec.Record)
	// Where the machine took its time the attempt as a whole hangs by now, at this stage.
	if !strings.Contains(string(note), "could not be cleared within "+stop.String()) ||
		!strings.Contains(string(note), point+" does not come back") && !strings.Contains(string(note), "hangs while it is to unmount file systems") {
		t.Errorf("note %q", note)
	}
	if session, ok := g.Finished(); ok || g.Extend(6, in(long)) {
		t.Errorf("finished (session %d), or a new session could begin, with a file system still mounted", session)
	}
	time.Sleep(2 * stale(timeout)) // it must not seem to stand still
	if g.page.Guard() != guard || b.noticed() != "" {
		t.Errorf("the guard was replaced while it waited: %s", b.noticed())
	}
	if err := os.Remove(hang); err != nil {
		t.Fatal(err)
	}
	b.eventually("finished", func() bool { s, ok := g.Finished(); return ok && s == 5 })
	if isMounted(point) {
		t.Error("still mounted")
	}
	if n := b.reboots(); n != 1 {
		t.Errorf("%d reboots were wanted, want 1", n)
	}
}

// Goal: the guard is killed, or stands still, while it unmounts: the next one does it.
func TestGuardDiesUnmounting(t *testing.T) {
	for name, signal := range map[string]unix.Signal{"killed": unix.SIGKILL, "stopped": unix.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			point := b.mount()
			hang := filepath.Join(b.config.RunDir, "hang")
			g := b.open()
			if err := os.WriteFile(hang, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if !g.Extend(5, in(200*time.Millisecond)) {
				t.Fatal("not armed")
			}
			b.eventually("fired", g.Fired)
			_ = unix.Kill(g.page.Guard(), signal)
			if err := os.Remove(hang); err != nil {
				t.Fatal(err)
			}
			b.eventually("finished", func() bool { s, ok := g.Finished(); return ok && s == 5 })
			if isMounted(point) {
				t.Error("still mounted")
			}
		})
	}
}

// rebootsItself is the first process of a pid namespace, and batond's part in it: it
// has a lease, and a file system of a group that nobody can unmount since this very
// process uses it.
func rebootsItself(args []string) int {
	fail := func(err error) int { fmt.Println(err); return 3 }
	if os.Getpid() != 1 {
		return fail(fmt.Errorf("not the first process of a pid namespace"))
	}
	var c Config
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return fail(err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fail(err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return fail(err)
	}
	exe, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	c.Command = []string{"/usr/bin/env", fmt.Sprintf("%s=%d", reboot.AllowEnv, st.Ino), realReboot + "=1", exe, "guard"}
	c.Notice = func(text string) { fmt.Println(text) }
	if err := unix.Mount("data", c.Spec.Mounts[0], "tmpfs", 0, ""); err != nil {
		return fail(err)
	}
	if err := os.Chdir(c.Spec.Mounts[0]); err != nil {
		return fail(err)
	}
	g, err := Open(c)
	if err != nil {
		return fail(err)
	}
	if !g.Extend(5, lease.Instant(page.Now()).Add(hold)) {
		return fail(fmt.Errorf("not armed"))
	}
	fmt.Println("armed")
	time.Sleep(20 * time.Second) // ended by the reboot long before
	return 4
}

// Goal: what cannot be cleared is really rebooted, by the real call: in a pid namespace
// that the test has made for it, which ends with every process in it.
func TestRealReboot(t *testing.T) {
	nettest.Need(t)
	if os.Getenv(ownMountsEnv) != "yes" {
		t.Skip("no mount namespace here")
	}
	dir := t.TempDir()
	place, err := cgroup.Find(cgroup.Params{Cluster: "c", Server: "s", StateDir: dir, NoCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"run", "data"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := Config{StateDir: dir, RunDir: filepath.Join(dir, "run"), Spec: Spec{
		Place: place, Mounts: []string{filepath.Join(dir, "data")}, Timeout: timeout, Stop: stop,
		Reboot: WhenStuck, Record: filepath.Join(dir, "rebooted"),
	}}
	arg, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "reboots", string(arg))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no pid namespace here: %v", err)
	}
	lines := bufio.NewReader(out)
	if line, _ := lines.ReadString('\n'); line != "armed\n" {
		t.Fatalf("inside: %q", line)
	}
	armed := time.Now()
	err = cmd.Wait()
	t.Logf("ended %s after it was armed for %s, E is %s", time.Since(armed), hold, stop)
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ws.Signaled() || ws.Signal() != unix.SIGHUP {
		t.Fatalf("the namespace ended with %v, want by a reboot", err)
	}
	if took := time.Since(armed); took < hold+stop-50*time.Millisecond {
		t.Errorf("rebooted after %s, before lease and E were over", took)
	}
	note, _ := os.ReadFile(c.Spec.Record)
	if !strings.Contains(string(note), "used by process 1 (cwd)") {
		t.Errorf("note %q", note)
	}
}
