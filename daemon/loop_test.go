package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/core/lease"
	"baton/core/node"
	"baton/daemon/api"
)

// fakeNode answers inputs with outputs that the test prepared, and remembers the
// inputs. Only the loop's goroutine uses it, under the lock for the test's eyes.
type fakeNode struct {
	mu     sync.Mutex
	inputs []node.Input
	answer func(node.Input) node.Output
	state  cluster.State
	// standing is what it says of the quorum, waiting that its view has none and why.
	standing node.Standing
	waiting  string
}

func (n *fakeNode) Step(_ node.Now, in node.Input) node.Output {
	n.mu.Lock()
	defer n.mu.Unlock()
	if in != (node.Input{}) {
		n.inputs = append(n.inputs, in)
	}
	if n.answer == nil {
		return node.Output{}
	}
	return n.answer(in)
}

func (n *fakeNode) View(node.Now) node.View {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state
	return node.View{Server: "s1", State: &s, Quorum: n.waiting == "", Leader: "s1", Voters: s.Config.Servers, Waiting: n.waiting}
}

func (n *fakeNode) Standing(node.Now) node.Standing {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.standing
}

func (n *fakeNode) change(f func(*cluster.State)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.state)
}

func (n *fakeNode) got(f func(node.Input) bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, in := range n.inputs {
		if f(in) {
			return true
		}
	}
	return false
}

// fakeHands write down what they are told.
type fakeHands struct {
	mu       sync.Mutex
	done     []string
	refuse   bool // Extend
	cleared  uint64
	clearing bool
}

func (h *fakeHands) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, s)
}

func (h *fakeHands) Extend(uint64, lease.Instant) bool {
	h.note("extend")
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.refuse
}
func (h *fakeHands) Disarm() bool            { h.note("disarm"); return true }
func (h *fakeHands) Fire()                   { h.note("fire") }
func (h *fakeHands) Ask([]node.RegisterCall) { h.note("ask") }
func (h *fakeHands) Write(node.Batch)        { h.note("write") }
func (h *fakeHands) Send(m []node.Message)   { h.note("send") }
func (h *fakeHands) Run(r node.Run)          { h.note("run") }
func (h *fakeHands) Finished() (uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cleared, !h.clearing
}

func (h *fakeHands) set(f func(*fakeHands)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
}

func (h *fakeHands) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.done, " ")
}

