package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"baton/daemon/link"
)

// Times of dialling.
const (
	backoffLeast = 100 * time.Millisecond
	backoffMost  = 2 * time.Second
	// dialWait is how long an answer to the first packet may take. A lost one is
	// repeated by the kernel after a second, so longer waits find little.
	dialWait = 1500 * time.Millisecond
	// handshakeLeast is the least time for a handshake, however short the timeout: a
	// busy server needs some ten milliseconds for it.
	handshakeLeast = 2 * time.Second
	// chunk is how much is written in one deadline: a slow path that moves on is not
	// a dead one. It moves in steps, of up to half the receiver's buffer.
	chunk = 64 << 10
)

// outbound is a stream that this server dials.
type outbound struct {
	p     *Peer
	path  int
	to    int
	queue *queue
	again chan struct{} // capacity 1: dial now
	sent  atomic.Uint64

	mu    sync.Mutex
	up    bool
	err   error              // why it is not up
	abort context.CancelFunc // of the dialling under way, before the handshake; nil: none
}

func newOutbound(p *Peer, path, to int) *outbound {
	return &outbound{p: p, path: path, to: to, queue: newQueue(p.cfg.Timeout), again: make(chan struct{}, 1)}
}

func (o *outbound) push(f frame) {
	stale, full := o.queue.push(f)
	o.p.drops.Tally(dropStale, stale)
	if full > 0 {
		o.p.drops.Tally(dropStreamFull, full-1)
		o.p.drops.Count(dropStreamFull, "path", o.name(), "to", o.p.cfg.Servers[o.to-1])
	}
}

func (o *outbound) name() string { return o.p.cfg.Paths[o.path].Name }

// kick has the stream dialled at once, if it is not up.
func (o *outbound) kick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.up {
		return
	}
	if o.abort != nil {
		o.abort()
	}
	select {
	case o.again <- struct{}{}:
	default:
	}
}

func (o *outbound) picture() Stream {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Stream{
		Path: o.path, Name: o.name(), To: o.to, Up: o.up, Err: o.err,
		Queued: o.queue.length(), Sent: o.sent.Load(),
	}
}

// run is the stream's goroutine: it dials, writes until that fails, and dials again.
func (o *outbound) run(ctx context.Context) {
	wait := backoffLeast
	for ctx.Err() == nil {
		raw, conn, err := o.dial(ctx)
		if err == nil {
			o.changed(true, nil)
			wait = backoffLeast
			err = o.write(ctx, raw, conn)
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errForeign) {
			o.p.drops.Tally(dropForeign, 1)
		}
		o.changed(false, err)
		select {
		case <-ctx.Done():
		case <-o.again:
			wait = backoffLeast
		case <-time.After(wait):
			wait = min(2*wait, backoffMost)
		}
	}
}

// changed notes the stream's state, and logs it when it has changed or fails for
// another reason.
func (o *outbound) changed(up bool, err error) {
	o.mu.Lock()
	wasUp, before := o.up, o.err
	o.up, o.err = up, err
	o.mu.Unlock()
	log := o.p.log.With("path", o.name(), "to", o.p.cfg.Servers[o.to-1])
	switch {
	case up:
		log.Info("peer stream is up")
	case wasUp:
		log.Warn("peer stream lost", "err", err)
	case before == nil || cause(before) != cause(err):
		log.Warn("peer stream cannot be opened", "err", err)
	}
}

// cause is the part of an error that does not change with the port.
func cause(err error) string {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Op + " " + op.Err.Error()
	}
	return err.Error()
}

// dial opens a stream; the receiver has accepted it when it returns.
func (o *outbound) dial(ctx context.Context) (net.Conn, *tls.Conn, error) {
	raw, err := o.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	conn := tls.Client(raw, o.p.id.dialling(o.to))
	err = func() error {
		if err := impatient(raw, o.p.cfg.Timeout*2/3); err != nil {
			return err
		}
		if err := raw.SetDeadline(time.Now().Add(max(o.p.cfg.Timeout, handshakeLeast))); err != nil {
			return err
		}
		if err := conn.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		// Whether the other end takes our certificate shows only now.
		if err := readPong(conn); err != nil {
			return fmt.Errorf("%s refuses the stream: %w", o.p.cfg.Servers[o.to-1], err)
		}
		return raw.SetDeadline(time.Time{})
	}()
	if err != nil {
		raw.Close()
		return nil, nil, err
	}
	return raw, conn, nil
}

// connect is the part of dial that a kick starts over.
func (o *outbound) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	o.mu.Lock()
	o.abort = cancel
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		o.abort = nil
		o.mu.Unlock()
	}()
	path := &o.p.cfg.Paths[o.path]
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(path.Local, 0)), KeepAlive: -1}
	d.SetMultipathTCP(false) // a path is to be this path and no other
	return d.DialContext(ctx, link.Network("tcp", path.Local), netip.AddrPortFrom(path.Remote[o.to-1], o.p.cfg.Port).String())
}

func readPong(r io.Reader) error {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return err
	}
	if b[0] != pongByte {
		return errFrame{fmt.Sprintf("byte %#x is no pong", b[0])}
	}
	return nil
}

// write writes frames and pings until the stream fails: a write takes too long, the
// other end closes it, or no pong has come for the timeout.
func (o *outbound) write(ctx context.Context, raw net.Conn, conn *tls.Conn) error {
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	begun := time.Now()
	var heard atomic.Int64 // when the last pong came, nanoseconds since begun
	ended := make(chan error, 1)
	o.p.group.Go(func() { ended <- readPongs(conn, raw, begun, &heard) })

	tick := time.NewTicker(o.p.cfg.Timeout / 4)
	defer tick.Stop()
	ping := frameHead{life: o.p.life}.append(nil)
	for {
		f, stale, ok := o.queue.pop(time.Now())
		o.p.drops.Tally(dropStale, stale)
		ready := o.queue.ready
		if ok {
			if err := o.writeAll(raw, conn, f.b); err != nil {
				return err
			}
			o.sent.Add(1)
			ready = always // there may be more: only look whether there is something else to do
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case <-tick.C:
			if silent := time.Since(begun) - time.Duration(heard.Load()); silent > o.p.cfg.Timeout {
				return fmt.Errorf("no answer for %v", silent.Round(time.Millisecond))
			}
			if err := o.writeAll(raw, conn, ping); err != nil {
				return err
			}
		case <-ready:
		}
	}
}

// always is ready.
var always = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// writeAll fails when the receiver takes nothing for twice the timeout. A path that
// swallows everything is noticed earlier, by the kernel (impatient).
func (o *outbound) writeAll(raw net.Conn, conn *tls.Conn, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), chunk)
		if err := raw.SetWriteDeadline(time.Now().Add(2 * o.p.cfg.Timeout)); err != nil {
			return err
		}
		if _, err := conn.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// readPongs reads until the other end closes the stream, which ends a write under
// way too.
func readPongs(conn *tls.Conn, raw net.Conn, begun time.Time, heard *atomic.Int64) error {
	defer raw.Close()
	for {
		if err := readPong(conn); err != nil {
			return err
		}
		heard.Store(int64(time.Since(begun)))
	}
}
