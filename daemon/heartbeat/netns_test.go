package heartbeat

import (
	"net/netip"
	"testing"
	"time"

	"baton/core/node"
	"baton/daemon/link"
	"baton/daemon/nettest"

	"github.com/vishvananda/netlink"
)

// batond may start before its network is up, and addresses come and go: the paths
// follow without anything being opened again.
func TestAddressComesAndGoes(t *testing.T) {
	if !nettest.Again(t) {
		return
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	b := newBed(t, 2, 1)
	b.port = 22860
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var addrs [3]*netlink.Addr
	config := func(self int) Config {
		c := b.config(self)
		c.Paths[0].Remote = nil
		for server := 1; server <= 2; server++ {
			a := netip.AddrFrom4([4]byte{10, 7, 0, byte(server)})
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
	first := one.paths[0].sock.Load()
	seq := uint64(0)
	send := func() {
		seq++
		one.Send([]node.Message{message(node.MsgHeartbeat, 1, 2, seq)})
	}
	send()
	if n := one.Stats().Drops["unreachable"]; n != 1 {
		t.Fatalf("unreachable: %d, want 1", n)
	}

	must(netlink.LinkSetUp(lo))
	must(netlink.AddrAdd(lo, addrs[1]))
	must(netlink.AddrAdd(lo, addrs[2]))
	until(t, "heard with addresses", func() bool { send(); return len(two.packets) > 0 })
	two.change(t, Change{From: 1, OK: true})
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
		until(t, name+": lost", func() bool { send(); return len(two.changes) > 0 })
		two.change(t, Change{From: 1, OK: false})
		must(fault.end())
		until(t, name+": back", func() bool { send(); return len(two.changes) > 0 })
		two.change(t, Change{From: 1, OK: true})
		if loss := two.Stats().Paths[0].Loss; loss <= 0 || loss >= 1 {
			t.Errorf("%s: loss %v, want something in between", name, loss)
		}
	}
	if now := one.paths[0].sock.Load(); now != first {
		t.Error("the socket was opened again; it should have lived through it")
	}
}

// A kernel that cannot send (here: nobody answers ARP, and the socket's buffer is
// full of datagrams that wait for it) never makes Send wait.
func TestSendNeverWaits(t *testing.T) {
	if !nettest.Again(t) {
		return
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "nobody"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("10.7.0.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(veth, addr); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lan", "nobody"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	b := newBed(t, 2, 1)
	b.port = 22860
	c := b.config(1)
	c.Paths[0] = link.Path{Name: "lan", Local: netip.MustParseAddr("10.7.0.1"), Remote: []netip.Addr{{}, netip.MustParseAddr("10.7.0.2")}}
	one := b.start(c)
	if err := one.paths[0].sock.Load().conn.SetWriteBuffer(1); err != nil { // the kernel makes it its least
		t.Fatal(err)
	}
	begun := time.Now()
	for seq := range uint64(200) {
		one.Send([]node.Message{message(node.MsgHeartbeat, 1, 2, seq)})
	}
	if took := time.Since(begun); took > 500*time.Millisecond {
		t.Errorf("took %v", took)
	}
	if n := one.Stats().Drops["busy"]; n == 0 {
		t.Errorf("the buffer was never full: %v", one.Stats().Drops)
	}
}
