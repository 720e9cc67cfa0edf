// Package peer carries what does not fit a datagram between servers: raft's messages
// and commands for the leader. A stream is TLS 1.3 over TCP (RFC 8446), one per path
// and direction: each server dials each other one on each path, and the stream that
// it dialled carries only what it sends. A message goes out on all streams to its
// receiver, which takes the first copy and drops the others; so the loss of a path
// costs nothing, not even time.
//
// It keeps no order among messages and promises no delivery: what matters is sent
// again by raft or by who waits for it. Datagrams are package heartbeat's.
//
// The event loop calls Send and Kick, which never wait. One goroutine per stream and
// direction does the work; those that receive call Config.Deliver.
package peer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"baton/core/node"
	"baton/daemon/link"
	"baton/daemon/wire"
)

// Config is what New needs. All servers must have the same Timeout.
type Config struct {
	// The port is of TCP. This server shows the certificate of the first key, for its
	// number and name, and accepts those of all.
	link.Ends
	// Timeout is heartbeat.timeout. A stream on which nothing gets through for about
	// so long is dead, and a message that could not be sent for so long is of no use.
	Timeout time.Duration
	// Deliver takes a message, with Path -1. It is called by several goroutines and
	// must not wait; false means that there was no room. The copy is lost then, and
	// counted as "queue-full"; another path's copy may still get in.
	Deliver func(node.Packet) bool
	Log     *slog.Logger // nil: slog.Default()
}

// Peer is the running package.
type Peer struct {
	cfg   Config
	log   *slog.Logger
	id    *identity
	drops link.Drops[drop]

	sending sync.Mutex
	life    uint64        // names this process in every frame; random
	seqs    []uint64      // by receiver: of the last frame. Under sending
	out     [][]*outbound // by receiver: one per path

	accepted  accepted
	listeners []*listener

	cancel context.CancelFunc
	group  sync.WaitGroup
}

// New begins to listen and to dial. An address that this server does not have (yet)
// is no error: the path begins to work when the address comes.
func New(cfg Config) (*Peer, error) {
	if err := check(&cfg); err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	id, err := newIdentity(&cfg)
	if err != nil {
		return nil, fmt.Errorf("peer: certificates: %w", err)
	}
	n := len(cfg.Servers) + 1
	p := &Peer{cfg: cfg, log: cfg.Log, id: id, life: newLife(), seqs: make([]uint64, n), out: make([][]*outbound, n)}
	p.drops.Log, p.drops.What = cfg.Log, "peer messages or streams dropped"
	p.accepted.init(n)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for i := range cfg.Paths {
		l := newListener(p, i)
		p.listeners = append(p.listeners, l)
		l.open(ctx)
		p.group.Go(func() { l.run(ctx) })
		for j, a := range cfg.Paths[i].Remote {
			if to := j + 1; to != cfg.Self && a.IsValid() {
				o := newOutbound(p, i, to)
				p.out[to] = append(p.out[to], o)
				p.group.Go(func() { o.run(ctx) })
			}
		}
	}
	return p, nil
}

// newLife draws the name of this process. Zero is nobody's.
func newLife() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return binary.BigEndian.Uint64(b[:]) | 1
}

func check(c *Config) error {
	switch err := c.Check(); {
	case err != nil:
		return err
	case c.Timeout <= 0:
		return fmt.Errorf("timeout: %v is not positive", c.Timeout)
	case c.Deliver == nil:
		return errors.New("Config.Deliver is nil")
	}
	return nil
}

// Send queues each message for a stream once on every path to its receiver, without
// waiting. A path that is being dialled has its queue too: what is fresh when the
// dialling succeeds is sent. Messages that travel as datagrams are skipped; they are
// package heartbeat's.
func (p *Peer) Send(msgs []node.Message) {
	p.sending.Lock()
	defer p.sending.Unlock()
	now := time.Now()
	for i := range msgs {
		m := &msgs[i]
		if wire.Datagram(m.Kind) {
			continue
		}
		if m.To < 1 || m.To >= len(p.out) {
			p.drops.Count(dropUnsendable, "to", m.To)
			continue
		}
		h := frameHead{life: p.life, seq: p.seqs[m.To] + 1, size: wire.Size(m)}
		b, err := wire.Append(h.append(make([]byte, 0, frameHeadSize+h.size)), m)
		if err != nil {
			p.drops.Count(dropUnsendable, "err", err)
			continue
		}
		p.seqs[m.To]++
		for _, o := range p.out[m.To] {
			o.push(frame{b, now})
		}
	}
}

// Kick dials a server at once on every path that has no stream, for instance because
// a heartbeat has come from it again.
func (p *Peer) Kick(server int) {
	if server < 1 || server >= len(p.out) {
		return
	}
	for _, o := range p.out[server] {
		o.kick()
	}
}

// Close closes all streams and waits for the package's goroutines. What is queued is
// lost. Deliver is not called after it has returned.
func (p *Peer) Close() {
	p.cancel()
	for _, l := range p.listeners {
		l.close()
	}
	p.group.Wait()
}

// Stream is a stream that this server dials, to send.
type Stream struct {
	Path int    // index
	Name string // of the path
	To   int    // number of the receiver
	// Up: the receiver has accepted the stream.
	Up bool
	// Err is why there is none; nil while it is up or being dialled for the first time.
	Err    error
	Queued int    // messages that wait
	Sent   uint64 // messages written
}

// Stats is what Peer counts.
type Stats struct {
	Streams []Stream // by receiver, then by path
	// Closed are the paths on which this server does not listen, and why.
	Closed map[string]error
	// Drops counts by reason what was not sent or not delivered.
	Drops map[string]uint64
	// Copies counts messages that came again on another path, as they should.
	Copies uint64
}

// Stats returns a picture of all streams.
func (p *Peer) Stats() Stats {
	st := Stats{Closed: make(map[string]error), Drops: p.drops.Counts(), Copies: p.accepted.copies.Load()}
	for _, out := range p.out {
		for _, o := range out {
			st.Streams = append(st.Streams, o.picture())
		}
	}
	for _, l := range p.listeners {
		if err := l.fault(); err != nil {
			st.Closed[p.cfg.Paths[l.path].Name] = err
		}
	}
	return st
}
