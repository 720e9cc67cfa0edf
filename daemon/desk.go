package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/core/lease"
	"baton/core/node"
	"baton/daemon/api"
	"baton/daemon/script"
)

// Times of the desk.
const (
	// watchedPause is the shortest time between two pictures while somebody watches,
	// quietPause while nobody does.
	watchedPause = 50 * time.Millisecond
	quietPause   = 500 * time.Millisecond
	// refresh is the longest time between two pictures for a watcher: ages grow.
	refresh = time.Second
)

// desk is the API's backend. It looks at the node after changes, in a goroutine of
// its own, and makes pictures only while somebody watches.
type desk struct {
	loop    *loop
	conf    *conf.Config
	times   lease.Params
	version string
	figures func() [][]pathFigures
	drops   func() map[string]uint64
	// logFile is where the output of a group's scripts is; nil: nowhere.
	logFile func(group string) string
	// seen is told of every view that the desk takes; nil: nobody wants it.
	seen func(*node.View)
	tie  *arbiter // nil: none
	*book

	wake chan struct{} // capacity 1: a new watcher wants its first picture

	mu       sync.Mutex
	watchers map[chan *api.Status]struct{} // nil once the desk has closed
	took     map[tookKey]time.Duration
}

func newDesk(l *loop, c *conf.Config, version string) *desk {
	return &desk{
		loop: l, conf: c, times: l.times, version: version, book: l.book,
		figures:  func() [][]pathFigures { return nil },
		drops:    func() map[string]uint64 { return nil },
		wake:     make(chan struct{}, 1),
		watchers: map[chan *api.Status]struct{}{},
		took:     map[tookKey]time.Duration{},
	}
}

// run serves the watchers until the loop has ended.
func (d *desk) run() {
	defer d.close()
	ctx := context.Background() // the loop's end is what ends waiting for it
	for {
		v, err := d.loop.view(ctx)
		if err != nil {
			return
		}
		d.book.add(v.State.Events) // those of a state that was taken over whole
		if d.seen != nil {
			d.seen(&v)
		}
		watched := d.deliver(v)
		if !d.pause(watched) {
			return
		}
	}
}

// pause waits until there should be another picture. False: the loop has ended.
func (d *desk) pause(watched bool) bool {
	least, most := quietPause, time.Duration(0)
	if watched {
		least, most = watchedPause, refresh
	}
	timer := time.NewTimer(least)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.wake:
		return true
	case <-d.loop.done:
		return false
	}
	var due <-chan time.Time
	if watched {
		timer.Reset(most - least)
		due = timer.C
	}
	select {
	case <-d.loop.changed:
	case <-due:
	case <-d.wake:
	case <-d.loop.done:
		return false
	}
	return true
}

// deliver gives everybody the newest picture and says whether there is anybody.
func (d *desk) deliver(v node.View) bool {
	d.mu.Lock()
	watched := len(d.watchers) > 0
	d.mu.Unlock()
	if !watched {
		return false
	}
	pic := d.picture(v)
	d.mu.Lock()
	defer d.mu.Unlock()
	for ch := range d.watchers {
		select {
		case <-ch: // an older one that was not taken
		default:
		}
		ch <- pic // room: only the desk sends
	}
	return true
}

func (d *desk) picture(v node.View) *api.Status {
	d.mu.Lock()
	took := make(map[tookKey]time.Duration, len(d.took))
	maps.Copy(took, d.took)
	d.mu.Unlock()
	return makePicture(scene{
		Conf: d.conf, Times: d.times, View: v, Wall: time.Now().UnixMilli(), Version: d.version,
		Figures: d.figures(), Drops: d.drops(), Took: took, Tie: d.tie.word(),
	})
}

// ended remembers how long a step took here.
func (d *desk) ended(st cluster.Step, o cluster.Outcome) {
	if !o.OK || o.Millis <= 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took[tookKey{st.Group, st.Kind}] = time.Duration(o.Millis) * time.Millisecond
}

func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ch := range d.watchers {
		close(ch)
	}
	d.watchers = nil
}

// The rest is api.Backend.

// Status makes a picture as of now.
func (d *desk) Status(ctx context.Context) (*api.Status, error) {
	v, err := d.loop.view(ctx)
	if err != nil {
		return nil, explain(err)
	}
	return d.picture(v), nil
}

// Watch gives pictures until ctx ends or the loop does.
func (d *desk) Watch(ctx context.Context) <-chan *api.Status {
	ch := make(chan *api.Status, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watchers == nil {
		close(ch)
		return ch
	}
	d.watchers[ch] = struct{}{}
	wake(d.wake)
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if _, ok := d.watchers[ch]; ok {
			delete(d.watchers, ch)
			close(ch)
		}
	})
	return ch
}

