package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
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

// WallFile is what Faults("wall=" + WallFile) adds to the wall clock of each server.
const WallFile = RunDir + "/.wall"

// StepWall sets a server's wall clock so much ahead of the machine's, until it boots.
func (s *Server) StepWall(ahead time.Duration) error {
	s.lab.note("the wall clock of %s jumps to %s ahead", s.Name, ahead)
	path := s.Path(filepath.Base(WallFile))
	if err := os.WriteFile(path+".new", fmt.Append(nil, ahead.Milliseconds()), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
