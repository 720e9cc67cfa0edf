package node

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"baton/core/cluster"
	"baton/core/epoch"
	"baton/core/lease"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Keys of the store. The log's entries and the journal's tokens follow their prefix
// as eight bytes, big-endian, so that the order of keys is the order of numbers.
var (
	keyIdentity = []byte("id")
	keyHard     = []byte("hs")
	keySnapshot = []byte("snap")
	keyKept     = []byte("kept")
	prefixEntry = []byte("e/")
	prefixToken = []byte("j/")
)

// identity is who this server is, as its disk says.
type identity struct {
	Raft    epoch.RaftID `json:"raft"`
	Start   uint64       `json:"start"`   // how many times batond has started on this disk
	Session uint64       `json:"session"` // newest session number taken
	Epoch   epoch.ID     `json:"epoch"`
	// Sealed: the server takes no part in Epoch any more (D3). Claimed: it may have
	// claimed the next one, so it must not drop its log before that is decided (D5).
	Sealed  bool `json:"sealed,omitempty"`
	Claimed bool `json:"claimed,omitempty"`
	// Claim is the number that it may have claimed last.
	Claim uint64 `json:"claim,omitempty"`
	// Yield is the server that this one has left the founding of the next epoch to (D12).
	Yield epoch.RaftID `json:"yield,omitempty"`
	// Forced is the newest epoch of this history that an operator has founded (D1).
	Forced epoch.ID `json:"forced,omitzero"`
	// Quorate is the boot id under which this server last held a lease (T3).
	Quorate string `json:"quorate,omitempty"`
}

// image is a store's content, understood.
type image struct {
	id      identity
	hard    *pb.HardState
	snap    *pb.Snapshot
	kept    *pb.Snapshot // of an earlier epoch (D9)
	entries []*pb.Entry
	journal journal
}

func numbered(prefix []byte, x uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(prefix), x)
}

// endOf returns the key behind all keys with a prefix of numbers.
func endOf(prefix []byte) []byte { return append(numbered(prefix, ^uint64(0)), 0) }

// readImage understands a store's content. It refuses what it does not know: a
// newer batond's store must not be half understood.
func readImage(img Image) (image, error) {
	out := image{hard: &pb.HardState{}}
	for _, kv := range img {
		var err error
		switch {
		case bytes.Equal(kv.Key, keyIdentity):
			err = json.Unmarshal(kv.Value, &out.id)
		case bytes.Equal(kv.Key, keyHard):
			err = proto.Unmarshal(kv.Value, out.hard)
		case bytes.Equal(kv.Key, keySnapshot):
			out.snap = &pb.Snapshot{}
			err = proto.Unmarshal(kv.Value, out.snap)
		case bytes.Equal(kv.Key, keyKept):
			out.kept = &pb.Snapshot{}
			err = proto.Unmarshal(kv.Value, out.kept)
		case bytes.HasPrefix(kv.Key, prefixEntry) && len(kv.Key) == len(prefixEntry)+8:
			e := &pb.Entry{}
			if err = proto.Unmarshal(kv.Value, e); err == nil && e.GetIndex() != binary.BigEndian.Uint64(kv.Key[len(prefixEntry):]) {
				err = fmt.Errorf("holds entry %d", e.GetIndex())
			}
			if k := len(out.entries); err == nil && k > 0 && out.entries[k-1].GetIndex()+1 != e.GetIndex() {
				err = fmt.Errorf("follows entry %d", out.entries[k-1].GetIndex())
			}
			out.entries = append(out.entries, e)
		case bytes.HasPrefix(kv.Key, prefixToken) && len(kv.Key) == len(prefixToken)+8:
			e := &journalEntry{Token: binary.BigEndian.Uint64(kv.Key[len(prefixToken):])}
			err = json.Unmarshal(kv.Value, e)
			e.begun, e.reported = true, e.Done
			out.journal = append(out.journal, e)
		default:
			err = fmt.Errorf("unknown key; was the state directory written by a newer batond?")
		}
		if err != nil {
			return image{}, fmt.Errorf("state directory: key %q: %w", kv.Key, err)
		}
	}
	if out.id.Epoch != (epoch.ID{}) && out.snap == nil && len(out.entries) > 0 {
		return image{}, fmt.Errorf("state directory: a log of %d entries without what it builds on", len(out.entries))
	}
	if s := out.snap; s != nil && len(out.entries) > 0 {
		if first, want := out.entries[0].GetIndex(), s.GetMetadata().GetIndex()+1; first > want {
			return image{}, fmt.Errorf("state directory: the log begins at %d, the snapshot ends at %d", first, want-1)
		}
	}
	return out, nil
}

