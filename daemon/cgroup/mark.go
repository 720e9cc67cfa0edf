package cgroup

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stepFilter says which marked processes are meant.
type stepFilter int

const (
	anyStep  stepFilter = iota
	noStep              // without BATON_STEP: scripts
	onlyStep            // with BATON_STEP: step children
)

// killMarked kills the marked processes that a scan finds, and says how many.
func killMarked(mark string, steps stepFilter) (int, error) {
	pids, err := marked(mark, steps)
	for _, pid := range pids {
		killIfMarked(pid, mark, steps)
	}
	return len(pids), err
}

// killIfMarked kills by pidfd, so that a process which got the number of one that
// has ended is never hit.
func killIfMarked(pid int, mark string, steps stepFilter) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	buf := make([]byte, 64<<10)
	if env, err := environ(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid), &buf); err == nil && matches(env, mark, steps) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// marked lists the pids of marked processes, without the caller's own. A mark that
// ends in "/" stands for all groups. None found is looked at twice, since a process
// can fork into a number that the scan has passed and end before the scan meets it.
func marked(mark string, steps stepFilter) ([]int, error) {
	pids, err := scan(mark, steps)
	if err == nil && len(pids) == 0 {
		pids, err = scan(mark, steps)
	}
	return pids, err
}

func scan(mark string, steps stepFilter) ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	self := os.Getpid()
	var pids []int
	buf := make([]byte, 64<<10)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == self {
			continue
		}
		// Other users' processes cannot be read and are not ours; a zombie's
		// environment is empty.
		if env, err := environ(int(proc.Fd()), name, &buf); err == nil && matches(env, mark, steps) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// environ reads the environment of a process into buf, which grows as needed. By bare
// system calls: the guard has a quarter of the heartbeat timeout for all processes of
// the machine, and os.ReadFile takes several times as long.
func environ(proc int, pid string, buf *[]byte) ([]byte, error) {
	fd, err := unix.Openat(proc, pid+"/environ", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for n := 0; ; {
		if n == len(*buf) {
			*buf = append(*buf, make([]byte, n)...)
		}
		m, err := unix.Read(fd, (*buf)[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || m == 0 {
			return (*buf)[:n], err
		}
		n += m
	}
}

// matches looks for the mark in an environment block: NUL-terminated NAME=value.
func matches(env []byte, mark string, steps stepFilter) bool {
	found, step := false, false
	for len(env) > 0 {
		var entry []byte
		entry, env, _ = bytes.Cut(env, []byte{0})
		name, value, ok := bytes.Cut(entry, []byte{'='})
		switch {
		case !ok:
		case string(name) == StepName:
			step = true
		case string(name) == MarkName:
			if strings.HasSuffix(mark, "/") {
				found = strings.HasPrefix(string(value), mark)
			} else {
				found = string(value) == mark
			}
		}
	}
	return found && (steps == anyStep || (steps == onlyStep) == step)
}
