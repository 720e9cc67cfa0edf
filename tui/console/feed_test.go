package console

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/stage"
)

// play opens a batond on a socket of its own.
func play(t *testing.T, st *api.Status, ev []cluster.Event) (*stage.Daemon, *api.Client) {
	t.Helper()
	dir, err := os.MkdirTemp("", "baton") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d, err := stage.New(filepath.Join(dir, "s"), st, ev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, api.Dial(filepath.Join(dir, "s"))
}

// listener runs a feed and collects what it hands over, as the event loop would.
type listener struct {
	t    *testing.T
	feed *feed
	ctx  context.Context
	done chan struct{}
	// all that came
	events []cluster.Event
	last   *api.Status
	links  []link
}

func listen(t *testing.T, dial func(context.Context) (Client, string, error)) *listener {
	ctx, cancel := context.WithCancel(t.Context())
	l := &listener{t: t, ctx: ctx, feed: newFeed(&Options{Dial: dial}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.feed.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-l.done:
		case <-time.After(5 * time.Second):
			t.Error("the feed does not end")
		}
	})
	return l
}

// until takes batches until the condition holds.
func (l *listener) until(what string, holds func() bool) {
	l.t.Helper()
	end := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-l.feed.ready:
			b := l.feed.take()
			l.events = append(l.events, b.events...)
			if b.status != nil {
				l.last = b.status
			}
			if b.link != nil {
				l.links = append(l.links, *b.link)
			}
		case <-end:
			l.t.Fatalf("%s: does not come; links %+v, %d events", what, l.links, len(l.events))
		}
	}
}

func (l *listener) reached(via string) func() bool {
	return func() bool { n := len(l.links); return n > 0 && l.links[n-1].via == via && l.links[n-1].client != nil }
}

// The server that the console asks loses its power: the console goes to another one,
// and each event comes once.
func TestFeedGoesToAnotherServer(t *testing.T) {
	at := time.Now()
	ev := stage.Events(at)
	one, c1 := play(t, stage.Healthy(at, 3), ev)
	two, c2 := play(t, stage.OneDown(at, 3), append(ev, cluster.Event{ID: 95, Text: "node1 is down"}))
	var dials atomic.Int32
	l := listen(t, func(context.Context) (Client, string, error) {
		if dials.Add(1) == 1 {
			return c1, "node1", nil
		}
		return c2, "node2", nil
	})
	l.until("first picture and events", func() bool { return l.last != nil && len(l.events) == len(ev) })
	one.Close()
	l.until("the other server", l.reached("node2"))
	l.until("its event", func() bool { return len(l.events) == len(ev)+1 })
	if e := l.events[len(ev)]; e.ID != 95 {
		t.Errorf("after the change came %+v", e)
	}
	two.Say(cluster.Event{ID: 96})
	l.until("a new event", func() bool { return len(l.events) == len(ev)+2 })
}

// A daemon that is stopped (SIGSTOP, a dead disk) keeps its connections: silence is
// what tells.
func TestFeedLeavesASilentServer(t *testing.T) {
	at := time.Now()
	one, c1 := play(t, stage.Healthy(at, 3), nil)
	_, c2 := play(t, stage.Healthy(at, 3), nil)
	var dials atomic.Int32
	l := listen(t, func(context.Context) (Client, string, error) {
		if dials.Add(1) == 1 {
			return c1, "node1", nil
		}
		return c2, "node2", nil
	})
	l.until("first", l.reached("node1"))
	one.Silence(true)
	begun := time.Now()
	l.until("the other server", l.reached("node2"))
	if d := time.Since(begun); d > silence+2*time.Second {
		t.Errorf("took %v, more than %v", d, silence)
	}
}

// Nobody answers: it says why, tries again and again, but not in a tight loop, and is
// there when somebody does.
func TestFeedKeepsTrying(t *testing.T) {
	_, c := play(t, stage.Healthy(time.Now(), 3), nil)
	var dials atomic.Int32
	var up atomic.Bool
	l := listen(t, func(context.Context) (Client, string, error) {
		dials.Add(1)
		if up.Load() {
			return c, "node1", nil
		}
		return nil, "", errors.New("no server answers")
	})
	l.until("the reason", func() bool { return len(l.links) > 0 && l.links[0].err != nil && l.links[0].client == nil })
	time.Sleep(1500 * time.Millisecond)
	if n := dials.Load(); n < 3 || n > 8 {
		t.Errorf("%d attempts in 1.5 s", n)
	}
	up.Store(true)
	l.feed.reconnect()
	begun := time.Now()
	l.until("contact", l.reached("node1"))
	if d := time.Since(begun); d > 500*time.Millisecond {
		t.Errorf("ctrl+r took %v", d)
	}
}

// A console that does not come round to taking batches loses nothing that counts: the
// newest picture and the newest events.
func TestFeedBoundsWhatWaits(t *testing.T) {
	d, c := play(t, stage.Healthy(time.Now(), 3), nil)
	l := listen(t, func(context.Context) (Client, string, error) { return c, "node1", nil })
	l.until("contact", l.reached("node1"))
	const n = pendingEvents + 500
	for i := range n {
		d.Say(cluster.Event{ID: uint64(100 + i)})
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		l.feed.mu.Lock()
		waiting := l.feed.next.events
		l.feed.mu.Unlock()
		if len(waiting) > pendingEvents {
			t.Fatalf("%d events wait, at most %d may", len(waiting), pendingEvents)
		}
		if len(waiting) > 0 && waiting[len(waiting)-1].ID == 100+n-1 {
			return
		}
	}
	t.Error("the newest event does not come")
}

// Before the first picture there is room for all of why there is none, and what to do.
func TestTroubleIsWhole(t *testing.T) {
	d := sitAt(view{w: 80, h: 24})
	d.down = "no batond at /run/baton/batond.sock: is it running? (systemctl status batond; --socket or BATON_SOCKET say where it listens)"
	got := strings.Join(strings.Fields(strings.Join(plain(d.model), " ")), " ")
	if want := "cannot reach batond (" + d.down + "); trying again"; !strings.Contains(got, want) {
		t.Errorf("lacks %q:\n%s", want, strings.Join(plain(d.model), "\n"))
	}
}

// Every verb that is asked about has its words.
func TestVerbWords(t *testing.T) {
	for v := range verbTitles {
		if _, ok := verbWords[v]; !ok {
			t.Errorf("%s has a title, and no word for its key", v)
		}
	}
}
