package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"baton/core/cluster"
	"baton/core/lease"
	"baton/core/node"
)

// thinker is a node.Node, or a test's stand-in.
type thinker interface {
	Step(node.Now, node.Input) node.Output
	View(node.Now) node.View
	Standing(node.Now) node.Standing
}

// hands carry out what the node wants. They are called by the loop, so none of them
// may wait for a disk, a network or a process.
type hands interface {
	// Extend gives the guard a new deadline. False: the session is over for ever.
	Extend(session uint64, end lease.Instant) bool
	// Disarm ends the session in order: nothing of it is left. False: the guard was
	// faster.
	Disarm() bool
	// Finished is the last session that the guard has cleared, 0 for none; ok says
	// that no clearing is under way.
	Finished() (session uint64, ok bool)
	// Fire ends the session at once; the guard clears.
	Fire()
	// Ask calls the tie-breaker. Its answers come as inputs, or not at all.
	Ask([]node.RegisterCall)
	Write(node.Batch)
	Send([]node.Message)
	Run(node.Run)
}

// Bounds of the loop's queues.
const (
	// inputQueue holds what must not be lost: results, finished writes, requests.
	// Who finds it full waits; there are fewer senders than places.
	inputQueue = 256
	// packetQueue holds what may be lost, as the network may lose it: two rounds of 16
	// servers on 8 paths, with echoes.
	packetQueue = 1024
	// streamQueue holds what came on streams. It may be lost too, but is not to be
	// crowded out by datagrams: raft asks again only after a while.
	streamQueue = 1024
	// burst is how many inputs are taken before the tick and the queries get a turn.
	burst = 64
)

// loop owns the node. One goroutine runs it; all others only send it inputs and
// carry out outputs.
type loop struct {
	node  thinker
	hands hands
	times lease.Params
	log   *slog.Logger
	book  *book
	clock func() node.Now

	inputs  chan node.Input
	packets chan node.Packet // datagrams
	streams chan node.Packet
	calls   chan func(node.Now)
	fail    chan error    // capacity 1: something without which batond cannot go on is gone
	done    chan struct{} // closed when the loop has ended
	changed chan struct{} // capacity 1: there is another picture
	turns   atomic.Uint64 // ticks so far, for the service manager's watchdog
	dropped atomic.Uint64 // packets for which there was no room

	// Owned by the goroutine of run.
	waiters map[string]chan<- *cluster.Refusal
	// cleared is the last session that the guard had cleared when we looked. It is set
	// before run: when it was decided what the node adopts, and not later.
	cleared uint64
	refused uint64       // session that the guard would not extend; Cleared is due
	started int64        // wall clock; what happened before is not logged again
	then    cluster.Then // once run has returned nil: what becomes of the machine
	lateness
	standing
}

// standing is what the loop has last seen and said of the quorum.
type standing struct {
	seen  node.Standing
	since lease.Instant // when seen became so
	said  node.Standing // as last logged
}

// lateness is what the loop knows of its own punctuality.
type lateness struct {
	lastTick lease.Instant
	late     int           // ticks that came late by more than a round, since the last warning
	worst    time.Duration // the latest of them
	warned   lease.Instant
}

// warnEvery is how often lateness is worth a line.
const warnEvery = 10 * time.Second

// replayed is how much older than this batond an event may be to count as news: the
// times come from other servers' clocks.
const replayed = 5 * time.Second

// errStopped is why the loop takes nothing any more.
var errStopped = errors.New("batond is stopping")

func newLoop(n thinker, h hands, times lease.Params, log *slog.Logger, b *book) *loop {
	return &loop{
		node: n, hands: h, times: times, log: log, book: b, clock: readClock,
		inputs: make(chan node.Input, inputQueue), packets: make(chan node.Packet, packetQueue),
		streams: make(chan node.Packet, streamQueue),
		calls:   make(chan func(node.Now)), fail: make(chan error, 1), done: make(chan struct{}),
		changed: make(chan struct{}, 1),
		waiters: map[string]chan<- *cluster.Refusal{},
	}
}

