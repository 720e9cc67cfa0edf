// Package page is the one page of memory that batond, its guard and the step children
// share: until when this server may run groups, under which session, and which
// floating IPs are wanted.
//
// All of it are 64-bit words that are read and changed atomically, by any process at
// any time; nobody ever waits for a lock of it. The file must be on a memory file
// system: on a disk that hangs, writing to the page would hang too.
//
// The lease word. Deadline and marks live in one word, so that "extend" and "fire" are
// compare-and-swaps against each other and exactly one of them wins:
//
//	deadline (CLOCK_BOOTTIME, ns) << 2 | finished << 1 | fired
//
//	0                    disarmed: nothing runs here
//	deadline             armed: batond extends it, and disarms when all is stopped
//	deadline|fired       the session is over for ever; the guard clears
//	deadline|fired|finished   nothing is left
//
// disarmed → armed, armed → armed (later), armed → disarmed and finished → armed are
// batond's; armed → fired is done by whoever first sees that the deadline is over;
// fired → finished is the guard's. The session word is written by batond only while
// the lease word is 0 or finished, and before it is armed: who sees an armed or fired
// word sees the session it belongs to. The finished session is written by the guard
// before the mark finished, for batond can die between writing a new session and
// arming it.
package page

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Size of the page in bytes.
const Size = 4096

const (
	magic   = 0x626e746e47756172
	version = 1

	fired    = 1
	finished = 2
	marks    = 2 // bits
)

// Words of the page. Those not named are 0 and kept for later.
const (
	wordMagic = iota
	wordVersion
	wordBoot0 // boot id, 36 bytes of text in five words
	wordBoot1
	wordBoot2
	wordBoot3
	wordBoot4
	wordSession  // that the lease word belongs to
	wordLease    // see above
	wordFinished // last session that the guard has cleared
	wordGuard    // pid of the guard
	wordBeat     // CLOCK_BOOTTIME, ns, of the guard's last turn
	wordTimeout  // T, ns
	wordStop     // E, ns
	wordSpec     // batond adds 1 when it has written a new spec
	wordSpecSeen // the guard's answer
	wordWatchdog // what the guard has of it
	wordSlots    = 64
)

// Page is a mapping of the shared page. Its methods may be called from any goroutine
// until Close.
type Page struct {
	mem   []byte
	words *[Size / 8]atomic.Uint64
}

// Map maps the page in f, which is made long enough, and does not look at what is in
// it. The file may be closed afterwards.
func Map(f *os.File) (*Page, error) {
	if err := f.Truncate(Size); err != nil {
		return nil, fmt.Errorf("page %s: %w", f.Name(), err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("page %s: mmap: %w", f.Name(), err)
	}
	// Best effort, for a page of tmpfs can be swapped out; 4 KiB are within every limit.
	_ = unix.Mlock(mem)
	return &Page{mem: mem, words: (*[Size / 8]atomic.Uint64)(unsafe.Pointer(&mem[0]))}, nil
}

// Open maps an existing page and checks that it is of this boot and version.
func Open(path string) (*Page, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	defer f.Close()
	p, err := Map(f)
	if err != nil {
		return nil, err
	}
	if err := p.Check(); err != nil {
		p.Close()
		return nil, fmt.Errorf("page %s: %w", path, err)
	}
	return p, nil
}

// Close unmaps the page.
func (p *Page) Close() { _ = unix.Munmap(p.mem) }

// Check says whether the page is one of this boot and version.
func (p *Page) Check() error {
	if p.words[wordMagic].Load() != magic {
		return errors.New("not a page of the guard")
	}
	if v := p.words[wordVersion].Load(); v != version {
		return fmt.Errorf("version %d, this program knows %d: stop the old batond first", v, version)
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	for i, w := range boot {
		if p.words[wordBoot0+i].Load() != w {
			return errors.New("from before the last boot")
		}
	}
	return nil
}

// Reset makes a page with nothing in it. Only for one that no guard has open.
func (p *Page) Reset() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	for i := range p.words {
		p.words[i].Store(0)
	}
	for i, w := range boot {
		p.words[wordBoot0+i].Store(w)
	}
	p.words[wordVersion].Store(version)
	p.words[wordMagic].Store(magic)
	return nil
}

func bootID() ([5]uint64, error) {
	var words [5]uint64
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return words, err
	}
	for i, c := range []byte(strings.TrimSpace(string(text))) {
		if i < 40 {
			words[i/8] |= uint64(c) << (8 * (i % 8))
		}
	}
	return words, nil
}

