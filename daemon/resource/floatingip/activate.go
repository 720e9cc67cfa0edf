package floatingip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Spec is one floating IP. It crosses process borders as JSON.
type Spec struct {
	Address   netip.Addr `json:"address"`
	Prefix    int        `json:"prefix,omitempty"`    // 0: 32
	Interface string     `json:"interface,omitempty"` // "": the one whose network holds the address
}

// Times are the numbers of probing and announcing. Tests make them shorter.
type Times struct {
	// Probes are sent, Gap apart, and Listen after the last one the address is
	// taken to be free. RFC 5227 sends 3 within 2 to 5 s and waits 2 s more; nobody
	// could take over within 200 ms then. Its times are for hosts that come up
	// uncoordinated; here the owner is decided before, and the probe is to find a
	// mistake in somebody's configuration. A host on a LAN answers within 1 ms.
	Probes      int
	Gap, Listen time.Duration
	// After a conflict the probe is tried again, Retries times, Wait apart.
	Retries int
	Wait    time.Duration
	// Announce are the times of the announcements, from the first one on.
	Announce []time.Duration
}

// DefaultTimes take 60 ms for a probe, and are the seed's for conflicts.
var DefaultTimes = Times{
	Probes: 3, Gap: 20 * time.Millisecond, Listen: 20 * time.Millisecond,
	Retries: 5, Wait: 30 * time.Second,
	Announce: []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 2 * time.Second},
}

// Activation is how to activate.
type Activation struct {
	Times Times
	// Handover: the last owner has let go in order, so announce at once. Who calls
	// asks for Held.Conflict later.
	Handover bool
	// Permit is asked right before the address is added and says for how many whole
	// seconds, at least 1. Its error is Activate's.
	Permit func(context.Context) (seconds int, err error)
	// Progress gets a line where something takes longer than usual.
	Progress func(text string)
}

// ErrConflict is in the chain of an error that another machine has the address.
var ErrConflict = errors.New("address conflict")

// Held is an address that this process has activated.
type Held struct {
	spec  Spec
	times Times
	link  *netlink.LinkAttrs
	wire  *wire // nil: the interface has no ARP
}

// Activate adds the address and announces it once. With a conflict that does not go
// away, or without a link, the address is not added.
func Activate(ctx context.Context, s Spec, a Activation) (*Held, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	table, err := OpenTable()
	if err != nil {
		return nil, err
	}
	defer table.Close()
	link, err := table.device(s)
	if err != nil {
		return nil, err
	}
	if fault := linkFault(link); fault != "" {
		return nil, fmt.Errorf("%s: %s", s.Address, fault)
	}
	h := &Held{spec: s, times: a.Times, link: link}
	if link.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0 {
		if h.wire, err = openWire(link); err != nil {
			return nil, err
		}
		if !a.Handover {
			err = h.probeUntilFree(ctx, a.Progress)
		}
	}
	if err == nil {
		err = h.add(ctx, table, a)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (h *Held) add(ctx context.Context, table *Table, a Activation) error {
	seconds, err := a.Permit(ctx)
	if err != nil {
		return err
	}
	if err := table.add(h.spec.Address, h.spec.bits(), h.link, seconds); err != nil {
		return err
	}
	if err := h.announce(); err != nil {
		return errors.Join(err, Deactivate(h.spec.Address))
	}
	return nil
}

// probeUntilFree probes, and after a conflict waits and probes again.
func (h *Held) probeUntilFree(ctx context.Context, progress func(string)) error {
	for try := 0; ; try++ {
		err := h.wire.probe(ctx, h.spec.Address, h.times)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if try == h.times.Retries {
			return fmt.Errorf("%w, after %d retries", err, try)
		}
		progress(fmt.Sprintf("%v, retry %d of %d in %s", err, try+1, h.times.Retries, h.times.Wait))
		if err := sleep(ctx, h.times.Wait); err != nil {
			return err
		}
	}
}

// Conflict probes for a second owner behind the announcement. The caller withdraws
// the address if there is one.
func (h *Held) Conflict(ctx context.Context) error {
	if h.wire == nil {
		return nil
	}
	return h.wire.probe(ctx, h.spec.Address, h.times)
}

// Linger repeats the announcement at its times and returns at the last one, or as
// soon as the address is gone or goOn says no.
func (h *Held) Linger(ctx context.Context, goOn func() bool) {
	if h.wire == nil {
		return
	}
	begin := time.Now()
	table, err := OpenTable()
	if err != nil {
		return // repeats are a precaution, the first announcement is out
	}
	defer table.Close()
	for _, at := range h.times.Announce {
		if at == 0 {
			continue
		}
		if sleep(ctx, time.Until(begin.Add(at))) != nil || !goOn() {
			return
		}
		if found, err := table.Find(h.spec.Address); err != nil || len(found) == 0 {
			return
		}
		_ = h.announce() // a link that is down now is the watcher's business
	}
}

// announce says once that the address is here, in both forms that hosts listen to.
func (h *Held) announce() error {
	if h.wire == nil {
		return nil
	}
	return h.wire.announce(h.spec.Address)
}

// Close lets go of the socket; the address stays.
func (h *Held) Close() {
	if h.wire != nil {
		h.wire.close()
	}
}

// Deactivate removes the address from every interface and sees that it is gone.
func Deactivate(addrs ...netip.Addr) error {
	table, err := OpenTable()
	if err != nil {
		return err
	}
	defer table.Close()
	set := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		set[a] = true
	}
	const tries = 3 // one removes, the next finds none
	for range tries {
		n, err := table.RemoveAll(set)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
	return fmt.Errorf("%v: still there after %d removals, somebody adds it again", addrs, tries)
}

// FindInterface says on which interface the address is to be.
func FindInterface(s Spec) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	table, err := OpenTable()
	if err != nil {
		return "", err
	}
	defer table.Close()
	link, err := table.device(s)
	if err != nil {
		return "", err
	}
	return link.Name, nil
}

func (s Spec) check() error {
	switch {
	case !s.Address.IsValid():
		return errors.New("floating IP without an address")
	case !s.Address.Is4():
		return fmt.Errorf("floating IP %s: IPv6 is not supported yet", s.Address)
	case s.Prefix < 0 || s.Prefix > 32:
		return fmt.Errorf("floating IP %s: prefix %d is not between 1 and 32", s.Address, s.Prefix)
	}
	return nil
}

func (s Spec) bits() int {
	if s.Prefix == 0 {
		return 32
	}
	return s.Prefix
}

func netmask(bits int) net.IPMask { return net.CIDRMask(bits, 32) }

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
