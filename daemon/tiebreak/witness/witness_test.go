package witness

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"baton/core/epoch"
	"baton/core/node"
)

func secret(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:]
}

// bed is a witness on loopback, which can be stopped and started again.
type bed struct {
	t    testing.TB
	dir  string
	keys []Key
	at   netip.AddrPort
	srv  *Server
	stop func()
}

func newBed(t testing.TB, owners ...string) *bed {
	b := &bed{t: t, dir: t.TempDir(), at: netip.MustParseAddrPort("127.0.0.1:0")}
	for _, o := range owners {
		b.keys = append(b.keys, Key{o, secret(o)})
	}
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *bed) start() {
	b.t.Helper()
	srv, err := Listen(ServerConfig{
		Listen: b.at, StateDir: b.dir, Keys: func() ([]Key, error) { return b.keys, nil },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	b.srv, b.at = srv, srv.Addr()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

func (b *bed) client(owner string) *Client {
	b.t.Helper()
	c, err := NewClient(Config{Addresses: []netip.AddrPort{b.at}, Keys: [][]byte{secret(owner)}, Self: 1})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func try(c *Client, call node.RegisterCall, limit time.Duration) (node.RegisterAnswer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.Do(ctx, call)
}

func ask(t testing.TB, c *Client, call node.RegisterCall) node.RegisterAnswer {
	t.Helper()
	a, err := try(c, call, 5*time.Second)
	if err != nil {
		t.Fatalf("%+v: %v", call, err)
	}
	if a.ID != call.ID {
		t.Fatalf("%+v: answer to call %d", call, a.ID)
	}
	return a
}

func id(number uint64, server int) epoch.ID {
	return epoch.ID{Number: number, Founder: epoch.NewRaftID(server, 1000+number)}
}

// Goal: the register does what core/sim/register.go does, for each cluster by itself,
// also when the witness is restarted before each call.
func TestRegister(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			b := newBed(t, "payroll", "web")
			payroll, web := b.client("payroll"), b.client("web")
			for i, tt := range []struct {
				client *Client
				call   node.RegisterCall
				top    epoch.ID
				text   string
			}{
				{payroll, node.RegisterCall{}, epoch.ID{}, "no id yet"},
				{payroll, node.RegisterCall{Cluster: 1}, epoch.ID{}, "not enrolled"},
				{payroll, node.RegisterCall{Cluster: 1, Claim: id(2, 2)}, epoch.ID{}, "not enrolled"},
				{payroll, node.RegisterCall{Cluster: 1, Raise: id(1, 1)}, id(1, 1), ""},
				{payroll, node.RegisterCall{Cluster: 1}, id(1, 1), ""},
				{payroll, node.RegisterCall{Cluster: 2}, epoch.ID{}, "not enrolled"},
				{web, node.RegisterCall{Cluster: 1}, epoch.ID{}, `belongs to the key file "payroll"`},
				{web, node.RegisterCall{Cluster: 1, Raise: id(9, 1)}, epoch.ID{}, `belongs to the key file "payroll"`},
				{web, node.RegisterCall{Cluster: 3, Raise: id(5, 2)}, id(5, 2), ""},
				{payroll, node.RegisterCall{Cluster: 1, Claim: id(2, 2)}, id(2, 2), ""},
				{payroll, node.RegisterCall{Cluster: 1, Claim: id(2, 2)}, id(2, 2), ""},
				{payroll, node.RegisterCall{Cluster: 1, Claim: id(2, 1)}, id(2, 2), ""},
				{payroll, node.RegisterCall{Cluster: 1, Raise: id(1, 1)}, id(2, 2), ""},
				{payroll, node.RegisterCall{Cluster: 1, Raise: id(7, 1)}, id(7, 1), ""},
				{payroll, node.RegisterCall{Cluster: 1, Claim: id(3, 2)}, id(7, 1), ""},
				{web, node.RegisterCall{Cluster: 3}, id(5, 2), ""},
			} {
				if restart {
					b.stop()
					b.start()
				}
				tt.call.ID = uint64(i + 1)
				a := ask(t, tt.client, tt.call)
				if a.Top != tt.top || (a.Text == "") != (tt.text == "") || !strings.Contains(a.Text, tt.text) {
					t.Errorf("call %d, %+v: got %+v, want %v, %q", i, tt.call, a, tt.top, tt.text)
				}
				if ok, text := tt.client.State(); ok != (tt.text == "") {
					t.Errorf("call %d: state %v, %q", i, ok, text)
				}
			}
		})
	}
}

// Goal: of many that claim one epoch at once exactly one gets it.
func TestConcurrentClaims(t *testing.T) {
	b := newBed(t, "payroll")
	ask(t, b.client("payroll"), node.RegisterCall{Cluster: 1, Raise: id(1, 1)})
	tops := make([]epoch.ID, 16)
	var wg sync.WaitGroup
	for i := range tops {
		c := b.client("payroll")
		wg.Go(func() { tops[i] = ask(t, c, node.RegisterCall{Cluster: 1, Claim: id(2, i+1)}).Top })
	}
	wg.Wait()
	for _, top := range tops {
		if top != tops[0] || top.Number != 2 {
			t.Errorf("told %v and %v", tops[0], top)
		}
	}
}

// tap is a network in between: it shows every datagram and does with it what it is
// told.
type tap struct {
	*net.UDPConn
	mu   sync.Mutex
	seen [][]byte // requests
	lose func(n int, toWitness bool) bool
	n    int
}

func newTap(t testing.TB, witness netip.AddrPort) *tap {
	t.Helper()
	front, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(witness))
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{UDPConn: front}
	var mu sync.Mutex
	var client netip.AddrPort
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			mu.Lock()
			client = from
			mu.Unlock()
			if p.pass(buf[:n], true) {
				_, _ = back.Write(buf[:n])
			}
		}
	})
	wg.Go(func() {
		buf := make([]byte, 2000)
		for {
			n, err := back.Read(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			mu.Lock()
			to := client
			mu.Unlock()
			if err == nil && p.pass(buf[:n], false) {
				_, _ = front.WriteToUDPAddrPort(buf[:n], to)
			}
		}
	})
	t.Cleanup(func() {
		front.Close()
		back.Close()
		wg.Wait()
	})
	return p
}

