// Package lease is the arithmetic of who may run groups, and until when
// (core/README.md, rules L1 to L5).
//
// It knows durations and instants of one machine's clock and nothing else: no
// messages, no servers, no state. Package node calls it from its step function.
// The source is Gray and Cheriton, "Leases" (SOSP 1989), with the lease counted from
// the sending of the request, so that only durations cross the wire and only the
// rates of two clocks have to agree.
package lease

import "time"

// Instant is a reading of one machine's CLOCK_BOOTTIME, in nanoseconds. Instants of
// two machines, or of one machine before and after a boot, cannot be compared. The
// zero value means "never".
type Instant int64

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from o to i.
func (i Instant) Sub(o Instant) time.Duration { return time.Duration(i - o) }

// Params are all times of the protocol, derived from the heartbeat timeout alone.
// The argument for each number is in core/README.md, section "Numbers".
type Params struct {
	// Timeout (T) is the silence after which a server is down. Nothing is taken over
	// before everybody who could hold a lease has been silent for T.
	Timeout time.Duration
	// Stop (E) is the time a server has to stop its groups once its lease is over.
	Stop time.Duration
	// Lease (L) is how long a lease runs from the sending of the heartbeat it is
	// based on. L + E is 3 % less than T: 1 % for the rate of the holder's clock,
	// 1 % for that of the clock that reports ages, 1 % to spare.
	Lease time.Duration
	// Elect (Te) is the silence after which a server elects a new leader. Shorter
	// than L, so that survivors' leases are extended before they end.
	Elect time.Duration
	// Round (R) is the time between two heartbeats.
	Round time.Duration
	// RaftTick is one tick of the raft clock.
	RaftTick time.Duration
	// Tick is the time between two ticks of the node.
	Tick time.Duration
}

// ElectionTicks is Te in ticks of raft.
const ElectionTicks = 12

// Derive returns the times that follow from heartbeat.timeout and
// heartbeat.interval. The round is never slower than a tenth of the timeout: a lease
// that missed one round must outlive an election.
func Derive(timeout, interval time.Duration) Params {
	p := Params{Timeout: timeout}
	p.Stop = timeout / 4
	p.Lease = timeout*97/100 - p.Stop
	p.Elect = timeout * 4 / 10
	p.Round = min(interval, timeout/10)
	p.RaftTick = p.Elect / ElectionTicks
	p.Tick = min(max(timeout/50, 10*time.Millisecond), 50*time.Millisecond)
	return p
}
