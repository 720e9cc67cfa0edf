package peer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"baton/core/node"
	"baton/daemon/wire"
)

// Each message for a stream arrives once at its receiver and nowhere else, though it
// travels on both paths; datagrams are left alone.
func TestEveryPath(t *testing.T) {
	b := newBed(t, 3, 2)
	one, two, three := b.start(b.config(1)), b.start(b.config(2)), b.start(b.config(3))
	one.up(t, 4)
	propose := message(1, 3, 8, []byte("command"))
	propose.Kind = node.MsgPropose
	datagram := message(1, 2, 9, nil)
	datagram.Kind = node.MsgHeartbeat
	one.Send([]node.Message{message(1, 2, 7, []byte("raft")), datagram, propose})
	if m := two.packet(t).Message; m.Seq != 7 || m.From != 1 || string(m.Payload) != "raft" {
		t.Errorf("server 2 got %+v", m)
	}
	if m := three.packet(t).Message; m.Seq != 8 || m.Kind != node.MsgPropose || string(m.Payload) != "command" {
		t.Errorf("server 3 got %+v", m)
	}
	until(t, "both copies there", func() bool { return two.Stats().Copies == 1 && three.Stats().Copies == 1 })
	if n := len(one.packets) + len(two.packets) + len(three.packets); n != 0 {
		t.Errorf("%d more messages came than were sent", n)
	}
	if st := two.Stats(); len(st.Drops) != 0 || len(st.Closed) != 0 {
		t.Errorf("%+v", st)
	}
}

// Whatever happens to one of two paths, while it happens and after: nothing is lost,
// nothing comes twice. The faults are played on path 1 in both directions.
func TestOnePathCutLosesNothing(t *testing.T) {
	for name, fault := range map[string]func(*proxy){
		"closed":           (*proxy).cut,
		"stalls":           (*proxy).stall,
		"stalls, is back":  func(p *proxy) { p.stall(); time.Sleep(200 * time.Millisecond); p.heal() },
		"closed, and over": func(p *proxy) { p.ln.Close(); p.cut() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 2, 2)
			one := b.config(1)
			one.Paths[0].Remote[1] = netip.AddrFrom4([4]byte{127, 8, 1, 102})
			p := newProxy(t, netip.AddrPortFrom(one.Paths[0].Remote[1], b.port).String(), b.at(0, 2))
			sender, receiver := b.start(one), b.start(b.config(2))
			sender.up(t, 2)
			const n = 3000
			go func() {
				for seq := uint64(1); seq <= n; seq++ {
					if seq == n/3 {
						go fault(p)
					}
					sender.Send([]node.Message{message(1, 2, seq, make([]byte, 1000))})
					if seq%50 == 0 {
						time.Sleep(5 * time.Millisecond)
					}
				}
			}()
			seen := make(map[uint64]bool, n)
			for range n {
				seq := receiver.packet(t).Message.Seq
				if seen[seq] {
					t.Fatalf("message %d came twice", seq)
				}
				seen[seq] = true
			}
			if len(receiver.packets) != 0 {
				t.Error("something came twice")
			}
		})
	}
}

// A path on which nothing gets through is noticed in about the timeout even if the
// kernels at both ends see nothing wrong, and is used again when it is back.
func TestDeadPath(t *testing.T) {
	b := newBed(t, 2, 1)
	b.timeout = timeout
	one := b.config(1)
	one.Paths[0].Remote[1] = netip.AddrFrom4([4]byte{127, 8, 1, 102})
	p := newProxy(t, netip.AddrPortFrom(one.Paths[0].Remote[1], b.port).String(), b.at(0, 2))
	sender, receiver := b.start(one), b.start(b.config(2))
	sender.up(t, 1)
	p.stall()
	begun := time.Now()
	sender.up(t, 0)
	if took := time.Since(begun); took < timeout/2 || took > 4*timeout {
		t.Errorf("noticed after %v, the timeout is %v", took, timeout)
	}
	p.cut()
	p.heal()
	sender.up(t, 1)
	sender.Send([]node.Message{message(1, 2, 1, nil)})
	receiver.packet(t)
}