func (p *tap) pass(b []byte, toWitness bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if toWitness {
		p.seen = append(p.seen, slices.Clone(b))
	}
	p.n++
	return p.lose == nil || !p.lose(p.n, toWitness)
}

func (p *tap) setLoss(lose func(n int, toWitness bool) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = lose
}

func (p *tap) addr() netip.AddrPort { return p.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p *tap) requests() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// Goal: old datagrams do nothing. Method: everything that a client sends while it
// enrols a cluster and claims is recorded and sent again: to the same witness, which
// goes on knowing what it knew; then to one that was wiped, which enrols nobody by it;
// last, the real leader enrols it.
func TestReplay(t *testing.T) {
	b := newBed(t, "payroll")
	p := newTap(t, b.at)
	c, err := NewClient(Config{Addresses: []netip.AddrPort{p.addr()}, Keys: [][]byte{secret("payroll")}})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, c, node.RegisterCall{Cluster: 1, Raise: id(3, 1)})
	ask(t, c, node.RegisterCall{Cluster: 1, Raise: id(3, 1)})
	ask(t, c, node.RegisterCall{Cluster: 1, Claim: id(4, 2)})
	recorded := p.requests()
	if len(recorded) < 4 {
		t.Fatalf("%d requests recorded, want the refused Raise, the enrolling one, one more, and the claim", len(recorded))
	}
	replay := func() {
		t.Helper()
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(b.at))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		buf := make([]byte, 2000)
		for i, r := range recorded {
			_, _ = conn.Write(r)
			_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, err := conn.Read(buf); err != nil {
				t.Fatalf("request %d: no answer: %v", i, err)
			}
		}
	}
	replay()
	if a := ask(t, b.client("payroll"), node.RegisterCall{Cluster: 1}); a.Top != id(4, 2) {
		t.Errorf("after the replay: %+v", a)
	}

	b.stop()
	files, _ := filepath.Glob(filepath.Join(b.dir, "*"))
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	replay()
	if a := ask(t, b.client("payroll"), node.RegisterCall{Cluster: 1}); a.Text == "" {
		t.Errorf("a wiped witness was enrolled by old datagrams: %+v", a)
	}
	if a := ask(t, b.client("payroll"), node.RegisterCall{Cluster: 1, Claim: id(4, 9)}); a.Text == "" {
		t.Errorf("a wiped witness gave an epoch out: %+v", a)
	}
	if a := ask(t, b.client("payroll"), node.RegisterCall{Cluster: 1, Raise: id(3, 1)}); a.Top != id(3, 1) {
		t.Errorf("the leader could not enrol: %+v", a)
	}
}

