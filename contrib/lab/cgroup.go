package lab

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// removeTree removes a directory of cgroups, children first. A cgroup stays busy for
// a moment after its last process has ended, hence the second tries.
func removeTree(dir string) {
	for range 200 {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.IsDir() {
				removeTree(filepath.Join(dir, e.Name()))
			}
		}
		if unix.Rmdir(dir) != unix.EBUSY {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// removeCgroups removes, from outside, what a world that was killed has left in the
// cgroup file system. Every process in it is dead by then.
func removeCgroups(name string) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	own := "/"
	if groups, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for _, line := range strings.Split(string(groups), "\n") {
			if path, ok := strings.CutPrefix(line, "0::"); ok {
				own = path
			}
		}
	}
	for _, line := range strings.Split(string(text), "\n") {
		before, after, ok := strings.Cut(line, " - ")
		if f := strings.Fields(before); ok && len(f) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			removeTree(filepath.Join(f[4], own, name))
		}
	}
}