type fixture struct {
	*loop
	node  *fakeNode
	hands *fakeHands
	log   *lockedBuffer
	ended chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var testTimes = lease.Derive(500*time.Millisecond, 50*time.Millisecond)

func startLoop(t *testing.T, n *fakeNode, h *fakeHands) *fixture {
	t.Helper()
	f := &fixture{node: n, hands: h, log: &lockedBuffer{}, ended: make(chan error, 1)}
	f.loop = newLoop(n, h, testTimes, slog.New(slog.NewTextHandler(f.log, nil)), newBook())
	f.cleared, _ = h.Finished()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { f.ended <- f.run(ctx, node.Output{}) }()
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

// once gives the output for the first input that fits.
func once(fits func(node.Input) bool, out node.Output) func(node.Input) node.Output {
	given := false
	return func(in node.Input) node.Output {
		if given || !fits(in) {
			return node.Output{}
		}
		given = true
		return out
	}
}

func isNote(in node.Input) bool { return in.Note != nil }

// The guard has the deadline, or is told to clear, before anything else is done.
func TestOrderOfHands(t *testing.T) {
	out := node.Output{
		Lease: &node.Lease{Session: 1, End: 99}, Fire: true, Batch: &node.Batch{ID: 1}, Send: make([]node.Message, 1),
		Run: make([]node.Run, 1),
	}
	f := startLoop(t, &fakeNode{answer: once(isNote, out)}, &fakeHands{})
	f.put(node.Input{Note: &cluster.Event{}})
	eventually(t, "the output is carried out", func() bool { return f.hands.all() == "extend fire write send run" })
}

// A refused extension: nothing is run, the node is told, and once more when the
// guard is idle, even where the guard never had that session.
func TestRefusedExtension(t *testing.T) {
	out := node.Output{Lease: &node.Lease{Session: 7, End: 99}, Batch: &node.Batch{ID: 1}, Run: make([]node.Run, 1)}
	h := &fakeHands{refuse: true, clearing: true, cleared: 5}
	f := startLoop(t, &fakeNode{answer: once(isNote, out)}, h)
	f.put(node.Input{Note: &cluster.Event{}})
	eventually(t, "Lapsed", func() bool { return f.node.got(func(in node.Input) bool { return in.Lapsed == 7 }) })
	if got := h.all(); got != "extend write" {
		t.Errorf("carried out %q, want no run", got)
	}
	turns := f.turns.Load()
	eventually(t, "some more ticks", func() bool { return f.turns.Load() > turns+3 })
	if f.node.got(func(in node.Input) bool { return in.Cleared != 0 }) {
		t.Fatal("Cleared while the guard is clearing")
	}
	h.set(func(h *fakeHands) { h.clearing, h.cleared = false, 6 }) // the session before
	eventually(t, "Cleared 7", func() bool { return f.node.got(func(in node.Input) bool { return in.Cleared == 7 }) })
}

// A session that the guard clears by itself is told to the node, and what it had
// cleared before the start is not.
func TestClearedByGuard(t *testing.T) {
	h := &fakeHands{cleared: 5}
	f := startLoop(t, &fakeNode{}, h)
	h.set(func(h *fakeHands) { h.cleared = 6 })
	eventually(t, "Cleared 6", func() bool { return f.node.got(func(in node.Input) bool { return in.Cleared == 6 }) })
	if f.node.got(func(in node.Input) bool { return in.Cleared == 5 }) {
		t.Error("Cleared 5, which an earlier batond knew")
	}
	if !strings.Contains(f.log.String(), "nothing of the session is left") {
		t.Errorf("log: %s", f.log)
	}
}

// Packets that find no room are dropped and counted; results wait for room.
func TestQueues(t *testing.T) {
	gate := make(chan struct{})
	n := &fakeNode{answer: once(isNote, node.Output{})}
	f := startLoop(t, n, &fakeHands{})
	go f.call(context.Background(), func(node.Now) { <-gate }) // the loop stands still
	for f.packet(node.Packet{}) {
	}
	if f.dropped.Load() == 0 {
		t.Error("nothing counted as dropped")
	}
	const results = 3 * inputQueue
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() { f.put(node.Input{Result: &node.StepResult{Token: uint64(i + 1)}}) })
	}
	close(gate)
	group.Wait()
	eventually(t, "every result has arrived", func() bool {
		seen := map[uint64]bool{}
		f.node.got(func(in node.Input) bool {
			if in.Result != nil {
				seen[in.Result.Token] = true
			}
			return false
		})
		return len(seen) == results
	})
}

// A loop that stood still says so once, with a number.
func TestLateness(t *testing.T) {
	f := startLoop(t, &fakeNode{}, &fakeHands{})
	turns := f.turns.Load()
	eventually(t, "a tick", func() bool { return f.turns.Load() > turns })
	if strings.Contains(f.log.String(), "late") {
		t.Skip("the machine is too busy for this test")
	}
	f.call(t.Context(), func(node.Now) { time.Sleep(testTimes.Tick + 2*testTimes.Round) })
	eventually(t, "a warning", func() bool { return strings.Contains(f.log.String(), "level=WARN") })
	for range 3 {
		f.call(t.Context(), func(node.Now) { time.Sleep(testTimes.Tick + 2*testTimes.Round) })
	}
	if n := strings.Count(f.log.String(), "event loop is late"); n != 1 {
		t.Errorf("%d warnings within %v, want 1:\n%s", n, warnEvery, f.log)
	}
}

