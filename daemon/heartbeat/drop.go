package heartbeat

import (
	"log/slog"
	"sync"
	"time"
)

// drop is why a datagram was not sent or not delivered.
type drop int

const (
	accepted          drop = iota
	dropShort              // too short for a head and a tag
	dropLong               // longer than any datagram of ours
	dropVersion            // another version of the seal
	dropUnknownServer      // the sender's number is not one of the other servers
	dropWrongReceiver      // sealed for another server
	dropWrongPath          // sealed for another path: the networks are mixed up
	dropForged             // no key opens it: another cluster, another key, or an attack
	dropReplayed           // its sequence has come before, or is too old to tell
	dropOldRun             // of a run of the sender before the one that is heard
	dropMalformed          // genuine, but no message
	dropMismatch           // genuine, but its message has another sender, receiver or kind
	dropQueueFull          // the event loop did not keep up
	dropUnsendable         // the node's message cannot be encoded or addressed
	dropNoSocket           // the path's socket is not open
	dropBusy               // the kernel's buffer was full
	dropUnreachable        // the kernel refused to send: address or route missing, or filtered
	dropKinds
)

var dropNames = [dropKinds]string{
	accepted: "accepted", dropShort: "short", dropLong: "long", dropVersion: "version",
	dropUnknownServer: "unknown-server", dropWrongReceiver: "wrong-receiver", dropWrongPath: "wrong-path",
	dropForged: "forged", dropReplayed: "replayed", dropOldRun: "old-run", dropMalformed: "malformed",
	dropMismatch: "mismatch", dropQueueFull: "queue-full", dropUnsendable: "unsendable",
	dropNoSocket: "no-socket", dropBusy: "busy", dropUnreachable: "unreachable",
}

func (d drop) String() string { return dropNames[d] }

// logEvery is how often one reason is logged at most. A flood of forged datagrams is
// one line a minute.
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

// count counts one drop. Sending to an unreachable address is not logged here: each
// destination has its own line (path.go).
func (d *drops) count(why drop, path string, args ...any) {
	d.mu.Lock()
	c := &d.n[why]
	c.total++
	now := time.Now()
	var since uint64
	if why != dropUnreachable && why != dropNoSocket && (c.at.IsZero() || now.Sub(c.at) >= logEvery) {
		since, c.logged, c.at = c.total-c.logged, c.total, now
	}
	d.mu.Unlock()
	if since > 0 {
		d.log.Warn("heartbeats dropped", append([]any{"reason", why.String(), "path", path, "count", since}, args...)...)
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
