package peer

import (
	"sync"
	"time"

	"baton/daemon/wire"
)

// Bounds of a queue. A message is some hundred bytes; a snapshot, rare, at most
// wire.MaxStream, and its bytes are shared by all paths.
const (
	maxFrames = 1024
	maxBytes  = wire.MaxStream + 16<<20
)

// queue holds the frames of one stream, oldest first. When it is full the oldest
// ones make room: raft can do without any message, but least without the newest.
type queue struct {
	maxAge time.Duration // older frames are of no use
	ready  chan struct{} // capacity 1: something was pushed

	mu     sync.Mutex
	frames []frame
	bytes  int
}

func newQueue(maxAge time.Duration) *queue {
	return &queue{maxAge: maxAge, ready: make(chan struct{}, 1)}
}

// push adds a frame, and returns how many were dropped because they were too old and
// because there was no room.
func (q *queue) push(f frame) (stale, full int) {
	q.mu.Lock()
	stale = q.expire(f.at)
	for len(q.frames) > 0 && (len(q.frames) >= maxFrames || q.bytes+len(f.b) > maxBytes) {
		q.shift()
		full++
	}
	q.frames = append(q.frames, f)
	q.bytes += len(f.b)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return stale, full
}

// pop takes the oldest frame that is still of use.
func (q *queue) pop(now time.Time) (f frame, stale int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	stale = q.expire(now)
	if len(q.frames) == 0 {
		return frame{}, stale, false
	}
	return q.shift(), stale, true
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.frames)
}

func (q *queue) expire(now time.Time) (n int) {
	for len(q.frames) > 0 && now.Sub(q.frames[0].at) > q.maxAge {
		q.shift()
		n++
	}
	return n
}

func (q *queue) shift() frame {
	f := q.frames[0]
	q.frames[0] = frame{} // the array lives on; the bytes need not
	q.frames = q.frames[1:]
	q.bytes -= len(f.b)
	if len(q.frames) == 0 {
		q.frames = nil
	}
	return f
}
