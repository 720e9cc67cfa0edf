package console

import (
	"context"
	"errors"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"baton/core/cluster"
	"baton/daemon/api"
)

const (
	// batchEvery bounds how often a batch is handed over: every batch is a frame.
	batchEvery = 50 * time.Millisecond
	// silence after which a connection is given up; the daemon says something each
	// second. Below staleAfter twice, so that a stalled daemon is left for another
	// before the picture is lost.
	silence = 3 * time.Second
	// Between attempts to connect.
	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Second
	// dialTime bounds one attempt.
	dialTime = 3 * time.Second
	// pendingEvents bounds what waits for the next batch; older ones fall out.
	pendingEvents = maxEvents
)

// link says that contact was made or lost.
type link struct {
	client Client // nil: lost
	via    string
	err    error
}

// feed keeps contact: it connects, follows pictures and events, and connects anew,
// for as long as its context lasts. What arrives waits in the next batch.
type feed struct {
	dial func(ctx context.Context) (Client, string, error)

	mu     sync.Mutex
	next   feedMsg
	ready  chan struct{} // holds one token while next is not empty
	hurry  chan struct{} // somebody wants to connect now
	latest uint64        // the newest event's id
}

func newFeed(opt *Options) *feed {
	f := &feed{dial: opt.Dial, ready: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
	if f.dial == nil {
		c := opt.Client
		f.dial = func(context.Context) (Client, string, error) { return c, "", nil }
	}
	return f
}

// receive is the one outstanding command that waits for a batch.
func (f *feed) receive(ctx context.Context) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-f.ready:
			return f.take()
		case <-ctx.Done():
			return nil
		}
	}
}

// receiveLater waits out the interval before the next batch.
func (f *feed) receiveLater(ctx context.Context) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-time.After(batchEvery):
		case <-ctx.Done():
			return nil
		}
		return f.receive(ctx)()
	}
}

func (f *feed) take() feedMsg {
	f.mu.Lock()
	defer f.mu.Unlock()
	msg := f.next
	f.next = feedMsg{}
	return msg
}

func (f *feed) put(change func(*feedMsg)) {
	f.mu.Lock()
	change(&f.next)
	f.mu.Unlock()
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// reconnect ends the wait between two attempts.
func (f *feed) reconnect() {
	select {
	case f.hurry <- struct{}{}:
	default:
	}
}

// run is the feed's goroutine.
func (f *feed) run(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		begun := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		f.put(func(b *feedMsg) { b.link = &link{err: err} })
		if time.Since(begun) > lastRetry {
			retry = firstRetry
		}
		select {
		case <-time.After(retry):
		case <-f.hurry:
		case <-ctx.Done():
		}
		retry = min(2*retry, lastRetry)
	}
}

// follow makes one connection and stays on it.
func (f *feed) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialCtx, done := context.WithTimeout(ctx, dialTime)
	client, via, err := f.dial(dialCtx)
	done()
	if err != nil {
		return err
	}
	// The stream belongs to ctx, but beginning it may hang on a stalled daemon.
	begin := time.AfterFunc(dialTime, cancel)
	pictures, err := client.Watch(ctx)
	if !begin.Stop() && err != nil {
		err = errSilent
	}
	if err != nil {
		return err
	}
	defer pictures.Close()
	var events sync.WaitGroup
	defer events.Wait()
	defer cancel() // before the Wait above
	first := true
	for {
		nextCtx, done := context.WithTimeout(ctx, silence)
		st, err := pictures.Next(nextCtx)
		done()
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return errSilent
			}
			return err
		}
		at := time.Now()
		f.put(func(b *feedMsg) {
			b.status, b.at = st, at
			if first {
				b.link = &link{client: client, via: via}
			}
		})
		if first {
			first = false
			events.Go(func() { f.followEvents(ctx, client) })
		}
	}
}

var errSilent = errors.New("batond says nothing any more")

// followEvents reads events as long as the connection lasts. That stream may end
// alone; then it is begun again.
func (f *feed) followEvents(ctx context.Context, client Client) {
	for ctx.Err() == nil {
		if s, err := client.Follow(ctx, f.latest); err == nil {
			for {
				e, err := s.Next(ctx)
				if err != nil {
					break
				}
				f.latest = max(f.latest, e.ID)
				f.put(func(b *feedMsg) { b.events = keepLast(append(b.events, *e), pendingEvents) })
			}
			s.Close()
		}
		select {
		case <-time.After(lastRetry):
		case <-ctx.Done():
		}
	}
}

// keepLast bounds a slice, dropping the oldest half at a time so that appending stays
// cheap.
func keepLast(ev []cluster.Event, n int) []cluster.Event {
	if len(ev) <= n {
		return ev
	}
	return append(ev[:0:0], ev[len(ev)-n/2:]...)
}

var _ Client = (*api.Client)(nil)
