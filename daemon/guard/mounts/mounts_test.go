package mounts

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/daemon/nettest"

	"golang.org/x/sys/unix"
)

const insideEnv = "BATON_TEST_MOUNTS"

// TestMain runs the tests as process 1 of pid, mount and (for others than root) user
// namespaces of their own: what they mount and kill is nobody else's.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "hold" {
		hold(os.Args[2], os.Args[3])
		return
	}
	if os.Getenv(insideEnv) == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), insideEnv+"=yes")
		cmd.SysProcAttr = nettest.New(unix.CLONE_NEWPID | unix.CLONE_NEWNS)
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return
		case errors.As(err, &exit):
			os.Exit(max(1, exit.ExitCode()))
		}
		os.Setenv(insideEnv, fmt.Sprintf("no namespaces here: %v", err))
	} else if err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
	); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func need(t *testing.T) {
	t.Helper()
	if why := os.Getenv(insideEnv); why != "yes" {
		t.Skip(why)
	}
	if os.Getpid() != 1 {
		t.Fatal("not in the pid namespace of the test: nothing is killed here")
	}
}

// hold uses a file system in one way until it is killed.
func hold(how, path string) {
	var err error
	switch how {
	case "cwd":
		err = os.Chdir(path)
	case "root":
		err = unix.Chroot(path)
	case "file": // by its number, which no collector closes
		_, err = unix.Open(filepath.Join(path, "f"), unix.O_CREAT|unix.O_WRONLY, 0o600)
	case "mount": // one of its own, in a mount namespace that has nothing of ours
		err = unix.Mount("container", path, "tmpfs", 0, "")
	case "map":
		var f *os.File
		if f, err = os.OpenFile(filepath.Join(path, "f"), os.O_CREATE|os.O_RDWR, 0o600); err == nil {
			err = f.Truncate(4096)
			if err == nil {
				_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
			}
			f.Close()
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("holds")
	time.Sleep(time.Hour)
}

// holder starts a process that uses the path and waits until it does.
func holder(t *testing.T, how, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "hold", how, path)
	if how == "exe" {
		b, err := os.ReadFile("/bin/sleep")
		if err != nil {
			t.Fatal(err)
		}
		exe := filepath.Join(path, "sleep")
		if err := os.WriteFile(exe, b, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command(exe, "1000")
	}
	if how == "namespace" || how == "mount" { // a copy of all mounts, which nobody else's unmount reaches
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if how == "exe" {
		return cmd
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "holds\n" {
		t.Fatalf("the holder says %q", line)
	}
	return cmd
}

func mount(t *testing.T, source, point, fstype string, flags uintptr) {
	t.Helper()
	if err := os.MkdirAll(point, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, point, fstype, flags, ""); err != nil {
		t.Fatalf("mount %s: %v", point, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
}

func mounted(t *testing.T, point string) int {
	t.Helper()
	list, err := read("self")
	if err != nil {
		t.Fatal(err)
	}
	return len(under(list, []string{point}))
}

func clearAll(t *testing.T, c *Clearer) {
	t.Helper()
	var err error
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if err = c.Clear(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// Goal: mounts upon mounts, beside and above each other, bound and hidden, all go, and
// nothing that is not below the point.
func TestClear(t *testing.T) {
	need(t)
	dir := t.TempDir()
	point := filepath.Join(dir, "data")
	mount(t, "keep", filepath.Join(dir, "database"), "tmpfs", 0) // begins with the same letters
	mount(t, "a", point, "tmpfs", 0)
	mount(t, "b", filepath.Join(point, "in"), "tmpfs", 0)
	mount(t, "c", filepath.Join(point, "in", "deep er"), "tmpfs", 0)
	mount(t, filepath.Join(dir, "database"), filepath.Join(point, "bound"), "", unix.MS_BIND)
	mount(t, "d", point, "tmpfs", 0) // hides all of those
	mount(t, "e", filepath.Join(point, "upper"), "tmpfs", 0)
	if n := mounted(t, point); n != 6 {
		t.Fatalf("%d mounts, want 6", n)
	}
	c := New([]string{point, filepath.Join(dir, "never")})
	clearAll(t, c)
	if n := mounted(t, point); n != 0 || !c.Found {
		t.Errorf("%d mounts left, found %t", n, c.Found)
	}
	if mounted(t, filepath.Join(dir, "database")) != 1 {
		t.Error("unmounted what is not below the point")
	}
	if c := New([]string{point}); c.Clear() != nil || c.Found {
		t.Error("nothing there, and yet found or not cleared")
	}
}

// Goal: whoever uses it, in whatever way, is killed and it is unmounted; who uses
// another file system, even one of the same name elsewhere, is not.
func TestUsersAreKilled(t *testing.T) {
	need(t)
	for _, how := range []string{"cwd", "root", "exe", "file", "map", "namespace"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			point, other := filepath.Join(dir, "data"), filepath.Join(dir, "data2")
			mount(t, "a", point, "tmpfs", 0)
			mount(t, "b", other, "tmpfs", 0)
			stays := holder(t, "cwd", other)
			cmd := holder(t, how, point)
			if how == "namespace" {
				_ = stays.Process.Kill()
			} else if err := unix.Unmount(point, 0); err != unix.EBUSY {
				t.Fatalf("unmount of a busy one: %v, want EBUSY", err)
			}
			begin := time.Now()
			clearAll(t, New([]string{point}))
			t.Logf("cleared within %s", time.Since(begin))
			if mounted(t, point) != 0 {
				t.Error("still mounted")
			}
			_ = cmd.Wait()
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != unix.SIGKILL {
				t.Errorf("its user ended with %v", ws)
			}
			if how != "namespace" && unix.Kill(stays.Process.Pid, 0) != nil {
				t.Error("killed who used another file system")
			}
		})
	}
}

// Goal: on a machine where looking for the users takes long, they are killed no later.
func TestLongLook(t *testing.T) {
	need(t)
	point := filepath.Join(t.TempDir(), "data")
	mount(t, "a", point, "tmpfs", 0)
	cmd := holder(t, "cwd", point)
	c := New([]string{point})
	for range 3 { // the first kills, the second at the latest finds it gone
		if c.clear(func(left []busy) []user {
			defer time.Sleep(2 * killPatience)
			return c.users(left)
		}) == nil {
			break
		}
	}
	if mounted(t, point) != 0 {
		t.Error("still mounted")
	}
	_ = cmd.Process.Kill() // no more than it should have got
	_ = cmd.Wait()
}

// Goal: what is in use by those who are not to be killed is not off, it says by whom,
// and it stays mounted under its name: no lazy unmount.
func TestSpared(t *testing.T) {
	need(t)
	point := filepath.Join(t.TempDir(), "data")
	mount(t, "a", point, "tmpfs", 0)
	f, err := os.Create(filepath.Join(point, "f")) // by process 1
	if err != nil {
		t.Fatal(err)
	}
	c := New([]string{point})
	begin := time.Now()
	err = c.Clear()
	if err == nil || !strings.Contains(err.Error(), "used by process 1 (open file "+point+"/f)") {
		t.Errorf("Clear() = %v", err)
	}
	if took := time.Since(begin); took > 10*killPatience {
		t.Errorf("took %s", took)
	}
	if mounted(t, point) != 1 {
		t.Error("its name is gone while it is in use")
	}
	f.Close()
	clearAll(t, c)
}

// Goal: a container that starts while a file system is unmounted, and whose own one gets
// the number of that, is left alone. Method: the kernel gives the lowest free number, so
// it is mostly the one that has just become free.
func TestNumberGivenAgain(t *testing.T) {
	need(t)
	dir := t.TempDir()
	point, theirs := filepath.Join(dir, "data"), filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	dev := func(pid, point string) string {
		list, err := read(pid)
		if err != nil {
			t.Fatal(err)
		}
		return under(list, []string{point})[0].Dev
	}
	for range 100 { // another process of this machine may have been quicker
		mount(t, "a", point, "tmpfs", 0)
		was := dev("self", point)
		c := New([]string{point})
		if left, err := c.unmount(); err != nil || len(left) > 0 {
			t.Fatal(left, err)
		}
		container := holder(t, "mount", theirs)
		is := dev(strconv.Itoa(container.Process.Pid), theirs)
		users := c.users(nil)
		_ = container.Process.Kill()
		_ = container.Wait()
		if is != was {
			continue
		}
		if len(users) > 0 {
			t.Errorf("%s was %s, and is now the container's: users %v, want none", was, point, users)
		}
		return
	}
	t.Fatal("the number was never given again")
}

// Goal: a file system of which only a directory is bound below the point does not have
// everybody killed who uses it elsewhere.
func TestBoundFromElsewhere(t *testing.T) {
	need(t)
	dir := t.TempDir()
	point, home := filepath.Join(dir, "data"), filepath.Join(dir, "home")
	mount(t, "a", home, "tmpfs", 0)
	inOther := holder(t, "namespace", "")
	mount(t, home, point, "", unix.MS_BIND)
	stays := holder(t, "cwd", home)
	clearAll(t, New([]string{point}))
	for _, cmd := range []*exec.Cmd{inOther, stays} {
		if unix.Kill(cmd.Process.Pid, 0) != nil {
			t.Error("killed who used the file system elsewhere")
		}
	}
}

// Goal: mounts come after those that are on them, and a cover first.
func TestUnder(t *testing.T) {
	list := parse(`1 1 0:1 / / rw - rootfs rootfs rw
21 1 8:1 / /mnt/d rw,relatime shared:5 - ext4 /dev/sda1 rw
22 21 0:40 / /mnt/d/a\040b rw - tmpfs t rw
23 21 0:41 / /mnt/d/c rw - tmpfs t rw
24 23 0:42 / /mnt/d/c/e rw - nfs4 s:/x rw
25 21 0:43 / /mnt/d rw - tmpfs cover rw
26 25 0:44 / /mnt/d/on rw - tmpfs t rw
27 1 0:45 / /mnt/dd rw - tmpfs t rw
not a line
28 x 0:45 / /mnt/d rw - tmpfs t rw
29 1 0:46 / /mnt/d/short - tmpfs
`)
	if len(list) != 8 {
		t.Errorf("%d lines parsed, want 8: %v", len(list), list)
	}
	var got []string
	for _, m := range under(list, []string{"/mnt/d/"}) {
		got = append(got, fmt.Sprint(m.ID, " ", m.Point))
	}
	place := map[string]int{}
	for i, s := range got {
		place[s] = i + 1
	}
	want := []string{"26 /mnt/d/on", "25 /mnt/d", "24 /mnt/d/c/e", "23 /mnt/d/c", "22 /mnt/d/a b", "21 /mnt/d"}
	for _, pair := range [][2]int{{0, 1}, {1, 2}, {1, 4}, {2, 3}, {3, 5}, {4, 5}, {1, 5}} {
		a, b := place[want[pair[0]]], place[want[pair[1]]]
		if a == 0 || b == 0 || a > b {
			t.Errorf("%q must come before %q: %q", want[pair[0]], want[pair[1]], got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d mounts, want %d: %q", len(got), len(want), got)
	}
	// Nonsense, such as a ring of parents, ends too.
	under([]Mount{{ID: 1, Parent: 2, Point: "/a"}, {ID: 2, Parent: 1, Point: "/a"}}, []string{"/a"})
}

func FuzzParse(f *testing.F) {
	f.Add("21 1 8:1 / /mnt/d rw,relatime shared:5 - ext4 /dev/sda1 rw\n")
	f.Add("1 1 - -\n - \n")
	f.Fuzz(func(_ *testing.T, text string) { under(parse(text), []string{"/mnt", "/"}) })
}

func TestDecimal(t *testing.T) {
	for in, want := range map[string]string{"08:01": "8:1", "00:2a": "0:42", "fd:10": "253:16", "x:1": "", "": ""} {
		if got := decimal(in); got != want {
			t.Errorf("decimal(%q) = %q, want %q", in, got, want)
		}
	}
}
