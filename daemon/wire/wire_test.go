package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/node"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// message draws a message with every field of node.Message set at random. rapid.Make
// goes by reflection: a field that is added to node.Message and forgotten in the
// codec fails TestRoundTrip.
func message(t *rapid.T) node.Message {
	m := rapid.Make[node.Message]().Draw(t, "message")
	m.Kind = node.MessageKind(rapid.IntRange(1, 5).Draw(t, "kind"))
	m.From = rapid.IntRange(1, MaxServer).Draw(t, "from")
	m.To = rapid.IntRange(1, MaxServer-1).Draw(t, "to")
	if m.To >= m.From {
		m.To++
	}
	m.Boot = string(rapid.SliceOfN(rapid.Byte(), 0, MaxBoot).Draw(t, "boot"))
	m.Then = ""
	if m.Shut {
		m.Then = rapid.SampledFrom([]cluster.Then{"", cluster.ThenPowerOff, cluster.ThenReboot}).Draw(t, "then")
	}
	m.Voters = voters(t, "voters")
	if m.Seal != nil {
		m.Seal.Voters = voters(t, "sealed voters")
	}
	m.Payload = nil
	m.Payload = rapid.SliceOfN(rapid.Byte(), 0, MaxDatagram-SealRoom-Size(&m)).Draw(t, "payload")
	if len(m.Payload) == 0 {
		m.Payload = nil
	}
	return m
}

func voters(t *rapid.T, label string) []epoch.RaftID {
	ids := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) epoch.RaftID {
		return epoch.RaftID(rapid.Uint64().Draw(t, "id"))
	}), 0, MaxVoters).Draw(t, label)
	if len(ids) == 0 {
		return nil
	}
	return ids
}

