package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"baton/core/lease"
	"baton/core/node"

	"golang.org/x/sys/unix"
)

// readClock reads CLOCK_BOOTTIME, which goes on while the machine is suspended, and
// the wall clock.
func readClock() node.Now {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error()) // no kernel that runs Go lacks it
	}
	return node.Now{Mono: lease.Instant(ts.Nano()), Wall: time.Now().UnixMilli()}
}

// bootID is another one after every boot (random(4)).
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
