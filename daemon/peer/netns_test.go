package peer

import (
	"net/netip"
	"testing"
	"time"

	"baton/core/node"
	"baton/daemon/nettest"

	"github.com/vishvananda/netlink"
)

// Before there is an address nothing fails for good; when the addresses come the
// streams do; a path that swallows everything is noticed by both ends in about the
// timeout, and comes back by itself. The network is lo with an address per server.
func TestAddressComesAndGoes(t *testing.T) {
	if !nettest.Again(t) {
		return
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b := newBed(t, 2, 1)
	b.port, b.timeout = 22860, timeout
	var addrs [3]*netlink.Addr
	config := func(self int) Config {
		c := b.config(self)
		c.Paths[0].Remote = nil
		for server := 1; server <= 2; server++ {
			a := netip.AddrFrom4([4]byte{10, 8, 0, byte(server)})
			c.Paths[0].Remote = append(c.Paths[0].Remote, a)
			addrs[server], err = netlink.ParseAddr(a.String() + "/32")
			must(err)
		}
		c.Paths[0].Local = c.Paths[0].Remote[self-1]
		return c
	}
	one, two := b.start(config(1)), b.start(config(2))
	if st := one.Stats(); len(st.Closed) != 0 {
		t.Fatalf("before there is an address: %v", st.Closed)
	}
	must(netlink.LinkSetUp(lo))
	must(netlink.AddrAdd(lo, addrs[1]))
	must(netlink.AddrAdd(lo, addrs[2]))
	one.up(t, 1)
	two.up(t, 1)
	for name, fault := range map[string]struct{ begin, end func() error }{
		"receiver's address gone": {
			func() error { return netlink.AddrDel(lo, addrs[2]) },
			func() error { return netlink.AddrAdd(lo, addrs[2]) },
		},
		"link down": {
			func() error { return netlink.LinkSetDown(lo) },
			func() error { return netlink.LinkSetUp(lo) },
		},
	} {
		must(fault.begin())
		begun := time.Now()
		one.up(t, 0)
		two.up(t, 0)
		took := time.Since(begun)
		t.Logf("%s: noticed after %v", name, took)
		if took > 4*timeout {
			t.Errorf("%s: noticed after %v, the timeout is %v", name, took, timeout)
		}
		must(fault.end())
		one.Kick(2)
		two.Kick(1)
		one.up(t, 1)
		two.up(t, 1)
		one.Send([]node.Message{message(1, 2, 1, nil)})
		two.packet(t)
	}
}