// A server without a quorum says why, once for each reason; a passing one is no news.
func TestQuorumIsSaid(t *testing.T) {
	n := &fakeNode{standing: node.Standing{Quorum: true}}
	f := startLoop(t, n, &fakeHands{})
	set := func(s node.Standing) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.standing = s
	}
	says := func(text string) func() bool {
		return func() bool { return strings.Contains(f.log.String(), text) }
	}
	eventually(t, "there is a quorum", says("there is a quorum"))
	began := time.Now()
	set(node.Standing{Waiting: "for a moment"})
	turns := f.turns.Load()
	eventually(t, "it is seen", func() bool { return f.turns.Load() > turns+1 })
	set(node.Standing{Waiting: "not heard: s2"})
	if time.Since(began) > testTimes.Stop/2 {
		t.Skip("the machine is too busy for this test")
	}
	eventually(t, "the reason", says(`reason="not heard: s2"`))
	turns = f.turns.Load()
	eventually(t, "some more ticks", func() bool { return f.turns.Load() > turns+20 })
	if got := f.log.String(); strings.Contains(got, "for a moment") || strings.Count(got, "not heard") != 1 {
		t.Errorf("log: %s", got)
	}
	set(node.Standing{Quorum: true})
	eventually(t, "there is a quorum again", func() bool { return strings.Count(f.log.String(), "there is a quorum") == 2 })
}

func TestEndings(t *testing.T) {
	t.Run("exit", func(t *testing.T) {
		f := startLoop(t, &fakeNode{answer: once(func(in node.Input) bool { return in.Leave != nil }, node.Output{Exit: true})}, &fakeHands{})
		f.put(node.Input{Leave: &node.Leave{}})
		if err := <-f.ended; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
		if _, err := f.view(t.Context()); !errors.Is(err, errStopped) {
			t.Errorf("view after the end: %v, want errStopped", err)
		}
		f.put(node.Input{Note: &cluster.Event{}}) // does not hang
	})
	t.Run("failure", func(t *testing.T) {
		f := startLoop(t, &fakeNode{}, &fakeHands{})
		want := errors.New("disk")
		f.end(want)
		f.end(errors.New("another")) // does not hang
		if err := <-f.ended; err != want {
			t.Errorf("run = %v, want %v", err, want)
		}
	})
}

// An event that is applied again after a restart is kept, but not logged again.
func TestEventsLoggedOnce(t *testing.T) {
	now := time.Now()
	out := node.Output{Events: []cluster.Event{
		{ID: 1, At: now.Add(-time.Hour).UnixMilli(), Text: "long ago"},
		{ID: 2, At: now.UnixMilli(), Severity: cluster.Error, Code: "group-failed", Group: "A", Text: "just now"},
	}}
	f := startLoop(t, &fakeNode{answer: func(in node.Input) node.Output {
		if isNote(in) {
			return out
		}
		return node.Output{}
	}}, &fakeHands{})
	f.put(node.Input{Note: &cluster.Event{}})
	f.put(node.Input{Note: &cluster.Event{}})
	eventually(t, "both events are kept", func() bool { return len(f.book.Newest(10)) == 2 })
	f.view(t.Context())
	if log := f.log.String(); strings.Contains(log, "long ago") || strings.Count(log, "just now") != 1 ||
		!strings.Contains(log, "level=ERROR") || !strings.Contains(log, "event=group-failed") {
		t.Errorf("log:\n%s", log)
	}
}

// The rest is about the desk.

func startDesk(t *testing.T, n *fakeNode) (*fixture, *desk) {
	t.Helper()
	f := startLoop(t, n, &fakeHands{})
	d := newDesk(f.loop, &conf.Config{Cluster: conf.Cluster{Name: "c"}}, "test")
	ended := make(chan struct{})
	go func() { defer close(ended); d.run() }()
	t.Cleanup(func() {
		f.end(errors.New("over"))
		<-ended
	})
	return f, d
}

