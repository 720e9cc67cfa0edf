package ping

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Echo request and reply: type, code, checksum, identifier, sequence, then data that
// comes back as it went (RFC 792, page 14; RFC 4443 section 4).
const (
	echoHead = 8
	// tokenSize of random data tells our reply from everybody else's.
	tokenSize = 16
)

// protocol is what differs between IPv4 and IPv6.
type protocol struct {
	network        string // of package net
	request, reply byte   // ICMP types
	// checksum: the kernel leaves it to us (with IPv6 it does not, RFC 3542 section 3.1).
	checksum bool
}

var (
	icmp4 = protocol{"ip4:icmp", 8, 0, true}
	icmp6 = protocol{"ip6:ipv6-icmp", 128, 129, false}
)

func protocolOf(a netip.Addr) protocol {
	if a.Is4() {
		return icmp4
	}
	return icmp6
}

type token [tokenSize]byte

func (p protocol) encode(id, seq uint16, t token) []byte {
	b := make([]byte, 0, echoHead+tokenSize)
	b = append(b, p.request, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, t[:]...)
	if p.checksum {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// isReply: the message (without its IP header) is the reply to ours.
func (p protocol) isReply(b []byte, id uint16, t token) bool {
	return len(b) == echoHead+tokenSize && b[0] == p.reply && b[1] == 0 &&
		(!p.checksum || checksum(b) == 0) && binary.BigEndian.Uint16(b[4:]) == id && token(b[echoHead:]) == t
}

// checksum is the Internet's (RFC 1071). Over a message that carries the right one it
// is zero.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

var errSilent = errors.New("no answer")

// echo sends an echo request from one address to another, again after each interval,
// until a reply comes or the limit is over (errSilent), or the context.
func echo(ctx context.Context, from, to netip.Addr, interval, limit time.Duration) error {
	p := protocolOf(to)
	var local net.Addr
	bind := ""
	if from.IsValid() {
		bind = from.String()
		local = &net.IPAddr{IP: from.AsSlice()}
	}
	conn, err := net.ListenPacket(p.network, bind)
	if err != nil {
		return fmt.Errorf("ping from %v: %w", local, err)
	}
	defer conn.Close()
	var t token
	rand.Read(t[:])
	id := binary.BigEndian.Uint16(t[:])

	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 2048)
	var sent error
	for seq := uint16(1); ctx.Err() == nil; seq++ {
		if _, err := conn.WriteTo(p.encode(id, seq, t), &net.IPAddr{IP: to.AsSlice()}); err != nil {
			sent = err
		}
		// The deadline that the context's end sets must win over this one.
		_ = conn.SetReadDeadline(time.Now().Add(interval))
		if ctx.Err() != nil {
			break
		}
		for {
			n, peer, err := conn.ReadFrom(buf)
			if err != nil {
				break
			}
			if a, ok := peer.(*net.IPAddr); ok && addrOf(a) == to && p.isReply(buf[:n], id, t) {
				return nil
			}
		}
	}
	if sent != nil {
		return sent
	}
	return errSilent
}

func addrOf(a *net.IPAddr) netip.Addr {
	ip, _ := netip.AddrFromSlice(a.IP)
	return ip.Unmap()
}

// isSilence: the requests went out, or could not because nobody resolves the address
// on the link, which is silence as well (the public LAN itself has answered before).
func isSilence(err error) bool {
	return errors.Is(err, errSilent) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EHOSTDOWN)
}
