// Package stage is a batond that plays what it is told: the real API on a real
// socket, with pictures and events from a test or a benchmark in place of a cluster.
// It is not for production and decides nothing.
package stage

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
)

// Daemon plays. Its methods may be called from any goroutine.
type Daemon struct {
	service *api.Service

	mu      sync.Mutex
	picture *api.Status
	events  []cluster.Event
	changed chan struct{} // closed at every change
	asked   []cluster.Op
	answer  func(op cluster.Op) error
	foresee func(what string) (cluster.Forecast, error)
	silent  bool
	watched int
}

// New opens the socket. The user who runs the test may operate.
func New(socket string, st *api.Status, events []cluster.Event) (*Daemon, error) {
	d := &Daemon{picture: st, events: events, changed: make(chan struct{})}
	s, err := api.New(api.Config{Socket: socket, Backend: (*backend)(d), Permissions: api.Permissions{Own: os.Getuid(), Operate: -1, View: -1}})
	if err != nil {
		return nil, err
	}
	d.service = s
	return d, nil
}

// Close takes the daemon away, as a crash would: streams break.
func (d *Daemon) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // at once
	d.service.Close(ctx)
}

// Show changes the picture; whoever watches gets it at once. The function changes a
// copy whose slices are its own.
func (d *Daemon) Show(change func(*api.Status)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := *d.picture
	st.Servers = append([]api.Server(nil), st.Servers...)
	st.Groups = append([]api.Group(nil), st.Groups...)
	st.Paths = append([]api.Path(nil), st.Paths...)
	st.Ops = append([]cluster.Op(nil), st.Ops...)
	change(&st)
	d.picture = &st
	d.wake()
}

// Say adds events to the log.
func (d *Daemon) Say(events ...cluster.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, events...)
	d.wake()
}

// Silence makes the daemon hang: connections stand, nothing is said any more.
func (d *Daemon) Silence(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent = on
	d.wake()
}

// Answer is called for every operation, without locks; nil accepts it.
func (d *Daemon) Answer(f func(op cluster.Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

// Foretell is called for every forecast, without locks; without it nothing would happen.
func (d *Daemon) Foretell(f func(what string) (cluster.Forecast, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.foresee = f
}

// Asked are the operations that were asked for.
func (d *Daemon) Asked() []cluster.Op {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]cluster.Op(nil), d.asked...)
}

// Watched is how many watch now: consoles, and commands that wait for their end.
func (d *Daemon) Watched() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.watched
}

func (d *Daemon) watch(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watched += n
}

// wake tells those who wait; the lock is held.
func (d *Daemon) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *Daemon) now() (st *api.Status, changed chan struct{}, silent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := *d.picture
	c.Time = time.Now().UnixMilli()
	return &c, d.changed, d.silent
}

// backend is the daemon's side towards the API.
type backend Daemon

func (b *backend) Status(ctx context.Context) (*api.Status, error) {
	st, _, _ := (*Daemon)(b).now()
	return st, nil
}

func (b *backend) Watch(ctx context.Context) <-chan *api.Status {
	out := make(chan *api.Status, 1)
	(*Daemon)(b).watch(1)
	go func() {
		defer close(out)
		defer (*Daemon)(b).watch(-1)
		for {
			st, changed, silent := (*Daemon)(b).now()
			if !silent {
				select {
				case <-out:
				default:
				}
				out <- st
			}
			select {
			case <-changed:
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (b *backend) Events(after uint64, limit int) []cluster.Event {
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

func (b *backend) Newest(limit int) []cluster.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]cluster.Event(nil), b.events[max(len(b.events)-limit, 0):]...)
}

func (b *backend) MoreEvents() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *backend) Operate(_ context.Context, op cluster.Op) error {
	b.mu.Lock()
	b.asked = append(b.asked, op)
	answer := b.answer
	b.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(op)
}

func (b *backend) Check(context.Context, cluster.Op) error { return nil }

// ScriptLog is a run of every group.
func (b *backend) ScriptLog(_ context.Context, group string, _ int) (string, error) {
	return "# start " + group + " on node1\nlistening\x1b[2J on 8080\n# start " + group + ": exit code 0\n", nil
}

// Why is the picture's own reason.
func (b *backend) Why(_ context.Context, group string) (string, error) {
	st, _, _ := (*Daemon)(b).now()
	for i := range st.Groups {
		if g := &st.Groups[i]; g.Name == group {
			return g.Reason, nil
		}
	}
	return "", &api.Error{Code: cluster.RefusedNoSuchGroup, Message: fmt.Sprintf("there is no group %q", group), Hint: "baton status lists the groups"}
}

func (b *backend) Foresee(_ context.Context, what string) (cluster.Forecast, error) {
	b.mu.Lock()
	foresee := b.foresee
	b.mu.Unlock()
	if foresee == nil {
		return cluster.Forecast{}, nil
	}
	return foresee(what)
}

// Force is kept and answered as an operation is.
func (b *backend) Force(ctx context.Context, server string, who cluster.Who) error {
	return b.Operate(ctx, cluster.Op{Verb: api.VerbForceReturn, Server: server, Who: who})
}
