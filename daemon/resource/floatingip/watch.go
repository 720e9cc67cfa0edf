package floatingip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// Debounce is how long a fault must last to be one. A switch port that
	// renegotiates, or a bond that changes over, is back within that; longer, and a
	// failover by a pulled cable is slower by as much.
	Debounce = 100 * time.Millisecond
	// gather is how long notifications are collected before looking: a change of links
	// is seldom one message.
	gather = 10 * time.Millisecond
	// recheck is how often everything is looked at without cause: notifications can
	// be lost, and of changes of one link in a row the kernel tells once a second.
	recheck = time.Second
)

// Fault is an address, expected to work here, that does not.
type Fault struct {
	Group string
	Spec  Spec
	Text  string // "10.0.0.100 is gone from eth0", "10.0.0.100: interface eth0 has no link"
}

// Watcher tells batond when an active address stops working. Set may be called from
// any goroutine at any time.
type Watcher struct {
	fault func(Fault)
	wake  chan struct{} // of one: something has changed

	mu       sync.Mutex
	expected map[string][]Spec
	seen     map[subject]sighting // faults that are on
}

type subject struct {
	group string
	spec  Spec
}

type sighting struct {
	text  string // another one is another fault
	since time.Time
	told  bool
}

// NewWatcher returns a watcher that calls fault, from Run, once for each fault that
// begins. A fault that ends and begins again is told again.
func NewWatcher(fault func(Fault)) *Watcher {
	return &Watcher{
		fault: fault, wake: make(chan struct{}, 1),
		expected: map[string][]Spec{}, seen: map[subject]sighting{},
	}
}

// Set says which addresses of the group are expected to be here: after its start has
// ended well, and with none before its stop begins.
func (w *Watcher) Set(group string, specs []Spec) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.seen, func(s subject, _ sighting) bool { return s.group == group })
	if len(specs) == 0 {
		delete(w.expected, group)
		return
	}
	w.expected[group] = slices.Clone(specs)
	w.poke()
}

func (w *Watcher) poke() {
	select {
	case w.wake <- struct{}{}:
	default: // one is waiting, it sees this change too
	}
}

// Run watches until ctx ends. Where the kernel's notifications cannot be had it says
// so by log, once for each reason, and looks at everything every Debounce.
func (w *Watcher) Run(ctx context.Context, log func(error)) {
	said := ""
	for ctx.Err() == nil {
		if err := w.watch(ctx); err != nil && ctx.Err() == nil {
			if err.Error() != said {
				said = err.Error()
				log(err)
			}
			_ = sleep(ctx, Debounce)
			_, _ = w.check() // its error is the next one's too
		}
	}
}

// watch goes on until ctx ends or the subscription breaks.
func (w *Watcher) watch(ctx context.Context) error {
	done := make(chan struct{})
	defer close(done)
	broken := make(chan error, 1)
	callback := func(err error) {
		select {
		case broken <- err:
		default:
		}
	}
	addrs, links := make(chan netlink.AddrUpdate), make(chan netlink.LinkUpdate)
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: callback}); err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	defer drain(addrs)
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: callback}); err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	defer drain(links)
	again := time.NewTicker(recheck)
	defer again.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	due := true
	within := func(d time.Duration) {
		if !due {
			due = true
			look.Reset(d)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return fmt.Errorf("watch links and addresses: %w", err)
		case u, ok := <-addrs:
			if !ok {
				return errors.New("watch addresses: subscription ended")
			}
			if !u.NewAddr { // renewals come all the time
				within(gather)
			}
		case _, ok := <-links:
			if !ok {
				return errors.New("watch links: subscription ended")
			}
			within(gather)
		case <-w.wake:
			within(gather)
		case <-again.C:
			within(gather)
		case <-look.C:
			due = false
			pending, err := w.check()
			if err != nil {
				return err
			}
			if pending {
				within(Debounce)
			}
		}
	}
}

// drain lets the library's goroutine end: it blocks on its channel until its socket
// is closed and its last messages are taken.
func drain[T any](ch <-chan T) {
	go func() {
		for range ch {
		}
	}()
}

// check looks at every expected address and tells of faults that have lasted. It says
// whether there are some that have not lasted long enough yet.
func (w *Watcher) check() (pending bool, err error) {
	w.mu.Lock()
	expected := maps.Clone(w.expected)
	w.mu.Unlock()
	if len(expected) == 0 {
		return false, nil
	}
	faults, err := inspect(expected)
	if err != nil {
		return false, err
	}
	for _, f := range w.note(faults, time.Now(), &pending) {
		w.fault(f)
	}
	return pending, nil
}

// note remembers which faults are on, and returns those to tell now.
func (w *Watcher) note(faults []Fault, now time.Time, pending *bool) []Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[subject]sighting{}
	var news []Fault
	for _, f := range faults {
		if !slices.Contains(w.expected[f.Group], f.Spec) {
			continue // Set has spoken meanwhile
		}
		key := subject{f.Group, f.Spec}
		s := w.seen[key]
		if s.text != f.Text {
			s = sighting{text: f.Text, since: now}
		}
		switch {
		case s.told:
		case now.Sub(s.since) >= Debounce:
			s.told = true
			news = append(news, f)
		default:
			*pending = true
		}
		seen[key] = s
	}
	w.seen = seen
	return news
}

// Check says what is wrong with an address that should be active here; nil: nothing.
func Check(s Spec) error {
	faults, err := inspect(map[string][]Spec{"": {s}})
	if err == nil && len(faults) > 0 {
		err = errors.New(faults[0].Text)
	}
	return err
}

func inspect(expected map[string][]Spec) ([]Fault, error) {
	table, err := OpenTable()
	if err != nil {
		return nil, err
	}
	defer table.Close()
	list, err := table.List()
	if err != nil {
		return nil, err
	}
	var faults []Fault
	for _, group := range slices.Sorted(maps.Keys(expected)) {
		for _, s := range expected[group] {
			if text := table.fault(s, list); text != "" {
				faults = append(faults, Fault{Group: group, Spec: s, Text: text})
			}
		}
	}
	return faults, nil
}

func (t *Table) fault(s Spec, list []Found) string {
	at := slices.IndexFunc(list, func(f Found) bool { return f.Addr == s.Address })
	if at < 0 {
		return fmt.Sprintf("%s is gone", s.Address)
	}
	link, err := t.h.LinkByIndex(list[at].Index)
	if err != nil {
		return fmt.Sprintf("%s: its interface is gone", s.Address)
	}
	if text := linkFault(link.Attrs()); text != "" {
		return fmt.Sprintf("%s: %s", s.Address, text)
	}
	return ""
}
