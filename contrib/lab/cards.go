package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addr is the server's address on a network.
func (s *Server) Addr(network string) netip.Addr {
	for _, c := range s.cables {
		if c.network == network {
			return c.addr.Addr()
		}
	}
	return netip.Addr{}
}

// NIC is the name of the server's card on a network.
func (s *Server) NIC(network string) string {
	for _, c := range s.cables {
		if c.network == network {
			return c.nic
		}
	}
	return ""
}

// Pull takes the cable to a network off; both ends lose carrier. Plug connects it
// again. The state of a cable does not survive a power cut: Boot connects all.
func (s *Server) Pull(network string) error { return s.port(network, false) }

// Plug connects the cable to a network.
func (s *Server) Plug(network string) error { return s.port(network, true) }

func (s *Server) port(network string, up bool) error {
	c, err := s.cable(network)
	if err != nil {
		return err
	}
	l := s.alive()
	if l == nil {
		return s.off("cable to " + network)
	}
	if err := s.lab.room.setPort(c, up, l.nl); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulled[network] = !up
	return nil
}

// Pulled reports whether the cable to a network is pulled.
func (s *Server) Pulled(network string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pulled[network]
}

// Networks are those that the server has a cable to.
func (s *Server) Networks() []string {
	var names []string
	for _, c := range s.cables {
		names = append(names, c.network)
	}
	return names
}

func (s *Server) cable(network string) (cable, error) {
	for _, c := range s.cables {
		if c.network == network {
			return c, nil
		}
	}
	return cable{}, fmt.Errorf("%s has no cable to %q: lan1, lan2 (with two interconnects) or public", s.Name, network)
}

// SetNIC sets the server's own card on a network up or down, as an operator on the
// server would. Down flushes its IPv4 routes; its addresses stay.
func (s *Server) SetNIC(network string, up bool) error {
	l := s.alive()
	if l == nil {
		return s.off("set card")
	}
	c, err := s.cable(network)
	if err != nil {
		return err
	}
	link, err := l.nl.LinkByName(c.nic)
	if err != nil {
		return fmt.Errorf("card of %s on %s: %w", s.Name, network, err)
	}
	if !up {
		return l.nl.LinkSetDown(link)
	}
	if err := l.nl.LinkSetUp(link); err != nil {
		return err
	}
	return s.lab.room.settle(c, l.nl)
}

// HasCarrier reports whether the server's card on a network sees a carrier.
func (s *Server) HasCarrier(network string) (bool, error) {
	l := s.alive()
	if l == nil {
		return false, s.off("carrier")
	}
	link, err := l.nl.LinkByName(s.NIC(network))
	if err != nil {
		return false, err
	}
	return link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0, nil
}

// Do runs f on a thread inside the server's network namespace: sockets it opens are
// the server's.
func (s *Server) Do(f func() error) error {
	l := s.alive()
	if l == nil {
		return s.off("run")
	}
	return within(l.ns, f)
}

// Addresses lists the server's addresses, all cards, without the loopback's.
func (s *Server) Addresses() ([]netip.Prefix, error) {
	l := s.alive()
	if l == nil {
		return nil, s.off("addresses")
	}
	list, err := l.nl.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range list {
		ip, ok := netip.AddrFromSlice(a.IP)
		if ok && !a.IP.IsLoopback() {
			ones, _ := a.Mask.Size()
			out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return out, nil
}

// NetlinkHandle is for tests that change the server's network by hand.
func (s *Server) NetlinkHandle() (*netlink.Handle, error) {
	l := s.alive()
	if l == nil {
		return nil, s.off("netlink")
	}
	return l.nl, nil
}
