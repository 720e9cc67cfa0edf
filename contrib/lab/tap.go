package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Datagram is one UDP packet that passed a cable.
type Datagram struct {
	From, To netip.AddrPort
	Payload  []byte
}

// Tap listens on a cable, as somebody with a mirror port would. It keeps the newest
// maxTapped datagrams.
type Tap struct {
	fd   int
	stop chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex
	seen []Datagram
	over bool
}

const maxTapped = 4096

// NewTap listens on a server's cable to a network.
func (l *Lab) NewTap(server, network string) (*Tap, error) {
	port, err := l.room.nl.LinkByName(server + "." + network)
	if err != nil {
		return nil, fmt.Errorf("tap on %s of %s: %w", network, server, err)
	}
	t := &Tap{fd: -1, stop: make(chan struct{})}
	err = within(l.room.ns, func() (err error) {
		if t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL))); err != nil {
			return err
		}
		if err = unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: port.Attrs().Index}); err != nil {
			return err
		}
		return unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	})
	if err != nil {
		return nil, fmt.Errorf("tap on %s of %s: %w", network, server, err)
	}
	t.wg.Go(t.listen)
	l.onClose(t.Stop)
	return t, nil
}

func (t *Tap) listen() {
	buf := make([]byte, 1<<16)
	for {
		if n, _, err := unix.Recvfrom(t.fd, buf, 0); err == nil {
			if d, ok := parseUDP(buf[:n]); ok {
				t.mu.Lock()
				if t.seen = append(t.seen, d); len(t.seen) > maxTapped {
					t.seen = t.seen[1:]
				}
				t.mu.Unlock()
			}
			continue
		}
		select {
		case <-t.stop:
			return
		default:
		}
	}
}

// parseUDP reads an IPv4 packet without options and fragments (RFC 791, RFC 768).
func parseUDP(b []byte) (Datagram, bool) {
	const ip, udp = 20, 8
	if len(b) < ip+udp || b[0] != 0x45 || b[9] != unix.IPPROTO_UDP {
		return Datagram{}, false
	}
	length := int(binary.BigEndian.Uint16(b[ip+4:]))
	if length < udp || ip+length > len(b) {
		return Datagram{}, false
	}
	addr := func(at, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[at:at+4])), binary.BigEndian.Uint16(b[port:]))
	}
	return Datagram{From: addr(12, ip), To: addr(16, ip+2), Payload: append([]byte(nil), b[ip+udp:ip+length]...)}, true
}

// Datagrams are those seen so far, oldest first.
func (t *Tap) Datagrams() []Datagram {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Datagram(nil), t.seen...)
}

// Stop ends the listening.
func (t *Tap) Stop() {
	t.mu.Lock()
	over := t.over
	t.over = true
	t.mu.Unlock()
	if !over {
		close(t.stop)
		t.wg.Wait()
		unix.Close(t.fd)
	}
}

// ClientSocket is a UDP socket of the client.
func (l *Lab) ClientSocket() (c *net.UDPConn, err error) {
	err = l.ClientDo(func() error {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: Client.AsSlice()})
		return err
	})
	return c, err
}

// WaitDrops waits until a server has dropped something for each of these reasons, and
// returns all that it has dropped (api.Status.Drops).
func (c *Cluster) WaitDrops(s *Server, reasons ...string) map[string]uint64 {
	c.tb.Helper()
	var missing []string
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		st, err := s.Client().Status(ctx)
		cancel()
		if err == nil {
			missing = missing[:0]
			for _, r := range reasons {
				if st.Drops[r] == 0 {
					missing = append(missing, r)
				}
			}
			if len(missing) == 0 {
				return st.Drops
			}
		}
		if time.Now().After(end) {
			c.tb.Fatalf("%s has not dropped: %s (%v)", s.Name, strings.Join(missing, ", "), err)
		}
	}
}
