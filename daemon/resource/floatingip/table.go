// Package floatingip holds the addresses that move with their group: it finds the
// interface, probes for a second owner, adds, announces, removes and watches.
//
// Sources: RFC 826 (ARP), RFC 5227 (address conflict detection and announcement),
// rtnetlink(7). IPv4 only so far.
//
// An address is added as a /32 unless a prefix is given. So it is never chosen as the
// source of the server's own traffic (it has no subnet of its own), and it neither goes
// away with the interface's first address (as a secondary does without
// promote_secondaries) nor becomes the first one when that is renewed by DHCP.
//
// It knows nothing of groups, leases or tokens. Activate and Deactivate are called by
// the step child, Table by the step child and the guard, each from its own goroutine;
// Watcher by batond.
package floatingip

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Table is the addresses of this network namespace, by one netlink socket. Not for
// use from several goroutines.
type Table struct{ h *netlink.Handle }

// Found is an address that is on an interface.
type Found struct {
	Addr  netip.Addr
	Index int // of the interface
	raw   netlink.Addr
}

// patience is how long a netlink answer may take. The kernel answers within
// microseconds unless somebody sits on the rtnl lock; then asking again is better
// than to hang.
const patience = 500 * time.Millisecond

// OpenTable opens the socket.
func OpenTable() (*Table, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	if err := h.SetSocketTimeout(patience); err != nil {
		h.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &Table{h}, nil
}

// Close closes the socket.
func (t *Table) Close() { t.h.Close() }

// List lists every IPv4 address of every interface.
func (t *Table) List() ([]Found, error) {
	// A dump that a change got in between may miss addresses: again.
	const tries = 5
	for try := 1; ; try++ {
		raw, err := t.h.AddrList(nil, netlink.FAMILY_V4)
		if errors.Is(err, netlink.ErrDumpInterrupted) && try < tries {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		list := make([]Found, 0, len(raw))
		for _, a := range raw {
			if addr, ok := netip.AddrFromSlice(a.IP.To4()); ok {
				list = append(list, Found{Addr: addr, Index: a.LinkIndex, raw: a})
			}
		}
		return list, nil
	}
}

// Find lists where the address is.
func (t *Table) Find(addr netip.Addr) ([]Found, error) {
	list, err := t.List()
	var found []Found
	for _, f := range list {
		if f.Addr == addr {
			found = append(found, f)
		}
	}
	return found, err
}

// Renew gives the address a new lifetime. Where it has gone meanwhile, this adds it
// again: see package page for how that is kept from crossing a removal.
func (t *Table) Renew(f Found, seconds int) error {
	f.raw.ValidLft, f.raw.PreferedLft = seconds, seconds
	f.raw.Flags = 0
	return t.h.AddrReplace(nil, &f.raw)
}

// Remove removes the address. One that is not there is no error.
func (t *Table) Remove(f Found) error {
	f.raw.Label = "" // any
	f.raw.Flags = 0
	err := t.h.AddrDel(nil, &f.raw)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", f.Addr, os.NewSyscallError("RTM_DELADDR", err))
	}
	return nil
}

// RemoveAll removes the addresses wherever they are, and says how many there were.
func (t *Table) RemoveAll(addrs map[netip.Addr]bool) (int, error) {
	list, err := t.List()
	if err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for _, f := range list {
		if addrs[f.Addr] {
			n++
			errs = append(errs, t.Remove(f))
		}
	}
	return n, errors.Join(errs...)
}

// add puts the address on the interface. One that is there already gets the lifetime.
func (t *Table) add(addr netip.Addr, bits int, link *netlink.LinkAttrs, seconds int) error {
	raw := netlink.Addr{LinkIndex: link.Index, ValidLft: seconds, PreferedLft: seconds}
	raw.IPNet = netlink.NewIPNet(addr.AsSlice())
	raw.IPNet.Mask = netmask(bits)
	// A label holds 15 characters; it is for people who look with "ip address" only.
	if label := link.Name + ":baton"; len(label) < unix.IFNAMSIZ {
		raw.Label = label
	}
	if err := t.h.AddrReplace(nil, &raw); err != nil {
		return fmt.Errorf("add %s/%d to %s: %w", addr, bits, link.Name, err)
	}
	return nil
}

// device is the interface that an address is to be on.
func (t *Table) device(s Spec) (*netlink.LinkAttrs, error) {
	var link netlink.Link
	var err error
	if s.Interface != "" {
		if link, err = t.h.LinkByName(s.Interface); err != nil {
			return nil, fmt.Errorf("interface %s of %s: %w", s.Interface, s.Address, err)
		}
	} else {
		index, err := t.indexOf(s)
		if err != nil {
			return nil, err
		}
		if link, err = t.h.LinkByIndex(index); err != nil {
			return nil, fmt.Errorf("interface %d of %s: %w", index, s.Address, err)
		}
	}
	return link.Attrs(), nil
}

// indexOf finds the interface whose network holds the address: the one with the
// longest prefix, and of several the one that was made first.
func (t *Table) indexOf(s Spec) (int, error) {
	list, err := t.List()
	if err != nil {
		return 0, err
	}
	best, index := -1, 0
	for _, f := range list {
		ones, _ := f.raw.Mask.Size()
		// A floating IP's own /32 says nothing about networks, and 127.0.0.0/8 is no
		// network that clients are on.
		if ones >= 31 || f.Addr.IsLoopback() || f.Addr == s.Address {
			continue
		}
		net, err := f.Addr.Prefix(ones)
		if err == nil && net.Contains(s.Address) && (ones > best || ones == best && f.Index < index) {
			best, index = ones, f.Index
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("no interface has the network of %s: give this server an address in it, or name the interface", s.Address)
	}
	return index, nil
}

// linkFault says what is wrong with the link, "" if nothing is.
func linkFault(link *netlink.LinkAttrs) string {
	switch {
	case link.RawFlags&unix.IFF_UP == 0:
		return "interface " + link.Name + " is down"
	case link.RawFlags&unix.IFF_LOWER_UP == 0:
		return "interface " + link.Name + " has no link"
	}
	return ""
}
