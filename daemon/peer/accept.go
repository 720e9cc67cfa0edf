package peer

import (
	"errors"
	"sync"
	"sync/atomic"

	"baton/core/node"
	"baton/daemon/wire"
)

// keepLives is how many processes of one sender are remembered at a time, and
// windowSize how far behind the newest frame an older one is still taken: further
// than the queues and buffers of one path can be behind those of another.
const (
	keepLives  = 4
	windowSize = 16 << 10
)

// accepted remembers which frames have been delivered, so that of the copies on
// several paths one is.
type accepted struct {
	copies  atomic.Uint64
	senders []sender // by number
}

type sender struct {
	// mu is held while a message is delivered: of two copies that come at once, the
	// second waits to hear whether the first got in.
	mu    sync.Mutex
	clock uint64
	lives []*life // at most keepLives
}

// life is one process of a sender.
type life struct {
	id     uint64
	used   uint64 // sender.clock at its last frame
	window wire.Window
}

func (a *accepted) init(n int) { a.senders = make([]sender, n) }

// isCopy reports whether the frame need not even be read.
func (a *accepted) isCopy(from int, h frameHead) bool {
	s := &a.senders[from]
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(h.life)
	if l == nil || l.window.Fresh(h.seq) {
		return false
	}
	a.copies.Add(1)
	return true
}

// once calls deliver unless the frame has been delivered. If deliver reports false,
// another copy may try again.
func (a *accepted) once(from int, h frameHead, deliver func() bool) {
	s := &a.senders[from]
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(h.life)
	if l == nil {
		l = s.insert(h.life)
	}
	s.clock++
	l.used = s.clock
	if !l.window.Fresh(h.seq) {
		a.copies.Add(1)
		return
	}
	if deliver() {
		l.window.Accept(h.seq)
	}
}

func (s *sender) find(id uint64) *life {
	for _, l := range s.lives {
		if l.id == id {
			return l
		}
	}
	return nil
}

// insert adds a life, in the place of the one that was heard least lately if there
// are too many.
func (s *sender) insert(id uint64) *life {
	l := &life{id: id, window: wire.NewWindow(windowSize)}
	if len(s.lives) < keepLives {
		s.lives = append(s.lives, l)
		return l
	}
	oldest := 0
	for i := range s.lives {
		if s.lives[i].used < s.lives[oldest].used {
			oldest = i
		}
	}
	s.lives[oldest] = l
	return l
}

// take delivers the message of a frame that a server has sent.
func (p *Peer) take(from int, h frameHead, b []byte) {
	name := p.cfg.Servers[from-1]
	m, err := wire.Decode(b)
	switch {
	case errors.Is(err, wire.ErrVersion):
		p.drops.Count(dropVersion, "from", name, "err", err)
		return
	case err != nil:
		p.drops.Count(dropMalformed, "from", name, "err", err)
		return
	case m.From != from || m.To != p.cfg.Self || wire.Datagram(m.Kind):
		p.drops.Count(dropMismatch, "from", name, "message", m.From, "to", m.To)
		return
	}
	p.accepted.once(from, h, func() bool {
		if p.cfg.Deliver(node.Packet{Path: -1, Message: m}) {
			return true
		}
		p.drops.Count(dropQueueFull, "from", name)
		return false
	})
}
