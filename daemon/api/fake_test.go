package api

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"baton/core/cluster"
)

// fakeBackend is a cluster of nothing: pictures and events that the test sets.
type fakeBackend struct {
	mu     sync.Mutex
	pic    *Status
	subs   map[chan *Status]context.Context
	events []cluster.Event
	forced []string
	more   chan struct{}
	refuse error
	asked  []cluster.Op
}

func newFake() *fakeBackend {
	return &fakeBackend{
		pic:  &Status{Cluster: "c", Server: "s1", Revision: 1},
		subs: map[chan *Status]context.Context{}, more: make(chan struct{}),
	}
}

func (b *fakeBackend) Status(context.Context) (*Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pic, nil
}

func (b *fakeBackend) Watch(ctx context.Context) <-chan *Status {
	ch := make(chan *Status, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	ch <- b.pic
	b.subs[ch] = ctx
	return ch
}

// show publishes a picture the way batond does: the newest replaces what nobody took.
func (b *fakeBackend) show(change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := *b.pic
	p.Ops = slices.Clone(p.Ops)
	p.Revision++
	change(&p)
	b.pic = &p
	for ch, ctx := range b.subs {
		if ctx.Err() != nil {
			delete(b.subs, ch)
			continue
		}
		select {
		case <-ch:
		default:
		}
		ch <- &p
	}
}

func (b *fakeBackend) watchers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, ctx := range b.subs {
		if ctx.Err() == nil {
			n++
		}
	}
	return n
}

func (b *fakeBackend) Events(after uint64, limit int) []cluster.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []cluster.Event
	for _, e := range b.events {
		if e.ID > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out
}

func (b *fakeBackend) Newest(limit int) []cluster.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events[max(0, len(b.events)-limit):])
}

func (b *fakeBackend) MoreEvents() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.more
}

func (b *fakeBackend) happen(id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, cluster.Event{ID: id, Code: "x", Text: "something"})
	close(b.more)
	b.more = make(chan struct{})
}

func (b *fakeBackend) Operate(_ context.Context, op cluster.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, op)
	return b.refuse
}

func (b *fakeBackend) Check(context.Context, cluster.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refuse
}

// serve starts a service for the test's own user.
func serve(t *testing.T, b Backend, p Permissions) (*Client, *Service) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "run", "batond.sock")
	s, err := New(Config{Socket: socket, Backend: b, Permissions: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return Dial(socket), s
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// clientContext bounds a client outside a test.
func clientContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 10*time.Second)
}

func (b *fakeBackend) ScriptLog(_ context.Context, group string, most int) (string, error) {
	return fmt.Sprintf("log of %s, at most %d", group, most), nil
}

func (b *fakeBackend) Why(_ context.Context, group string) (string, error) {
	if group != "受注" {
		return "", &Error{Code: "no-such-group", Message: "there is no group " + group}
	}
	return "online on s1 since noon", nil
}

func (b *fakeBackend) Foresee(_ context.Context, what string) (cluster.Forecast, error) {
	return cluster.Forecast{Moves: []cluster.ForeseenMove{{Group: what, To: "s2"}}}, nil
}

func (b *fakeBackend) Force(_ context.Context, server string, who cluster.Who) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forced = append(b.forced, server+" "+who.User)
	return nil
}
