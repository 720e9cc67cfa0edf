package heartbeat

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"baton/core/epoch"
	"baton/core/node"
	"baton/daemon/link"
)

// round is the tests' time between heartbeats: three of them are longer than the
// pauses of a busy machine.
const round = 50 * time.Millisecond

// bed is some servers on loopback: path p of server s is 127.7.p+1.s.
type bed struct {
	t       *testing.T
	servers []string
	paths   int
	port    uint16
}

func newBed(t *testing.T, servers, paths int) *bed {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() { // runs after the Close of every server: last in, first out
		deadline := time.Now().Add(5 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<16)
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	b := &bed{t: t, paths: paths}
	for i := range servers {
		b.servers = append(b.servers, fmt.Sprintf("server%d", i+1))
	}
	// A port that is free for all addresses of loopback.
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.port = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	c.Close()
	return b
}

func (b *bed) addr(path, server int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 7, byte(path + 1), byte(server)})
}

func (b *bed) config(self int) Config {
	c := Config{
		Ends:  link.Ends{Cluster: "payroll", Keys: [][]byte{keyA}, Self: self, Servers: b.servers, Port: b.port},
		Round: round,
		Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
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
	*Heartbeat
	packets chan node.Packet
	changes chan Change
}

func (b *bed) start(c Config) *end {
	b.t.Helper()
	e := &end{packets: make(chan node.Packet, 1000), changes: make(chan Change, 100)}
	c.Deliver = func(p node.Packet) bool {
		select {
		case e.packets <- p:
			return true
		default:
			return false
		}
	}
	c.Changed = func(ch Change) { e.changes <- ch }
	var err error
	if e.Heartbeat, err = New(c); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(e.Close)
	return e
}

func (e *end) packet(t *testing.T) node.Packet {
	t.Helper()
	select {
	case p := <-e.packets:
		return p
	case <-time.After(5 * time.Second):
		t.Fatalf("nothing has come; %v", e.Stats())
		panic("unreachable")
	}
}

func (e *end) change(t *testing.T, want Change) {
	t.Helper()
	select {
	case got := <-e.changes:
		if got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("no change, want %+v; %v", want, e.Stats())
	}
}

// until waits for something that happens without an event.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}

func message(kind node.MessageKind, from, to int, seq uint64) node.Message {
	m := heartbeat(from, to)
	m.Kind, m.Seq = kind, seq
	return m
}

// Each datagram arrives once on each path at its receiver and nowhere else, with the
// path's index; messages for streams are left alone. Answers give a round-trip time.
func TestEveryPath(t *testing.T) {
	b := newBed(t, 3, 2)
	one, two, three := b.start(b.config(1)), b.start(b.config(2)), b.start(b.config(3))
	one.Send([]node.Message{
		message(node.MsgHeartbeat, 1, 2, 1), message(node.MsgRaft, 1, 2, 2), message(node.MsgHeartbeat, 1, 3, 3),
	})
	for _, c := range []struct {
		at  *end
		seq uint64
	}{{two, 1}, {three, 3}} {
		paths := map[int]bool{}
		for range 2 {
			p := c.at.packet(t)
			if p.Message.Seq != c.seq || p.Message.From != 1 {
				t.Errorf("got %+v, want message %d", p.Message, c.seq)
			}
			paths[p.Path] = true
		}
		if !paths[0] || !paths[1] {
			t.Errorf("came on paths %v", paths)
		}
	}
	echo := message(node.MsgEcho, 2, 1, 1)
	echo.AnswerSeq, echo.AnswerLife = 1, heartbeat(1, 2).Life
	two.Send([]node.Message{echo})
	for range 2 {
		one.packet(t)
	}
	for _, d := range one.Stats().Paths {
		heard := d.From == 2
		if d.OK != heard || (d.RTT > 0 && d.RTT < time.Second) != heard || (d.Age >= 0) != heard {
			t.Errorf("server 1 sees %+v", d)
		}
	}
	if st := one.Stats(); len(st.Paths) != 4 || len(st.Drops) != 0 || len(st.Closed) != 0 {
		t.Errorf("%+v", st)
	}
	if len(two.packets)+len(three.packets) != 0 {
		t.Error("more came than was sent")
	}
}

// A path is lost after three rounds of silence and works again with the first
// datagram, also of a server that has started anew; both are told once.
func TestLostAndBack(t *testing.T) {
	b := newBed(t, 2, 1)
	one, two := b.start(b.config(1)), b.start(b.config(2))
	one.Send([]node.Message{message(node.MsgHeartbeat, 1, 2, 1)})
	two.change(t, Change{Path: 0, From: 1, OK: true})
	begun := time.Now()
	two.change(t, Change{Path: 0, From: 1, OK: false})
	if took := time.Since(begun); took < lostRounds*round-5*time.Millisecond {
		t.Errorf("lost after %v of silence, want %v or more", took, lostRounds*round)
	}
	if d := two.Stats().Paths[0]; d.OK || d.Age < lostRounds*round || d.Loss == 0 {
		t.Errorf("lost, but %+v", d)
	}
	one.Close()
	one = b.start(b.config(1))
	m := message(node.MsgHeartbeat, 1, 2, 1)
	m.Life.Start++
	one.Send([]node.Message{m})
	two.change(t, Change{Path: 0, From: 1, OK: true})
	if len(two.changes) != 0 {
		t.Errorf("also told: %+v", <-two.changes)
	}
}

// An event loop that does not keep up loses what there is no room for, by name.
func TestQueueFull(t *testing.T) {
	b := newBed(t, 2, 1)
	one := b.start(b.config(1))
	two := b.config(2)
	two.Deliver = func(node.Packet) bool { return false }
	h, err := New(two)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	one.Send([]node.Message{message(node.MsgHeartbeat, 1, 2, 1)})
	until(t, "counted as queue-full", func() bool { return h.Stats().Drops["queue-full"] == 1 })
}

// Foreign datagrams are counted by reason, and logged once, not each.
func TestForeignDatagrams(t *testing.T) {
	b := newBed(t, 2, 1)
	var log lockedBuffer
	c := b.config(2)
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	two := b.start(c)
	foreign := b.config(1)
	foreign.Keys = [][]byte{keyB}
	one := b.start(foreign)
	for seq := range uint64(20) {
		one.Send([]node.Message{message(node.MsgHeartbeat, 1, 2, seq)})
	}
	until(t, "20 forged ones counted", func() bool { return two.Stats().Drops["forged"] == 20 })
	if n := strings.Count(log.String(), "reason=forged count=1 path=lan1 from=server1"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, log.String())
	}
	if len(two.packets)+len(two.changes) != 0 {
		t.Error("something was delivered")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// An address that somebody else has keeps one path closed, with the reason, and the
// other one working; it is opened when the address is free.
func TestAddressInUse(t *testing.T) {
	b := newBed(t, 2, 2)
	other, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(b.addr(0, 2), b.port)))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	one, two := b.start(b.config(1)), b.start(b.config(2))
	if err := two.Stats().Closed["lan1"]; err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("lan1: %v", err)
	}
	two.Send([]node.Message{message(node.MsgHeartbeat, 2, 1, 1)})
	if p := one.packet(t); p.Path != 1 {
		t.Errorf("came on path %d", p.Path)
	}
	if n := two.Stats().Drops["no-socket"]; n != 1 {
		t.Errorf("no-socket: %d, want 1", n)
	}
	other.Close()
	until(t, "lan1 open", func() bool { return two.Stats().Closed["lan1"] == nil })
	two.Send([]node.Message{message(node.MsgHeartbeat, 2, 1, 2)})
	if paths := one.packet(t).Path + one.packet(t).Path; paths != 1 {
		t.Errorf("paths 0 and 1 expected, sum is %d", paths)
	}
}

