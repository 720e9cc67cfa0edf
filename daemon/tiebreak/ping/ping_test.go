package ping

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/core/epoch"
	"baton/core/node"
	"baton/daemon/nettest"

	"github.com/vishvananda/netlink"
)

const inside = "BATON_PING_TEST_INSIDE"

// TestMain runs the tests in a network namespace of their own, which has one
// interface, and may send what only root may.
func TestMain(m *testing.M) {
	if slices.ContainsFunc(os.Args, func(a string) bool { return strings.Contains(a, "test.fuzzworker") }) {
		os.Exit(m.Run()) // it is in the namespace already
	}
	if os.Getenv(inside) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = nettest.New(syscall.CLONE_NEWNET)
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(1, exit.ExitCode()))
	case err != nil:
		fmt.Println("skipped: no network namespace here:", err)
	}
}

// The public LAN: .1 is this server, .2 one that is there, .254 the gateway; all are
// this machine. .3 is nobody. fd00:: likewise.
func settle() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	lan := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lan"}, PeerName: "switch"}
	if err := errors.Join(netlink.LinkSetUp(lo), netlink.LinkAdd(lan), netlink.LinkSetUp(lan)); err != nil {
		return err
	}
	other, err := netlink.LinkByName("switch")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(other); err != nil {
		return err
	}
	for _, a := range []string{"10.9.0.1/24", "10.9.0.2/24", "10.9.0.254/24", "fd00::1/64", "fd00::2/64"} {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if addr.IP.To4() == nil {
			addr.Flags = syscall.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(lan, addr); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return nil
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		a := netip.Addr{}
		if s != "" {
			a = netip.MustParseAddr(s)
		}
		out = append(out, a)
	}
	return out
}

func pinger(t *testing.T, cfg Config) *Pinger {
	t.Helper()
	cfg.Self, cfg.Timeout = 1, 500*time.Millisecond
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Goal: a claim wins where an address answers and all missing servers are silent, and
// nowhere else. Method: real echo requests; the table is the doc sentence of Do.
func TestDo(t *testing.T) {
	servers := []string{"server1", "server2", "server3"}
	public := addrs("10.9.0.1", "10.9.0.2", "10.9.0.3")
	claim := epoch.ID{Number: 4, Founder: 257}
	for _, tt := range []struct {
		name    string
		cfg     Config
		claim   bool
		missing []int
		text    string // refused
		err     string
	}{
		{name: "read", cfg: Config{Addresses: addrs("10.9.0.254"), Servers: servers, Public: public}},
		{name: "read, nobody", cfg: Config{Addresses: addrs("10.9.0.9"), Servers: servers, Public: public}, text: "10.9.0.9 of the public LAN: no answer"},
		{name: "read, one of two", cfg: Config{Addresses: addrs("10.9.0.9", "10.9.0.254"), Servers: servers, Public: public}},
		{name: "read, none of two", cfg: Config{Addresses: addrs("10.9.0.9", "10.9.0.8"), Servers: servers, Public: public}, text: "2 addresses of the public LAN"},
		{name: "read, no way there", cfg: Config{Addresses: addrs("10.99.0.9"), Servers: servers, Public: public}, text: "network is unreachable"},
		{name: "claim", cfg: Config{Addresses: addrs("10.9.0.254"), Servers: servers, Public: public}, claim: true, missing: []int{3}},
		{name: "claim, IPv6", cfg: Config{Addresses: addrs("fd00::2"), Servers: servers, Public: addrs("fd00::1", "fd00::2", "fd00::3")}, claim: true, missing: []int{3}},
		{name: "claim, peer there", cfg: Config{Addresses: addrs("10.9.0.254"), Servers: servers, Public: public}, claim: true, missing: []int{2}, text: "server2 answers on the public LAN"},
		{name: "claim, one of two peers there", cfg: Config{Addresses: addrs("10.9.0.254"), Servers: servers, Public: public}, claim: true, missing: []int{3, 2}, text: "server2 answers on the public LAN"},
		{name: "claim, IPv6 peer there", cfg: Config{Addresses: addrs("10.9.0.254"), Servers: servers, Public: addrs("fd00::1", "fd00::2", "fd00::3")}, claim: true, missing: []int{2}, text: "server2 answers"},
		{name: "claim, nobody", cfg: Config{Addresses: addrs("10.9.0.9"), Servers: servers, Public: public}, claim: true, missing: []int{3}, text: "no answer"},
		{name: "claim, peer without address", cfg: Config{Addresses: addrs("10.9.0.254"), Servers: servers, Public: addrs("10.9.0.1", "", "10.9.0.3")}, claim: true, missing: []int{2}, err: "server 2 has no address"},
		{name: "claim, no way to the peer", cfg: Config{Addresses: addrs("10.9.0.254"), Servers: servers, Public: addrs("10.9.0.1", "10.99.0.2", "10.9.0.3")}, claim: true, missing: []int{2}, err: "network is unreachable"},
	} {
		p := pinger(t, tt.cfg)
		call := node.RegisterCall{ID: 7, Cluster: 1, Missing: tt.missing}
		if tt.claim {
			call.Claim = claim
		}
		a, err := p.Do(context.Background(), call)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %+v, %v, want %q", tt.name, a, err, tt.err)
			}
			continue
		}
		won := a.Top == claim
		if err != nil || a.ID != 7 || won != (tt.claim && tt.text == "") || !won && a.Top != (epoch.ID{}) ||
			(a.Text == "") != (tt.text == "") || !strings.Contains(a.Text, tt.text) {
			t.Errorf("%s: got %+v, %v, want %q", tt.name, a, err, tt.text)
		}
		if ok, text := p.State(); ok != (tt.text == "") || text == "" {
			t.Errorf("%s: state %v, %q", tt.name, ok, text)
		}
	}
}

