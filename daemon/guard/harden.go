package guard

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// harden makes the process hard to delay. What is not allowed is said, and goes
// without.
func harden() error {
	var faults []error
	note := func(what string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", what, err))
		}
	}
	note("real-time scheduling", realtime())
	note("locked memory", lockMemory())
	// Not the kernel's choice when memory is short.
	note("protection from the OOM killer", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
	return errors.Join(faults...)
}

// lockMemory keeps the process in memory, so that a hung disk cannot stop it: what
// it has used, what it will use, and its whole program. Not everything that is mapped:
// the Go runtime maps ten times more than it touches.
func lockMemory() error {
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		// from-to perms offset device inode path; inode 0 has no file.
		f := strings.Fields(line)
		if len(f) < 6 || f[4] == "0" {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		// The address is no Go pointer, so not by unix.Mlock.
		if _, _, e := unix.Syscall(unix.SYS_MLOCK, uintptr(begin), uintptr(end-begin), 0); e != 0 {
			return e
		}
	}
	return nil
}

// realtime puts every thread under SCHED_RR; threads to come inherit it.
func realtime() error {
	const priority = 10 // above everything ordinary, below the kernel's own threads (50)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: priority}
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil {
			return err
		}
	}
	return nil
}
