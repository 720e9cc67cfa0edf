package lab_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"baton/contrib/lab"
)

var fip = netip.MustParseAddr("10.0.0.101")

// hold gives a server the floating IP, or takes it away, as batond would.
func hold(t *testing.T, s *lab.Server, add bool) {
	t.Helper()
	nl, err := s.NetlinkHandle()
	must(t, err)
	link, err := nl.LinkByName(s.NIC(lab.Public))
	must(t, err)
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: fip.AsSlice(), Mask: net.CIDRMask(24, 32)}}
	if add {
		must(t, nl.AddrAdd(link, addr))
		return
	}
	must(t, nl.AddrDel(link, addr))
}

// The probe measures a known outage and says who answered; the witness sees the hand
// over by the MAC addresses; the addresses' history agrees.
func TestProbeAndWitness(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{Servers: 2})
	a, b := l.Servers[0], l.Servers[1]
	for _, s := range l.Servers {
		_, err := s.StartRole("echo")
		must(t, err)
	}
	hold(t, a, true)
	p, err := l.NewProbe(fip, 5*time.Second)
	must(t, err)
	w, err := l.NewWitness(fip)
	must(t, err)
	for len(w.Claims(fip)) == 0 {
		time.Sleep(time.Millisecond)
	}
	hold(t, a, false)
	time.Sleep(300 * time.Millisecond) // the outage to measure
	hold(t, b, true)
	must(t, l.AnnounceForTest(b, fip))
	for p.Servers()["server2"] == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	gap := p.Stop()
	if d := gap.Duration(); d < 295*time.Millisecond || d > 450*time.Millisecond {
		t.Errorf("gap %s, want 300ms and a little", gap)
	}
	if gap.Before != "server1" || gap.After != "server2" {
		t.Errorf("gap %s, want from server1 to server2", gap)
	}
	claims := w.Claims(fip)
	if len(claims) != 2 || claims[0].MAC != "02:ba:0a:00:00:0b" || claims[1].MAC != "02:ba:0a:00:00:0c" {
		t.Fatalf("claims %v, want one of server1 and one of server2", claims)
	}
	if claims[1].Gratuitous == 0 {
		t.Errorf("claim %v, want a gratuitous one in it", claims[1])
	}
	if o := w.Overlaps(100 * time.Millisecond); len(o) != 0 {
		t.Errorf("overlaps %v, want none", o)
	}
	if o := w.Overlaps(time.Second); len(o) != 1 {
		t.Errorf("overlaps %v at an interval of 1s, want this one", o)
	}
	h := l.Holdings(fip)
	if len(h) != 2 || h[0].Server != "server1" || h[1].Server != "server2" || !h[1].Until.IsZero() {
		t.Errorf("holdings %v, want server1 and then server2 until now", h)
	}
}

// Two servers with one address at once are noticed, both by the addresses and by ARP.
func TestTwoHoldersAreSeen(t *testing.T) {
	t.Parallel()
	if err := lab.Err(); err != nil {
		t.Skip(err)
	}
	l, err := lab.New(lab.Options{Servers: 2, Bare: true})
	must(t, err)
	defer l.Close()
	w, err := l.NewWitness(fip)
	must(t, err)
	hold(t, l.Servers[0], true)
	for len(w.Claims(fip)) == 0 {
		time.Sleep(time.Millisecond)
	}
	hold(t, l.Servers[1], true)
	for end := time.Now().Add(5 * time.Second); len(w.Overlaps(100*time.Millisecond)) == 0 || len(l.Complaints()) == 0; {
		if time.Now().After(end) {
			t.Fatalf("overlaps %v, complaints %v: want at least one of each", w.Overlaps(100*time.Millisecond), l.Complaints())
		}
		time.Sleep(time.Millisecond)
	}
	if text := l.Complaints()[0].Error(); !strings.Contains(text, "two holders of 10.0.0.101") {
		t.Errorf("complaint %q", text)
	}
	if got := l.Holders(fip); len(got) != 2 {
		t.Errorf("holders %v, want both", got)
	}
}

// The mount of a group is there as long as its process; a second one meanwhile is a
// complaint, and one after the first has been killed is none.
func TestMountWatch(t *testing.T) {
	t.Parallel()
	if err := lab.Err(); err != nil {
		t.Skip(err)
	}
	l, err := lab.New(lab.Options{Servers: 2, Bare: true, Mounts: true})
	must(t, err)
	defer l.Close()
	mount := func(s *lab.Server) *lab.Process {
		t.Helper()
		before := len(l.MountsForTest())
		p, err := s.StartRole("mount", "A", filepath.Join(l.Dir(), "mounts.sock"))
		must(t, err)
		for len(l.MountsForTest()) == before {
			time.Sleep(time.Millisecond)
		}
		return p
	}
	end := func(p *lab.Process) {
		t.Helper()
		must(t, p.Signal(unix.SIGKILL))
		<-p.Done()
	}
	end(mount(l.Servers[0]))
	second := mount(l.Servers[1])
	if got := l.Complaints(); len(got) != 0 {
		t.Errorf("one after the other: %v", got)
	}
	mount(l.Servers[0])
	if got := l.Complaints(); len(got) != 1 || !strings.Contains(got[0].Error(), "mounted twice") {
		t.Errorf("both at once: %v, want one complaint", got)
	}
	end(second)
	for end := time.Now().Add(5 * time.Second); l.MountsForTest()[1].Until.IsZero(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the holder has been killed, and its mount has no end")
		}
	}
}
