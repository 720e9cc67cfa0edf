package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

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
	if env, err := readAll(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/environ", &buf); err == nil && matches(env, mark, steps) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// marked lists the pids of marked processes, without the caller's own. A mark that
// ends in "/" stands for all groups.
//
// A scan that met a process in the middle of execve(2), where for a moment there is no
// environment to read, is done again. So is one that found none: a process can fork
// into a number that the scan has passed, and end before the scan meets it.
func marked(mark string, steps stepFilter) ([]int, error) {
	const (
		pause    = 200 * time.Microsecond // an execve takes less, unless its disk is slow
		patience = 100 * time.Millisecond // less than E, 250 ms at least
	)
	begin := time.Now()
	for none := 0; ; {
		pids, unknown, err := scan(mark, steps)
		switch {
		case err != nil:
			return nil, err
		case unknown != 0 && time.Since(begin) < patience:
			none = 0
			time.Sleep(pause)
		case len(pids) > 0:
			return pids, nil
		case unknown != 0:
			return nil, fmt.Errorf("process %d: %w for %s", unknown, errInExec, patience)
		default:
			if none++; none == 2 {
				return nil, nil
			}
		}
	}
}

// errInExec: it cannot be told yet whether a process is a group's.
var errInExec = errors.New("in execve")

// scan lists the marked processes, and the last one that it cannot tell yet (0: none).
func scan(mark string, steps stepFilter) (pids []int, unknown int, err error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, 0, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, 0, err
	}
	self := os.Getpid()
	buf := make([]byte, 64<<10)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == self {
			continue
		}
		// Other users' processes cannot be read and are not ours.
		env, err := readAll(int(proc.Fd()), name+"/environ", &buf)
		switch {
		case err != nil:
		case len(env) > 0:
			if matches(env, mark, steps) {
				pids = append(pids, pid)
			}
		default:
			if stat, err := readAll(int(proc.Fd()), name+"/stat", &buf); err == nil && inExec(stat) {
				unknown = pid
			}
		}
	}
	return pids, unknown, nil
}

// inExec says whether /proc/PID/stat, of a process without an environment, shows one
// that is getting it, or has got it since: not a zombie, not a kernel thread, and not
// one that was given none, whose env_start and env_end are the same place. Both are 0
// until create_elf_tables in the kernel has made it (fields 3, 9, 50 and 51 of
// proc_pid_stat(5)).
func inExec(stat []byte) bool {
	const (
		kernelThread = 0x00200000 // PF_KTHREAD
		exiting      = 0x00000004 // PF_EXITING: its memory is gone, and it runs nothing more
		state        = 0          // fields behind the name, which may hold anything
		flags        = 6
		envStart     = 47
		envEnd       = 48
	)
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) <= envEnd || f[state] == "Z" || f[state] == "X" {
		return false
	}
	bits, err := strconv.ParseUint(f[flags], 10, 64)
	return err == nil && bits&(kernelThread|exiting) == 0 && (f[envEnd] == "0" || f[envStart] != f[envEnd])
}

// readAll reads a file below /proc into buf, which grows as needed. By bare system calls: the guard has a quarter of the heartbeat timeout for all processes of
// the machine, and os.ReadFile takes several times as long.
func readAll(proc int, path string, buf *[]byte) ([]byte, error) {
	fd, err := unix.Openat(proc, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
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
