package cgroup

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Populated says whether a process of any group is in a cgroup. It takes microseconds;
// without cgroups it is always false.
func (p Place) Populated() bool {
	if p.Dir == "" {
		return false
	}
	populated, _ := isPopulated(p.Dir)
	return populated
}

// Stuck names a process of a group that a SIGKILL has not reached, "" if there is none:
// it waits in the kernel without answering to signals (state D), and what it waits for,
// a write perhaps, can still be done. A process that waits for a processor executes
// nothing of its own any more once it gets one, and one on its way out neither, however
// long it takes to give its memory back; they are not named.
func (p Place) Stuck() string {
	var pids []int
	if p.Dir != "" {
		pids, _ = processes(p.Dir)
	}
	if found, err := marked(p.Mark, anyStep); err == nil {
		pids = append(pids, found...)
	}
	for _, pid := range pids {
		if text := stuck(pid); text != "" {
			return text
		}
	}
	return ""
}

// stuck describes a process of which a thread is stuck, "" otherwise.
func stuck(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, _ := os.ReadDir(dir) // gone: none
	buf := make([]byte, 1024)
	for _, t := range tasks {
		stat, err := readAll(unix.AT_FDCWD, dir+"/"+t.Name()+"/stat", &buf)
		if err != nil {
			continue
		}
		if name, state, leaving := threadState(stat); state == "D" && !leaving {
			return fmt.Sprintf("process %d (%s, state %s)", pid, name, state)
		}
	}
	return ""
}

// threadState reads the name and state of a thread from its stat, and whether it is on
// its way out (fields 2, 3 and 9 of proc_pid_stat(5)). Half a line is no living thread.
func threadState(stat []byte) (name, state string, leaving bool) {
	const exiting = 0x00000004 // PF_EXITING
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return "", "", true
	}
	f := strings.Fields(string(stat[end+1:]))
	if len(f) < 7 {
		return "", "", true
	}
	flags, err := strconv.ParseUint(f[6], 10, 64)
	return string(stat[open+1 : end]), f[0], err == nil && (flags&exiting != 0 || f[0] == "Z" || f[0] == "X")
}
