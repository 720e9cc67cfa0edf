package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Names of the networks.
const (
	LAN1   = "lan1"
	LAN2   = "lan2"
	Public = "public"
)

// switchRoom is the network namespace with a bridge for each network. A cable is a
// veth pair between a bridge and a machine; its end here is called port.
type switchRoom struct {
	ns netns.NsHandle
	nl *netlink.Handle

	mu    sync.Mutex
	drops []drop
}

func newSwitchRoom(networks []string) (*switchRoom, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	sw := &switchRoom{ns: ns}
	if sw.nl, err = netlink.NewHandleAt(ns); err != nil {
		ns.Close()
		return nil, err
	}
	err = within(ns, func() error {
		// The switch itself has nothing to say on its networks.
		setSysctls(map[string]string{
			"net/ipv6/conf/all/disable_ipv6":     "1",
			"net/ipv6/conf/default/disable_ipv6": "1",
		})
		return nil
	})
	for _, name := range networks {
		if err == nil {
			err = sw.addBridge(name)
		}
	}
	if err != nil {
		sw.close()
		return nil, err
	}
	return sw, nil
}

func (sw *switchRoom) close() {
	sw.nl.Close()
	sw.ns.Close()
}

// addBridge makes a bridge without STP: a port forwards as soon as it is up.
func (sw *switchRoom) addBridge(name string) error {
	off := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.Flags = net.FlagUp
	if err := sw.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}); err != nil {
		return fmt.Errorf("bridge %s: %w (is the kernel's bridge module there?)", name, err)
	}
	return nil
}

// cable is one end-to-end connection of a machine to a network.
type cable struct {
	network string // name of the bridge
	port    string // this end's name, in the switch room
	peer    netns.NsHandle
	nic     string // the other end's name, in the machine
	addr    netip.Prefix
}

// mac gives the card of an address its MAC address, which shows the IPv4 address and
// stays the same over reboots, as with a real card.
func mac(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0xba, b[0], b[1], b[2], b[3]}
}

// lay connects a machine: card up, with its address, port up.
func (sw *switchRoom) lay(c cable, nl *netlink.Handle) error {
	bridge, err := sw.nl.LinkByName(c.network)
	if err != nil {
		return fmt.Errorf("network %s: %w", c.network, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.Flags = c.port, bridge.Attrs().Index, net.FlagUp
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: c.nic, PeerNamespace: netlink.NsFd(int(c.peer)), PeerHardwareAddr: mac(c.addr.Addr()),
	}
	if err := sw.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("cable %s: %w", c.port, err)
	}
	nic, err := nl.LinkByName(c.nic)
	if err != nil {
		return fmt.Errorf("card %s of %s: %w", c.nic, c.port, err)
	}
	err = nl.AddrAdd(nic, &netlink.Addr{IPNet: &net.IPNet{IP: c.addr.Addr().AsSlice(), Mask: net.CIDRMask(c.addr.Bits(), 32)}})
	if err != nil {
		return fmt.Errorf("address %s: %w", c.addr, err)
	}
	if err := nl.LinkSetUp(nic); err != nil {
		return err
	}
	return sw.settle(c, nl)
}

// settle waits until both ends of a cable are ready to send. The kernel takes note of
// a carrier by a work queue that runs once a second at worst (net/core/link_watch.c);
// until then packets are lost. From Linux 6.9 on, asking for a link hurries it on.
func (sw *switchRoom) settle(c cable, nl *netlink.Handle) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		port, err := sw.nl.LinkByName(c.port)
		if err != nil {
			return err
		}
		nic, err := nl.LinkByName(c.nic)
		if err != nil {
			return err
		}
		if port.Attrs().OperState == netlink.OperUp && nic.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if nic.Attrs().Flags&net.FlagUp == 0 || port.Attrs().Flags&net.FlagUp == 0 {
			return nil // somebody has put it down meanwhile: no carrier to wait for
		}
		if time.Now().After(end) {
			return fmt.Errorf("cable %s: no carrier 5s after it was connected", c.port)
		}
	}
}

// setPort puts a cable's switch end up or down. Down takes the carrier from both
// ends. nl is the machine at the other end.
func (sw *switchRoom) setPort(c cable, up bool, nl *netlink.Handle) error {
	link, err := sw.nl.LinkByName(c.port)
	if err != nil {
		return fmt.Errorf("cable %s: %w", c.port, err)
	}
	if !up {
		return sw.nl.LinkSetDown(link)
	}
	if err := sw.nl.LinkSetUp(link); err != nil {
		return err
	}
	return sw.settle(c, nl)
}

// remove takes a cable away with both its ends. One that is gone already is fine:
// it goes with the namespace of its other end as well.
func (sw *switchRoom) remove(port string) error {
	link, err := sw.nl.LinkByName(port)
	if err == nil {
		err = sw.nl.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err == nil || errors.As(err, &missing) {
		return nil
	}
	if _, again := sw.nl.LinkByName(port); errors.As(again, &missing) {
		return nil // it went between the two calls
	}
	return fmt.Errorf("cable %s: %w", port, err)
}
