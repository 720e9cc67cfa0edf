package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// witnessInterval is how often the witness asks for each address.
const witnessInterval = 5 * time.Millisecond

// Witness sits on the client's card, asks for addresses by ARP all the time, and keeps
// who claimed which address with which MAC address and when: by an answer or by a
// gratuitous request or reply (RFC 5227 section 3). Times are the kernel's, taken when
// the packet came in, so a late scheduler does not blur them.
type Witness struct {
	fd   int
	mac  net.HardwareAddr
	link int
	stop chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex
	ips    []netip.Addr
	claims map[netip.Addr][]Claim
	over   bool
}

// Claim is a stretch of packets by which one MAC address claimed an IP address, with
// no packet of another in between.
type Claim struct {
	MAC         string
	First, Last time.Time
	Packets     int
	Gratuitous  int // of them unasked
}

func (c Claim) String() string {
	return fmt.Sprintf("%s %s-%s (%d, %d unasked)", c.MAC, c.First.Format("15:04:05.000"), c.Last.Format("15:04:05.000"), c.Packets, c.Gratuitous)
}

// NewWitness begins to watch addresses.
func (l *Lab) NewWitness(ips ...netip.Addr) (*Witness, error) {
	w := &Witness{fd: -1, mac: mac(Client), stop: make(chan struct{}), ips: ips, claims: map[netip.Addr][]Claim{}}
	card, err := l.client.nl.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	w.link = card.Attrs().Index
	err = l.ClientDo(func() (err error) {
		const arp = unix.ETH_P_ARP
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(htons(arp)))
		if err != nil {
			return err
		}
		if err = unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: htons(arp), Ifindex: w.link}); err != nil {
			return err
		}
		if err = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return err
		}
		return unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	})
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	w.wg.Go(w.ask)
	w.wg.Go(w.listen)
	l.onClose(w.Stop)
	return w, nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 } // every machine Go runs this on is little-endian but s390x

// ask sends an ARP request for each address, by broadcast, from the client's address.
func (w *Witness) ask() {
	tick := time.NewTicker(witnessInterval)
	defer tick.Stop()
	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: w.link, Halen: 6}
	copy(to.Addr[:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	for {
		for _, ip := range w.ips {
			_ = unix.Sendto(w.fd, arpRequest(w.mac, Client, ip), unix.MSG_DONTWAIT, to)
		}
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
	}
}

// arpRequest is RFC 826's packet for Ethernet and IPv4, without the Ethernet header.
func arpRequest(from net.HardwareAddr, fromIP, ip netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	a, b := fromIP.As4(), ip.As4()
	p = append(append(p, from...), a[:]...)
	return append(append(p, 0, 0, 0, 0, 0, 0), b[:]...)
}

func (w *Witness) listen() {
	buf, oob := make([]byte, 1500), make([]byte, 256)
	for {
		n, oobn, _, _, err := unix.Recvmsg(w.fd, buf, oob, 0)
		if err == nil {
			w.packet(buf[:n], packetTime(oob[:oobn]))
			continue
		}
		select {
		case <-w.stop:
			return
		default:
		}
	}
}

func packetTime(oob []byte) time.Time {
	list, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range list {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now()
}

// packet takes in one ARP packet: who says to be the sender address, if it is one
// that is watched and the packet is not the client's own. A probe (RFC 5227) has no
// sender address and claims nothing.
func (w *Witness) packet(p []byte, at time.Time) {
	if len(p) < 28 || !bytes.Equal(p[:6], []byte{0, 1, 8, 0, 6, 4}) {
		return
	}
	hw, ip := net.HardwareAddr(p[8:14]), netip.AddrFrom4([4]byte(p[14:18]))
	if bytes.Equal(hw, w.mac) {
		return
	}
	gratuitous := bytes.Equal(p[14:18], p[24:28])
	w.mu.Lock()
	defer w.mu.Unlock()
	watched := false
	for _, i := range w.ips {
		watched = watched || i == ip
	}
	if !watched {
		return
	}
	list := w.claims[ip]
	if n := len(list); n == 0 || list[n-1].MAC != hw.String() {
		list = append(list, Claim{MAC: hw.String(), First: at})
	}
	c := &list[len(list)-1]
	c.Last = at
	c.Packets++
	if gratuitous {
		c.Gratuitous++
	}
	w.claims[ip] = list
}

// Claims is the history of an address, oldest first. Two stretches that follow each
// other have different MAC addresses: between them the address changed hands.
func (w *Witness) Claims(ip netip.Addr) []Claim {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Claim(nil), w.claims[ip]...)
}

// Stop ends the watching.
func (w *Witness) Stop() {
	w.mu.Lock()
	over := w.over
	w.over = true
	w.mu.Unlock()
	if !over {
		close(w.stop)
		w.wg.Wait()
		unix.Close(w.fd)
	}
}

// Overlap is one change of hands that was too quick, or a going back and forth.
type Overlap struct {
	Address   netip.Addr
	Old, New  string // MAC addresses
	Last      time.Time
	First     time.Time
	Requested bool // an operator asked for the change
}

func (o Overlap) String() string {
	return fmt.Sprintf("%s: %s claimed it at %s, %s %s later", o.Address, o.Old, o.Last.Format("15:04:05.000"), o.New, o.First.Sub(o.Last))
}

// Overlaps lists the changes of hands with less than interval between the old
// owner's last claim and the new one's first.
func (w *Witness) Overlaps(interval time.Duration) []Overlap {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Overlap
	for _, ip := range w.ips {
		list := w.claims[ip]
		for i := 1; i < len(list); i++ {
			if list[i].First.Sub(list[i-1].Last) < interval {
				out = append(out, Overlap{Address: ip, Old: list[i-1].MAC, New: list[i].MAC, Last: list[i-1].Last, First: list[i].First})
			}
		}
	}
	return out
}