// A socket that fails while it is in use is opened again. A deadline long over stands
// for the failure: it is an error of the read like any other.
func TestSocketFails(t *testing.T) {
	b := newBed(t, 2, 1)
	one, two := b.start(b.config(1)), b.start(b.config(2))
	broken := two.paths[0].sock.Load()
	if err := broken.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	until(t, "another socket", func() bool { s := two.paths[0].sock.Load(); return s != nil && s != broken })
	one.Send([]node.Message{message(node.MsgHeartbeat, 1, 2, 1)})
	two.packet(t)
}

// Close is prompt and complete, and sending after it does nothing.
func TestClose(t *testing.T) {
	b := newBed(t, 2, 2)
	one := b.start(b.config(1))
	begun := time.Now()
	one.Close()
	if took := time.Since(begun); took > time.Second {
		t.Errorf("took %v", took)
	}
	one.Send([]node.Message{message(node.MsgHeartbeat, 1, 2, 1)})
	one.Close()
}

// Sending costs no garbage on the event loop.
func TestSendDoesNotAllocate(t *testing.T) {
	b := newBed(t, 2, 2)
	one := b.start(b.config(1))
	msgs := []node.Message{message(node.MsgHeartbeat, 1, 2, 1)}
	one.Send(msgs)
	if n := testing.AllocsPerRun(100, func() { one.Send(msgs) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Each configuration that cannot work is refused with value and limit.
func TestConfig(t *testing.T) {
	b := newBed(t, 2, 1)
	for want, spoil := range map[string]func(*Config){
		"no cluster key":            func(c *Config) { c.Keys = nil }, // and what else link.Ends refuses
		"round: 0s is not positive": func(c *Config) { c.Round = 0 },
		"Config.Deliver is nil":     func(c *Config) { c.Deliver = nil },
	} {
		c := b.config(1)
		c.Deliver = func(node.Packet) bool { return true }
		spoil(&c)
		h, err := New(c)
		if err == nil {
			h.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// IPv6 paths work like IPv4 ones. There is one loopback address only, so both
// servers are told apart by port: the sender's is another one.
func TestIPv6(t *testing.T) {
	b := newBed(t, 2, 1)
	c := b.config(2)
	c.Paths[0] = link.Path{Name: "lan1", Local: netip.IPv6Loopback(), Remote: make([]netip.Addr, 2)}
	c.Paths[0].Remote[0] = netip.IPv6Loopback()
	two := b.start(c)
	if err := two.Stats().Closed["lan1"]; err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	conn, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), b.port)))
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	defer conn.Close()
	s := sealerOf(t, keyA, "payroll", 1)
	if _, err := conn.Write(s.seal(nil, 2, 0, 1, encode(t, message(node.MsgHeartbeat, 1, 2, 1)))); err != nil {
		t.Fatal(err)
	}
	if p := two.packet(t); p.Message.Life.Raft != epoch.NewRaftID(1, 9) {
		t.Errorf("%+v", p)
	}
	two.Send([]node.Message{message(node.MsgHeartbeat, 2, 1, 1)}) // comes back to itself
	until(t, "counted", func() bool { return two.Stats().Drops["unknown-server"] == 1 })
}

// BenchmarkSend is one heartbeat to one server on two paths, kernel included.
func BenchmarkSend(bm *testing.B) {
	b := &bed{servers: []string{"server1", "server2"}, paths: 2, port: 1}
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		bm.Fatal(err)
	}
	b.port = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	c.Close()
	cfg := b.config(1)
	cfg.Deliver = func(node.Packet) bool { return true }
	h, err := New(cfg)
	if err != nil {
		bm.Fatal(err)
	}
	defer h.Close()
	msgs := []node.Message{message(node.MsgHeartbeat, 1, 2, 1)}
	bm.ReportAllocs()
	for bm.Loop() {
		h.Send(msgs)
	}
}
