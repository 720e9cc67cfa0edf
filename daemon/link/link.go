// Package link is what heartbeat and peer have in common: who speaks with whom over which
// networks, sockets bound to an address that may come later, and the count of what is
// dropped.
package link

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"baton/daemon/wire"

	"golang.org/x/sys/unix"
)

// Bounds.
const (
	// MaxPaths is how many paths fit the bits of node.Message.Hears.
	MaxPaths = 8
	// MinKey is the shortest cluster key, in bytes.
	MinKey = 32
)

// Ends are the servers of a cluster and the networks between them. All servers must
// agree on everything but Self and the paths' Local.
type Ends struct {
	Cluster string
	// Keys are the cluster keys, each of MinKey bytes or more. This server speaks by the
	// first one and believes all: that is how a key is changed without a silence.
	Keys    [][]byte
	Self    int      // number of this server, 1 to len(Servers)
	Servers []string // names, by number - 1
	Paths   []Path   // in the order of the configuration: a path's index crosses the wire
	Port    uint16   // the same everywhere
}

// Path is one network and everybody's address on it.
type Path struct {
	Name  string
	Local netip.Addr
	// Remote are the addresses by server (index: number - 1). The entry of this
	// server is ignored; the zero Addr is a server that is not on this path.
	Remote []netip.Addr
}

// Check refuses what cannot work. It makes no copy of what the slices hold.
func (e *Ends) Check() error {
	switch n := len(e.Servers); {
	case n < 2 || n > wire.MaxServer:
		return fmt.Errorf("%d servers: not in 2 to %d", n, wire.MaxServer)
	case e.Self < 1 || e.Self > n:
		return fmt.Errorf("self: %d is not in 1 to %d", e.Self, n)
	case len(e.Paths) < 1 || len(e.Paths) > MaxPaths:
		return fmt.Errorf("%d paths: not in 1 to %d", len(e.Paths), MaxPaths)
	case len(e.Keys) == 0:
		return errors.New("no cluster key")
	case e.Port == 0:
		return errors.New("port 0: must be the same on all servers")
	}
	for i, k := range e.Keys {
		if len(k) < MinKey {
			return fmt.Errorf("cluster key %d: %d bytes is below %d", i+1, len(k), MinKey)
		}
	}
	for _, p := range e.Paths {
		if !p.Local.IsValid() || p.Local.Zone() != "" || p.Local.IsUnspecified() || p.Local.Is4In6() {
			return fmt.Errorf("path %s: address %v: name one address, without a zone and not mapped", p.Name, p.Local)
		}
		if len(p.Remote) != len(e.Servers) {
			return fmt.Errorf("path %s: %d addresses for %d servers", p.Name, len(p.Remote), len(e.Servers))
		}
		for i, r := range p.Remote {
			if i+1 == e.Self || !r.IsValid() {
				continue
			}
			if r.Is4() != p.Local.Is4() || r.Zone() != "" || r.Is4In6() {
				return fmt.Errorf("path %s: address %v of %s: not of the kind of %v", p.Name, r, e.Servers[i], p.Local)
			}
		}
	}
	return nil
}

// Network is the network of a socket at an address: "udp" becomes "udp4" or "udp6".
func Network(protocol string, a netip.Addr) string {
	if a.Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}

// FreeBind, as net.ListenConfig.Control, lets a socket be bound to an address whether an
// interface has it yet or not (IP_FREEBIND, ip(7)): batond may start before the network,
// and an address that goes and comes back takes the path with it, without any work here.
func FreeBind(network, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		if network[len(network)-1] == '6' {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		}
	}); e != nil {
		return e
	}
	return err
}
