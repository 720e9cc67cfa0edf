package lab

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// clockFile, in a server's RunDir, says how many seconds the server's CLOCK_BOOTTIME is
// ahead of the machine's. Scripts write it into the journal, whose times are thus all
// of one clock: the lab's.
const clockFile = ".clock"

// furthest is how far a server's clock is ahead at most.
const furthest = 1_000_000 // seconds, 11 days

// newClock draws how far a server's clock is ahead of the machine's in the boot that
// begins; behind as often as the machine has been up for long enough: a clock cannot be
// below zero. 0 where there are no time namespaces.
func newClock() int64 {
	if !hasTimeNamespaces() {
		return 0
	}
	behind := int64(bootClock()/time.Second) - 1
	if behind > 0 && rand.IntN(2) == 0 {
		return -rand.Int64N(min(behind, furthest)) - 1
	}
	return 1 + rand.Int64N(furthest)
}

// bootClock is the machine's CLOCK_BOOTTIME.
func bootClock() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // no kernel that runs Go lacks it
	return time.Duration(ts.Nano())
}
