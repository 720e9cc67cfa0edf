package link

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// logEvery is how often one reason is logged at most. A flood of forged datagrams is one
// line a minute.
const logEvery = time.Minute

// Drops counts what was dropped, by reason, and logs it. It may be used by any goroutine.
type Drops[R interface {
	comparable
	fmt.Stringer
}] struct {
	// Log takes the lines, each of which begins with What, as "heartbeats dropped".
	Log  *slog.Logger
	What string

	mu sync.Mutex
	n  map[R]*dropped
}

type dropped struct {
	total  uint64
	logged uint64 // total when it was logged last
	at     time.Time
}

// Count counts one drop, and logs it if its reason has not been logged lately.
func (d *Drops[R]) Count(why R, args ...any) {
	d.mu.Lock()
	c := d.add(why, 1)
	now := time.Now()
	var since uint64
	if c.at.IsZero() || now.Sub(c.at) >= logEvery {
		since, c.logged, c.at = c.total-c.logged, c.total, now
	}
	d.mu.Unlock()
	if since > 0 {
		d.Log.Warn(d.What, append([]any{"reason", why.String(), "count", since}, args...)...)
	}
}

// Tally counts n drops that need no line in the log: something else has one.
func (d *Drops[R]) Tally(why R, n int) {
	if n > 0 {
		d.mu.Lock()
		d.add(why, uint64(n))
		d.mu.Unlock()
	}
}

// add is under mu.
func (d *Drops[R]) add(why R, n uint64) *dropped {
	c := d.n[why]
	if c == nil {
		if d.n == nil {
			d.n = make(map[R]*dropped)
		}
		c = &dropped{}
		d.n[why] = c
	}
	c.total += n
	return c
}

// Counts returns how often each reason has occurred, without those that have not.
func (d *Drops[R]) Counts() map[string]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := make(map[string]uint64)
	for why, c := range d.n {
		counts[why.String()] = c.total
	}
	return counts
}
