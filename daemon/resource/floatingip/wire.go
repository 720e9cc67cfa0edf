package floatingip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var (
	broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	nobody    = net.HardwareAddr{0, 0, 0, 0, 0, 0}
)

// wire speaks ARP on one interface. Packets travel without their ethernet header.
type wire struct {
	conn net.PacketConn
	mac  net.HardwareAddr
	name string
	// ours says whether a MAC is of another interface of this host.
	ours func(net.HardwareAddr) bool
}

func openWire(link *netlink.LinkAttrs) (*wire, error) {
	if len(link.HardwareAddr) != 6 {
		return nil, fmt.Errorf("interface %s: hardware address %q is not 6 bytes long, no ARP possible", link.Name, link.HardwareAddr)
	}
	ifi := &net.Interface{Index: link.Index, Name: link.Name, HardwareAddr: link.HardwareAddr, MTU: link.MTU}
	conn, err := packet.Listen(ifi, packet.Datagram, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", link.Name, err)
	}
	return &wire{conn: conn, mac: link.HardwareAddr, name: link.Name, ours: isOurs}, nil
}

func (w *wire) close() { _ = w.conn.Close() }

// probe looks for a second owner (RFC 5227, section 2.1.1). Without a conflict it
// returns nil when the last probe has gone unanswered.
func (w *wire) probe(ctx context.Context, addr netip.Addr, t Times) error {
	for i := range t.Probes {
		wait := t.Gap
		if i == t.Probes-1 {
			wait = t.Listen
		}
		if err := w.send(arp.OperationRequest, netip.IPv4Unspecified(), nobody, addr); err != nil {
			return err
		}
		if err := w.listen(ctx, addr, time.Now().Add(wait)); err != nil {
			return err
		}
	}
	return nil
}

// listen reads until the time and returns an error as soon as another machine shows
// that it has the address, or is about to take it.
func (w *wire) listen(ctx context.Context, addr netip.Addr, until time.Time) error {
	stop := context.AfterFunc(ctx, func() { _ = w.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := w.conn.SetReadDeadline(until); err != nil {
		return err
	}
	var buf [256]byte // an ARP packet has 28 bytes, and ethernet pads it to 46
	for {
		n, _, err := w.conn.ReadFrom(buf[:])
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("ARP on %s: %w", w.name, err)
		}
		if mac := claims(buf[:n], addr); mac != nil && !bytes.Equal(mac, w.mac) && !w.ours(mac) {
			return fmt.Errorf("%w: %s is used by %s on %s", ErrConflict, addr, mac, w.name)
		}
	}
}

// claims returns the sender of an ARP packet which shows that it has the address, or
// probes for it at the same time; nil for every other packet.
func claims(b []byte, addr netip.Addr) net.HardwareAddr {
	var p arp.Packet
	// Only ethernet and IPv4, by the lengths too: the library takes any.
	if len(b) < 28 || b[4] != 6 || b[5] != 4 || p.UnmarshalBinary(b) != nil {
		return nil
	}
	probes := p.Operation == arp.OperationRequest && p.SenderIP.IsUnspecified() && p.TargetIP == addr
	if p.SenderIP == addr || probes {
		return p.SenderHardwareAddr
	}
	return nil
}

// announce sends the request form (RFC 5227, section 3) and the reply form, for hosts
// that update their caches by one of them only.
func (w *wire) announce(addr netip.Addr) error {
	return errors.Join(
		w.send(arp.OperationRequest, addr, nobody, addr),
		w.send(arp.OperationReply, addr, broadcast, addr),
	)
}

func (w *wire) send(op arp.Operation, sender netip.Addr, target net.HardwareAddr, addr netip.Addr) error {
	p, err := arp.NewPacket(op, w.mac, sender, target, addr)
	if err != nil {
		return err
	}
	b, err := p.MarshalBinary()
	if err != nil {
		return err
	}
	if _, err := w.conn.WriteTo(b, &packet.Addr{HardwareAddr: broadcast}); err != nil {
		return fmt.Errorf("ARP on %s: %w", w.name, err)
	}
	return nil
}

// isOurs says whether the MAC is of an interface of this host. Two interfaces in one
// network answer for each other's addresses (arp_ignore 0).
func isOurs(mac net.HardwareAddr) bool {
	interfaces, err := net.Interfaces()
	if err != nil {
		return false
	}
	for _, i := range interfaces {
		if bytes.Equal(i.HardwareAddr, mac) {
			return true
		}
	}
	return false
}