// Goal: a challenge is good for its cluster, key file, run and time only.
func TestChallenge(t *testing.T) {
	s := &Server{begin: time.Now().Add(-time.Hour), secret: [32]byte{1}}
	r := request{cluster: 7, challenge: s.newChallenge("payroll", 7)}
	if !s.isFresh("payroll", r) {
		t.Error("a new one is refused")
	}
	if s.isFresh("web", r) {
		t.Error("taken for another key file")
	}
	other := r
	other.cluster = 8
	if s.isFresh("payroll", other) {
		t.Error("taken for another cluster")
	}
	for i := range r.challenge {
		other = r
		other.challenge[i] ^= 1
		if s.isFresh("payroll", other) {
			t.Errorf("taken with byte %d changed", i)
		}
	}
	s.begin = s.begin.Add(-challengeAge - time.Millisecond)
	if s.isFresh("payroll", r) {
		t.Error("taken when old")
	}
	s.begin = s.begin.Add(2 * challengeAge)
	if s.isFresh("payroll", r) {
		t.Error("taken from the future")
	}
	run := &Server{begin: s.begin, secret: [32]byte{2}}
	r.challenge = run.newChallenge("payroll", 7)
	if s.isFresh("payroll", r) {
		t.Error("taken from another run")
	}
}

// Goal: an answer that fits another call is not taken. Method: the tap gives each
// request the answer to the one before.
func TestOldAnswers(t *testing.T) {
	b := newBed(t, "payroll")
	ask(t, b.client("payroll"), node.RegisterCall{Cluster: 1, Raise: id(1, 1)})
	s, err := newSealer(secret("payroll"))
	if err != nil {
		t.Fatal(err)
	}
	old := s.seal(kindAnswer, (&answer{id: callID{1}, status: statusOK, top: id(1, 1)}).encode())
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			for _, reply := range [][]byte{
				old, old[:100], append(slices.Clone(old), 0), buf[:datagramSize],
				func() []byte { x := slices.Clone(old); x[len(x)-1] ^= 1; return x }(),
				func() []byte { x := slices.Clone(old); x[0] = 9; return x }(),
				func() []byte { x := slices.Clone(old); x[2] ^= 1; return x }(),
				s.seal(kindAnswer, make([]byte, bodySize)),
			} {
				_, _ = conn.WriteToUDPAddrPort(reply, from)
			}
		}
	}()
	c, err := NewClient(Config{Addresses: []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()}, Keys: [][]byte{secret("payroll")}})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := try(c, node.RegisterCall{Cluster: 1}, 250*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", a, err)
	}
	conn.Close()
	<-done
	drops := c.Drops()
	for _, why := range []string{DropStale, DropSize, DropKind, DropForged, DropVersion, DropKey, DropMalformed} {
		if drops[why] == 0 {
			t.Errorf("none dropped as %s: %v", why, drops)
		}
	}
	if ok, text := c.State(); ok || !strings.Contains(text, "no answer") {
		t.Errorf("state %v, %q", ok, text)
	}
}

// Goal: what is no request of a known cluster is dropped, counted by its reason, and
// not answered.
func TestDrops(t *testing.T) {
	b := newBed(t, "payroll")
	s, _ := newSealer(secret("payroll"))
	foreign, _ := newSealer(secret("foreign"))
	good := s.seal(kindRequest, (&request{id: callID{1}, cluster: 1, op: opRead}).encode())
	change := func(i int) []byte {
		x := slices.Clone(good)
		x[i] ^= 1
		return x
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(b.at))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, d := range [][]byte{
		{},
		good[:datagramSize-1], append(slices.Clone(good), 0), change(0), change(1),
		foreign.seal(kindRequest, make([]byte, bodySize)), change(headSize), change(datagramSize - 1), s.seal(kindRequest, make([]byte, bodySize)),
	} {
		_, _ = conn.Write(d)
	}
	_, _ = conn.Write(good)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 2000)
	if n, err := conn.Read(buf); err != nil || n != datagramSize {
		t.Fatalf("the good one: %d bytes, %v", n, err)
	}
	want := map[string]uint64{DropSize: 3, DropVersion: 1, DropKind: 1, DropKey: 1, DropForged: 2, DropMalformed: 1}
	drops, answered := b.srv.Drops()
	if fmt.Sprint(drops) != fmt.Sprint(want) || answered != 1 {
		t.Errorf("got %v, %d answered, want %v, 1", drops, answered, want)
	}
}

