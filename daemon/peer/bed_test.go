package peer

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"baton/core/epoch"
	"baton/core/node"
	"baton/daemon/link"
)

var (
	keyA = bytes.Repeat([]byte{0xa}, link.MinKey)
	keyB = bytes.Repeat([]byte{0xb}, link.MinKey)
)

// timeout is the tests' heartbeat.timeout; patience is that of tests that are not
// about time, on a machine that is busy with something else.
const (
	timeout  = time.Second
	patience = 10 * time.Second
)

// bed is some servers on loopback: path p of server s is 127.8.p+1.s.
type bed struct {
	t       testing.TB
	servers []string
	paths   int
	port    uint16
	timeout time.Duration
}

func newBed(t testing.TB, servers, paths int) *bed {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() { // runs after the Close of every server: last in, first out
		for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<16)
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
			}
		}
	})
	b := &bed{t: t, paths: paths, timeout: patience}
	for i := range servers {
		b.servers = append(b.servers, fmt.Sprintf("server%d", i+1))
	}
	// A port that is free for all addresses of loopback.
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	b.port = l.Addr().(*net.TCPAddr).AddrPort().Port()
	l.Close()
	return b
}

func (b *bed) addr(path, server int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 8, byte(path + 1), byte(server)})
}

func (b *bed) at(path, server int) string {
	return netip.AddrPortFrom(b.addr(path, server), b.port).String()
}

func (b *bed) config(self int) Config {
	c := Config{
		Ends:    link.Ends{Cluster: "payroll", Keys: [][]byte{keyA}, Self: self, Servers: b.servers, Port: b.port},
		Timeout: b.timeout,
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for p := range b.paths {
		path := link.Path{Name: fmt.Sprintf("lan%d", p+1), Local: b.addr(p, self)}
		for s := range b.servers {
			path.Remote = append(path.Remote, b.addr(p, s+1))
		}
		c.Paths = append(c.Paths, path)
	}
	return c
}

// end is one server with what it has received.
type end struct {
	*Peer
	packets chan node.Packet
}

func (b *bed) start(c Config) *end {
	b.t.Helper()
	e := &end{packets: make(chan node.Packet, 10_000)}
	if c.Deliver == nil {
		c.Deliver = func(p node.Packet) bool {
			select {
			case e.packets <- p:
				return true
			default:
				return false
			}
		}
	}
	var err error
	if e.Peer, err = New(c); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(e.Close)
	return e
}

// up waits until so many of the server's streams are up.
func (e *end) up(t testing.TB, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d streams up", n), func() bool { return e.count() == n })
}

func (e *end) count() (n int) {
	for _, s := range e.Stats().Streams {
		if s.Up {
			n++
		}
	}
	return n
}

func (e *end) packet(t testing.TB) node.Packet {
	t.Helper()
	select {
	case p := <-e.packets:
		if p.Path != -1 {
			t.Errorf("path %d, want -1", p.Path)
		}
		return p
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing has come; %+v", e.Stats())
		panic("unreachable")
	}
}

// until waits for something that happens without an event.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 15 s: %s", what)
		}
	}
}

func message(from, to int, seq uint64, payload []byte) node.Message {
	return node.Message{
		Kind: node.MsgRaft, From: from, To: to, Seq: seq, Boot: "boot",
		Life: node.Life{Raft: epoch.NewRaftID(from, 9), Start: 3}, Payload: payload,
	}
}

// proxy is a network between the servers that can be cut: whoever dials its address
// is connected to the target's.
type proxy struct {
	t      testing.TB
	target string
	ln     net.Listener
	group  sync.WaitGroup

	mu      sync.Mutex
	stalled chan struct{} // closed when bytes flow (again)
	pause   time.Duration // after each 4 KiB
	conns   []net.Conn
}

func newProxy(t testing.TB, at, target string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, target: target, ln: ln, stalled: make(chan struct{})}
	close(p.stalled)
	p.group.Go(p.run)
	t.Cleanup(func() {
		ln.Close()
		p.heal()
		p.cut()
		p.group.Wait()
	})
	return p
}

func (p *proxy) run() {
	for {
		a, err := p.ln.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp4", p.target)
		if err != nil {
			a.Close()
			continue
		}
		p.mu.Lock()
		if p.pause > 0 { // a small buffer moves in small steps
			_ = a.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		p.conns = append(p.conns, a, b)
		p.mu.Unlock()
		p.group.Go(func() { p.copy(a, b) })
		p.group.Go(func() { p.copy(b, a) })
	}
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		flows, pause := p.stalled, p.pause
		p.mu.Unlock()
		<-flows
		time.Sleep(pause)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// stall lets nothing through any more, without closing anything.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = make(chan struct{})
}

// slow lets 4 KiB through at a time, with a pause behind each. It is for connections
// to come.
func (p *proxy) slow(pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = pause
}

// heal lets everything through again, what is left of old connections too.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stalled:
	default:
		close(p.stalled)
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
