package sim

import (
	"time"

	"baton/core/lease"
)

// clock is one machine's CLOCK_BOOTTIME and its wall clock.
type clock struct {
	// offset is the reading at the start of the run; a boot begins anew.
	offset lease.Instant
	// rate is how fast it goes: 1 is true.
	rate float64
	// wall is what the wall clock is ahead of the truth, in milliseconds. It may
	// jump at any time; nothing may depend on it.
	wall int64
}

// epochMillis is the true wall clock at the start of a run: some day in 2026.
const epochMillis = 1_790_000_000_000

// read returns the clock's reading at t.
func (c *clock) read(t time.Duration) lease.Instant {
	return c.offset + lease.Instant(float64(t)*c.rate)
}

// readWall returns the wall clock's reading at t, in unix milliseconds.
func (c *clock) readWall(t time.Duration) int64 {
	return epochMillis + t.Milliseconds() + c.wall
}

// when returns the first virtual time, give or take a nanosecond, at which the clock
// shows at least i. It is never too early.
func (c *clock) when(i lease.Instant) time.Duration {
	t := time.Duration(float64(i-c.offset) / c.rate)
	for c.read(t) < i {
		t++
	}
	return t
}

// span returns how long a local duration really takes.
func (c *clock) span(local time.Duration) time.Duration {
	return time.Duration(float64(local) / c.rate)
}