// Now is CLOCK_BOOTTIME in nanoseconds: it counts while the machine is suspended.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("clock_gettime: " + err.Error()) // cannot fail for a clock the kernel has
	}
	return ts.Nano()
}

// State is the lease as it stands.
type State struct {
	Session  uint64 // armed or last armed; may be one not armed yet where neither is true
	Deadline int64  // CLOCK_BOOTTIME, ns; 0: disarmed
	Fired    bool
	Finished bool
	Cleared  uint64 // last session that was cleared; 0: none
}

// Armed says whether the session goes on.
func (s State) Armed() bool { return s.Deadline != 0 && !s.Fired }

// Load reads the lease.
func (p *Page) Load() State {
	for {
		w := p.words[wordLease].Load()
		s := State{
			Session:  p.words[wordSession].Load(),
			Deadline: int64(w >> marks),
			Fired:    w&fired != 0,
			Finished: w&finished != 0,
			Cleared:  p.words[wordFinished].Load(),
		}
		if p.words[wordLease].Load() == w {
			return s
		}
	}
}

// Extend moves the deadline of the session to end, never back. It arms a page on
// which nothing runs. False means that the session is over, or may not begin, and for
// ever: the deadline was reached (by whichever clock reading, the guard's or this
// one), or another session is armed, which a newer one ends. Only batond calls it,
// from one goroutine.
func (p *Page) Extend(session uint64, end int64) bool {
	for {
		w := p.words[wordLease].Load()
		switch {
		case w == 0 || w&finished != 0:
			if session <= p.words[wordFinished].Load() || end <= Now() {
				return false
			}
			p.words[wordSession].Store(session)
			if p.words[wordLease].CompareAndSwap(w, uint64(end)<<marks) {
				return true
			}
		case w&fired != 0 || session < p.words[wordSession].Load():
			return false
		case session > p.words[wordSession].Load():
			// Its predecessor was not ended in order; it must be cleared first.
			p.words[wordLease].CompareAndSwap(w, w|fired)
			return false
		case p.fireIfDue(w):
			return false
		case int64(w>>marks) >= end || p.words[wordLease].CompareAndSwap(w, uint64(end)<<marks):
			// Where the clock stood still between looking and swapping, the guard
			// meets a deadline that is over already and fires then.
			return true
		}
	}
}

// FireIfDue ends the session where its deadline is over, and says whether it is
// ended (by anyone) and not cleared yet.
func (p *Page) FireIfDue() bool {
	w := p.words[wordLease].Load()
	if w == 0 || w&finished != 0 {
		return false
	}
	return w&fired != 0 || p.fireIfDue(w)
}

// fireIfDue fires the armed word w if its deadline is over. False as well where w has
// changed meanwhile.
func (p *Page) fireIfDue(w uint64) bool {
	return Now() >= int64(w>>marks) && p.words[wordLease].CompareAndSwap(w, w|fired)
}

// Fire ends the session now, if there is one, and asks for a clearing in any case.
func (p *Page) Fire() {
	for {
		w := p.words[wordLease].Load()
		if w != 0 && w&fired != 0 && w&finished == 0 {
			return
		}
		due := w &^ finished
		if due == 0 {
			due = 1 << marks // a deadline that is long over
		}
		if w&finished != 0 || w == 0 {
			// Nothing ran; what is to be cleared belongs to the last session.
			p.words[wordSession].Store(p.words[wordFinished].Load())
		}
		if p.words[wordLease].CompareAndSwap(w, due|fired) {
			return
		}
	}
}

// Finish notes that nothing of the fired session is left. Only the guard calls it.
func (p *Page) Finish() {
	w := p.words[wordLease].Load()
	if w&fired == 0 || w&finished != 0 {
		return
	}
	p.words[wordFinished].Store(max(p.words[wordFinished].Load(), p.words[wordSession].Load()))
	p.words[wordLease].CompareAndSwap(w, w|finished)
}

