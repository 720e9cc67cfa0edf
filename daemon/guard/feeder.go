package guard

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"baton/daemon/guard/page"
	"baton/daemon/watchdog"
)

// The watchdog device is the guard's, and it is fed so that it resets this server
// where nobody else takes the groups off it:
//
//   - Nothing of a group is here (disarmed, or cleared and seen to be clear): fed,
//     whether batond is there or not. Restarts, reloads and the end of batond are no
//     reason for a reset, nor is the loss of the quorum once the guard has cleared.
//   - A lease lasts: fed as long as the device, should it not be fed again, fires
//     before another server takes over, at deadline + E. Only batond's event loop moves
//     the deadline; so a loop that stalls, or a batond that is frozen or dead, is what
//     ends the feeding, and then either the guard clears in time, and feeds again, or
//     the device fires. A guard that is frozen or dead does not feed at all.
//   - The session is over and not everything is cleared: not fed.
//
// A device that cannot count as short as that is fed at each extension of the lease:
// it fires, but later than another server may have taken over, and is said to.
//
// A guard that is replaced leaves the timer running; its successor opens the device
// again. A guard that ends in order stops the timer; where that cannot be (nowayout)
// it stays, and feeds until it is killed.

// feedEvery is how often the device is fed, and whether it is to be looked at.
const feedEvery = 100 * time.Millisecond

// openAgain is the pause after a device that could not be had.
const openAgain = 5 * time.Second

// feedable is a *watchdog.Device, or a test's.
type feedable interface {
	SetTimeout(seconds int) (int, error)
	Feed() error
	Stop() error
	Close()
}

// openWatchdog is watchdog.Open, but for tests. The text describes the device.
var openWatchdog = func(path string) (feedable, string, error) {
	d, err := watchdog.Open(path)
	if err != nil {
		return nil, "", err
	}
	text := d.Identity
	if d.CardReset {
		text += ", which reset this machine last time"
	}
	return d, text, nil
}

// wantedTimeout is the timeout to ask for, in whole seconds. Right after an extension
// a lease has 0.42 T left at least, with two rounds lost; with E = T/4 that is 0.67 T, for
// which a device may go unfed while all is well.
func wantedTimeout(timeout time.Duration) int {
	return max(1, int(2*timeout/3/time.Second))
}

// feeding decides when to feed.
type feeding struct {
	timeout time.Duration // of the device
	strict  bool          // it fires before another server takes over
	fed     int64         // deadline at which it was fed last, where not strict
}

// newFeeding: seconds is what the device has.
func newFeeding(seconds int, timeout time.Duration) feeding {
	return feeding{timeout: time.Duration(seconds) * time.Second, strict: time.Duration(seconds)*time.Second <= 2*timeout/3}
}

// may says whether to feed now.
func (f *feeding) may(s page.State, now int64, stop time.Duration) bool {
	switch {
	case s.Deadline == 0 || s.Finished:
		return true
	case s.Fired || now >= s.Deadline:
		return false
	case f.strict:
		return now+int64(f.timeout) <= s.Deadline+int64(stop)
	case s.Deadline == f.fed:
		return false
	}
	f.fed = s.Deadline
	return true
}

// late is by how much the device fires later than another server may have the groups.
func (f *feeding) late(timeout time.Duration) time.Duration {
	return max(0, f.timeout-timeout*97/100)
}

// feeder owns the device, in a goroutine of its own: each call may hang.
type feeder struct {
	end    *ender // whose spec and page count
	say    func(string)
	stop   chan chan bool // asks to stop the timer
	tied   atomic.Bool    // the device cannot be stopped any more
	dev    feedable
	path   string // of dev, or of the last that could not be had
	when   feeding
	next   int64 // try again to open
	failed bool  // that has been said
}

func newFeeder(e *ender, say func(string)) *feeder {
	f := &feeder{end: e, say: say, stop: make(chan chan bool)}
	go f.run() // ends when it has let go, or with the process
	return f
}

func (f *feeder) run() {
	tick := time.NewTicker(feedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.turn()
		case answer := <-f.stop:
			ok := f.release()
			answer <- ok
			if ok {
				return // or the next tick would open the device again, for a guard that ends
			}
		}
	}
}

func (f *feeder) turn() {
	spec, p := f.end.spec.Load(), f.end.page
	if f.dev != nil && f.path != spec.Watchdog {
		f.release()
	}
	if f.dev == nil {
		if spec.Watchdog == "" {
			p.SetWatchdog(page.WatchdogNone)
			return
		}
		if page.Now() < f.next && f.path == spec.Watchdog {
			return
		}
		if err := f.open(spec); err != nil {
			p.SetWatchdog(page.WatchdogMissing)
			if !f.failed {
				f.say(fmt.Sprintf("%v; tried again every %s", err, openAgain))
			}
			f.failed = true
			f.next = page.Now() + int64(openAgain)
			return
		}
	}
	if want := newFeeding(int(f.when.timeout/time.Second), spec.Timeout); want.strict != f.when.strict {
		f.when = want // another T by a reload; the device's own timeout stays
	}
	if f.when.may(p.Load(), page.Now(), spec.Stop) {
		if err := f.dev.Feed(); err != nil {
			f.say(fmt.Sprintf("the watchdog cannot be fed: %v", err))
		}
	}
}

func (f *feeder) open(spec *Spec) error {
	f.path = spec.Watchdog
	dev, text, err := openWatchdog(spec.Watchdog)
	if err != nil {
		return err
	}
	seconds, err := dev.SetTimeout(wantedTimeout(spec.Timeout))
	if err != nil {
		_ = dev.Stop()
		dev.Close()
		return err
	}
	f.dev, f.failed, f.when = dev, false, newFeeding(seconds, spec.Timeout)
	status := page.WatchdogFed
	word := fmt.Sprintf("watchdog %s (%s) resets this server %ds after it was fed last", spec.Watchdog, text, seconds)
	if late := f.when.late(spec.Timeout); late > 0 {
		status = page.WatchdogLate
		word += fmt.Sprintf(", the shortest it can do: up to %s after another server may have taken its groups over", late.Round(10*time.Millisecond))
	}
	f.end.page.SetWatchdog(status)
	f.say(word)
	return nil
}

// release stops the timer and closes the device. False: it cannot be stopped, and is
// fed on.
func (f *feeder) release() bool {
	if f.dev == nil {
		return true
	}
	err := f.dev.Stop()
	if errors.Is(err, watchdog.ErrNoWayOut) {
		if !f.tied.Swap(true) {
			f.say(fmt.Sprintf("%v: the guard stays and feeds it", err))
		}
		return false
	}
	if err != nil {
		f.say(err.Error())
	}
	f.dev.Close()
	f.dev = nil
	return true
}

// letGo stops the timer before the guard ends. False: the guard must not end.
func (f *feeder) letGo() bool {
	if f.tied.Load() {
		return false
	}
	answer := make(chan bool, 1)
	select {
	case f.stop <- answer:
	case <-time.After(time.Second):
		return true // it hangs; nothing that could be done here would be heard
	}
	select {
	case ok := <-answer:
		return ok
	case <-time.After(time.Second):
		return true
	}
}