func TestDeskOperate(t *testing.T) {
	n := &fakeNode{}
	n.answer = func(in node.Input) node.Output {
		if in.Request == nil {
			return node.Output{}
		}
		r := node.Reply{ID: in.Request.ID}
		switch in.Request.Group {
		case "refused":
			r.Refusal = &cluster.Refusal{Code: "group-busy", Message: "m", Hint: "h"}
		case "silence":
			return node.Output{}
		}
		return node.Output{Replies: []node.Reply{r}}
	}
	f, d := startDesk(t, n)
	if err := d.Operate(t.Context(), cluster.Op{ID: "1", Group: "A"}); err != nil {
		t.Errorf("accepted: %v", err)
	}
	err := d.Operate(t.Context(), cluster.Op{ID: "2", Group: "refused"})
	if e, ok := errors.AsType[*api.Error](err); !ok || *e != (api.Error{Code: "group-busy", Message: "m", Hint: "h"}) {
		t.Errorf("refused: %v", err)
	}
	err = d.Operate(t.Context(), cluster.Op{ID: "3", Group: "silence"})
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoAnswer || !strings.Contains(e.Message, "3") {
		t.Errorf("no answer: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := d.Operate(ctx, cluster.Op{ID: "4", Group: "silence"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asker gone: %v", err)
	}
	left := -1
	f.call(t.Context(), func(node.Now) { left = len(f.waiters) })
	if left != 0 {
		t.Errorf("%d waiters left, want 0", left)
	}
	f.end(errors.New("over"))
	<-f.done
	err = d.Operate(t.Context(), cluster.Op{ID: "5"})
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeStopping {
		t.Errorf("after the end: %v, want stopping", err)
	}
}

// Pictures come at once, after changes (not more often than every 50 ms), and each
// second; and the node is left alone while nobody watches.
func TestDeskWatch(t *testing.T) {
	n := &fakeNode{}
	f, d := startDesk(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pics := d.Watch(ctx)
	if p := <-pics; p.Cluster != "c" || p.Version != "test" {
		t.Errorf("first picture = %+v", p)
	}
	begin := time.Now()
	if p := <-pics; p.Time == 0 || time.Since(begin) > 5*refresh {
		t.Errorf("no picture without a change within %v", refresh)
	}
	stop := time.Now().Add(500 * time.Millisecond)
	go func() {
		for rev := uint64(1); time.Now().Before(stop); rev++ {
			n.change(func(s *cluster.State) { s.Revision = rev })
			wake(f.changed)
			time.Sleep(time.Millisecond)
		}
	}()
	count, last := 0, uint64(0)
	for time.Now().Before(stop) {
		p := <-pics
		count++
		if p.Revision < last {
			t.Fatalf("revision %d after %d", p.Revision, last)
		}
		last = p.Revision
	}
	if most := int(500/watchedPause.Milliseconds()) + 3; count > most {
		t.Errorf("%d pictures in 500ms, want at most %d", count, most)
	}
	cancel()
	for range pics { // it is closed
	}
	f.end(errors.New("over"))
	<-f.done
	if _, ok := <-d.Watch(t.Context()); ok {
		t.Error("a picture after the end")
	}
}

// A second watcher does not wait for the next change.
func TestDeskSecondWatcher(t *testing.T) {
	_, d := startDesk(t, &fakeNode{})
	for range 5 {
		begin := time.Now()
		<-d.Watch(t.Context())
		if took := time.Since(begin); took > 500*time.Millisecond {
			t.Errorf("first picture after %v", took)
		}
	}
}

// Events of a state that was taken over whole get into the book as well.
func TestDeskMergesEvents(t *testing.T) {
	n := &fakeNode{}
	f, d := startDesk(t, n)
	more := d.MoreEvents()
	n.change(func(s *cluster.State) { s.Events = []cluster.Event{{ID: 3}, {ID: 9}} })
	wake(f.changed)
	select {
	case <-more:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
	}
	if got := d.Events(3, 10); len(got) != 1 || got[0].ID != 9 {
		t.Errorf("events after 3 = %v", got)
	}
}

func TestBook(t *testing.T) {
	b := newBook()
	add := func(ids ...uint64) (fresh []uint64) {
		var ev []cluster.Event
		for _, id := range ids {
			ev = append(ev, cluster.Event{ID: id})
		}
		for _, e := range b.add(ev) {
			fresh = append(fresh, e.ID)
		}
		return fresh
	}
	if got := add(5, 7, 7, 6, 5); len(got) != 3 {
		t.Errorf("fresh = %v, want 5 7 6", got)
	}
	for id := uint64(100); id < 100+bookSize; id++ {
		add(id)
	}
	if got := b.Newest(bookSize * 2); len(got) != bookSize || got[0].ID != 100 || got[bookSize-1].ID != 99+bookSize {
		t.Errorf("%d events from %d, want the newest %d", len(got), got[0].ID, bookSize)
	}
	if got := add(50); got != nil {
		t.Errorf("an event older than all that is kept was taken: %v", got)
	}
	if got := b.Events(99+bookSize, 10); len(got) != 0 {
		t.Errorf("events after the last = %v", got)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10s: %s", what)
		}
	}
}

