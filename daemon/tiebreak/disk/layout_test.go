package disk

import (
	"bytes"
	"testing"

	"baton/core/epoch"

	"pgregory.net/rapid"
)

func anyBlock(t *rapid.T) block {
	u := func(name string) uint64 { return rapid.Uint64Range(1, 1<<62).Draw(t, name) }
	k := block{
		server: uint32(rapid.IntRange(1, MaxServers).Draw(t, "server")), disk: ID{byte(u("disk"))},
		cluster: u("cluster"), seq: u("seq"),
	}
	k.accepted = rapid.Uint64Range(0, 1<<40).Draw(t, "accepted")
	k.ballot = k.accepted + rapid.Uint64Range(0, 1<<40).Draw(t, "ahead")
	if k.accepted > 0 {
		k.value = epoch.ID{Number: u("number"), Founder: epoch.RaftID(u("founder"))}
		k.top = epoch.ID{Number: rapid.Uint64Range(0, k.value.Number).Draw(t, "top"), Founder: epoch.RaftID(u("founder"))}
	}
	return k
}

// Goal: what is written is read, and nothing else is taken for a block. Method: any
// block there and back; one bit changed in one copy (the other one counts), then in
// both.
func TestBlockThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := anyBlock(t)
		slot := make([]byte, slotSize)
		k.encode(slot)
		if got, c, err := decodeBlock(slot); err != nil || got != k || c.lagging != -1 {
			t.Fatalf("got %+v, %+v, %v, want %+v", got, c, err, k)
		}
		bit := rapid.IntRange(0, 8*contentSize-1).Draw(t, "bit")
		n := rapid.IntRange(0, 1).Draw(t, "copy")
		slot[n*copySize+bit/8] ^= 1 << (bit % 8)
		if got, c, err := decodeBlock(slot); err != nil || got != k || c != (copies{n, true}) {
			t.Fatalf("copy %d damaged: got %+v, %+v, %v", n, got, c, err)
		}
		slot[(1-n)*copySize+bit/8] ^= 1 << (bit % 8)
		if got, _, err := decodeBlock(slot); err == nil {
			t.Fatalf("bit %d of both copies changed: read %+v", bit, got)
		}
	})
}

// Goal: of two sound copies the newer one counts, in whichever place.
func TestNewerCopyCounts(t *testing.T) {
	older := block{server: 2, disk: ID{1}, cluster: 9, seq: 4, ballot: 66}
	newer := older
	newer.seq, newer.ballot = 5, 98
	for place := range 2 {
		a, b := make([]byte, slotSize), make([]byte, slotSize)
		older.encode(a)
		newer.encode(b)
		copy(a[place*copySize:], b[:copySize])
		if got, c, err := decodeBlock(a); err != nil || got != newer || c != (copies{lagging: 1 - place}) {
			t.Errorf("newer at %d: got %+v, %+v, %v", place, got, c, err)
		}
	}
}

// Goal: whatever the bytes, decoding returns, and what it takes for a block or header
// has exactly this encoding.
func FuzzDecode(f *testing.F) {
	slot := make([]byte, slotSize)
	header{disk: ID{1}, sector: 512, blocks: 16, made: 5}.encode(slot)
	f.Add(bytes.Clone(slot[:contentSize]))
	block{server: 3, disk: ID{2}, cluster: 7, seq: 1, ballot: 35, accepted: 35, value: epoch.ID{Number: 2, Founder: 771}}.encode(slot)
	f.Add(bytes.Clone(slot[:contentSize]))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) != contentSize {
			return
		}
		for _, sealIt := range []bool{false, true} { // the checksum would keep the fuzzer out
			slot := make([]byte, slotSize)
			copy(slot, content)
			if sealIt {
				seal(slot)
			}
			copy(slot[copySize:], slot[:contentSize])
			again := make([]byte, slotSize)
			if k, _, err := decodeBlock(slot); err == nil {
				k.encode(again)
				if !bytes.Equal(again, slot) {
					t.Errorf("%+v has two encodings", k)
				}
			}
			if h, err := decodeHeader(slot); err == nil {
				h.encode(again)
				if !bytes.Equal(again, slot) {
					t.Errorf("%+v has two encodings", h)
				}
			}
		}
	})
}