// Operate returns when the log has the operation.
func (d *desk) Operate(ctx context.Context, op cluster.Op) error {
	answer, err := d.loop.request(ctx, op)
	if err != nil {
		return explain(err)
	}
	// The node answers within twice the timeout.
	late := time.NewTimer(3 * d.times.Timeout)
	defer late.Stop()
	select {
	case r := <-answer:
		return refusal(r)
	case <-late.C:
	case <-ctx.Done():
		d.loop.forget(op.ID)
		return ctx.Err()
	case <-d.loop.done:
	}
	d.loop.forget(op.ID)
	return &api.Error{
		Code: api.CodeNoAnswer, Message: fmt.Sprintf("nobody has answered; operation %s may still be carried out", op.ID),
		Hint: "look at the cluster before you ask again",
	}
}

// Check says whether the operation would be accepted now.
func (d *desk) Check(ctx context.Context, op cluster.Op) error {
	v, err := d.loop.view(ctx)
	if err != nil {
		return explain(err)
	}
	if !v.Quorum {
		return undecided(&v)
	}
	return refusal(v.State.Check(op))
}

// undecided refuses what only a cluster that can decide has an answer to.
func undecided(v *node.View) error {
	return &api.Error{Code: api.CodeNoQuorum, Message: "the cluster cannot decide anything now: " + v.Waiting, Hint: "boot or reconnect the servers it waits for; if they are surely off, here: baton return " + v.Server + " --force"}
}

// Why says why a group is where it is.
func (d *desk) Why(ctx context.Context, group string) (string, error) {
	v, err := d.loop.view(ctx)
	if err != nil {
		return "", explain(err)
	}
	why, r := v.State.Why(group, clockTime)
	return asKnown(&v) + why, refusal(r)
}

// asKnown goes before what a server says of the cluster while it cannot know how that
// stands now; "" where it can.
func asKnown(v *node.View) string {
	if v.Quorum {
		return ""
	}
	does := "decides nothing now"
	if v.Lease <= 0 {
		does += " and runs no group"
	}
	return v.Server + " " + does + ": " + v.Waiting + "; what it knew last: "
}

// ScriptLog is the end of what a group's scripts have printed here.
func (d *desk) ScriptLog(ctx context.Context, group string, most int) (string, error) {
	v, err := d.loop.view(ctx)
	if err != nil {
		return "", explain(err)
	}
	if v.State.Group(group) == nil || d.logFile == nil { // no other name becomes a path
		_, r := v.State.Why(group, clockTime)
		return "", refusal(r)
	}
	text, err := script.Tail(d.logFile(group), most)
	if err != nil {
		return "", err
	}
	return string(text), nil
}

// clockTime is a time of the cluster as an operator here reads it.
func clockTime(ms int64) string {
	t := time.UnixMilli(ms)
	if time.Since(t) > 20*time.Hour {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("15:04:05")
}

// Foresee says what would happen.
func (d *desk) Foresee(ctx context.Context, what string) (cluster.Forecast, error) {
	v, err := d.loop.view(ctx)
	if err != nil {
		return cluster.Forecast{}, explain(err)
	}
	c, err := v.State.Suppose(what)
	switch {
	case err != nil:
		return cluster.Forecast{}, &api.Error{Code: api.CodeBadRequest, Message: err.Error()}
	case !v.Quorum:
		return cluster.Forecast{}, undecided(&v)
	}
	tie := node.Tie{Works: d.tie.word() == "ok"}
	if kind := d.conf.Tiebreaker.Kind; kind != conf.TiebreakerNone {
		tie.Kind = kind
	}
	return v.Foresee(c, tie), nil
}

// Force lets this server go on alone.
func (d *desk) Force(ctx context.Context, server string, who cluster.Who) error {
	v, err := d.loop.view(ctx)
	switch {
	case err != nil:
		return explain(err)
	case server != v.Server:
		return &api.Error{Code: api.CodeNotHere, Message: fmt.Sprintf("this is %s: %s must be asked itself", v.Server, server), Hint: "log in there"}
	case v.Quorum:
		return &api.Error{Code: api.CodeNotNeeded, Message: v.Server + " is not alone: its leader is " + v.Leader, Hint: "baton return " + server}
	}
	d.loop.put(node.Input{Force: &node.Force{Who: who}})
	return nil
}

func refusal(r *cluster.Refusal) error {
	if r == nil {
		return nil
	}
	return &api.Error{Code: r.Code, Message: r.Message, Hint: r.Hint}
}

func explain(err error) error {
	if errors.Is(err, errStopped) {
		return &api.Error{Code: api.CodeStopping, Message: "this batond is stopping", Hint: "ask another server"}
	}
	return err
}

var _ api.Backend = (*desk)(nil)
