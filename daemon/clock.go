package main

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"baton/core/lease"
	"baton/core/node"

	"golang.org/x/sys/unix"
)

// readClock reads CLOCK_BOOTTIME, which goes on while the machine is suspended, and
// the wall clock.
func readClock() node.Now {
	var ts unix.Timespec
	// Raw: it never waits, and the scheduler's care for calls that may costs as much as
	// the call. The loop makes some fifty a second while nothing happens.
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		panic("clock_gettime(CLOCK_BOOTTIME): " + errno.Error()) // no kernel that runs Go lacks it
	}
	return node.Now{Mono: lease.Instant(ts.Nano()), Wall: wallTime()}
}

// bootID is another one after every boot (random(4)).
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
