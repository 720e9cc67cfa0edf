package disk

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"baton/core/node"
)

// flaky is a partition in memory whose writes fail as a test says: before they are there
// or after.
type flaky struct {
	content []byte
	fails   []failure // of the next writes
}

type failure int

const (
	works failure = iota
	failsBefore
	failsAfter
)

func (f *flaky) read(area []byte) error { copy(area, f.content); return nil }

func (f *flaky) write(off int64, data []byte) error {
	how := works
	if len(f.fails) > 0 {
		how, f.fails = f.fails[0], f.fails[1:]
	}
	if how != failsBefore {
		copy(f.content[off:], data)
	}
	if how != works {
		return errors.New("input/output error")
	}
	return nil
}

func (f *flaky) pause(time.Duration) error { return nil }

// Goal: whatever writes have failed, and whether they are there or not, the server knows its
// own block again when the disk works. Method: every course of four writes, then a claim.
func TestFailedWrites(t *testing.T) {
	for course := range 3 * 3 * 3 * 3 {
		f := &flaky{content: make([]byte, Size)}
		blank(f.content, header{disk: ID{1}, sector: 512, blocks: 16})
		p := newPaxos(1, f, make([]byte, areaSize), make([]byte, slotSize))
		if _, err := p.do(node.RegisterCall{Cluster: 1, Raise: id(1, 1)}); err != nil {
			t.Fatal(err)
		}
		for k := course; len(f.fails) < 4; k /= 3 {
			f.fails = append(f.fails, failure(k%3))
		}
		fails := append([]failure(nil), f.fails...)
		want := id(2, 1)
		for tries := 0; len(f.fails) > 0 && tries < 5; tries++ {
			_, _ = p.do(node.RegisterCall{Cluster: 1, Claim: want})
			want.Number++
		}
		if a, err := p.do(node.RegisterCall{Cluster: 1, Claim: want}); err != nil || a.Top != want {
			t.Errorf("writes %v: %+v, %v, want %v", fails, a, err, want)
		}
	}
}

// Goal: a copy of the disk from before somebody else's claim is noticed by everybody who knew of
// that claim, though its own block is as it left it; the leader of the newer epoch mends that.
func TestOlderCopyOfOthers(t *testing.T) {
	path := prepared(t)
	first, second := open(t, path, 1), open(t, path, 2)
	ask(t, first, node.RegisterCall{Raise: id(1, 1)})
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, second, node.RegisterCall{Claim: id(2, 2)})
	if a := ask(t, first, node.RegisterCall{}); a.Top != id(2, 2) {
		t.Fatalf("told %v", a.Top)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []node.RegisterCall{{}, {Claim: id(2, 1)}, {Raise: id(1, 1)}, {Raise: id(2, 1)}} {
		a, err := first.Do(t.Context(), node.RegisterCall{Cluster: 1, Claim: c.Claim, Raise: c.Raise})
		if err == nil || !strings.Contains(err.Error(), "older copy") {
			t.Errorf("%+v on an older copy: %+v, %v", c, a, err)
		}
	}
	if a := ask(t, first, node.RegisterCall{Raise: id(2, 2)}); a.Top != id(2, 2) {
		t.Errorf("raised to %v", a.Top)
	}
	if a := ask(t, first, node.RegisterCall{Claim: id(2, 1)}); a.Top != id(2, 2) {
		t.Errorf("epoch 2 is given to %v", a.Top)
	}
}
