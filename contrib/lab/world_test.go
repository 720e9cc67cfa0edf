package lab_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/contrib/lab"
)

// TestSleeper is what TestNothingIsLeft runs in a world of its own; by itself it does
// nothing.
func TestSleeper(t *testing.T) {
	how := os.Getenv("BATON_LAB_SLEEPER")
	if how == "" {
		t.Skip("only for TestNothingIsLeft")
	}
	if err := lab.Err(); err != nil {
		fmt.Println("no world:", err)
		return
	}
	l, err := lab.New(lab.Options{Servers: 2, Bare: true})
	must(t, err)
	for _, s := range l.Servers {
		_, err := s.Start(lab.Spec{Args: []string{"/bin/sh", "-c", "trap '' TERM INT HUP; sleep 1000 & sleep 1000"}})
		must(t, err)
	}
	fmt.Println("up", os.Getenv("BATON_LAB_WORLD"))
	if how == "exit" {
		os.Exit(7) // in the middle, without Close
	}
	time.Sleep(time.Minute)
}

// However a world ends, its processes, its directory, its cgroups and its mounts are
// gone: at the end of the program, by signals, and killed at both of its ends; as the
// user that runs the tests and, where that is root, as an ordinary user too.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	if err := lab.Err(); err != nil {
		t.Skip(err)
	}
	uids := []int{0}
	if !inUserNamespace(t) {
		uids = append(uids, 65534)
	}
	for _, uid := range uids {
		for _, how := range []string{"exit", "term", "kill outside", "kill init"} {
			t.Run(fmt.Sprintf("uid %d %s", uid, how), func(t *testing.T) {
				t.Parallel()
				nothingLeft(t, uid, how)
			})
		}
	}
}

func nothingLeft(t *testing.T, uid int, how string) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSleeper$", "-test.v")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "BATON_LAB_") })
	cmd.Env = append(cmd.Env, "BATON_LAB_SLEEPER="+how)
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	dir := ""
	lines := bufio.NewScanner(out)
	for dir == "" && lines.Scan() {
		if why, ok := strings.CutPrefix(lines.Text(), "no world:"); ok {
			_ = cmd.Wait()
			t.Skip("no world in the world:", why)
		}
		dir, _ = strings.CutPrefix(lines.Text(), "up ")
		if dir == lines.Text() {
			dir = ""
		}
	}
	if dir == "" {
		t.Fatalf("the program ended without a lab: %v", cmd.Wait())
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // where the test has failed
	var pids []int
	if how != "exit" {
		pids = descendants(t, cmd.Process.Pid)
		if len(pids) < 6 { // init, program, two servers of an init and a shell at least
			_ = cmd.Process.Kill()
			t.Fatalf("processes %v, want the world's init, the program, and two servers", pids)
		}
	}
	code := 0
	switch how {
	case "exit":
		code = 7
	case "term":
		code = 128 + 15
		must(t, cmd.Process.Signal(unix.SIGTERM))
	case "kill outside":
		code = -1
		must(t, cmd.Process.Kill())
	case "kill init":
		code = 1
		must(t, unix.Kill(pids[0], unix.SIGKILL))
	}
	go func() {
		for lines.Scan() {
		}
	}()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	left := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if left = leftovers(pids, dir); left == "" {
			return
		}
	}
	t.Error("left: " + left)
}

func leftovers(pids []int, dir string) string {
	for _, pid := range pids {
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(line) > 0 {
			return fmt.Sprintf("process %d %q", pid, line)
		}
	}
	if _, err := os.Lstat(dir); err == nil {
		return "directory " + dir
	}
	name := filepath.Base(dir)
	// The world's cgroup tree is below this world's own view of it.
	found := ""
	_ = filepath.WalkDir(filepath.Join(os.Getenv("BATON_LAB_WORLD"), "cgroup"), func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == name {
			found = "cgroup " + path
		}
		return nil
	})
	return found
}

// descendants lists the processes below pid, parents first.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	parents := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	must(t, err)
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		own, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(f[1])
		parents[parent] = append(parents[parent], own)
	}
	var all []int
	for next := parents[pid]; len(next) > 0; next = append(next[1:], parents[next[0]]...) {
		all = append(all, next[0])
	}
	return all
}
