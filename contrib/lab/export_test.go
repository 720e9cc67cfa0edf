package lab

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// AnnounceForTest sends a gratuitous ARP request from a server's public card.
func (l *Lab) AnnounceForTest(s *Server, ip netip.Addr) error {
	link, err := s.alive().nl.LinkByName(s.NIC(Public))
	if err != nil {
		return err
	}
	return s.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(htons(unix.ETH_P_ARP)))
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: link.Attrs().Index, Halen: 6}
		copy(to.Addr[:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		return unix.Sendto(fd, arpRequest(mac(s.Addr(Public)), ip, ip), 0, to)
	})
}

// MountsForTest are the mounts seen so far.
func (l *Lab) MountsForTest() []Mount { return l.mounts.list() }
