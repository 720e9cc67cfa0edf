package peer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"baton/daemon/wire"

	"pgregory.net/rapid"
)

// An announcement of many bytes that do not come costs no memory.
func TestBodyIsReadAsItComes(t *testing.T) {
	const runs = 100
	short := bytes.Repeat([]byte("x"), 1000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		if _, err := readBody(bytes.NewReader(short), wire.MaxStream); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / runs; each > 256<<10 {
		t.Errorf("1000 bytes of %d cost %d bytes", wire.MaxStream, each)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(60_000, 300_000)).Draw(t, "size")
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * 7)
		}
		got, err := readBody(bytes.NewReader(append(want, "behind"...)), n)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), n, err)
		}
	})
}

// The queue keeps the newest frames, in order, up to its bounds, and none that is
// too old.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const maxAge = time.Second
		q := newQueue(maxAge)
		now := time.Now()
		var model []frame
		dropped, want := 0, 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			for len(model) > 0 && now.Sub(model[0].at) > maxAge {
				model = model[1:]
				want++
			}
			if rapid.Bool().Draw(t, "pop") {
				f, stale, ok := q.pop(now)
				dropped += stale
				if ok != (len(model) > 0) || ok && &f.b[0] != &model[0].b[0] {
					t.Fatalf("got %v %v, want the first of %d", f, ok, len(model))
				}
				if ok {
					model = model[1:]
				}
				continue
			}
			for range rapid.SampledFrom([]int{1, 700}).Draw(t, "pushes") {
				f := frame{make([]byte, 1), now}
				stale, full := q.push(f)
				dropped += stale + full
				model = append(model, f)
				if len(model) > maxFrames {
					model = model[1:]
					want++
				}
			}
		}
		if dropped != want || q.length() != len(model) {
			t.Fatalf("%d dropped, %d left, want %d and %d", dropped, q.length(), want, len(model))
		}
	})
}

// Two of the largest messages do not fit at a time; one does, with smaller ones beside
// it.
func TestQueueBytes(t *testing.T) {
	q := newQueue(time.Hour)
	now := time.Now()
	big := make([]byte, wire.MaxStream+frameHeadSize)
	for _, c := range []struct{ size, full, left int }{
		{len(big), 0, 1}, {100, 0, 2}, {len(big), 1, 2}, {16<<20 - 200, 0, 3}, {100, 1, 3},
	} {
		if _, full := q.push(frame{big[:c.size], now}); full != c.full || q.length() != c.left {
			t.Errorf("%d bytes: %d dropped, %d left, want %d and %d", c.size, full, q.length(), c.full, c.left)
		}
	}
	for q.length() > 0 {
		q.pop(now)
	}
	if q.bytes != 0 {
		t.Errorf("the empty queue holds %d bytes", q.bytes)
	}
}

// Of each frame one copy is delivered, also of many lives; what is remembered is
// bounded.
func TestOnce(t *testing.T) {
	var a accepted
	a.init(3)
	delivered := 0
	put := func(life, seq uint64, room bool) {
		h := frameHead{life: life, seq: seq, size: 1}
		a.once(1, h, func() bool {
			if room {
				delivered++
			}
			return room
		})
		if a.isCopy(1, h) != room {
			t.Errorf("life %d, frame %d: delivered %v, copy %v", life, seq, room, !room)
		}
	}
	put(7, 1, true)
	put(7, 5, false) // no room
	put(7, 5, true)
	put(7, 2, true)
	put(7, 5, true) // a copy: nothing is called
	for life := uint64(10); life < 20; life++ {
		put(life, 1, true)
		put(7, 10+life, true)
	}
	if delivered != 3+20 {
		t.Errorf("%d delivered, want 23", delivered)
	}
	if n := len(a.senders[1].lives); n != keepLives {
		t.Errorf("%d lives are kept, want %d", n, keepLives)
	}
	if a.isCopy(2, frameHead{life: 7, seq: 1}) {
		t.Error("another sender's frame is taken for a copy")
	}
}

// Whatever an authenticated server sends is read without a panic, and what is read
// is what was sent.
func FuzzFrames(f *testing.F) {
	f.Add(append(frameHead{1, 1, 5}.append(nil), "hello"...))
	f.Add(append(frameHead{1, 0, 0}.append(nil), frameHead{1, 2, 1}.append(nil)...))
	f.Add(frameHead{1, 1, wire.MaxStream}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		r := bufio.NewReaderSize(bytes.NewReader(b), 16<<10)
		for {
			h, err := readHead(r)
			if err != nil {
				break
			}
			again = h.append(again)
			body, err := readBody(r, h.size)
			if err != nil {
				break
			}
			again = append(again, body...)
			_, _ = wire.Decode(body)
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("%x was read as %x", b, again)
		}
	})
}
