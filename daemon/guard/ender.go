package guard

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"baton/daemon/guard/page"
	"baton/daemon/guard/reboot"
)

// When is when the guard reboots this server (conf: recovery.on_quorum_loss).
type When string

const (
	// Never is for tests and for who only wants to know.
	Never When = ""
	// WhenStuck reboots where the groups cannot be cleared: another server takes them
	// over at the end of E, so what is left here must not be.
	WhenStuck When = "stuck"
	// WhenLost reboots also after everything was cleared, where a lease has ended with
	// groups on this server.
	WhenLost When = "lost"
)

// rebootNow is package reboot's, but for tests.
var rebootNow = reboot.Now

// ender ends sessions: it clears, again and again, and reboots where the spec says so.
//
// The clearing is done by whoever calls try; whether it takes too long is judged by a
// goroutine of its own, for the clearing itself may hang in the kernel. What is judged
// is the time that this process was running: after a stop of the whole machine the
// clearing gets its time, and needs milliseconds of it, before anything is rebooted.
type ender struct {
	page  *page.Page
	clear *clearer
	spec  atomic.Pointer[Spec]
	say   func(text string)

	boot  string        // boot id, for the note
	begun chan struct{} // capacity 1: wakes the judge
	over  chan struct{} // closed by close

	// Of the session that is being cleared.
	now      sign
	found    bool        // something of a group was here
	lost     bool        // it is over by the end of its lease, and not for another reason
	nextWord int64       // next complaint
	tried    atomic.Bool // a reboot that failed is not tried again
}

// sign tells one clearing from the next.
type sign struct {
	session  uint64
	deadline int64
}

const (
	// judgeTick is how often the judge looks; a longer pause was a stop of the machine.
	judgeTick = 10 * time.Millisecond
	longTick  = 4 * judgeTick
	// dyingPatience is how long killed processes may take that are not stuck: a large one
	// gives its memory back for seconds, a busy machine takes its time, and neither runs
	// anything of its own any more.
	dyingPatience = 10 * time.Second
	// recordPatience is how long noting the reboot may take: the disk may be what hangs.
	recordPatience = 100 * time.Millisecond
)

// newEnder: watch is how often the judge looks by itself whether a session is over, for
// the case that nobody comes to call try; 0: never.
func newEnder(p *page.Page, say func(string), watch time.Duration) (*ender, error) {
	c, err := newClearer(p)
	if err != nil {
		return nil, err
	}
	e := &ender{page: p, clear: c, say: say, begun: make(chan struct{}, 1), over: make(chan struct{})}
	e.spec.Store(&Spec{})
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		e.boot = strings.TrimSpace(string(b))
	}
	go e.judge(watch)
	return e, nil
}

func (e *ender) close() {
	close(e.over)
	e.clear.close()
}

// add adds a spec; its times and its When are those that count from now on.
func (e *ender) add(s Spec) {
	e.spec.Store(&s)
	e.clear.add(s)
}

// forget drops what older specs named: nothing of it can be left.
func (e *ender) forget() {
	e.clear.forget()
	e.clear.add(*e.spec.Load())
}

// try clears once and says whether nothing is left. The page is fired.
func (e *ender) try() bool {
	state, begin := e.page.Load(), page.Now()
	if now := (sign{state.Session, state.Deadline}); e.now != now {
		e.now, e.found, e.nextWord = now, false, 0
		// Fired early (Guard.Fire, ClearNow) is no loss: the session was ended, or
		// nothing was armed.
		e.lost = state.Deadline > 1 && begin >= state.Deadline
		e.tried.Store(false)
		e.clear.last.Store(&notTried)
		select {
		case e.begun <- struct{}{}:
		default:
		}
	}
	left := e.clear.clear()
	e.found = e.found || e.clear.found
	if left == "" {
		e.page.Forget()
		e.page.Finish()
		e.now = sign{}
		e.say(fmt.Sprintf("session %d is over and cleared within %s", state.Session, time.Duration(page.Now()-begin).Round(time.Millisecond)))
		if e.lost && e.found && e.spec.Load().Reboot == WhenLost {
			e.reboot(fmt.Sprintf("the lease of session %d ended with groups on this server, and recovery.on_quorum_loss is \"reboot\"; they were cleared before", state.Session))
		}
		return true
	}
	if now := page.Now(); now-state.Deadline > int64(e.spec.Load().Stop) && now >= e.nextWord {
		e.nextWord = now + int64(complain)
		e.say(fmt.Sprintf("session %d is over, and this server is not clear: %s", state.Session, left))
	}
	return false
}

// judge reboots where clearing takes longer than E. It ends with close.
func (e *ender) judge(watch time.Duration) {
	var look <-chan time.Time
	if watch > 0 {
		tick := time.NewTicker(watch)
		defer tick.Stop()
		look = tick.C
	}
	for {
		select {
		case <-look:
			if !e.page.FireIfDue() {
				continue
			}
		case <-e.begun:
		case <-e.over:
			return
		}
		e.judgeOne()
	}
}

// judgeOne judges one clearing from its beginning to its end.
func (e *ender) judgeOne() {
	awake, last := time.Duration(0), page.Now()
	for e.clearing() {
		time.Sleep(judgeTick)
		now := page.Now()
		awake += min(time.Duration(now-last), longTick)
		last = now
		spec := e.spec.Load()
		limit := spec.Stop
		left, dying := e.clear.hindrance(limit)
		if dying {
			limit = max(limit, dyingPatience)
		}
		if awake < limit || spec.Reboot == Never || !e.clearing() || e.tried.Swap(true) {
			continue
		}
		e.reboot(fmt.Sprintf("session %d is over, and the groups could not be cleared within %s: %s", e.page.Load().Session, limit, left))
	}
}

// clearing says whether a session is over and not cleared. After close it is false.
func (e *ender) clearing() bool {
	select {
	case <-e.over:
		return false
	default:
	}
	s := e.page.Load()
	return s.Fired && !s.Finished
}

// reboot notes why and reboots. It returns only where that failed.
func (e *ender) reboot(why string) {
	e.say("reboots this server: " + why)
	e.record(why)
	if err := rebootNow(); err != nil {
		e.say(fmt.Sprintf("this server should be rebooted and cannot be (%v): %s", err, why))
	}
}

// record leaves a note for the next batond (boot id and reason), without waiting for a disk that hangs.
func (e *ender) record(why string) {
	file := e.spec.Load().Record
	if file == "" {
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return
		}
		defer f.Close()
		fmt.Fprintln(f, e.boot, why)
		_ = f.Sync()
	}()
	select {
	case <-written:
	case <-time.After(recordPatience):
	}
}
