package peer

import (
	"log/slog"
	"sync"
	"time"
)

// drop is why a message, or a stream, was dropped.
type drop int

const (
	dropUnsendable     drop = iota // the node's message cannot be encoded or addressed
	dropStale                      // no stream could take it for as long as Timeout
	dropStreamFull                 // the stream did not keep up: oldest dropped
	dropForeign                    // a certificate of another cluster or key, or an attack
	dropHandshake                  // something dialled that does not speak as we do
	dropHandshakeLimit             // too many handshakes at a time
	dropFrame                      // bytes that are no frame: the stream was closed
	dropMalformed                  // a frame, but no message
	dropVersion                    // a message of another version
	dropMismatch                   // its message has another sender, receiver or kind
	dropQueueFull                  // the event loop did not keep up
	dropKinds
)

var dropNames = [dropKinds]string{
	dropUnsendable: "unsendable", dropStale: "stale", dropStreamFull: "stream-full", dropForeign: "foreign",
	dropHandshake: "handshake", dropHandshakeLimit: "handshake-limit", dropFrame: "frame", dropMalformed: "malformed",
	dropVersion: "version", dropMismatch: "mismatch", dropQueueFull: "queue-full",
}

func (d drop) String() string { return dropNames[d] }

// logEvery is how often one reason is logged at most.
const logEvery = time.Minute

// drops counts and logs them. The zero value with a log is ready.
type drops struct {
	log *slog.Logger
	mu  sync.Mutex
	n   [dropKinds]struct {
		total  uint64
		logged uint64 // total when it was logged last
		at     time.Time
	}
}

// count counts one drop, and logs it if its reason has not been logged lately.
func (d *drops) count(why drop, args ...any) { d.add(why, 1, true, args...) }

// tally counts n drops that need no line in the log: that the stream is down, and
// why, has one of its own.
func (d *drops) tally(why drop, n int) { d.add(why, n, false) }

func (d *drops) add(why drop, n int, log bool, args ...any) {
	if n == 0 {
		return
	}
	d.mu.Lock()
	c := &d.n[why]
	c.total += uint64(n)
	now := time.Now()
	var since uint64
	if log && (c.at.IsZero() || now.Sub(c.at) >= logEvery) {
		since, c.logged, c.at = c.total-c.logged, c.total, now
	}
	d.mu.Unlock()
	if since > 0 {
		d.log.Warn("peer messages or streams dropped", append([]any{"reason", why.String(), "count", since}, args...)...)
	}
}

// counts returns the reasons that have occurred.
func (d *drops) counts() map[string]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := make(map[string]uint64)
	for why, c := range d.n {
		if c.total > 0 {
			counts[drop(why).String()] = c.total
		}
	}
	return counts
}