// A snapshot that takes several timeouts on a slow path gets through in one go: what
// moves is not dead.
func TestSlowPath(t *testing.T) {
	b := newBed(t, 2, 1)
	b.timeout = timeout
	one := b.config(1)
	one.Paths[0].Remote[1] = netip.AddrFrom4([4]byte{127, 8, 1, 102})
	p := newProxy(t, netip.AddrPortFrom(one.Paths[0].Remote[1], b.port).String(), b.at(0, 2))
	p.slow(time.Millisecond) // 4 MB/s at most
	sender, receiver := b.start(one), b.start(b.config(2))
	sender.up(t, 1)
	begun := time.Now()
	sender.Send([]node.Message{message(1, 2, 1, make([]byte, 10<<20))})
	for len(receiver.packets) == 0 {
		if time.Since(begun) > 15*time.Second {
			t.Fatal("the snapshot has not come")
		}
		if sender.count() != 1 {
			t.Fatalf("given up after %v: %v", time.Since(begun), sender.Stats().Streams[0].Err)
		}
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(begun); took < 2*timeout {
		t.Errorf("took %v only: nothing is shown", took)
	}
}

// Whoever has another key, another cluster's name, another name or place among the
// servers, or a certificate that only looks like ours, is refused: it delivers
// nothing, and is given nothing. Both ends say so.
func TestForeign(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"key":     func(c *Config) { c.Keys = [][]byte{keyB} },
		"cluster": func(c *Config) { c.Cluster = "Payroll" },
		"name":    func(c *Config) { c.Servers = []string{"server1", "server02"} },
		"order":   func(c *Config) { c.Servers = []string{"server2", "server1"} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 2, 1)
			good := b.start(b.config(1))
			c := b.config(2)
			spoil(&c)
			bad := b.start(c)
			good.Send([]node.Message{message(1, 2, 1, nil)})
			bad.Send([]node.Message{message(2, 1, 1, nil)})
			until(t, "counted as foreign", func() bool { return good.Stats().Drops["foreign"] > 0 || bad.Stats().Drops["foreign"] > 0 })
			until(t, "both say why", func() bool { return good.Stats().Streams[0].Err != nil && bad.Stats().Streams[0].Err != nil })
			until(t, "one names the remedy", func() bool {
				return strings.Contains(fmt.Sprint(good.Stats().Streams[0].Err), "must be the same on all servers")
			})
			if len(good.packets)+len(bad.packets)+good.count()+bad.count() != 0 {
				t.Error("a stream was opened")
			}
		})
	}
}

