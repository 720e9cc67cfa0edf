package heartbeat

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"baton/core/node"
	"baton/daemon/link"
	"baton/daemon/wire"

	"golang.org/x/sys/unix"
)

// A socket that cannot be opened, or fails, is opened again after this time, doubled
// up to the most.
const (
	backoffLeast = 100 * time.Millisecond
	backoffMost  = 2 * time.Second
)

// path is one path at work.
type path struct {
	h     *Heartbeat
	index int
	cfg   link.Path

	sock atomic.Pointer[socket] // nil while there is none
	// peers is the sending side, by number. Under Heartbeat.sending.
	peers []outward

	mu      sync.Mutex
	err     error // why there is no socket
	asked   asked
	inwards []inward // the receiving side, by number
}

// outward is one server as this one sends to it on a path.
type outward struct {
	to      unix.Sockaddr // nil: not on this path
	seq     uint64        // of the last datagram; it goes on over a new socket
	err     error         // the kernel's answer to the last datagram
	refused uint64        // how many it has refused since it took one
}

func newPath(h *Heartbeat, index int) *path {
	n := len(h.cfg.Servers)
	p := &path{h: h, index: index, cfg: h.cfg.Paths[index], peers: make([]outward, n+1), inwards: make([]inward, n+1)}
	for i, a := range p.cfg.Remote {
		if i+1 != h.cfg.Self && a.IsValid() {
			p.peers[i+1].to = sockaddr(netip.AddrPortFrom(a, h.cfg.Port))
		}
	}
	return p
}

// send seals the message and sends it. Under Heartbeat.sending.
func (p *path) send(m *node.Message, plain []byte) {
	peer := &p.peers[m.To]
	if peer.to == nil {
		return
	}
	// The time is read before the datagram leaves: a stall in between makes the
	// answer look slower, never faster.
	now := time.Now()
	p.mu.Lock()
	p.asked.add(m, now)
	p.mu.Unlock()

	s := p.sock.Load()
	if s == nil {
		p.h.drops.Tally(dropNoSocket, 1)
		return
	}
	peer.seq++
	p.h.sealed = p.h.sealer.seal(p.h.sealed[:0], m.To, p.index, peer.seq, plain)
	err := s.send(p.h.sealed, peer.to)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS):
		p.h.drops.Count(dropBusy, "path", p.cfg.Name, "to", p.h.cfg.Servers[m.To-1])
		return
	case err != nil:
		p.h.drops.Tally(dropUnreachable, 1) // answered logs each destination
	}
	p.answered(m.To, peer, err)
}

// answered logs when the kernel begins to refuse a destination, for another reason,
// or takes it again.
func (p *path) answered(to int, peer *outward, err error) {
	if err != nil {
		peer.refused++
	}
	if errors.Is(err, peer.err) { // also nil, nil
		return
	}
	log := p.h.log.With("path", p.cfg.Name, "to", p.h.cfg.Servers[to-1])
	if err != nil {
		log.Warn("heartbeats cannot be sent", "err", err)
	} else {
		log.Info("heartbeats are sent again", "refused", peer.refused)
		peer.refused = 0
	}
	peer.err = err
}

// open tries to open the socket.
func (p *path) open(ctx context.Context) bool {
	at := netip.AddrPortFrom(p.cfg.Local, p.h.cfg.Port)
	s, err := listen(ctx, at)
	if err == nil {
		p.sock.Store(s)
	}
	p.mu.Lock()
	before := p.err
	p.err = err
	p.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil && (before == nil || before.Error() != err.Error()) {
			p.h.log.Error("heartbeat socket cannot be opened, will try again", "path", p.cfg.Name, "address", at.String(), "err", err)
		}
		return false
	}
	if before != nil {
		p.h.log.Info("heartbeat socket is open", "path", p.cfg.Name, "address", at.String())
	}
	if ctx.Err() != nil { // Close may have missed it
		p.close()
	}
	return true
}

// close closes the socket. It may be called twice and from any goroutine.
func (p *path) close() {
	if s := p.sock.Swap(nil); s != nil {
		s.conn.Close()
	}
}

// run is the path's goroutine: it receives, and opens the socket again when it fails.
func (p *path) run(ctx context.Context) {
	wait := backoffLeast
	for ctx.Err() == nil {
		if s := p.sock.Load(); s != nil {
			if p.receive(s) {
				wait = backoffLeast
			}
			p.close()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			wait = min(2*wait, backoffMost)
		}
		p.open(ctx)
	}
}

// receive reads until the socket fails or is closed, and reports whether anything
// came.
func (p *path) receive(s *socket) (any bool) {
	buf := make([]byte, wire.MaxDatagram+1) // one more than allowed, to tell
	for {
		n, _, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				p.h.log.Error("heartbeat socket failed, will be opened again", "path", p.cfg.Name, "err", err)
				p.mu.Lock()
				p.err = err
				p.mu.Unlock()
			}
			return any
		}
		any = true
		p.take(buf[:n])
	}
}

// take opens one datagram and delivers what it holds.
func (p *path) take(b []byte) {
	m, seq, run, why := p.h.opener.open(p.index, b)
	if why != accepted {
		if why == dropForged || why == dropReplayed || why == dropWrongPath || why == dropOldRun {
			p.h.drops.Count(why, "path", p.cfg.Name, "from", p.h.cfg.Servers[b[1]-1])
		} else {
			p.h.drops.Count(why, "path", p.cfg.Name)
		}
		return
	}
	now := time.Now()
	p.mu.Lock()
	in := &p.inwards[m.From]
	back := !in.ok
	in.ok = true
	in.heard(now, seq, run)
	if at, ok := p.asked.find(&m); ok {
		in.answered(now.Sub(at))
	}
	p.mu.Unlock()
	if back {
		p.h.changed(p, m.From, true, 0)
	}
	if !p.h.cfg.Deliver(node.Packet{Path: p.index, Message: m}) {
		p.h.drops.Count(dropQueueFull, "path", p.cfg.Name)
	}
}

// silence marks the directed paths on which nothing has come for too long.
func (p *path) silence(now time.Time) {
	for from := range p.inwards {
		p.mu.Lock()
		in := &p.inwards[from]
		age := now.Sub(in.last)
		lost := in.ok && age >= lostRounds*p.h.cfg.Round
		if lost {
			in.ok = false
		}
		p.mu.Unlock()
		if lost {
			p.h.changed(p, from, false, age)
		}
	}
}
