package lab

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// EchoPort is the UDP port of the echo service on every server.
const EchoPort = 7 // RFC 862

// echoServer answers every UDP packet from the address that it was sent to, with
// this server's name added. It is bound to no address, so it answers for a floating
// IP from the moment the kernel has it until the moment the kernel does not.
func echoServer([]string) int {
	name, err := os.Hostname()
	if err == nil {
		err = echo(name)
	}
	fmt.Fprintf(os.Stderr, "echo: %v\n", err)
	return 1
}

func echo(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// The packet's own destination is the source of the answer (ip(7), IP_PKTINFO): a
	// socket bound to no address would take the card's first one.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: EchoPort}); err != nil {
		return err
	}
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for {
		n, oobn, _, from, err := unix.Recvmsg(fd, buf[:1024], oob, 0)
		if err != nil {
			if err == unix.EINTR {
				continue
			}
			return err
		}
		info, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(info) == 0 || info[0].Header.Type != unix.IP_PKTINFO || len(info[0].Data) < 12 {
			continue
		}
		// struct in_pktinfo: index, address of the answer, destination of the packet.
		data := info[0].Data
		binary.NativeEndian.PutUint32(data[0:4], 0)
		copy(data[4:8], data[8:12])
		reply := append(buf[:n], name...)
		_ = unix.Sendmsg(fd, reply, oob[:oobn], from, 0)
	}
}

// webServer is the tiny service of the demo: it says which server answers. It comes
// up as soon as its address is there and needs no other preparation.
func webServer(args []string) int {
	flags := flag.NewFlagSet("web", flag.ContinueOnError)
	addr := flags.String("addr", "", "address and port to listen on")
	if flags.Parse(args) != nil {
		return 2
	}
	name, _ := os.Hostname()
	since := time.Now()
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s, for %s\n", name, time.Since(since).Round(time.Second))
	})
	listener, err := net.Listen("tcp", *addr)
	if err == nil {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		err = server.Serve(listener)
	}
	fmt.Fprintf(os.Stderr, "web: %v\n", err)
	return 1
}
