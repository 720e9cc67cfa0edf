package peer

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// freebind lets a listener have an address that no interface has yet (ip(7)).
func freebind(network, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		if network == "tcp6" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		}
	}); e != nil {
		return e
	}
	return err
}

// impatient makes the kernel give a connection up when sent bytes have not been
// acknowledged for d (tcp(7), TCP_USER_TIMEOUT). TCP_NODELAY is Go's default.
func impatient(conn net.Conn, d time.Duration) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return syscall.EINVAL
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) {
		ferr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	}); err != nil {
		return err
	}
	return ferr
}

// tcp is the network of an address.
func tcp(is4 bool) string {
	if is4 {
		return "tcp4"
	}
	return "tcp6"
}