// Goal: a caller that gives up gets an error, not silence taken for an answer, and
// leaves no goroutine.
func TestGiveUp(t *testing.T) {
	p := pinger(t, Config{Addresses: addrs("10.9.0.254"), Servers: []string{"a", "b"}, Public: addrs("10.9.0.1", "10.9.0.3")})
	before := runtime.NumGoroutine()
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		a, err := p.Do(ctx, node.RegisterCall{Claim: epoch.ID{Number: 1}, Missing: []int{2}})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %+v, %v", a, err)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond) // a timer's goroutine may be on its last line
	}
	t.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), before)
}

// Goal: the checksum of the RFC's example, and of messages as they go out.
func TestChecksum(t *testing.T) {
	if got := checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != ^uint16(0xddf2) {
		t.Errorf("got %04x", got)
	}
	if got := checksum(icmp4.encode(3, 4, token{5})); got != 0 {
		t.Errorf("over an encoded message: %04x", got)
	}
}

// Goal: nothing but the reply to our request is taken for one.
func FuzzReply(f *testing.F) {
	tok := token{1, 2, 3}
	f.Add(icmp4.encode(9, 1, tok))
	f.Add(reply(icmp4.encode(9, 1, tok)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if icmp4.isReply(b, 9, tok) && (len(b) != echoHead+tokenSize || b[0] != 0 || checksum(b) != 0) {
			t.Errorf("%x is a reply", b)
		}
	})
}

// reply makes the reply of a request, as the other side does.
func reply(b []byte) []byte {
	b[0], b[2], b[3] = 0, 0, 0
	sum := checksum(b)
	b[2], b[3] = byte(sum>>8), byte(sum)
	return b
}

func TestReply(t *testing.T) {
	tok := token{1, 2, 3}
	good := func() []byte { return reply(icmp4.encode(9, 1, tok)) }
	if !icmp4.isReply(good(), 9, tok) {
		t.Error("the reply is none")
	}
	if icmp4.isReply(good(), 8, tok) || icmp4.isReply(good(), 9, token{}) || icmp4.isReply(icmp4.encode(9, 1, tok), 9, tok) || icmp4.isReply(good()[:20], 9, tok) {
		t.Error("another one is taken for it")
	}
	for i := range good() {
		if b := good(); icmp4.isReply(func() []byte { b[i] ^= 1; return b }(), 9, tok) {
			t.Errorf("taken with byte %d changed", i)
		}
	}
}
