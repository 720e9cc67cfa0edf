package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"baton/daemon/link"
)

// Bounds on handshakes under way per path: a stranger can begin as many as he likes,
// and each costs a goroutine and some memory until it fails. Addresses of the
// configuration have places of their own, so that strangers cannot keep servers out.
const (
	handshakesKnown   = 32
	handshakesUnknown = 4
)

// listener accepts the streams of one path.
type listener struct {
	p      *Peer
	path   int
	config *tls.Config
	known  chan struct{} // places for handshakes
	others chan struct{}

	mu      sync.Mutex
	ln      net.Listener // nil while there is none
	err     error        // why there is none
	streams []net.Conn   // by sender: the newest stream
}

func newListener(p *Peer, path int) *listener {
	return &listener{
		p: p, path: path, config: p.id.accepting(), streams: make([]net.Conn, len(p.cfg.Servers)+1),
		known: make(chan struct{}, handshakesKnown), others: make(chan struct{}, handshakesUnknown),
	}
}

func (l *listener) fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// open tries to listen.
func (l *listener) open(ctx context.Context) {
	path := &l.p.cfg.Paths[l.path]
	at := netip.AddrPortFrom(path.Local, l.p.cfg.Port).String()
	lc := net.ListenConfig{Control: link.FreeBind, KeepAlive: -1}
	lc.SetMultipathTCP(false) // a path is to be this path and no other
	ln, err := lc.Listen(ctx, link.Network("tcp", path.Local), at)
	l.mu.Lock()
	before := l.err
	l.ln, l.err = ln, err
	l.mu.Unlock()
	switch {
	case err == nil && before != nil:
		l.p.log.Info("peer listens", "path", path.Name, "address", at)
	case err != nil && ctx.Err() == nil && (before == nil || before.Error() != err.Error()):
		l.p.log.Error("peer cannot listen, will try again", "path", path.Name, "address", at, "err", err)
	}
	if ctx.Err() != nil { // Close may have missed it
		l.close()
	}
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ln != nil {
		l.ln.Close()
		l.ln = nil
	}
}

// run is the listener's goroutine.
func (l *listener) run(ctx context.Context) {
	wait := backoffLeast
	for ctx.Err() == nil {
		l.mu.Lock()
		ln := l.ln
		l.mu.Unlock()
		if ln != nil {
			if l.accept(ctx, ln) {
				wait = backoffLeast
			}
			l.close()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			wait = min(2*wait, backoffMost)
		}
		l.open(ctx)
	}
}

// accept accepts streams until that fails, and reports whether any came. Running out
// of file descriptors fails too; listening anew later is as good as waiting.
func (l *listener) accept(ctx context.Context, ln net.Listener) (any bool) {
	for {
		raw, err := ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.mu.Lock()
				l.err = err
				l.mu.Unlock()
				l.p.log.Error("peer cannot accept streams, will listen again", "path", l.p.cfg.Paths[l.path].Name, "err", err)
			}
			return any
		}
		any = true
		places := l.places(raw.RemoteAddr())
		select {
		case places <- struct{}{}:
			l.p.group.Go(func() { l.serve(ctx, raw, places) })
		default:
			raw.Close()
			l.p.drops.Count(dropHandshakeLimit, "path", l.p.cfg.Paths[l.path].Name, "from", raw.RemoteAddr().String())
		}
	}
}

func (l *listener) places(a net.Addr) chan struct{} {
	if t, ok := a.(*net.TCPAddr); ok && slices.Contains(l.p.cfg.Paths[l.path].Remote, t.AddrPort().Addr().Unmap()) {
		return l.known
	}
	return l.others
}

// serve is the goroutine of an accepted stream. It gives its place back after the
// handshake.
func (l *listener) serve(ctx context.Context, raw net.Conn, places chan struct{}) {
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	conn := tls.Server(raw, l.config)
	err := raw.SetDeadline(time.Now().Add(max(l.p.cfg.Timeout, handshakeLeast)))
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	<-places
	if err != nil {
		if ctx.Err() == nil {
			why := dropHandshake
			if errors.Is(err, errForeign) {
				why = dropForeign
			}
			l.p.drops.Count(why, "path", l.p.cfg.Paths[l.path].Name, "from", raw.RemoteAddr().String(), "err", err)
		}
		return
	}
	cs := conn.ConnectionState()
	from := l.p.id.who(&cs)
	l.replace(from, raw)
	stream := &patient{raw: raw, conn: conn, timeout: l.p.cfg.Timeout}
	if err := l.p.read(stream, from); errors.As(err, new(errFrame)) {
		l.p.drops.Count(dropFrame, "path", l.p.cfg.Paths[l.path].Name, "from", l.p.cfg.Servers[from-1], "err", err)
	}
}

// replace makes a stream the one of its sender. An older one can only be a remnant,
// since a sender dials when its stream has failed.
func (l *listener) replace(from int, raw net.Conn) {
	l.mu.Lock()
	old := l.streams[from]
	l.streams[from] = raw
	l.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

// patient is an accepted stream. It fails when nothing moves for the timeout, and
// tells the sender that it moves: behind a long frame on a slow path a ping would
// wait for longer than that.
type patient struct {
	raw     net.Conn
	conn    *tls.Conn
	timeout time.Duration
	told    time.Time // when the last pong was written
}

func (s *patient) Read(b []byte) (int, error) {
	if err := s.raw.SetReadDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, err
	}
	n, err := s.conn.Read(b)
	if n > 0 && time.Since(s.told) > s.timeout/4 {
		if err := s.pong(); err != nil {
			return n, err
		}
	}
	return n, err
}

func (s *patient) pong() error {
	s.told = time.Now()
	if err := s.raw.SetWriteDeadline(s.told.Add(s.timeout)); err != nil {
		return err
	}
	_, err := s.conn.Write([]byte{pongByte})
	return err
}

// read accepts the stream and takes its frames until it ends. The error says why; it
// is never nil.
func (p *Peer) read(s *patient, from int) error {
	if err := s.pong(); err != nil {
		return err
	}
	r := bufio.NewReaderSize(s, 16<<10)
	for {
		h, err := readHead(r)
		if err != nil {
			return err
		}
		switch {
		case h.isPing():
			if err := s.pong(); err != nil {
				return err
			}
		case p.accepted.isCopy(from, h):
			if _, err := r.Discard(h.size); err != nil {
				return err
			}
		default:
			b, err := readBody(r, h.size)
			if err != nil {
				return err
			}
			p.take(from, h, b)
		}
	}
}