// Goal: lost datagrams cost time, nothing else, and a witness that is not there costs
// no more than the caller's limit, and no goroutine.
func TestLoss(t *testing.T) {
	b := newBed(t, "payroll")
	p := newTap(t, b.at)
	dice := rand.New(rand.NewPCG(1, 2))
	p.setLoss(func(int, bool) bool { return dice.IntN(4) == 0 })
	c, err := NewClient(Config{Addresses: []netip.AddrPort{p.addr()}, Keys: [][]byte{secret("payroll")}})
	if err != nil {
		t.Fatal(err)
	}
	// A leader says it again and again; a Raise may take too long to enrol.
	for n := 0; ; n++ {
		if a := ask(t, c, node.RegisterCall{Cluster: 1, Raise: id(1, 1)}); a.Top == id(1, 1) {
			break
		} else if n == 10 {
			t.Fatalf("got %+v", a)
		}
	}
	b.stop()
	c = b.client("payroll")
	before := runtime.NumGoroutine()
	for range 5 {
		begin := time.Now()
		_, err := try(c, node.RegisterCall{Cluster: 1}, 50*time.Millisecond)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) { // they see that they may end
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, before %d", runtime.NumGoroutine(), before)
		}
	}
	_, err = try(c, node.RegisterCall{Cluster: 1}, 400*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want that the connection is refused", err)
	}
}

// Goal: during a change of keys the witness may have the old or the new key only.
func TestKeyChange(t *testing.T) {
	b := newBed(t, "old")
	b.keys[0].Owner = "payroll"
	b.stop()
	b.start()
	c, err := NewClient(Config{Addresses: []netip.AddrPort{b.at}, Keys: [][]byte{secret("new"), secret("old")}})
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, c, node.RegisterCall{Cluster: 1, Raise: id(1, 1)}); a.Top != id(1, 1) {
		t.Errorf("got %+v", a)
	}
	b.stop()
	b.keys = []Key{{"payroll", secret("new")}}
	b.start()
	if a := ask(t, c, node.RegisterCall{Cluster: 1, Claim: id(2, 1)}); a.Top != id(2, 1) {
		t.Errorf("got %+v", a)
	}
}

// Goal: two addresses of one witness are better than one; of two witnesses, they are
// refused before anything is enrolled.
func TestAddresses(t *testing.T) {
	b := newBed(t, "payroll")
	p := newTap(t, b.at)
	p.setLoss(func(int, bool) bool { return true })
	c, err := NewClient(Config{Addresses: []netip.AddrPort{p.addr(), b.at}, Keys: [][]byte{secret("payroll")}})
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, c, node.RegisterCall{Cluster: 1, Raise: id(1, 1)}); a.Top != id(1, 1) {
		t.Errorf("got %+v", a)
	}
	other := newBed(t, "payroll")
	c, err = NewClient(Config{Addresses: []netip.AddrPort{other.at, b.at}, Keys: [][]byte{secret("payroll")}})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := try(c, node.RegisterCall{Cluster: 2, Raise: id(1, 1)}, time.Second); err == nil || !strings.Contains(err.Error(), "two different witnesses") {
		t.Errorf("got %+v, %v", a, err)
	}
	if a := ask(t, b.client("payroll"), node.RegisterCall{Cluster: 2}); a.Text == "" {
		t.Errorf("enrolled: %+v", a)
	}
}

