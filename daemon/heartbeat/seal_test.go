package heartbeat

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"baton/core/epoch"
	"baton/core/node"
	"baton/daemon/link"
	"baton/daemon/wire"

	"golang.org/x/crypto/chacha20poly1305"
)

var (
	keyA = bytes.Repeat([]byte{0xa}, link.MinKey)
	keyB = bytes.Repeat([]byte{0xb}, link.MinKey)
)

func heartbeat(from, to int) node.Message {
	return node.Message{
		Kind: node.MsgHeartbeat, From: from, To: to, Seq: 7, Boot: "0b9c2c1e-5c0a-4a37-9d7b-3f5d4d1e6a11",
		Life: node.Life{Raft: epoch.NewRaftID(from, 9), Start: 3},
	}
}

func encode(t testing.TB, m node.Message) []byte {
	t.Helper()
	b, err := wire.Append(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sealerOf(t testing.TB, key []byte, cluster string, self int) *sealer {
	t.Helper()
	s, err := newSealer(key, newSalt(), cluster, self)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What server 1 seals for server 2 opens there, on the path it was sealed for, once.
// For every other reason there is a name.
func TestOpen(t *testing.T) {
	s := sealerOf(t, keyA, "payroll", 1)
	plain := encode(t, heartbeat(1, 2))
	good := s.seal(nil, 2, 0, 1, plain)
	seal := func(receiver, path int, m node.Message) []byte { return s.seal(nil, receiver, path, 2, encode(t, m)) }
	raft := heartbeat(1, 2)
	raft.Kind = node.MsgRaft

	for name, c := range map[string]struct {
		b    []byte
		want drop
	}{
		"good":                   {good, accepted},
		"empty":                  {nil, dropShort},
		"head and tag only":      {good[:overhead], dropShort},
		"cut off":                {good[:len(good)-1], dropForged},
		"a byte too many":        {append(bytes.Clone(good), 0), dropForged},
		"too long":               {make([]byte, wire.MaxDatagram+1), dropLong},
		"other version":          {append([]byte{2}, good[1:]...), dropVersion},
		"from server 0":          {append([]byte{1, 0}, good[2:]...), dropUnknownServer},
		"from a fourth server":   {append([]byte{1, 4}, good[2:]...), dropUnknownServer},
		"from ourselves":         {append([]byte{1, 2}, good[2:]...), dropUnknownServer},
		"in another's name":      {append([]byte{1, 3}, good[2:]...), dropForged},
		"for server 3":           {seal(3, 0, heartbeat(1, 3)), dropWrongReceiver},
		"for server 3, altered":  {append([]byte{1, 1, 2}, seal(3, 0, heartbeat(1, 2))[3:]...), dropForged},
		"for path 1":             {seal(2, 1, heartbeat(1, 2)), dropWrongPath},
		"for path 1, altered":    {append([]byte{1, 1, 2, 0}, seal(2, 1, heartbeat(1, 2))[4:]...), dropForged},
		"sequence 0":             {s.seal(nil, 2, 0, 0, plain), dropReplayed},
		"another key":            {sealerOf(t, keyB, "payroll", 1).seal(nil, 2, 0, 1, plain), dropForged},
		"another cluster":        {sealerOf(t, keyA, "payrol", 1).seal(nil, 2, 0, 1, plain), dropForged},
		"not a message":          {s.seal(nil, 2, 0, 2, []byte("hello")), dropMalformed},
		"message of another one": {seal(2, 0, heartbeat(3, 2)), dropMismatch},
		"message for another":    {seal(2, 0, heartbeat(1, 3)), dropMismatch},
		"message for a stream":   {seal(2, 0, raft), dropMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOpener([][]byte{keyA}, "payroll", 2, 3)
			m, seq, _, why := o.open(0, c.b)
			if why != c.want {
				t.Fatalf("got %v, want %v", why, c.want)
			}
			if why == accepted && (m.From != 1 || m.Boot != heartbeat(1, 2).Boot || seq != 1) {
				t.Errorf("opened to %+v, sequence %d", m, seq)
			}
			if why != accepted && c.want != dropReplayed && len(o.senders[1])+len(o.senders[3]) != 0 {
				t.Error("what was refused has left a run behind")
			}
		})
	}
}

// No bit of a datagram can be changed: all that is in clear is authenticated.
func TestEveryBitCounts(t *testing.T) {
	s := sealerOf(t, keyA, "payroll", 1)
	b := s.seal(nil, 2, 0, 1, encode(t, heartbeat(1, 2)))
	o := newOpener([][]byte{keyA}, "payroll", 2, 3)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if _, _, _, why := o.open(0, b); why == accepted {
			t.Errorf("accepted with bit %d of byte %d changed", i%8, i/8)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	if _, _, _, why := o.open(0, b); why != accepted {
		t.Errorf("unchanged: %v", why)
	}
}

// A datagram is accepted once, also after others, and also when two paths are met at
// once. Paths have windows of their own.
func TestReplay(t *testing.T) {
	s := sealerOf(t, keyA, "payroll", 1)
	o := newOpener([][]byte{keyA}, "payroll", 2, 3)
	plain := encode(t, heartbeat(1, 2))
	var all [][]byte
	for seq := uint64(1); seq <= 20; seq++ {
		all = append(all, s.seal(nil, 2, 0, seq, plain))
	}
	for _, i := range []int{3, 0, 19, 7, 1} {
		if _, _, _, why := o.open(0, all[i]); why != accepted {
			t.Errorf("sequence %d: %v", i+1, why)
		}
		if _, _, _, why := o.open(0, all[i]); why != dropReplayed {
			t.Errorf("sequence %d again: %v", i+1, why)
		}
	}
	if _, _, _, why := o.open(1, s.seal(nil, 2, 1, 1, plain)); why != accepted {
		t.Errorf("sequence 1 of path 1: %v", why)
	}
}

// During a change of keys every server opens both; a key that has been taken out no
// longer opens.
func TestRotation(t *testing.T) {
	plain := encode(t, heartbeat(1, 2))
	before, after := sealerOf(t, keyA, "payroll", 1), sealerOf(t, keyB, "payroll", 1)
	for _, c := range []struct {
		keys          [][]byte
		before, after drop
	}{
		{[][]byte{keyA}, accepted, dropForged},
		{[][]byte{keyA, keyB}, accepted, accepted},
		{[][]byte{keyB, keyA}, accepted, accepted},
		{[][]byte{keyB}, dropForged, accepted},
	} {
		o := newOpener(c.keys, "payroll", 2, 3)
		if _, _, _, why := o.open(0, before.seal(nil, 2, 0, 1, plain)); why != c.before {
			t.Errorf("keys %x, sealed with the first: %v, want %v", c.keys, why, c.before)
		}
		if _, _, _, why := o.open(0, after.seal(nil, 2, 0, 1, plain)); why != c.after {
			t.Errorf("keys %x, sealed with the second: %v, want %v", c.keys, why, c.after)
		}
	}
}

// Forged datagrams, each with a salt of its own, push nothing out of the opener.
func TestForgedSaltsLeaveNoTrace(t *testing.T) {
	s := sealerOf(t, keyA, "payroll", 1)
	o := newOpener([][]byte{keyA}, "payroll", 2, 3)
	plain := encode(t, heartbeat(1, 2))
	first := s.seal(nil, 2, 0, 1, plain)
	if _, _, _, why := o.open(0, first); why != accepted {
		t.Fatal(why)
	}
	for range 100 {
		forged := bytes.Clone(first)
		rand.Read(forged[4 : 4+saltSize])
		if _, _, _, why := o.open(0, forged); why != dropForged {
			t.Fatal(why)
		}
	}
	if len(o.senders[1]) != 1 {
		t.Errorf("%d runs are kept, want 1", len(o.senders[1]))
	}
	if _, _, _, why := o.open(0, first); why != dropReplayed {
		t.Errorf("the first datagram again: %v", why)
	}
}

// A server that has started anew is heard at once, and a recording of the run before
// is not, even when the receiver has never met that run. The number of runs is
// bounded, and the one in use is never the one that goes.
func TestRuns(t *testing.T) {
	o := newOpener([][]byte{keyA}, "payroll", 2, 3)
	run := func(incarnation, start uint64) ([]byte, *sealer) {
		m := heartbeat(1, 2)
		m.Life = node.Life{Raft: epoch.NewRaftID(1, incarnation), Start: start}
		return encode(t, m), sealerOf(t, keyA, "payroll", 1)
	}
	old, oldSealer := run(9, 4)
	now, nowSealer := run(9, 5)
	if _, _, _, why := o.open(0, nowSealer.seal(nil, 2, 0, 1, now)); why != accepted {
		t.Fatal(why)
	}
	if _, _, _, why := o.open(0, oldSealer.seal(nil, 2, 0, 1, old)); why != dropOldRun {
		t.Errorf("recording of the run before: %v", why)
	}
	for i := uint64(0); i < 3*keepRuns; i++ {
		plain, s := run(100+i, 1) // other incarnations have no order
		if _, _, _, why := o.open(0, s.seal(nil, 2, 0, 1, plain)); why != accepted {
			t.Fatal(why)
		}
		if _, _, _, why := o.open(0, nowSealer.seal(nil, 2, 0, 2+i, now)); why != accepted {
			t.Fatalf("the run in use, after %d others: %v", i+1, why)
		}
	}
	if n := len(o.senders[1]); n != keepRuns {
		t.Errorf("%d runs are kept, want %d", n, keepRuns)
	}
}

// No two datagrams of a run share a nonce: that would give the key away.
func TestNonces(t *testing.T) {
	seen := map[[chacha20poly1305.NonceSize]byte]string{}
	for receiver := 1; receiver <= wire.MaxServer; receiver++ {
		for path := range link.MaxPaths {
			for _, seq := range []uint64{1, 2, 255, 256, 1 << 32, 1<<64 - 1} {
				var n [chacha20poly1305.NonceSize]byte
				h := head{receiver: receiver, path: path, seq: seq}
				h.nonce(&n)
				what := fmt.Sprint(receiver, path, seq)
				if other, ok := seen[n]; ok {
					t.Fatalf("%s and %s share a nonce", what, other)
				}
				seen[n] = what
			}
		}
	}
}

// Whatever comes from the network is dropped without a panic, unless it is, byte for
// byte, what a holder of the key has sealed.
func FuzzOpen(f *testing.F) {
	// The salt is fixed: fuzzing runs in several processes, and one's seal must be the
	// other's.
	s, err := newSealer(keyA, salt{1, 2, 3}, "payroll", 1)
	if err != nil {
		f.Fatal(err)
	}
	good := s.seal(nil, 2, 0, 1, encode(f, heartbeat(1, 2)))
	f.Add(good)
	f.Add(good[:headSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		o := newOpener([][]byte{keyA, keyB}, "payroll", 2, 3)
		if _, _, _, why := o.open(0, b); why == accepted && !bytes.Equal(b, good) {
			t.Fatalf("%x was accepted", b)
		}
		// The same as the contents of a genuine datagram.
		if len(b) > wire.MaxDatagram-overhead {
			return
		}
		m, _, _, why := o.open(0, s.seal(nil, 2, 0, 1, b))
		if why == accepted {
			if again := encode(t, m); !bytes.Equal(again, b) {
				t.Fatalf("%x was opened to %x", b, again)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s := sealerOf(b, keyA, "payroll", 1)
	plain := encode(b, heartbeat(1, 2))
	buf := make([]byte, 0, wire.MaxDatagram)
	seq := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		buf = s.seal(buf[:0], 2, 0, seq, plain)
	}
}

func BenchmarkOpen(b *testing.B) {
	s := sealerOf(b, keyA, "payroll", 1)
	o := newOpener([][]byte{keyA}, "payroll", 2, 3)
	plain := encode(b, heartbeat(1, 2))
	buf := make([]byte, 0, wire.MaxDatagram)
	seq := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		buf = s.seal(buf[:0], 2, 0, seq, plain)
		if _, _, _, why := o.open(0, buf); why != accepted {
			b.Fatal(why)
		}
	}
}

// BenchmarkOpenForged is what an attacker makes us do for each datagram.
func BenchmarkOpenForged(b *testing.B) {
	s := sealerOf(b, keyB, "payroll", 1)
	o := newOpener([][]byte{keyA}, "payroll", 2, 3)
	buf := s.seal(nil, 2, 0, 1, encode(b, heartbeat(1, 2)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, why := o.open(0, buf); why != dropForged {
			b.Fatal(why)
		}
	}
}