// What a server says of the cluster without a quorum: why carries the warning that it is
// old, and nothing is foreseen. With one, the votes are counted.
func TestInsightKnowsOfTheQuorum(t *testing.T) {
	n := &fakeNode{}
	servers := []string{"s1", "s2"}
	n.state.Apply(1, cluster.Command{Kind: cluster.KindConfigure, Config: &cluster.Config{
		Cluster: "c", Servers: servers, Groups: []cluster.GroupConfig{{Name: "A", Policy: servers, Autostart: true}},
	}})
	for i, name := range servers {
		n.state.Apply(uint64(i+2), cluster.Command{Kind: cluster.KindArrive, Server: name, Session: 1, Boot: "b"})
	}
	n.state.Apply(4, cluster.Command{Kind: cluster.KindBegin})
	f := startLoop(t, n, &fakeHands{})
	d := newDesk(f.loop, &conf.Config{Cluster: conf.Cluster{Name: "c"}, Tiebreaker: conf.Tiebreaker{Kind: conf.TiebreakerNone}}, "test")

	if why, err := d.Why(t.Context(), "A"); err != nil || !strings.HasPrefix(why, "starting on s1 since ") {
		t.Errorf("with a quorum: %q, %v", why, err)
	}
	fc, err := d.Foresee(t.Context(), "s2 fails")
	if err != nil || !strings.Contains(fc.Halt, "1 of 2 votes would be left (s1)") {
		t.Errorf("with a quorum: %+v, %v", fc, err)
	}

	n.mu.Lock()
	n.waiting = "2 of 2 votes are needed; not heard: s2"
	n.mu.Unlock()
	want := "s1 decides nothing now and runs no group: 2 of 2 votes are needed; not heard: s2; what it knew last: starting on s1 since "
	if why, err := d.Why(t.Context(), "A"); err != nil || !strings.HasPrefix(why, want) {
		t.Errorf("without a quorum: %q, %v; want %q", why, err, want)
	}
	if _, err := d.Why(t.Context(), "Z"); !isCode(err, cluster.RefusedNoSuchGroup) {
		t.Errorf("unknown group: %v", err)
	}
	if fc, err := d.Foresee(t.Context(), "s2 fails"); !isCode(err, api.CodeNoQuorum) {
		t.Errorf("without a quorum: %+v, %v", fc, err)
	}
	if _, err := d.Foresee(t.Context(), "nonsense"); !isCode(err, api.CodeBadRequest) {
		t.Errorf("nonsense: %v", err)
	}
}

func isCode(err error, code string) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Code == code
}