// What is encoded comes back the same, behind whatever the buffer held before, and
// has only this one encoding.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := message(t)
		b, err := Append([]byte("before"), &want)
		if err != nil {
			t.Fatal(err)
		}
		b = b[len("before"):]
		if len(b) != Size(&want) {
			t.Fatalf("encoded to %d bytes, Size says %d", len(b), Size(&want))
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

// Every strict prefix and every extension of a message is refused: nothing is read
// that is not there, nothing is left over.
func TestLength(t *testing.T) {
	m := node.Message{Kind: node.MsgPropose, From: 1, To: 2, Boot: "b", Payload: []byte("payload")}
	b, err := Append(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if _, err := Decode(b[:i]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a message", i, len(b))
		}
	}
	if _, err := Decode(append(b, 0)); err == nil {
		t.Error("a byte too many was accepted")
	}
}

func TestRefusals(t *testing.T) {
	good := func() node.Message { return node.Message{Kind: node.MsgHeartbeat, From: 1, To: 2, Boot: "boot"} }
	for name, c := range map[string]struct {
		spoil func(*node.Message)
		want  string
	}{
		"kind 0":         {func(m *node.Message) { m.Kind = 0 }, "kind 0: unknown"},
		"kind 6":         {func(m *node.Message) { m.Kind = 6 }, "kind 6: unknown"},
		"from 0":         {func(m *node.Message) { m.From = 0 }, "from: server 0 is not in 1 to 16"},
		"to 17":          {func(m *node.Message) { m.To = 17 }, "to: server 17 is not in 1 to 16"},
		"to -1":          {func(m *node.Message) { m.To = -1 }, "to: server -1 is not in 1 to 16"},
		"then, not shut": {func(m *node.Message) { m.Then = cluster.ThenReboot }, "then: \"reboot\""},
		"to itself":      {func(m *node.Message) { m.To = 1 }, "server 1: sends to itself"},
		"long boot id":   {func(m *node.Message) { m.Boot = strings.Repeat("x", 48) }, "boot id: 48 bytes is above 47"},
		"long datagram": {
			func(m *node.Message) { m.Payload = make([]byte, MaxDatagram) }, "is above 1152",
		},
		"long stream message": {
			func(m *node.Message) { m.Kind, m.Payload = node.MsgRaft, make([]byte, MaxStream) }, "is above 67108864",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := good()
			c.spoil(&m)
			b, err := Append([]byte("before"), &m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if string(b) != "before" {
				t.Errorf("the buffer was changed to %d bytes", len(b))
			}
		})
	}

	m := good()
	b, err := Append(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	const bootAt = 5 + 8 + 16 + 16 + 8 + 8
	for name, c := range map[string]struct {
		at   int
		to   byte
		want string
	}{
		"version":              {0, 2, "version 2: unknown version, this one speaks 1"},
		"kind":                 {1, 77, "kind 77: unknown"},
		"from":                 {2, 0, "from: server 0"},
		"to":                   {3, 200, "to: server 200"},
		"power off, not shut":  {4, 0x40, "flags 0x40: contradict"},
		"power off and reboot": {4, 0xe0, "flags 0xe0: contradict"},
		"boot length":          {bootAt, 48, "boot id: 48 bytes is above 47"},
		"boot length too low":  {bootAt, 3, "boot id: not padded with zeros"},
		"boot padding":         {bootAt + MaxBoot, 1, "boot id: not padded with zeros"},
		"payload length":       {headSize - 1, 1, "payload: 1 bytes announced, 0 there"},
		"payload length, huge": {headSize - 4, 0xff, "payload: 4278190080 bytes announced, 0 there"},
	} {
		t.Run("decode "+name, func(t *testing.T) {
			spoiled := bytes.Clone(b)
			spoiled[c.at] = c.to
			_, err := Decode(spoiled)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if errors.Is(err, ErrVersion) != (name == "version") {
				t.Errorf("%v: ErrVersion is for another version only", err)
			}
		})
	}
}

// The layout is a promise to the servers that have not been upgraded yet.
func TestLayout(t *testing.T) {
	m := node.Message{
		Kind: node.MsgGrant, From: 1, To: 16, Seq: 0x0102030405060708, Leader: true, Support: true,
		Boot: "b", GrantSession: 9, Ended: 10, Opened: 11, Applied: 12,
		Forced: epoch.ID{Number: 13, Founder: 14}, Voters: []epoch.RaftID{7}, Payload: []byte{0xaa},
	}
	b, err := Append(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	if headSize != 249 {
		t.Errorf("the head has %d bytes, want 249", headSize)
	}
	if got, want := b[:13], []byte{1, 3, 1, 16, 5, 1, 2, 3, 4, 5, 6, 7, 8}; !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	tail := b[headSize-52:]
	for i, want := range []uint64{9, 10, 11, 12, 13, 14} {
		if got := binary.BigEndian.Uint64(tail[8*i:]); got != want {
			t.Errorf("word %d of the tail is %d, want %d", i, got, want)
		}
	}
	if want := []byte{0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xaa}; !bytes.Equal(tail[48:], want) {
		t.Errorf("behind the head: got %x, want %x", tail[48:], want)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	m := node.Message{Kind: node.MsgHeartbeat, From: 1, To: 2, Boot: "0b9c2c1e-5c0a-4a37-9d7b-3f5d4d1e6a11"}
	b := make([]byte, 0, MaxDatagram)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Append(b, &m); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever Decode accepts is exactly what Append makes of it.
func FuzzDecode(f *testing.F) {
	for _, m := range []node.Message{
		{Kind: node.MsgHeartbeat, From: 1, To: 2, Boot: "boot", Leader: true},
		{Kind: node.MsgRaft, From: 16, To: 1, Payload: []byte("payload")},
	} {
		b, err := Append(nil, &m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Append(nil, &m)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %+v, which encodes to %x, %v", b, m, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	m := node.Message{Kind: node.MsgHeartbeat, From: 1, To: 2, Boot: "0b9c2c1e-5c0a-4a37-9d7b-3f5d4d1e6a11"}
	buf := make([]byte, 0, MaxDatagram)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = Append(buf[:0], &m)
	}
}

func BenchmarkDecode(b *testing.B) {
	m := node.Message{Kind: node.MsgHeartbeat, From: 1, To: 2, Boot: "0b9c2c1e-5c0a-4a37-9d7b-3f5d4d1e6a11"}
	buf, _ := Append(nil, &m)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}
