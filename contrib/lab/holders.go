package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// holderWatch knows at any time which servers have which floating IP on a card, and
// notes every instant at which two of them had the same.
//
// It looks from inside: each server's kernel reports every address it adds and
// removes. Two holders begin with an addition, so on each the other servers are asked
// at once, and then the first again; an overlap is reported only if its two ends were
// seen in that order, so there are no false ones, and missed are those shorter than
// the time from the report to the question, some 0.1 ms.
type holderWatch struct {
	complain func(error)

	mu    sync.Mutex
	ips   map[netip.Addr]bool
	lives map[string]*holderLife // by server
	moves []Holding
	wg    sync.WaitGroup
}

type holderLife struct {
	server string
	nl     *netlink.Handle
	done   chan struct{}
	once   sync.Once
}

// Holding is one stretch of time in which a server had an address.
type Holding struct {
	Server  string
	Address netip.Addr
	From    time.Time
	Until   time.Time // zero: it still has it
}

func newHolderWatch(complain func(error)) *holderWatch {
	return &holderWatch{complain: complain, ips: map[netip.Addr]bool{}, lives: map[string]*holderLife{}}
}

// want adds an address to watch.
func (w *holderWatch) want(ip netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ips[ip] = true
}

// add begins to watch a server that has booted.
func (w *holderWatch) add(server string, ns netns.NsHandle) {
	nl, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		w.complain(fmt.Errorf("watch addresses of %s: %w", server, err))
		return
	}
	life := &holderLife{server: server, nl: nl, done: make(chan struct{})}
	updates := make(chan netlink.AddrUpdate, 64)
	err = netlink.AddrSubscribeWithOptions(updates, life.done, netlink.AddrSubscribeOptions{
		Namespace: &ns,
		ErrorCallback: func(err error) {
			if !errors.Is(err, unix.EBADF) && !life.ended() {
				w.complain(fmt.Errorf("watch addresses of %s: %w", server, err))
			}
		},
	})
	if err != nil {
		w.complain(fmt.Errorf("watch addresses of %s: %w", server, err))
		nl.Close()
		return
	}
	w.mu.Lock()
	w.lives[server] = life
	w.mu.Unlock()
	w.wg.Go(func() {
		for u := range updates {
			w.update(life, u)
		}
	})
}

func (h *holderLife) ended() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// remove ends the watching of a server whose power is being cut: nothing that its
// kernel still holds can reach the network any more.
func (w *holderWatch) remove(server string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	life := w.lives[server]
	if life == nil {
		return
	}
	delete(w.lives, server)
	life.end()
	for i := range w.moves {
		if m := &w.moves[i]; m.Server == server && m.Until.IsZero() {
			m.Until = time.Now()
		}
	}
}

func (h *holderLife) end() {
	h.once.Do(func() {
		close(h.done)
		h.nl.Close()
	})
}

func (w *holderWatch) close() {
	w.mu.Lock()
	for _, life := range w.lives {
		life.end()
	}
	w.lives = map[string]*holderLife{}
	w.mu.Unlock()
	w.wg.Wait()
}

func (w *holderWatch) update(life *holderLife, u netlink.AddrUpdate) {
	now := time.Now()
	ip, _ := netip.AddrFromSlice(u.LinkAddress.IP)
	ip = ip.Unmap()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ips[ip] || w.lives[life.server] != life {
		return
	}
	i := slices.IndexFunc(w.moves, func(m Holding) bool {
		return m.Server == life.server && m.Address == ip && m.Until.IsZero()
	})
	switch {
	case !u.NewAddr && i >= 0:
		w.moves[i].Until = now
	case u.NewAddr && i < 0: // not a mere refresh of its lifetime
		w.moves = append(w.moves, Holding{Server: life.server, Address: ip, From: now})
		w.check(life, ip)
	}
}

// check looks for a second holder of an address that life has just got, and notes who
// has it no more: on a busy machine the report of that may come later than this one, and
// would make it a holder for longer than it was. Called with w.mu, so no server comes or
// goes meanwhile.
func (w *holderWatch) check(life *holderLife, ip netip.Addr) {
	for name, other := range w.lives {
		if other == life {
			continue
		}
		switch there, err := has(other.nl, ip); {
		case err != nil: // it is going
		case !there:
			w.endHolding(name, ip, time.Now())
		default:
			if still, err := has(life.nl, ip); err == nil && still {
				w.complain(fmt.Errorf("two holders of %s at %s: %s has got it while %s still had it",
					ip, time.Now().Format("15:04:05.000"), life.server, name))
			}
		}
	}
}

// endHolding notes the end of a server's present holding of an address, if there is one.
func (w *holderWatch) endHolding(server string, ip netip.Addr, at time.Time) {
	for i := range w.moves {
		if m := &w.moves[i]; m.Server == server && m.Address == ip && m.Until.IsZero() {
			m.Until = at
		}
	}
}

func has(nl *netlink.Handle, ip netip.Addr) (bool, error) {
	family := netlink.FAMILY_V4
	if ip.Is6() {
		family = netlink.FAMILY_V6
	}
	list, err := nl.AddrList(nil, family)
	if err != nil {
		return false, err
	}
	want := net.IP(ip.AsSlice())
	return slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.IP.Equal(want) }), nil
}

// Holders lists who has an address now.
func (l *Lab) Holders(ip netip.Addr) []string {
	w := l.holders
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, s := range l.Servers {
		if life := w.lives[s.Name]; life != nil {
			if there, err := has(life.nl, ip); err == nil && there {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// Holdings is the history of an address, oldest first.
func (l *Lab) Holdings(ip netip.Addr) []Holding {
	w := l.holders
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.moves), func(m Holding) bool { return m.Address != ip })
}

func (h Holding) String() string {
	until := "now"
	if !h.Until.IsZero() {
		until = h.Until.Format("15:04:05.000")
	}
	return fmt.Sprintf("%s %s-%s", h.Server, h.From.Format("15:04:05.000"), until)
}
