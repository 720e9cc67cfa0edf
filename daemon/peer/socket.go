package peer

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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
