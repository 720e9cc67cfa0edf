package lab_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/contrib/lab"
	"baton/core/node"
	"baton/daemon/heartbeat"
	"baton/daemon/link"
)

// Goal: somebody on the public LAN, without the cluster key, can neither stop a group
// nor move one, and what he sends is dropped, counted and named.
//
// Method: a client machine records every heartbeat of the public LAN and sends it again
// (to the servers as they are, and to one whose batond has just started anew and has
// forgotten what it had heard), truncated, with a bit turned, to the wrong server, and
// noise; sends real heartbeats with another key and under another cluster's name; and
// talks nonsense to the stream port, and TLS with a certificate that is not the cluster's.
func TestAttack(t *testing.T) {
	t.Parallel()
	c := lab.Start(t, lab.Servers(3), lab.Timeout(3*time.Second)) // a batond is started anew within its lease
	tap, err := c.NewTap("server1", lab.Public)
	must(t, err)
	victim := c.Get("server1")
	a := &attacker{T: t, Cluster: c}
	a.socket, err = c.ClientSocket()
	must(t, err)
	defer a.socket.Close()
	probes := []*lab.Probe{c.Probe("A"), c.Probe("B"), c.Probe("C")}

	time.Sleep(time.Second)
	recorded := slices.DeleteFunc(tap.Datagrams(), func(d lab.Datagram) bool { return d.To.Port() != conf.DefaultPort })
	toVictim := 0
	for _, d := range recorded {
		if d.To.Addr() == victim.Addr(lab.Public) {
			toVictim++
		}
	}
	if toVictim < 10 {
		t.Fatalf("%d datagrams to %s of %d recorded in a second: the tap hears nothing", toVictim, victim.Name, len(recorded))
	}
	a.replay(recorded)
	a.forge(recorded)
	a.foreign("another key", []byte(conf.GenerateKey())[:link.MinKey], "lab")
	key, err := conf.LoadKeys(c.Dir() + "/cluster.key")
	must(t, err)
	a.foreign("another cluster", key[0].Bytes(), "payroll")
	a.nonsense(victim.Addr(lab.Public))

	drops := c.WaitDrops(victim, "heartbeat replayed", "heartbeat forged", "heartbeat short", "heartbeat version",
		"heartbeat wrong-receiver", "heartbeat unknown-server", "stream foreign", "stream handshake")
	t.Logf("%s has dropped: %v", victim.Name, drops)
	if n := drops["heartbeat malformed"] + drops["heartbeat mismatch"] + drops["stream malformed"] + drops["stream mismatch"]; n != 0 {
		t.Errorf("%d messages passed the seal and were found wrong behind it", n)
	}
	for _, reason := range []string{"replayed", "forged", "foreign"} {
		named := func() bool {
			text, err := os.ReadFile(victim.LogPath("batond"))
			must(t, err)
			return strings.Contains(string(text), "reason="+reason)
		}
		// What is dropped is counted at once, and told a moment later.
		for end := time.Now().Add(10 * time.Second); !named(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the log of %s does not name %q", victim.Name, reason)
			}
		}
	}

	// A batond that has just started has no windows against replay: what an earlier run
	// of the others has said must still move nothing.
	c.KillBatond("server1")
	time.Sleep(50 * time.Millisecond)
	c.StartBatond("server1")
	for range 20 {
		a.replay(recorded)
		time.Sleep(50 * time.Millisecond)
	}
	c.WaitAll()
	for _, p := range probes {
		if gap := p.Stop(); gap.Duration() > 500*time.Millisecond {
			t.Errorf("a group was interrupted: %s", gap)
		}
	}
	c.Verify()
}

type attacker struct {
	*testing.T
	*lab.Cluster
	socket *net.UDPConn
}

func (a *attacker) send(to netip.AddrPort, payload []byte) {
	_, _ = a.socket.WriteToUDPAddrPort(payload, to)
}