// draft gathers what one step writes.
type draft struct {
	del  []KeyRange
	put  []KeyValue
	then []func()
}

type pendingBatch struct {
	id   uint64
	at   lease.Instant
	then []func()
}

func (n *Node) drafted() *draft {
	if n.draft == nil {
		n.draft = &draft{}
	}
	return n.draft
}

// putKey writes a value; a later one for the same key replaces it.
func (n *Node) putKey(key, value []byte) {
	d := n.drafted()
	d.put = slices.DeleteFunc(d.put, func(kv KeyValue) bool { return bytes.Equal(kv.Key, key) })
	d.put = append(d.put, KeyValue{key, value})
}

// deleteKeys removes a range of keys, and what the draft has put into it: in a
// batch, deletions come first.
func (n *Node) deleteKeys(from, to []byte) {
	d := n.drafted()
	d.put = slices.DeleteFunc(d.put, func(kv KeyValue) bool {
		return bytes.Compare(kv.Key, from) >= 0 && bytes.Compare(kv.Key, to) < 0
	})
	d.del = append(d.del, KeyRange{from, to})
}

func (n *Node) deleteKey(key []byte) { n.deleteKeys(key, append(slices.Clone(key), 0)) }

// persist calls then as soon as everything put so far is durable.
func (n *Node) persist(then func()) { d := n.drafted(); d.then = append(d.then, then) }

func (n *Node) flushDraft() {
	d := n.draft
	if d == nil {
		return
	}
	n.draft = nil
	n.lastBatch++
	n.pending = append(n.pending, pendingBatch{n.lastBatch, n.now.Mono, d.then})
	n.out.Batch = &Batch{ID: n.lastBatch, Delete: d.del, Put: d.put}
}

// written runs what waited for the batches up to id.
func (n *Node) written(id uint64) {
	for len(n.pending) > 0 && n.pending[0].id <= id {
		then := n.pending[0].then
		n.pending = n.pending[1:]
		for _, f := range then {
			f()
		}
	}
}

// isStuck reports whether the disk has left a write unfinished for so long that this
// server had better not lead (H23).
func (n *Node) isStuck() bool {
	return len(n.pending) > 0 && !n.lacks(NoStuck) && n.now.Mono.Sub(n.pending[0].at) > n.p.Elect
}

// writeIdentity changes the identity: first on disk, then, when the disk has it, in
// n.id, and then it calls then. Changes build on those still being written, so that
// one does not undo another. early is the rule without which it does not wait.
func (n *Node) writeIdentity(early Weakness, change func(*identity), then func()) {
	change(&n.nextID)
	n.putKey(keyIdentity, mustJSON(n.nextID))
	n.persistUnless(early, func() {
		change(&n.id)
		then()
	})
}

// mustJSON encodes values that cannot fail: structs of numbers, strings and slices.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}

func mustProto(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", m, err))
	}
	return b
}

// journalEntry is what this server knows of a token (S5): that the step was begun,
// and how it ended.
type journalEntry struct {
	Token   uint64          `json:"-"`
	Done    bool            `json:"done,omitempty"`
	Outcome cluster.Outcome `json:"outcome"`

	begun    bool // the disk knows that it was begun
	running  bool // Run was output in this life
	reported bool // the disk knows the outcome
}

// journal is in the order of tokens.
type journal []*journalEntry

func (j journal) find(token uint64) *journalEntry {
	for _, e := range j {
		if e.Token == token {
			return e
		}
	}
	return nil
}

// forget drops everything: the session that the tokens belong to is over.
func (j *journal) forget(n *Node) {
	if len(*j) > 0 {
		n.deleteKeys(prefixToken, endOf(prefixToken))
	}
	*j = nil
}