// Goal: a damaged or misplaced register refuses its cluster and no other; a full or
// read-only disk gives no answer and changes nothing; one directory, one witness.
func TestStateDir(t *testing.T) {
	b := newBed(t, "payroll")
	c := b.client("payroll")
	for cluster := uint64(1); cluster <= 3; cluster++ {
		ask(t, c, node.RegisterCall{Cluster: cluster, Raise: id(cluster, 1)})
	}
	if _, err := Listen(ServerConfig{Listen: netip.MustParseAddrPort("127.0.0.1:0"), StateDir: b.dir, Keys: func() ([]Key, error) { return b.keys, nil }}); err == nil || !strings.Contains(err.Error(), "another witness") {
		t.Errorf("got %v", err)
	}
	b.stop()
	path := func(cluster int) string { return filepath.Join(b.dir, fmt.Sprintf("%016x%s", cluster, registerExt)) }
	text, err := os.ReadFile(path(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path(1), []byte(strings.Replace(string(text), "epoch=1", "epoch=2", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path(2), path(9)); err != nil {
		t.Fatal(err)
	}
	b.start()
	for _, cluster := range []uint64{1, 9} {
		if a := ask(t, c, node.RegisterCall{Cluster: cluster, Raise: id(8, 1)}); !strings.Contains(a.Text, "damaged") {
			t.Errorf("cluster %d: got %+v", cluster, a)
		}
	}
	if a := ask(t, c, node.RegisterCall{Cluster: 3}); a.Top != id(3, 1) {
		t.Errorf("got %+v", a)
	}

	// A directory in the way of the temporary file, since root may write anywhere.
	if err := os.Mkdir(path(3)+".tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	if a, err := try(c, node.RegisterCall{Cluster: 3, Claim: id(4, 1)}, time.Second); err == nil || !strings.Contains(err.Error(), "cannot write") {
		t.Errorf("got %+v, %v", a, err)
	}
	if a := ask(t, c, node.RegisterCall{Cluster: 3}); a.Top != id(3, 1) {
		t.Errorf("got %+v", a)
	}
}

// Goal: a key file cannot fill the disk.
func TestBound(t *testing.T) {
	b := newBed(t, "payroll", "web")
	c := b.client("payroll")
	for n := uint64(1); n <= maxRegisters; n++ {
		ask(t, c, node.RegisterCall{Cluster: n, Raise: id(1, 1)})
	}
	if a := ask(t, c, node.RegisterCall{Cluster: maxRegisters + 1, Raise: id(1, 1)}); !strings.Contains(a.Text, "has 64 registers") {
		t.Errorf("got %+v", a)
	}
	if a := ask(t, b.client("web"), node.RegisterCall{Cluster: maxRegisters + 1, Raise: id(1, 1)}); a.Text != "" {
		t.Errorf("got %+v", a)
	}
}

// Goal: a witness that listens on every address answers from the one that was asked.
func TestAnyAddress(t *testing.T) {
	for _, at := range []string{"[::]:0", "0.0.0.0:0"} {
		b := &bed{t: t, dir: t.TempDir(), keys: []Key{{"payroll", secret("payroll")}}, at: netip.MustParseAddrPort(at)}
		b.start()
		port := b.at.Port()
		for _, to := range []string{"127.0.0.1", "127.0.0.7", "::1"} {
			if to == "::1" && (at == "0.0.0.0:0" || !hasIPv6()) {
				continue
			}
			b.at = netip.AddrPortFrom(netip.MustParseAddr(to), port)
			if a := ask(t, b.client("payroll"), node.RegisterCall{Cluster: 1, Raise: id(1, 1)}); a.Top != id(1, 1) {
				t.Errorf("%s by %s: got %+v", at, to, a)
			}
		}
		b.stop()
	}
}

func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func BenchmarkClaim(b *testing.B) {
	bed := newBed(b, "payroll")
	c := bed.client("payroll")
	ask(b, c, node.RegisterCall{Cluster: 1, Raise: id(1, 1)})
	n := uint64(1)
	for b.Loop() {
		n++
		ask(b, c, node.RegisterCall{Cluster: 1, Claim: id(n, 1)})
	}
}

func BenchmarkRead(b *testing.B) {
	bed := newBed(b, "payroll")
	c := bed.client("payroll")
	ask(b, c, node.RegisterCall{Cluster: 1, Raise: id(1, 1)})
	for b.Loop() {
		ask(b, c, node.RegisterCall{Cluster: 1})
	}
}