// run turns until the node is done with leaving (nil), ctx ends, or something fails.
// first is the output of node.New.
func (l *loop) run(ctx context.Context, first node.Output) error {
	defer close(l.done)
	tick := time.NewTicker(l.times.Tick)
	defer tick.Stop()
	now := l.clock()
	l.lastTick, l.started = now.Mono, now.Wall
	if l.carry(first) {
		return nil
	}
	for {
		var exit bool
		select {
		case <-tick.C:
			exit = l.tick()
		case in := <-l.inputs:
			exit = l.step(in) || l.takeMore()
		case p := <-l.packets:
			exit = l.step(node.Input{Packet: &p}) || l.takeMore()
		case p := <-l.streams:
			exit = l.step(node.Input{Packet: &p}) || l.takeMore()
		case f := <-l.calls:
			f(l.clock())
		case err := <-l.fail:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if exit {
			return nil
		}
	}
}

// takeMore takes what else is waiting, inputs before packets, but not for ever.
func (l *loop) takeMore() (exit bool) {
	for range burst {
		select {
		case in := <-l.inputs:
			exit = l.step(in)
		default:
			select {
			case p := <-l.packets:
				exit = l.step(node.Input{Packet: &p})
			case p := <-l.streams:
				exit = l.step(node.Input{Packet: &p})
			default:
				return false
			}
		}
		if exit {
			return true
		}
	}
	return false
}

func (l *loop) tick() (exit bool) {
	now := l.clock()
	l.punctual(now.Mono)
	l.sayQuorum(now)
	l.turns.Add(1)
	if session := l.clearing(); session != 0 {
		l.log.Info("nothing of the session is left", "session", session)
		if l.step(node.Input{Cleared: session}) {
			return true
		}
		now = l.clock()
	}
	return l.carry(l.node.Step(now, node.Input{}))
}

// clearing returns the session of which nothing is left any more, once; 0: none.
//
// The guard may have refused a session that it never had, because it was still
// clearing the one before, or because the lease came too late to begin. Nothing of
// such a session has run: it is clear as soon as the guard is idle.
func (l *loop) clearing() uint64 {
	session, idle := l.hands.Finished()
	if !idle {
		return 0
	}
	was, refused := l.cleared, l.refused
	l.cleared, l.refused = session, 0
	switch {
	case refused != 0:
		return refused
	case session != was:
		return session
	}
	return 0
}

// step gives the node one input, with the time read just before, and carries out
// what comes of it.
func (l *loop) step(in node.Input) (exit bool) {
	return l.carry(l.node.Step(l.clock(), in))
}

// carry carries out an output. The guard comes first (node.Output.Lease).
func (l *loop) carry(out node.Output) (exit bool) {
	refused := out.Lease != nil && !l.deadline(*out.Lease)
	if refused {
		l.refused = out.Lease.Session
		out.Run = nil
	}
	if out.Fire {
		l.hands.Fire()
	}
	if out.Batch != nil {
		l.hands.Write(*out.Batch)
	}
	if len(out.Send) > 0 {
		l.hands.Send(out.Send)
	}
	for _, r := range out.Run {
		l.hands.Run(r)
	}
	if len(out.Register) > 0 {
		l.hands.Ask(out.Register)
	}
	for _, r := range out.Replies {
		l.reply(r)
	}
	l.record(out.Events)
	if out.Changed {
		wake(l.changed)
	}
	if refused {
		l.log.Warn("the lease came too late: the guard had ended the session", "session", l.refused)
		return l.step(node.Input{Lapsed: l.refused}) || out.Exit
	}
	if out.Exit {
		l.then = out.Then
	}
	return out.Exit
}

// deadline tells the guard. False means that the session is over.
func (l *loop) deadline(d node.Lease) bool {
	if d.End != 0 {
		return l.hands.Extend(d.Session, d.End)
	}
	if !l.hands.Disarm() {
		// It clears what is not there. The next session waits for that (clearing).
		l.log.Info("the guard fired while the session was being ended", "session", d.Session)
	}
	return true
}

// record keeps events for the API and logs those that are news. After a restart the
// node applies old entries again, and their events come again.
func (l *loop) record(events []cluster.Event) {
	if len(events) == 0 {
		return
	}
	for _, e := range l.book.add(events) {
		if e.At >= l.started-replayed.Milliseconds() {
			logEvent(l.log, e)
		}
	}
}

func (l *loop) reply(r node.Reply) {
	if w, ok := l.waiters[r.ID]; ok {
		delete(l.waiters, r.ID)
		w <- r.Refusal // capacity 1, answered once
	}
}

// punctual notices that the loop itself was held up. The node needs no telling: its
// leases are instants. But the operator has to know that this machine is too busy.
func (l *loop) punctual(now lease.Instant) {
	late := now.Sub(l.lastTick) - l.times.Tick
	l.lastTick = now
	if late > l.times.Round {
		l.late++
		l.worst = max(l.worst, late)
	}
	if l.late > 0 && (l.warned == 0 || now.Sub(l.warned) >= warnEvery) {
		l.log.Warn("the event loop is late: the machine was stopped or is too busy",
			"late", l.worst.Round(time.Millisecond), "times", l.late, "limit", l.times.Round)
		l.warned, l.late, l.worst = now, 0, 0
	}
}

// sayQuorum logs why there is no quorum, each reason that has lasted for E, and when
// there is one again: on a server that has none, nobody decides on events.
func (l *loop) sayQuorum(now node.Now) {
	s := l.node.Standing(now)
	if s != l.seen {
		l.seen, l.since = s, now.Mono
	}
	if s == l.said || now.Mono.Sub(l.since) < l.times.Stop {
		return
	}
	if !s.Quorum {
		l.log.Warn("no quorum, and without one no group runs here", "reason", s.Waiting, "epoch", s.Epoch.Number)
	} else if !l.said.Quorum || s.Epoch != l.said.Epoch {
		l.log.Info("there is a quorum", "epoch", s.Epoch.Number)
	}
	l.said = s
}

// The following are called by other goroutines.

// put gives the loop an input that must not be lost. It waits while the queue is
// full, and gives up only when the loop has ended.
func (l *loop) put(in node.Input) {
	select {
	case l.inputs <- in:
	case <-l.done:
	}
}

// offer gives the loop an input that may be lost, such as a line for the event log.
func (l *loop) offer(in node.Input) {
	select {
	case l.inputs <- in:
	default:
	}
}

// packet gives the loop a datagram, unless it cannot keep up. False: dropped.
func (l *loop) packet(p node.Packet) bool { return l.arrive(l.packets, p) }

// stream gives the loop a message that came on a stream, unless it cannot keep up.
func (l *loop) stream(p node.Packet) bool { return l.arrive(l.streams, p) }

func (l *loop) arrive(queue chan<- node.Packet, p node.Packet) bool {
	select {
	case queue <- p:
		return true
	default:
		l.dropped.Add(1)
		return false
	}
}

// call runs f on the loop, between two steps, and returns when it has.
func (l *loop) call(ctx context.Context, f func(node.Now)) error {
	ran := make(chan struct{})
	select {
	case l.calls <- func(now node.Now) { defer close(ran); f(now) }:
		<-ran
		return nil
	case <-l.done:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// view asks for a picture of the node.
func (l *loop) view(ctx context.Context) (v node.View, err error) {
	err = l.call(ctx, func(now node.Now) { v = l.node.View(now) })
	return v, err
}

// request gives the node an operation. The channel gets the answer: nil once the log
// has it.
func (l *loop) request(ctx context.Context, op cluster.Op) (<-chan *cluster.Refusal, error) {
	answer := make(chan *cluster.Refusal, 1)
	if err := l.call(ctx, func(node.Now) { l.waiters[op.ID] = answer }); err != nil {
		return nil, err
	}
	l.put(node.Input{Request: &op})
	return answer, nil
}

// forget drops the waiter of an operation whose asker has gone.
func (l *loop) forget(id string) {
	l.call(context.Background(), func(node.Now) { delete(l.waiters, id) })
}

// end makes run return the error.
func (l *loop) end(err error) {
	select {
	case l.fail <- err:
	default:
	}
}

// wake signals on a channel of capacity 1.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