// Disarm ends the session in order: everything of it has been stopped. False: the
// guard was faster.
func (p *Page) Disarm() bool {
	for {
		w := p.words[wordLease].Load()
		if w == 0 {
			return true
		}
		if w&fired != 0 {
			return false
		}
		if p.words[wordLease].CompareAndSwap(w, 0) {
			return true
		}
	}
}

// Permit says whether the session may act now. A step child asks once it is where
// the guard's kill reaches it, and not before: a batond that stood still between
// looking at its lease and starting the child is caught here.
func (p *Page) Permit(session uint64) error {
	switch s := p.Load(); {
	case s.Deadline == 0 || s.Finished:
		return fmt.Errorf("session %d is not running on this server", session)
	case s.Session != session:
		return fmt.Errorf("session %d is over, session %d has begun", session, s.Session)
	case s.Fired || Now() >= s.Deadline:
		return fmt.Errorf("session %d is over: its lease ended", session)
	}
	return nil
}

// SetTimes sets T (heartbeat.timeout) and E (the time to stop in).
func (p *Page) SetTimes(timeout, stop time.Duration) {
	p.words[wordTimeout].Store(uint64(timeout))
	p.words[wordStop].Store(uint64(stop))
}

// Times returns T and E.
func (p *Page) Times() (timeout, stop time.Duration) {
	return time.Duration(p.words[wordTimeout].Load()), time.Duration(p.words[wordStop].Load())
}

// Lifetime is the valid_lft, in whole seconds, that a floating IP may get now: the
// kernel then takes it away before anybody else may have it, deadline + E. 0 means
// that no second is left. (Measured on Linux 6.18: an address with a lifetime of 1 s
// is gone after 1.01 to 1.06 s, hence the margin.)
//
// With T below 2 s a whole second is never left for sure. The address gets one all
// the same, or it could not be held at all; a machine that freezes altogether may then
// hold it up to 1.1 s after its last refresh, longer than the lease allows.
func (p *Page) Lifetime() int {
	s := p.Load()
	now := Now()
	if !s.Armed() || now >= s.Deadline {
		return 0
	}
	timeout, stop := p.Times()
	return lifetime(time.Duration(s.Deadline-now), timeout, stop)
}

// lateness of the kernel's own removal, see Lifetime.
const lateness = 100 * time.Millisecond

func lifetime(left, timeout, stop time.Duration) int {
	seconds := int((left + stop - lateness) / time.Second)
	if seconds < 1 && timeout < 2*time.Second {
		return 1
	}
	return max(seconds, 0)
}

// SetGuard and Guard are the pid of the guard.
func (p *Page) SetGuard(pid int) { p.words[wordGuard].Store(uint64(pid)) }
func (p *Page) Guard() int       { return int(p.words[wordGuard].Load()) }

// Beat notes that the guard turns.
func (p *Page) Beat() { p.words[wordBeat].Store(uint64(Now())) }

// BeatAge is the time since the last Beat.
func (p *Page) BeatAge() time.Duration {
	return time.Duration(Now() - int64(p.words[wordBeat].Load()))
}

// Watchdog is what has become of the watchdog device.
type Watchdog uint64

// The states of the watchdog device.
const (
	WatchdogNone    Watchdog = iota // none is wanted, or the guard has not come to it
	WatchdogMissing                 // it cannot be had
	WatchdogFed
	WatchdogLate // fed, but it cannot be set as short as heartbeat.timeout needs
)

// Watchdog and SetWatchdog are the state of the watchdog device; the guard sets it.
func (p *Page) Watchdog() Watchdog     { return Watchdog(p.words[wordWatchdog].Load()) }
func (p *Page) SetWatchdog(w Watchdog) { p.words[wordWatchdog].Store(uint64(w)) }

// Spec counts the specs that batond has written.
func (p *Page) Spec() uint64 { return p.words[wordSpec].Load() }

// NewSpec tells the guard to read the spec again.
func (p *Page) NewSpec() uint64 { return p.words[wordSpec].Add(1) }

// SpecSeen and SetSpecSeen are the last spec that the guard has read.
func (p *Page) SpecSeen() uint64     { return p.words[wordSpecSeen].Load() }
func (p *Page) SetSpecSeen(n uint64) { p.words[wordSpecSeen].Store(n) }