// A certificate with the right name and another key is refused by the one who is
// dialled, and so is the right one of the dialled server itself, played back.
func TestForgedCertificate(t *testing.T) {
	b := newBed(t, 2, 1)
	two := b.start(b.config(2))
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := selfSigned(k, "server1")
	if err != nil {
		t.Fatal(err)
	}
	for i, cert := range []tls.Certificate{forged, two.id.cert} {
		conn, err := tls.Dial("tcp4", b.at(0, 2), &tls.Config{
			Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, NextProtos: []string{protocol},
		})
		if err == nil { // in TLS 1.3 the refusal comes with the first read
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("certificate %d: %v", i, err)
		}
	}
	until(t, "counted", func() bool { return two.Stats().Drops["foreign"] == 2 })
	for name, c := range map[string]*tls.Config{
		"TLS 1.2":        {MaxVersion: tls.VersionTLS12, NextProtos: []string{protocol}},
		"no certificate": {NextProtos: []string{protocol}},
		"other protocol": {NextProtos: []string{"h2"}},
	} {
		c.InsecureSkipVerify = true
		if name != "no certificate" {
			c.Certificates = []tls.Certificate{b.certificate(1)}
		}
		conn, err := tls.Dial("tcp4", b.at(0, 2), c)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	until(t, "counted", func() bool { return two.Stats().Drops["handshake"] == 3 })
}

// certificate returns a server's genuine one.
func (b *bed) certificate(server int) tls.Certificate {
	b.t.Helper()
	c := b.config(server)
	id, err := newIdentity(&c)
	if err != nil {
		b.t.Fatal(err)
	}
	return id.cert
}

// During a change of keys servers with either order of the two understand each other
// and those that have only one of them yet, or still.
func TestRotation(t *testing.T) {
	both, reversed := [][]byte{keyA, keyB}, [][]byte{keyB, keyA}
	for _, c := range []struct{ one, two [][]byte }{
		{both, [][]byte{keyA}}, {both, reversed}, {reversed, [][]byte{keyB}},
	} {
		b := newBed(t, 2, 1)
		one, two := b.config(1), b.config(2)
		one.Keys, two.Keys = c.one, c.two
		e1, e2 := b.start(one), b.start(two)
		e1.Send([]node.Message{message(1, 2, 1, nil)})
		e2.Send([]node.Message{message(2, 1, 1, nil)})
		e1.packet(t)
		e2.packet(t)
		e1.Close()
		e2.Close()
	}
}

// A snapshot of many megabytes gets through on both paths, and small messages go on
// behind it.
func TestBigFrame(t *testing.T) {
	b := newBed(t, 2, 2)
	one, two := b.start(b.config(1)), b.start(b.config(2))
	one.up(t, 2)
	snapshot := make([]byte, 24<<20)
	rand.Read(snapshot)
	one.Send([]node.Message{message(1, 2, 1, snapshot), message(1, 2, 2, nil)})
	for range 2 {
		if m := two.packet(t).Message; m.Seq == 1 && !bytes.Equal(m.Payload, snapshot) {
			t.Error("the snapshot has changed on the way")
		}
	}
	one.Send([]node.Message{message(1, 2, 3, make([]byte, wire.MaxStream))})
	if n := one.Stats().Drops["unsendable"]; n != 1 {
		t.Errorf("unsendable: %d, want 1: too large", n)
	}
}

// A receiver that accepts a stream and never reads holds up neither the sender nor
// the streams to others; the oldest messages make room, and the stream is given up.
func TestReceiverThatNeverReads(t *testing.T) {
	b := newBed(t, 3, 1)
	b.timeout = timeout
	ln, err := tls.Listen("tcp4", b.at(0, 2), &tls.Config{
		Certificates: []tls.Certificate{b.certificate(2)}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{protocol},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var streams atomic.Int32
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if addr, ok := c.RemoteAddr().(*net.TCPAddr); ok && addr.AddrPort().Addr().Unmap() == b.addr(0, 1) {
				streams.Add(1)
			}
			_, _ = c.Write([]byte{pongByte})
		}
	}()
	one, three := b.start(b.config(1)), b.start(b.config(3))
	one.up(t, 2)
	payload := make([]byte, 10_000)
	begun := time.Now()
	const n = 3000
	for seq := uint64(1); seq <= n; seq++ {
		one.Send([]node.Message{message(1, 2, seq, payload)})
		if seq%10 == 0 {
			one.Send([]node.Message{message(1, 3, seq, nil)})
		}
	}
	if took := time.Since(begun); took > 2*timeout {
		t.Errorf("sending took %v", took)
	}
	for range n / 10 {
		three.packet(t)
	}
	if st := one.Stats(); st.Drops["stream-full"] == 0 || st.Streams[0].Queued > maxFrames {
		t.Errorf("%+v", st)
	}
	until(t, "given up and dialled again", func() bool { return streams.Load() > 1 })
}

// The first copy finds no room; the second, on the other path, gets in.
func TestSecondCopyGetsIn(t *testing.T) {
	b := newBed(t, 2, 2)
	two := b.config(2)
	var calls atomic.Int32
	delivered := make(chan node.Packet, 10)
	two.Deliver = func(p node.Packet) bool {
		if calls.Add(1) == 1 {
			return false
		}
		delivered <- p
		return true
	}
	one, e := b.start(b.config(1)), b.start(two)
	one.up(t, 2)
	one.Send([]node.Message{message(1, 2, 1, nil)})
	<-delivered
	if n := e.Stats().Drops["queue-full"]; n != 1 {
		t.Errorf("queue-full: %d, want 1", n)
	}
	one.Send([]node.Message{message(1, 2, 2, nil)})
	<-delivered
	until(t, "the copy dropped", func() bool { return e.Stats().Copies == 1 })
	if n := calls.Load(); n != 3 {
		t.Errorf("%d deliveries, want 3", n)
	}
}

// A server that was away gets its streams at once when it is kicked, and in the
// backoff's time when it is not; what was sent to it shortly before still arrives.
func TestKick(t *testing.T) {
	b := newBed(t, 2, 1)
	one := b.start(b.config(1))
	until(t, "refused", func() bool { return one.Stats().Streams[0].Err != nil })
	time.Sleep(backoffLeast * 16) // by now the pauses are backoffMost
	two := b.start(b.config(2))
	one.Send([]node.Message{message(1, 2, 1, nil)})
	one.Kick(2)
	begun := time.Now()
	two.packet(t)
	if took := time.Since(begun); took > backoffMost/2 {
		t.Errorf("took %v", took)
	}
	one.Kick(2) // nothing to do: must not disturb
	one.Kick(0)
	one.Kick(17)
	one.Send([]node.Message{message(1, 2, 2, nil)})
	two.packet(t)

	two.Close()
	one.up(t, 0)
	two = b.start(b.config(2)) // anew, as another process
	one.up(t, 1)
	one.Send([]node.Message{message(1, 2, 3, nil)})
	two.packet(t)
}

// What could not be sent for a whole timeout is not sent later.
func TestStale(t *testing.T) {
	b := newBed(t, 2, 1)
	b.timeout = timeout
	one := b.start(b.config(1))
	one.Send([]node.Message{message(1, 2, 1, nil)})
	time.Sleep(timeout + 50*time.Millisecond)
	two := b.start(b.config(2))
	one.up(t, 1)
	one.Send([]node.Message{message(1, 2, 2, nil)})
	if m := two.packet(t).Message; m.Seq != 2 {
		t.Errorf("message %d came, want 2", m.Seq)
	}
	if n := one.Stats().Drops["stale"]; n != 1 {
		t.Errorf("stale: %d, want 1", n)
	}
}

// Strangers that dial and say nothing are bounded, and do not keep servers out.
func TestHandshakeLimit(t *testing.T) {
	b := newBed(t, 2, 1)
	b.timeout = time.Minute // so long the strangers keep their places
	two := b.start(b.config(2))
	for range handshakesUnknown + 10 {
		c, err := net.Dial("tcp4", b.at(0, 2))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	until(t, "turned away", func() bool { return two.Stats().Drops["handshake-limit"] == 10 })
	b.start(b.config(1)).up(t, 1)
	if n := two.Stats().Drops["handshake"]; n != 0 {
		t.Errorf("%d strangers have given up their places: nothing is shown", n)
	}
}

// What an authenticated server sends is still looked at: bytes that are no frame end
// the stream, a frame that is no message for us is dropped.
func TestBadFrames(t *testing.T) {
	b := newBed(t, 3, 1)
	two := b.start(b.config(2))
	body := func(m node.Message) []byte {
		b, err := wire.Append(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	datagram := message(1, 2, 1, nil)
	datagram.Kind = node.MsgEcho
	good := body(message(1, 2, 1, nil))
	seq := uint64(0)
	for name, c := range map[string]struct {
		head  []byte
		body  []byte
		drop  string
		close bool
	}{
		"life 0":          {head: frameHead{0, 1, 1}.append(nil), drop: "frame", close: true},
		"too long":        {head: frameHead{1, 1, wire.MaxStream + 1}.append(nil), drop: "frame", close: true},
		"huge":            {head: frameHead{1, 1, 1<<32 - 1}.append(nil), drop: "frame", close: true},
		"empty":           {head: frameHead{1, 1, 0}.append(nil), drop: "frame", close: true},
		"ping with body":  {head: frameHead{1, 0, 1}.append(nil), drop: "frame", close: true},
		"no message":      {body: []byte("hello"), drop: "malformed"},
		"another version": {body: append([]byte{9}, good[1:]...), drop: "version"},
		"another sender":  {body: body(message(3, 2, 1, nil)), drop: "mismatch"},
		"another receiver": {
			body: body(message(1, 3, 1, nil)), drop: "mismatch",
		},
		"datagram": {body: body(datagram), drop: "mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp4", b.at(0, 2), &tls.Config{
				Certificates: []tls.Certificate{b.certificate(1)}, InsecureSkipVerify: true, NextProtos: []string{protocol},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := readPong(conn); err != nil {
				t.Fatal(err)
			}
			before := two.Stats().Drops[c.drop]
			seq++
			if c.head == nil {
				c.head = frameHead{5, seq, len(c.body)}.append(nil)
			}
			if _, err := conn.Write(append(c.head, c.body...)); err != nil {
				t.Fatal(err)
			}
			until(t, "counted as "+c.drop, func() bool { return two.Stats().Drops[c.drop] == before+1 })
			_, _ = conn.Write(frameHead{life: 5}.append(nil))
			if err := readPong(conn); (err != nil) != c.close {
				t.Errorf("ping behind it: %v", err)
			}
		})
	}
	if len(two.packets) != 0 {
		t.Errorf("delivered: %+v", <-two.packets)
	}
}

// An address that somebody else has keeps one path from listening, with the reason,
// until it is free.
func TestAddressInUse(t *testing.T) {
	b := newBed(t, 2, 2)
	other, err := net.Listen("tcp4", b.at(0, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	one, two := b.start(b.config(1)), b.start(b.config(2))
	if err := two.Stats().Closed["lan1"]; err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("lan1: %v", err)
	}
	one.Send([]node.Message{message(1, 2, 1, nil)})
	two.packet(t)
	other.Close()
	one.up(t, 2)
	if err := two.Stats().Closed["lan1"]; err != nil {
		t.Errorf("lan1: %v", err)
	}
}

// Close is prompt, whatever the streams are at.
func TestClose(t *testing.T) {
	b := newBed(t, 3, 1)
	one := b.config(1)
	one.Paths[0].Remote[1] = netip.AddrFrom4([4]byte{127, 8, 1, 102})
	p := newProxy(t, netip.AddrPortFrom(one.Paths[0].Remote[1], b.port).String(), b.at(0, 2))
	e, _ := b.start(one), b.start(b.config(2)) // server 3 is not there: being dialled
	e.up(t, 1)
	p.stall()
	for range 20 {
		e.Send([]node.Message{message(1, 2, 1, make([]byte, 1<<20))})
	}
	begun := time.Now()
	e.Close()
	if took := time.Since(begun); took > timeout {
		t.Errorf("took %v", took)
	}
	e.Send([]node.Message{message(1, 2, 1, nil)})
	e.Close()
}

// Each configuration that cannot work is refused with value and limit.
func TestConfig(t *testing.T) {
	b := newBed(t, 2, 1)
	for want, spoil := range map[string]func(*Config){
		"no cluster key":              func(c *Config) { c.Keys = nil }, // and what else link.Ends refuses
		"timeout: 0s is not positive": func(c *Config) { c.Timeout = 0 },
		"Config.Deliver is nil":       func(c *Config) { c.Deliver = nil },
	} {
		c := b.config(1)
		c.Deliver = func(node.Packet) bool { return true }
		spoil(&c)
		p, err := New(c)
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// BenchmarkMessage is one message on two paths, from Send to Deliver.
func BenchmarkMessage(bm *testing.B) {
	b := newBed(bm, 2, 2)
	one, two := b.start(b.config(1)), b.start(b.config(2))
	one.up(bm, 2)
	msgs := []node.Message{message(1, 2, 1, make([]byte, 300))}
	bm.ReportAllocs()
	for bm.Loop() {
		one.Send(msgs)
		<-two.packets
	}
}
