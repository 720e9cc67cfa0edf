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

// Stuck names a process of a group that can still do something, "" if there is none:
// after a kill, one that does not answer to it, since it waits in the kernel. A process
// on its way out runs nothing of its own any more, however long it takes to give its
// memory back, and is not named.
func (p Place) Stuck() string {
	var pids []int
	if p.Dir != "" {
		pids, _ = processes(p.Dir)
	}
	if found, err := marked(p.Mark, anyStep); err == nil {
		pids = append(pids, found...)
	}
	for _, pid := range pids {
		if text := alive(pid); text != "" {
			return text
		}
	}
	return ""
}

// alive describes a process of which a thread is not on its way out, "" otherwise.
func alive(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, _ := os.ReadDir(dir) // gone: none
	buf := make([]byte, 1024)
	for _, t := range tasks {
		stat, err := readAll(unix.AT_FDCWD, dir+"/"+t.Name()+"/stat", &buf)
		if err != nil {
			continue
		}
		if name, state, leaving := threadState(stat); !leaving {
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
