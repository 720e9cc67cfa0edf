package disk

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// beating is a running heartbeat of a test.
type beating struct {
	*Beat
	heard [MaxServers + 1]atomic.Int64 // by server: how often
	turns atomic.Uint64
	stop  func()
}

const beatRound = 10 * time.Millisecond

// beats begins a heartbeat whose event loop turns as long as loop is set.
func beats(t *testing.T, device string, self int, loop *atomic.Bool) *beating {
	t.Helper()
	b := &beating{}
	var err error
	b.Beat, err = NewBeat(BeatConfig{
		Device: device, Self: self, Servers: 3, Round: beatRound, Timeout: 20 * beatRound, Log: slog.New(slog.DiscardHandler),
		Turns: func() uint64 {
			if loop.Load() {
				return b.turns.Add(1)
			}
			return b.turns.Load()
		},
		Heard: func(n int) { b.heard[n].Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx) })
	b.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(b.stop)
	return b
}

// until waits for something that a heartbeat is to bring about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(beatRound / 2) {
		if time.Now().After(end) {
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}

func yes() *atomic.Bool {
	b := &atomic.Bool{}
	b.Store(true)
	return b
}

// Servers hear each other by the disk, and one whose event loop stands still, or whose
// process has ended, is not heard any more, whatever its block says.
func TestBeat(t *testing.T) {
	device := prepared(t)
	loop := yes()
	one, two := beats(t, device, 1, yes()), beats(t, device, 2, loop)
	until(t, "1 and 2 hear each other", func() bool { return one.Sights()[1].OK && two.Sights()[0].OK })
	if s := one.Sights()[2]; s.OK || s.Age >= 0 {
		t.Errorf("server 3 has never written, and is seen as %+v", s)
	}
	if ok, text := one.State(); !ok {
		t.Errorf("state: %s", text)
	}
	loop.Store(false)
	until(t, "1 does not hear a loop that stands still", func() bool { return !one.Sights()[1].OK })
	until(t, "a server whose loop stands still reads on", func() bool { return two.Sights()[0].OK })
	loop.Store(true)
	until(t, "1 hears 2 again", func() bool { return one.Sights()[1].OK })
	two.stop()
	until(t, "1 does not hear a process that has ended", func() bool { return !one.Sights()[1].OK })
	// What is left on the disk says nothing to one that begins.
	three := beats(t, device, 3, yes())
	until(t, "3 hears 1", func() bool { return three.Sights()[0].OK })
	if three.heard[2].Load() != 0 {
		t.Error("3 has heard 2, which is gone")
	}
	// The next process of server 2 begins with number 1.
	again := beats(t, device, 2, yes())
	until(t, "a new process of 2 is heard", func() bool { return one.Sights()[1].OK && three.Sights()[1].OK && again.Sights()[0].OK })
}

// A disk that is damaged, emptied, prepared anew or gone is told, and used again when
// it is whole.
func TestBeatDiskFails(t *testing.T) {
	device := prepared(t)
	one, two := beats(t, device, 1, yes()), beats(t, device, 2, yes())
	hear := func(what string) {
		t.Helper()
		n := one.heard[2].Load()
		until(t, what, func() bool { ok, _ := one.State(); return ok && one.heard[2].Load() > n+2 && two.Sights()[0].OK })
	}
	says := func(text string) {
		t.Helper()
		until(t, "it says: "+text, func() bool {
			ok, said := one.State()
			return !ok && strings.Contains(said, text)
		})
	}
	hear("1 hears 2")
	if err := os.Truncate(device, 0); err != nil {
		t.Fatal(err)
	}
	says("less than the")
	for _, size := range []int64{0, Size} { // a writing that was under way may have made it longer again
		if err := os.Truncate(device, size); err != nil {
			t.Fatal(err)
		}
	}
	says("baton disk init")
	if _, err := Init(device, false); err != nil {
		t.Fatal(err)
	}
	hear("1 hears 2 on a disk that was prepared anew")
	if err := os.Rename(device, device+".gone"); err != nil {
		t.Fatal(err)
	}
	// An open file is not gone. What is told is what the device itself says.
	hear("a name that is gone, while the file is open")
	if err := os.Rename(device+".gone", device); err != nil {
		t.Fatal(err)
	}
}

// What can stand in a block, by a table.
func TestDecodeHeartbeat(t *testing.T) {
	h := heartbeat{server: 3, disk: ID{1}, run: ID{2}, seq: 9}
	whole := make([]byte, copySize)
	h.encode(whole)
	if got, err := decodeHeartbeat(whole); err != nil || got != h {
		t.Fatalf("got %+v, %v; want %+v", got, err, h)
	}
	change := func(f func(b []byte)) []byte {
		b := append([]byte(nil), whole...)
		f(b)
		return b
	}
	for _, tc := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", make([]byte, copySize), "never written"},
		{"a bit is wrong", change(func(b []byte) { b[50] ^= 1 }), "checksum"},
		{"half of it", change(func(b []byte) { clear(b[256:512]) }), "checksum"},
		{"something else", change(func(b []byte) { b[0] = 'x'; seal(b) }), "not a CLUSTER partition"},
		{"a later format", change(func(b []byte) { b[11] = 9; seal(b) }), "format 9"},
		{"more than it should have", change(func(b []byte) { b[100] = 1; seal(b) }), "checksum"},
	} {
		if _, err := decodeHeartbeat(tc.b); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// Goal: no block makes a reader fail or believe what has no checksum.
func FuzzHeartbeat(f *testing.F) {
	b := make([]byte, copySize)
	f.Add(append([]byte(nil), b...))
	heartbeat{server: 1, disk: ID{1}, run: ID{2}, seq: 3}.encode(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		block := make([]byte, copySize)
		copy(block, b)
		h, err := decodeHeartbeat(block)
		if err != nil {
			return
		}
		again := make([]byte, copySize)
		h.encode(again)
		if string(again[:contentSize]) != string(block[:contentSize]) {
			t.Errorf("%+v is encoded in another way than it was read", h)
		}
	})
}