// replay sends what was recorded, in another order.
func (a *attacker) replay(recorded []lab.Datagram) {
	for _, i := range rand.Perm(len(recorded)) {
		a.send(recorded[i].To, recorded[i].Payload)
	}
}

func (a *attacker) forge(recorded []lab.Datagram) {
	for i, d := range recorded[:min(len(recorded), 200)] {
		bad := func(change func(b []byte) []byte) { a.send(d.To, change(append([]byte(nil), d.Payload...))) }
		bad(func(b []byte) []byte { b[len(b)-1-i%16] ^= 1; return b }) // the tag
		bad(func(b []byte) []byte { b[20+i%8] ^= 1; return b })        // the sequence
		bad(func(b []byte) []byte { b[4+i%16] ^= 0x80; return b })     // the salt
		bad(func(b []byte) []byte { return b[:i%len(b)] })
		bad(func(b []byte) []byte { b[0]++; return b })
		bad(func(b []byte) []byte { b[1] = 9; return b })
		bad(func(b []byte) []byte { b[2] = 3 - b[2]%2; return b })
		noise := make([]byte, i*7%1400)
		for k := range noise {
			noise[k] = byte(rand.Uint32())
		}
		a.send(d.To, noise)
	}
}

// foreign sends real heartbeats as server 2, from the client's address.
func (a *attacker) foreign(what string, key []byte, clusterName string) {
	a.Helper()
	names := []string{"server1", "server2", "server3"}
	remote := make([]netip.Addr, len(names))
	for i, n := range names {
		remote[i] = a.Get(n).Addr(lab.Public)
	}
	quiet := slog.New(slog.DiscardHandler)
	deliver := func(node.Packet) bool { a.Errorf("%s: a packet of the cluster could be opened", what); return true }
	ends := link.Ends{
		Cluster: clusterName, Keys: [][]byte{key}, Self: 2, Servers: names, Port: conf.DefaultPort,
		Paths: []link.Path{{Name: lab.Public, Local: lab.Client, Remote: remote}},
	}
	var beats *heartbeat.Heartbeat
	must(a.T, a.ClientDo(func() (err error) {
		beats, err = heartbeat.New(heartbeat.Config{
			Ends: ends, Round: 100 * time.Millisecond, Deliver: deliver, Log: quiet,
		})
		return err
	}))
	m := node.Message{Kind: node.MsgHeartbeat, From: 2, To: 1, Term: 1 << 40, Leader: true, Seq: 1}
	m.Life = node.Life{Raft: 2, Start: 1 << 40}
	for range 10 {
		m.Seq++
		beats.Send([]node.Message{m})
		time.Sleep(20 * time.Millisecond)
	}
	beats.Close()
}

// nonsense talks to the stream port as anything but a batond would.
func (a *attacker) nonsense(addr netip.Addr) {
	a.Helper()
	to := netip.AddrPortFrom(addr, conf.DefaultPort).String()
	for _, text := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 1<<16), strings.Repeat("\x00", 1<<20)} {
		must(a.T, a.ClientDo(func() error {
			conn, err := net.DialTimeout("tcp4", to, time.Second)
			if err != nil {
				return fmt.Errorf("%s does not listen: %w", to, err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write([]byte(text)) // refused or not: it is told by the drops
			return nil
		}))
	}
	_, key, err := ed25519.GenerateKey(nil)
	must(a.T, err)
	like := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"server2"}, Subject: pkix.Name{CommonName: "server2"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, like, like, key.Public(), key)
	must(a.T, err)
	must(a.T, a.ClientDo(func() error {
		conn, err := net.DialTimeout("tcp4", to, time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Second))
		c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
		if err := c.Handshake(); err != nil {
			return fmt.Errorf("TLS to %s: %w", to, err)
		}
		// In TLS 1.3 the server's word on our certificate comes with the first bytes.
		if n, err := c.Read(make([]byte, 100)); err == nil {
			a.Errorf("%s takes a certificate of its own making, and says %d bytes", to, n)
		}
		return nil
	}))
}
