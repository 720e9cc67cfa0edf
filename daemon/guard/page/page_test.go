package page

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func newPage(t *testing.T) *Page {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "page"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := Map(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if p.Check() == nil {
		t.Fatal("an empty file passes for a page")
	}
	if err := p.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	p.SetTimes(3*time.Second, 750*time.Millisecond)
	return p
}

func in(d time.Duration) int64 { return Now() + int64(d) }

// The life of the lease word, transition by transition.
func TestLease(t *testing.T) {
	p := newPage(t)
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("session 0", p.Extend(0, in(time.Minute)), false)
	check("arm in the past", p.Extend(1, in(-time.Second)), false)
	check("permit before", p.Permit(5) != nil, true)
	check("fire when disarmed", p.FireIfDue(), false)

	end := in(time.Minute)
	check("arm", p.Extend(5, end), true)
	check("permit", p.Permit(5), nil)
	check("permit of another session", p.Permit(4) != nil, true)
	check("not due", p.FireIfDue(), false)
	check("never back", p.Extend(5, in(time.Second)), true)
	check("deadline", p.Load().Deadline, end)
	check("an older session while armed", p.Extend(4, in(time.Minute)), false)
	check("goes on", p.Extend(5, end), true)
	check("disarm", p.Disarm(), true)
	check("permit after disarm", p.Permit(5) != nil, true)

	check("arm again", p.Extend(5, in(30*time.Millisecond)), true)
	time.Sleep(40 * time.Millisecond)
	check("permit after the end", p.Permit(5) != nil, true)
	check("extend after the end, before the guard looked", p.Extend(5, in(time.Minute)), false)
	check("sticky", p.Load().Fired, true)
	check("disarm after fired", p.Disarm(), false)
	check("new session before cleared", p.Extend(6, in(time.Minute)), false)
	p.Finish()
	check("cleared", p.Load().Cleared, uint64(5))
	check("the session is over for ever", p.Extend(5, in(time.Minute)), false)
	check("an older one too", p.Extend(4, in(time.Minute)), false)
	check("new session", p.Extend(6, in(time.Minute)), true)
	p.Finish()
	check("finish without fire does nothing", p.Permit(6), nil)
	p.Fire()
	check("fired by hand", p.Extend(6, in(time.Minute)), false)
	p.Finish()
	p.Fire()
	check("clearing without a session", p.FireIfDue(), true)
	p.Finish()
	check("still", p.Load().Cleared, uint64(6))
	check("and on", p.Extend(7, in(time.Minute)), true)
	check("a newer session while armed", p.Extend(8, in(time.Minute)), false)
	check("ends the old one", p.Load().Fired, true)
}

// batond can die between writing a new session and arming it: the session that was
// cleared stays the old one.
func TestCrashBeforeArming(t *testing.T) {
	p := newPage(t)
	p.Extend(5, in(time.Minute))
	p.Fire()
	p.Finish()
	p.words[wordSession].Store(6) // and no more
	if s := p.Load(); s.Cleared != 5 || !s.Finished || s.Armed() {
		t.Fatalf("%+v", s)
	}
	if !p.Extend(6, in(time.Minute)) {
		t.Error("the new session cannot be armed any more")
	}
}

// Extend against firing, by two goroutines on two mappings of one page: exactly one
// wins, and after a fire no extension of the session ever succeeds.
func TestExtendAgainstFire(t *testing.T) {
	p := newPage(t)
	var stop atomic.Bool
	var clears atomic.Uint64
	var guard sync.WaitGroup
	guard.Go(func() {
		for !stop.Load() {
			if p.FireIfDue() {
				clears.Add(1)
				p.Finish()
			}
			runtime.Gosched()
		}
	})
	refused := 0
	for session, end := uint64(1), time.Now().Add(time.Second); time.Now().Before(end); session++ {
		for p.Extend(session, in(20*time.Microsecond)) {
			if s := p.Load(); s.Session != session {
				t.Fatalf("session %d extended, page has %+v", session, s)
			}
		}
		refused++
		for i := range 20 {
			if s := p.Load(); s.Cleared < session && s.Armed() {
				t.Fatalf("session %d was refused, page has %+v", session, s)
			}
			if p.Extend(session, in(time.Second)) {
				// Refused because it came too late to arm: then it never was.
				if s := p.Load(); s.Cleared >= session {
					t.Fatalf("session %d goes on after %d was cleared (try %d)", session, s.Cleared, i)
				}
				p.Fire()
			}
		}
		for !p.Load().Finished && p.Load().Deadline != 0 {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	guard.Wait()
	t.Logf("%d sessions, %d clearings", refused, clears.Load())
	if clears.Load() == 0 {
		t.Error("never fired")
	}
}

// A renewal that crosses a removal: the address, once removed, never comes back.
// Method: a boolean stands for the kernel's table; to renew sets it, as RTM_NEWADDR
// does.
func TestRenewAgainstUnwant(t *testing.T) {
	p := newPage(t)
	addr := netip.MustParseAddr("10.0.0.1")
	var there, stop atomic.Bool
	var guard sync.WaitGroup
	renewals := 0
	guard.Go(func() {
		for !stop.Load() {
			if there.Load() {
				p.Renew(addr, func() { runtime.Gosched(); there.Store(true); renewals++ })
			}
		}
	})
	rounds := 0
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); rounds++ {
		if err := p.Want(addr); err != nil {
			t.Fatal(err)
		}
		there.Store(true)
		runtime.Gosched()
		if err := p.Unwant(addr, time.Second); err != nil {
			t.Fatal(err)
		}
		there.Store(false)
		for range 20 {
			runtime.Gosched()
			if there.Load() {
				t.Fatalf("round %d: the address came back", rounds)
			}
		}
	}
	stop.Store(true)
	guard.Wait()
	if renewals == 0 || rounds == 0 {
		t.Errorf("%d renewals in %d rounds", renewals, rounds)
	}
}

// A guard that died while it renewed: the remover is told, and goes on once the next
// guard has begun.
func TestStuckRenewal(t *testing.T) {
	p := newPage(t)
	addr := netip.MustParseAddr("10.0.0.1")
	if err := p.Want(addr); err != nil {
		t.Fatal(err)
	}
	p.Renew(addr, func() {
		if err := p.Unwant(addr, time.Millisecond); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		p.Idle()
		if err := p.Unwant(addr, time.Millisecond); err != nil {
			t.Error(err)
		}
	})
	p.Renew(addr, func() { t.Error("renewed an address that nobody wants") })
}

func TestSlotsRunOut(t *testing.T) {
	p := newPage(t)
	a := netip.MustParseAddr("10.0.0.0")
	for range slots {
		if err := p.Want(a); err != nil {
			t.Fatal(err)
		}
		a = a.Next()
	}
	if err := p.Want(a); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
	if err := p.Want(netip.MustParseAddr("10.0.0.7")); err != nil {
		t.Errorf("one that has a slot: %v", err)
	}
}

func TestLifetime(t *testing.T) {
	const T, E = 3 * time.Second, 750 * time.Millisecond
	for _, c := range []struct {
		left, timeout, stop time.Duration
		want                int
	}{
		{2160 * time.Millisecond, T, E, 2},
		{1300 * time.Millisecond, T, E, 1},
		{300 * time.Millisecond, T, E, 0}, // 0.95 s: a whole second would outlive the lease
		{7200 * time.Millisecond, 10 * time.Second, 2500 * time.Millisecond, 9},
		{720 * time.Millisecond, time.Second, 250 * time.Millisecond, 1}, // the only way
		{10 * time.Millisecond, time.Second, 250 * time.Millisecond, 1},
		{1440 * time.Millisecond, 2 * time.Second, 500 * time.Millisecond, 1},
		{400 * time.Millisecond, 2 * time.Second, 500 * time.Millisecond, 0},
	} {
		if got := lifetime(c.left, c.timeout, c.stop); got != c.want {
			t.Errorf("lifetime(%s left, T %s, E %s) = %d, want %d", c.left, c.timeout, c.stop, got, c.want)
		}
	}
	p := newPage(t)
	if got := p.Lifetime(); got != 0 {
		t.Errorf("disarmed: %d", got)
	}
	p.Extend(1, in(10*time.Second))
	if got := p.Lifetime(); got != 10 {
		t.Errorf("got %d, want 10", got)
	}
	p.Fire()
	if got := p.Lifetime(); got != 0 {
		t.Errorf("fired: %d", got)
	}
}

func TestCheck(t *testing.T) {
	p := newPage(t)
	p.words[wordBoot2].Add(1)
	if p.Check() == nil {
		t.Error("a page of another boot passes")
	}
	p.Reset()
	p.words[wordVersion].Store(version + 1)
	if p.Check() == nil {
		t.Error("a page of another version passes")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("opened a page that is not there")
	}
}
