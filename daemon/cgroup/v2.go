package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// own returns the directory of the calling process's cgroup in the v2 hierarchy.
func own() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	return locate(string(mounts), string(membership))
}

// locate finds the cgroup's directory: the v2 line of /proc/PID/cgroup, below the
// first mount of type cgroup2 that shows it (cgroups(7), proc_pid_mountinfo(5)).
func locate(mounts, membership string) (string, error) {
	path := ""
	for line := range strings.Lines(membership) {
		if rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			path = strings.TrimSuffix(rest, " (deleted)")
		}
	}
	if path == "" {
		return "", errors.New("no cgroup v2 in this kernel")
	}
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 6 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		// fields[3] is the part of the hierarchy that is mounted. In another cgroup
		// namespace it may begin with "/..", which no path of ours does.
		root := strings.TrimSuffix(unescapeMount(fields[3]), "/")
		if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
			return filepath.Join(unescapeMount(fields[4]), rest), nil
		}
	}
	return "", fmt.Errorf("no cgroup v2 mount shows %s", path)
}

// unescapeMount undoes the octal escapes of mountinfo (space, tab, newline, backslash).
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// try makes the cgroup and sees whether a child can be born in it and be killed.
func try(dir string) error {
	for _, d := range below(dir) {
		_ = unix.Rmdir(d) // one that was killed is of no use (Place.Remove); one in use stays
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err != nil {
		return fmt.Errorf("kernel older than 5.14: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	// The clone comes before the exec, so "no such file" shows that it was allowed.
	cmd := exec.Command("/nonexistent/baton")
	cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	switch err := cmd.Start(); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil: // killed before the exec
		_ = cmd.Wait()
		return fmt.Errorf("a process born in %s is killed: cgroup.kill was written there", dir)
	default:
		_ = unix.Rmdir(dir)
		return fmt.Errorf("a process born in %s: %w", dir, err)
	}
}

// killCgroup kills all in the cgroup and below. The kernel sees to forks under way.
func killCgroup(dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil // no cgroup, nobody in it
	}
	return err
}

// isPopulated says whether a process lives in the cgroup or below.
func isPopulated(dir string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	return bytes.Contains(b, []byte("populated 1")), nil
}

// below lists the cgroup and all below it, deepest first.
func below(dir string) []string {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // one that has just gone is no matter
	})
	slices.Reverse(dirs)
	return dirs
}

// processes lists the pids in the cgroup and below, without the caller's own.
func processes(dir string) ([]int, error) {
	populated, err := isPopulated(dir)
	if err != nil || !populated {
		return nil, err
	}
	self := os.Getpid()
	var pids []int
	for _, d := range below(dir) {
		f, err := os.Open(filepath.Join(d, "cgroup.procs"))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// 0 stands for a process of another pid namespace.
			if pid, err := strconv.Atoi(lines.Text()); err == nil && pid > 0 && pid != self {
				pids = append(pids, pid)
			}
		}
		f.Close()
	}
	return pids, nil
}
