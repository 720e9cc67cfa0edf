// Package heartbeat carries the datagrams between servers: sealed, on every path, at
// once. A path is a network; this server has one address on it, and one UDP socket
// bound to that address.
//
// It does not decide when to send, nor what a silence means: node does. It reports
// what each directed path does, for people. Streams are package peer's.
//
// The event loop calls Send, which never waits. One goroutine per path receives and
// calls Config.Deliver; one more notices paths that have fallen silent. Stats may be
// called from anywhere.
//
// Sealing is ChaCha20-Poly1305 (RFC 8439) with keys by HKDF (RFC 5869); the window
// against replay is that of RFC 4303, section 3.4.3. See seal.go.
package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"baton/core/node"
	"baton/daemon/link"
	"baton/daemon/wire"
)

// lostRounds: a path on which nothing came for so many rounds is lost. One or two
// datagrams are lost on any network now and then.
const lostRounds = 3

// Config is what New needs. All servers must have the same Round.
type Config struct {
	link.Ends // the port is of UDP; the first key seals, all of them open
	// Round is the time between two heartbeats of a server. It only measures when a
	// path is lost.
	Round time.Duration
	// Deliver takes a packet. It is called by one goroutine per path and must not
	// wait; false means that there was no room. The packet is lost then (newer ones
	// follow within a round) and counted as "queue-full".
	Deliver func(node.Packet) bool
	// Changed, if not nil, is told when a directed path to this server begins or
	// ceases to work. It is called by the package's goroutines and must not wait.
	Changed func(Change)
	Log     *slog.Logger // nil: slog.Default()
}

// Change is a directed path that has begun or ceased to work.
type Change struct {
	Path, From int // index of the path, number of the server that is heard
	OK         bool
}

// Heartbeat is the running package.
type Heartbeat struct {
	cfg    Config
	log    *slog.Logger
	paths  []*path
	opener *opener
	drops  link.Drops[drop]

	// sending guards what follows: sequence numbers must never be used twice.
	sending sync.Mutex
	sealer  *sealer
	plain   []byte // scratch: the encoded message
	sealed  []byte // scratch: the datagram

	cancel context.CancelFunc
	group  sync.WaitGroup
}

// New opens the sockets and begins to receive. An address that this server does not
// have (yet) is no error: the path begins to work when the address comes.
func New(cfg Config) (*Heartbeat, error) {
	if err := check(&cfg); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	h := &Heartbeat{cfg: cfg, log: cfg.Log}
	h.drops.Log, h.drops.What = cfg.Log, "heartbeats dropped"
	var err error
	if h.sealer, err = newSealer(cfg.Keys[0], newSalt(), cfg.Cluster, cfg.Self); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	h.opener = newOpener(cfg.Keys, cfg.Cluster, cfg.Self, len(cfg.Servers))
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	for i := range cfg.Paths {
		p := newPath(h, i)
		h.paths = append(h.paths, p)
		p.open(ctx) // the first datagram is not to find a closed path
	}
	for _, p := range h.paths {
		h.group.Go(func() { p.run(ctx) })
	}
	h.group.Go(func() { h.watch(ctx) })
	return h, nil
}

// check refuses what cannot work.
func check(c *Config) error {
	switch err := c.Check(); {
	case err != nil:
		return err
	case c.Round <= 0:
		return fmt.Errorf("round: %v is not positive", c.Round)
	case c.Deliver == nil:
		return errors.New("Config.Deliver is nil")
	}
	return nil
}

// Send seals each datagram among the messages once per path and hands it to the
// kernel, without waiting: what the kernel does not take at once is counted and
// lost. Messages of other kinds are skipped; they are package peer's.
func (h *Heartbeat) Send(msgs []node.Message) {
	h.sending.Lock()
	defer h.sending.Unlock()
	for i := range msgs {
		m := &msgs[i]
		if !wire.Datagram(m.Kind) {
			continue
		}
		var err error
		if h.plain, err = wire.Append(h.plain[:0], m); err != nil || m.To > len(h.cfg.Servers) {
			h.drops.Count(dropUnsendable, "to", m.To, "err", err)
			continue
		}
		for _, p := range h.paths {
			p.send(m, h.plain)
		}
	}
}

// Close closes the sockets and waits for the package's goroutines. Deliver and
// Changed are not called after it has returned.
func (h *Heartbeat) Close() {
	h.cancel()
	for _, p := range h.paths {
		p.close()
	}
	h.group.Wait()
}

// watch notices the paths that have fallen silent.
func (h *Heartbeat) watch(ctx context.Context) {
	tick := time.NewTicker(h.cfg.Round)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, p := range h.paths {
				p.silence(now)
			}
		}
	}
}

// changed logs a change of a directed path and tells the owner.
func (h *Heartbeat) changed(p *path, from int, ok bool, age time.Duration) {
	name := h.cfg.Servers[from-1]
	if ok {
		h.log.Info("heartbeat path works", "path", p.cfg.Name, "from", name)
	} else {
		h.log.Warn("heartbeat path lost", "path", p.cfg.Name, "from", name, "silent", age.Round(time.Millisecond))
	}
	if h.cfg.Changed != nil {
		h.cfg.Changed(Change{Path: p.index, From: from, OK: ok})
	}
}
