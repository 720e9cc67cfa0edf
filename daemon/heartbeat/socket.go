package heartbeat

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"baton/daemon/link"

	"golang.org/x/sys/unix"
)

// socket is one UDP socket.
type socket struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	// transmit is what raw.Write runs. It is made once: a new function for each
	// datagram would be garbage. It reads and sets the fields below, under
	// Heartbeat.sending.
	transmit func(fd uintptr) bool
	datagram []byte
	to       unix.Sockaddr
	err      error
}

// listen opens a socket at the address, whether an interface has it yet or not
// (link.FreeBind). While the address is gone the kernel goes on sending from it where
// it has a route: the direction from here works then, and the other end says so;
// nothing comes in.
//
// SO_REUSEADDR is left out on purpose: UDP has no TIME_WAIT that it would help with,
// and with it a second batond could take the heartbeats away from the first.
func listen(ctx context.Context, at netip.AddrPort) (*socket, error) {
	lc := net.ListenConfig{Control: link.FreeBind}
	pc, err := lc.ListenPacket(ctx, link.Network("udp", at.Addr()), at.String())
	if err != nil {
		return nil, err
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		pc.Close()
		return nil, fmt.Errorf("%T is not a UDP socket", pc)
	}
	s := &socket{conn: conn}
	if s.raw, err = conn.SyscallConn(); err != nil {
		conn.Close()
		return nil, err
	}
	s.transmit = func(fd uintptr) bool {
		s.err = unix.Sendto(int(fd), s.datagram, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, s.to)
		return true // also for EAGAIN: never wait
	}
	return s, nil
}

// send hands a datagram to the kernel, now or not at all.
func (s *socket) send(datagram []byte, to unix.Sockaddr) error {
	s.datagram, s.to = datagram, to
	if err := s.raw.Write(s.transmit); err != nil {
		return err
	}
	return s.err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
