package node

import (
	"strings"
	"testing"

	"baton/core/epoch"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A draft becomes one batch in which deletions come first, so what was put and then
// deleted in one step must be gone, and what was deleted and then put must be there.
func TestDraftKeepsTheOrderOfOneStep(t *testing.T) {
	n := &Node{out: &Output{}}
	n.putKey([]byte("a"), []byte("1"))
	n.putKey([]byte("b"), []byte("1"))
	n.deleteKeys([]byte("a"), []byte("b"))
	n.putKey([]byte("c"), []byte("1"))
	n.putKey([]byte("c"), []byte("2"))
	ran := false
	n.persist(func() { ran = true })
	n.flushDraft()
	want := &Batch{
		ID: 1, Delete: []KeyRange{{[]byte("a"), []byte("b")}},
		Put: []KeyValue{{[]byte("b"), []byte("1")}, {[]byte("c"), []byte("2")}},
	}
	if d := cmp.Diff(want, n.out.Batch); d != "" {
		t.Error(d)
	}
	n.written(0)
	if ran {
		t.Error("ran before the batch was durable")
	}
	n.written(1)
	if !ran {
		t.Error("did not run once the batch was durable")
	}
}

// Batches are reported in order, and a report covers those before it.
func TestWrittenCoversEarlierBatches(t *testing.T) {
	n := &Node{out: &Output{}}
	var got []int
	for i := range 3 {
		n.putKey([]byte("k"), nil)
		n.persist(func() { got = append(got, i) })
		n.flushDraft()
	}
	n.written(2)
	n.written(2)
	if d := cmp.Diff([]int{0, 1}, got); d != "" {
		t.Error(d)
	}
	n.written(3)
	if d := cmp.Diff([]int{0, 1, 2}, got); d != "" {
		t.Error(d)
	}
}

func entryKV(index uint64) KeyValue {
	return KeyValue{numbered(prefixEntry, index), mustProto(&pb.Entry{Index: proto.Uint64(index), Term: proto.Uint64(1)})}
}

func snapKV(index uint64) KeyValue {
	return KeyValue{keySnapshot, mustProto(&pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: proto.Uint64(index), Term: proto.Uint64(1), ConfState: &pb.ConfState{}}})}
}

// A store that does not hang together is refused with the key that shows it.
func TestReadImage(t *testing.T) {
	id := KeyValue{keyIdentity, mustJSON(identity{Raft: epoch.NewRaftID(2, 7), Start: 3, Session: 4, Epoch: epoch.ID{Number: 1, Founder: 9}})}
	for _, tc := range []struct {
		name string
		img  Image
		want string // part of the error, "" none
	}{
		{"empty", nil, ""},
		{"whole", Image{entryKV(5), entryKV(6), id, {numbered(prefixToken, 9), []byte(`{"done":true,"outcome":{"ok":true}}`)}, snapKV(5)}, ""},
		{"unknown key", Image{{[]byte("zz"), nil}}, `key "zz": unknown key; was the state directory written by a newer batond?`},
		{"short entry key", Image{{[]byte("e/1"), nil}}, "unknown key"},
		{"hole in the log", Image{entryKV(5), entryKV(7), id, snapKV(5)}, "follows entry 5"},
		{"log away from its snapshot", Image{entryKV(9), id, snapKV(5)}, "the log begins at 9, the snapshot ends at 5"},
		{"log without snapshot", Image{entryKV(5), id}, "without what it builds on"},
		{"broken identity", Image{{keyIdentity, []byte("{")}}, `key "id"`},
		{"entry under another number", Image{{numbered(prefixEntry, 3), entryKV(4).Value}, id, snapKV(2)}, "holds entry 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			img, err := readImage(tc.img)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if tc.name == "whole" && (img.id.Session != 4 || len(img.entries) != 2 || !img.journal.find(9).Done || !img.journal.find(9).reported) {
					t.Errorf("understood as %+v", img)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func FuzzReadImage(f *testing.F) {
	f.Add([]byte("id"), []byte(`{"raft":258}`))
	f.Add(numbered(prefixEntry, 4), entryKV(4).Value)
	f.Add(numbered(prefixToken, 4), []byte(`{}`))
	f.Add([]byte("snap"), snapKV(3).Value)
	f.Fuzz(func(_ *testing.T, key, value []byte) {
		_, _ = readImage(Image{{key, value}}) // an error or not, never a panic
	})
}
