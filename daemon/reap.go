package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reapInherited waits for the children of the program that was here before a reload:
// nobody else does, and they would be zombies until batond ends. It is called before
// this program has started any of its own (proc(5), /proc/PID/task/TID/children).
func reapInherited() {
	lists, _ := filepath.Glob("/proc/self/task/*/children") // none: a kernel without them, and zombies
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil {
				go unix.Wait4(pid, nil, 0, nil) // ends with the child
			}
		}
	}
}
