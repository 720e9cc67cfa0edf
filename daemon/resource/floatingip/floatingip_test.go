package floatingip

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"baton/daemon/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m, nil)) }

var (
	own      = netip.MustParsePrefix("10.9.0.1/24")
	floating = netip.MustParseAddr("10.9.0.100")
)

func quick() Times {
	t := DefaultTimes
	t.Wait = 30 * time.Millisecond
	t.Announce = []time.Duration{0, 20 * time.Millisecond, 40 * time.Millisecond}
	return t
}

func activation(t *testing.T) Activation {
	return Activation{
		Times:    quick(),
		Permit:   func(context.Context) (int, error) { return 5, nil },
		Progress: func(text string) { t.Log(text) },
	}
}

// host is another machine at the far end of the cable, which speaks ARP only.
type host struct {
	conn net.PacketConn
	mac  net.HardwareAddr
	seen chan arp.Packet // what it receives
}

// newHost listens on the interface. Probes for an address that owns says yes to are
// answered.
func newHost(t *testing.T, name string, owns func(netip.Addr) bool) *host {
	t.Helper()
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := packet.Listen(ifi, packet.Datagram, unix.ETH_P_ARP, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Not the interface's own address: that one is this host's.
	h := &host{conn: conn, mac: net.HardwareAddr{2, 0xaa, 0, 0, 0, 1}, seen: make(chan arp.Packet, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var buf [256]byte
		for {
			n, _, err := conn.ReadFrom(buf[:])
			if err != nil {
				return
			}
			var p arp.Packet
			if p.UnmarshalBinary(buf[:n]) != nil {
				continue
			}
			select {
			case h.seen <- p:
			default:
			}
			if p.Operation == arp.OperationRequest && owns != nil && owns(p.TargetIP) {
				h.say(t, arp.OperationReply, p.TargetIP, p.SenderIP)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return h
}

// heard are the packets so far, until it has been quiet for a moment.
func (h *host) heard() iter.Seq[arp.Packet] {
	return func(yield func(arp.Packet) bool) {
		for {
			select {
			case p := <-h.seen:
				if !yield(p) {
					return
				}
			case <-time.After(50 * time.Millisecond):
				return
			}
		}
	}
}

func (h *host) say(t *testing.T, op arp.Operation, sender, target netip.Addr) {
	p, err := arp.NewPacket(op, h.mac, sender, nobody, target)
	if err != nil {
		t.Error(err)
		return
	}
	b, _ := p.MarshalBinary()
	if _, err := h.conn.WriteTo(b, &packet.Addr{HardwareAddr: broadcast}); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Goal: a free address is probed for, added as a /32 with its lifetime, and announced
// in both forms, repeatedly, until it is gone. Method: a host at the other end of a
// cable writes down what it hears.
func TestActivateAnnounces(t *testing.T) {
	nettest.Cable(t, "here", "there", own)
	h := newHost(t, "there", nil)
	begin := time.Now()
	held, err := Activate(t.Context(), Spec{Address: floating}, activation(t))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if took := time.Since(begin); took > 100*time.Millisecond {
		t.Errorf("activation took %s, want well below 100ms", took)
	}
	table, err := OpenTable()
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	found, err := table.Find(floating)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	if got := found[0].raw; got.IPNet.String() != "10.9.0.100/32" || got.ValidLft < 4 || got.ValidLft > 5 || got.Label != "here:baton" {
		t.Errorf("address is %s, lifetime %d, label %s", got.IPNet, got.ValidLft, got.Label)
	}
	if err := Check(Spec{Address: floating}); err != nil {
		t.Error(err)
	}
	held.Linger(t.Context(), func() bool { return true })
	probes, requests, replies := 0, 0, 0
	for p := range h.heard() {
		switch {
		case p.TargetIP != floating:
		case p.Operation == arp.OperationRequest && p.SenderIP.IsUnspecified():
			probes++
		case p.Operation == arp.OperationRequest && p.SenderIP == floating:
			requests++
		case p.Operation == arp.OperationReply && p.SenderIP == floating:
			replies++
		}
	}
	if probes != 3 || requests != 3 || replies != 3 {
		t.Errorf("heard %d probes, %d requests, %d replies; want 3 of each", probes, requests, replies)
	}
	if err := Deactivate(floating); err != nil {
		t.Fatal(err)
	}
	if nettest.Has(t, floating) {
		t.Error("still there after Deactivate")
	}
	if err := Check(Spec{Address: floating}); err == nil {
		t.Error("Check finds nothing wrong with an address that is gone")
	}
	if err := Deactivate(floating); err != nil {
		t.Errorf("a second time: %v", err)
	}
	held.Linger(t.Context(), func() bool { return true })
	for p := range h.heard() {
		t.Errorf("announced after it was gone: %v", p)
	}
}

// A second owner: activation says who, tries again, and gives up without adding; if
// the other goes away meanwhile, it succeeds.
func TestConflict(t *testing.T) {
	nettest.Cable(t, "here", "there", own)
	stays := true
	answers := 0
	newHost(t, "there", func(a netip.Addr) bool {
		if a != floating {
			return false
		}
		answers++
		return stays || answers <= 2
	})
	var lines []string
	a := activation(t)
	a.Progress = func(text string) { lines = append(lines, text) }
	a.Times.Retries = 2
	_, err := Activate(t.Context(), Spec{Address: floating}, a)
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "02:aa:00:00:00:01") {
		t.Fatalf("got %v, want a conflict with the host's MAC", err)
	}
	if nettest.Has(t, floating) {
		t.Error("added in spite of the conflict")
	}
	if len(lines) != 2 || !strings.Contains(lines[1], "retry 2 of 2 in 30ms") {
		t.Errorf("progress: %q", lines)
	}
}

func TestConflictGoesAway(t *testing.T) {
	nettest.Cable(t, "here", "there", own)
	n := 0
	newHost(t, "there", func(a netip.Addr) bool {
		n++
		return a == floating && n <= 2
	})
	a := activation(t)
	retries := 0
	a.Progress = func(string) { retries++ }
	held, err := Activate(t.Context(), Spec{Address: floating}, a)
	if err != nil || retries == 0 {
		t.Fatalf("%v after %d retries", err, retries)
	}
	held.Close()
}

// A handover adds and announces at once, and finds the conflict behind it.
func TestHandover(t *testing.T) {
	nettest.Cable(t, "here", "there", own)
	newHost(t, "there", func(a netip.Addr) bool { return a == floating })
	a := activation(t)
	a.Handover = true
	begin := time.Now()
	held, err := Activate(t.Context(), Spec{Address: floating}, a)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	t.Logf("handover took %s", time.Since(begin))
	if !nettest.Has(t, floating) {
		t.Fatal("not added")
	}
	if err := held.Conflict(t.Context()); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
}

func TestActivateRefuses(t *testing.T) {
	nettest.Cable(t, "here", "there", own)
	other := netip.MustParseAddr("10.77.0.1")
	for _, c := range []struct {
		name string
		spec Spec
		do   func()
		want string
	}{
		{"no network", Spec{Address: other}, nil, "no interface has the network of 10.77.0.1"},
		{"no such interface", Spec{Address: other, Interface: "eth9"}, nil, "interface eth9"},
		{"IPv6", Spec{Address: netip.MustParseAddr("fd00::1")}, nil, "IPv6 is not supported yet"},
		{"prefix", Spec{Address: other, Prefix: 40}, nil, "prefix 40"},
		{"no link", Spec{Address: floating}, func() { nettest.Up(t, "there", false) }, "interface here has no link"},
		{"down", Spec{Address: floating}, func() { nettest.Up(t, "here", false) }, "interface here is down"},
	} {
		if c.do != nil {
			c.do()
		}
		_, err := Activate(t.Context(), c.spec, activation(t))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	a := activation(t)
	nettest.Up(t, "here", true)
	nettest.Up(t, "there", true)
	a.Permit = func(context.Context) (int, error) { return 0, errors.New("session over") }
	if _, err := Activate(t.Context(), Spec{Address: floating}, a); err == nil || nettest.Has(t, floating) {
		t.Errorf("without permission: %v, added %t", err, nettest.Has(t, floating))
	}
}

// The interface is the one with the longest prefix that holds the address, and never
// one that only has another floating IP.
func TestFindInterface(t *testing.T) {
	nettest.Cable(t, "wide", "wide2", netip.MustParsePrefix("10.0.0.1/8"))
	nettest.Cable(t, "near", "near2", own)
	nettest.Add(t, "wide", netip.MustParsePrefix("10.9.0.100/32"), 0)
	if got, err := FindInterface(Spec{Address: floating}); got != "near" || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := FindInterface(Spec{Address: netip.MustParseAddr("10.8.0.1")}); got != "wide" || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := FindInterface(Spec{Address: floating, Interface: "wide"}); got != "wide" || err != nil {
		t.Errorf("named: got %s, %v", got, err)
	}
}

// A removal of the interface's own address does not take the floating IP with it,
// and the floating IP is not the source of the host's own packets.
func TestIndependentOfOwnAddress(t *testing.T) {
	nettest.Cable(t, "here", "there", own)
	held, err := Activate(t.Context(), Spec{Address: floating}, activation(t))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	routes, err := netlink.RouteGet(net.IPv4(10, 9, 0, 77))
	if err != nil || len(routes) == 0 || !routes[0].Src.Equal(net.IPv4(10, 9, 0, 1)) {
		t.Errorf("source of packets: %v, %v", routes, err)
	}
	if err := Deactivate(own.Addr()); err != nil {
		t.Fatal(err)
	}
	if !nettest.Has(t, floating) {
		t.Error("the floating IP went with the interface's own address")
	}
}

// A fault that lasts is told once; one shorter than the debounce never.
func TestWatch(t *testing.T) {
	nettest.Cable(t, "here", "there", own)
	nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
	faults := make(chan Fault, 10)
	w := NewWatcher(func(f Fault) { faults <- f })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, func(err error) { t.Error(err) })
	}()
	defer func() { cancel(); <-done }()
	spec := Spec{Address: floating}
	w.Set("A", []Spec{spec})
	expect := func(want string) {
		t.Helper()
		select {
		case f := <-faults:
			if f.Group != "A" || !strings.Contains(f.Text, want) {
				t.Errorf("got %+v, want %q", f, want)
			}
		case <-time.After(2 * time.Second):
			t.Fatalf("no fault told, want %q", want)
		}
	}
	quiet := func(d time.Duration) {
		t.Helper()
		select {
		case f := <-faults:
			t.Fatalf("told %+v", f)
		case <-time.After(d):
		}
	}
	quiet(2 * Debounce)
	nettest.Up(t, "there", false) // a flap
	time.Sleep(Debounce / 4)
	nettest.Up(t, "there", true)
	quiet(3 * Debounce)

	begin := time.Now()
	nettest.Up(t, "there", false)
	expect("interface here has no link")
	t.Logf("link down told after %s", time.Since(begin))
	quiet(2 * Debounce)
	nettest.Up(t, "there", true)
	quiet(2 * Debounce)
	if err := Deactivate(floating); err != nil {
		t.Fatal(err)
	}
	expect("10.9.0.100 is gone")
	w.Set("A", nil)
	quiet(2 * Debounce)
}

// Bytes from the wire: whatever comes, no panic, and only well-formed ARP for the
// address is a claim.
func FuzzClaims(f *testing.F) {
	p, _ := arp.NewPacket(arp.OperationReply, net.HardwareAddr{2, 0, 0, 0, 0, 9}, floating, nobody, floating)
	good, _ := p.MarshalBinary()
	f.Add(good)
	f.Add(good[:20])
	f.Add(append([]byte{0, 1, 8, 0, 255, 255}, good...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if mac := claims(b, floating); mac != nil && len(mac) != 6 {
			t.Errorf("MAC %s of %x", mac, b)
		}
	})
}
