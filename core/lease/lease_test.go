package lease

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = Instant(time.Millisecond)

// The numbers of core/README.md follow from the timeout alone.
func TestDerive(t *testing.T) {
	for _, tc := range []struct {
		name              string
		timeout, interval time.Duration
		want              Params
	}{
		{"default", 3 * time.Second, 500 * time.Millisecond, Params{
			Timeout: 3 * time.Second, Stop: 750 * time.Millisecond, Lease: 2160 * time.Millisecond,
			Elect: 1200 * time.Millisecond, Round: 300 * time.Millisecond,
			RaftTick: 100 * time.Millisecond, Tick: 50 * time.Millisecond,
		}},
		{"one second", time.Second, 100 * time.Millisecond, Params{
			Timeout: time.Second, Stop: 250 * time.Millisecond, Lease: 720 * time.Millisecond,
			Elect: 400 * time.Millisecond, Round: 100 * time.Millisecond,
			RaftTick: 400 * time.Millisecond / 12, Tick: 20 * time.Millisecond,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Derive(tc.timeout, tc.interval)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// For every timeout that the configuration allows, a lease and the stop budget end
// before the takeover, with 1 % for each of two clocks, and an election fits into
// what is left of a survivor's lease.
func TestDeriveKeepsItsPromises(t *testing.T) {
	for timeout := 500 * time.Millisecond; timeout <= 5*time.Minute; timeout += 100 * time.Millisecond {
		p := Derive(timeout, timeout)
		if slow := (p.Lease + p.Stop) * 102 / 100; slow >= p.Timeout {
			t.Fatalf("T %v: a lease and its stop last %v on clocks 1 %% apart each", timeout, slow)
		}
		if p.Elect+p.Round >= p.Lease-p.Round {
			t.Fatalf("T %v: election after %v, leases end %v after the last round", timeout, p.Elect, p.Lease-p.Round)
		}
	}
}

// Basis: "the newest instant such that a majority has supported a heartbeat sent at
// it or later".
func TestBasis(t *testing.T) {
	for _, tc := range []struct {
		supported []Instant
		want      Instant
	}{
		{nil, 0},
		{[]Instant{7}, 7},
		{[]Instant{9, 0}, 0},
		{[]Instant{9, 4}, 4},
		{[]Instant{9, 4, 0}, 4},
		{[]Instant{9, 0, 0}, 0},
		{[]Instant{9, 5, 6}, 6},
		{[]Instant{9, 8, 3, 2}, 3},
		{[]Instant{9, 8, 7, 2, 1}, 7},
	} {
		if got := Basis(tc.supported); got != tc.want {
			t.Errorf("Basis(%v) = %v, want %v", tc.supported, got, tc.want)
		}
	}
}

// FormerOver: the best majority decides, and silence decides nothing.
func TestFormerOver(t *testing.T) {
	p := Params{Timeout: 10}
	for _, tc := range []struct {
		former []Instant
		want   Instant
		ok     bool
	}{
		{nil, 0, false},
		{[]Instant{5}, 15, true},
		{[]Instant{5, Unknown}, 0, false},
		{[]Instant{5, 7, Unknown}, 17, true},
		{[]Instant{5, Unknown, Unknown}, 0, false},
		{[]Instant{1, 2, 3, Unknown}, 13, true},
	} {
		got, ok := FormerOver(tc.former, p)
		if got != tc.want || ok != tc.ok {
			t.Errorf("FormerOver(%v) = %v, %v, want %v, %v", tc.former, got, ok, tc.want, tc.ok)
		}
	}
}

// Any majority of which a lease could have been granted shares a voter with the
// majority that fixes W, so W lies T after the last support such a lease needed.
func TestFormerOverCoversEveryLease(t *testing.T) {
	p := Derive(time.Second, time.Second)
	for n := 1; n <= 7; n++ {
		for shift := range n {
			supported := make([]Instant, n) // when each voter last supported the former leader
			for i := range supported {
				supported[i] = Instant((i*shift)%n+1) * 100 * ms
			}
			w, ok := FormerOver(supported, p)
			if !ok {
				t.Fatalf("n %d: W not known", n)
			}
			end := Basis(supported).Add(p.Lease + p.Stop)
			if end > w {
				t.Errorf("n %d %v: a lease and its stop end at %v, after W %v", n, supported, end, w)
			}
		}
	}
}

func TestSupport(t *testing.T) {
	s := NewSupport(100)
	if s.Former != 100 {
		t.Fatalf("a restarted voter remembers nothing: former is %v, want its start 100", s.Former)
	}
	s.Note(Rank{1, 2}, 200)
	s.Note(Rank{1, 2}, 250)
	if got, want := s, (Support{Rank{1, 2}, 250, 100}); got != want {
		t.Errorf("same leader: got %v, want %v", got, want)
	}
	s.Note(Rank{1, 3}, 400)
	if got, want := s, (Support{Rank{1, 3}, 400, 250}); got != want {
		t.Errorf("newer leader: got %v, want %v", got, want)
	}
	s.Note(Rank{1, 2}, 450)
	if got, want := s, (Support{Rank{1, 3}, 400, 450}); got != want {
		t.Errorf("older leader once more: got %v, want %v", got, want)
	}
	s.Note(Rank{2, 1}, 500)
	if got, want := s, (Support{Rank{2, 1}, 500, 450}); got != want {
		t.Errorf("newer epoch: got %v, want %v", got, want)
	}
}

func TestSilenceOver(t *testing.T) {
	p := Params{Timeout: 100}
	for _, tc := range []struct {
		name string
		s    Silence
		now  Instant
		w    Instant
		want bool
	}{
		{"silent for T", Silence{Heard: 100, Echoed: 90, Granted: 95, Led: 10}, 200, 150, true},
		{"silent, W not reached", Silence{Heard: 100, Granted: 95}, 200, 201, false},
		{"silent, granted lately", Silence{Heard: 100, Granted: 101}, 200, 0, false},
		{"heard", Silence{Heard: 101, Echoed: 150, Granted: 0, Here: 101}, 200, 0, false},
		{"heard but mute for T", Silence{Heard: 199, Echoed: 100, Granted: 100, Led: 100, Here: 199}, 200, 0, true},
		{"mute, leader is new", Silence{Heard: 199, Echoed: 0, Granted: 0, Led: 101}, 200, 0, false},
		{"hears us, in another epoch for T", Silence{Heard: 199, Echoed: 199, Granted: 100, Led: 100, Here: 100}, 200, 0, true},
		{"the same, W not reached", Silence{Heard: 199, Echoed: 199, Granted: 100, Led: 100, Here: 100}, 200, 201, false},
		{"the same, granted lately", Silence{Heard: 199, Echoed: 199, Granted: 101, Led: 100, Here: 100}, 200, 0, false},
		{"in another epoch a moment ago", Silence{Heard: 199, Echoed: 199, Granted: 0, Led: 100, Here: 101}, 200, 0, false},
		{"useless", Silence{Heard: 199, Echoed: 199, Granted: 100, Led: 100, Here: 199, Useless: true}, 200, 0, true},
		{"useless, granted lately", Silence{Heard: 199, Echoed: 199, Granted: 101, Led: 100, Here: 199, Useless: true}, 200, 0, false},
	} {
		if got := tc.s.Over(tc.now, tc.w, p); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

// A lease that has ended is never extended, even by a grant that is longer.
func TestHeldIsOverForGood(t *testing.T) {
	var h Held
	if h.Valid(1) {
		t.Fatal("a lease that was never granted is valid")
	}
	if !h.Extend(10, 20) || !h.Valid(19) {
		t.Fatal("first grant not taken")
	}
	if h.Extend(11, 15) {
		t.Error("the end moved back")
	}
	if h.Lapse(19) {
		t.Error("lapsed before its end")
	}
	if h.Extend(20, 40) {
		t.Error("extended after its end")
	}
	if !h.Lapse(20) || h.Lapse(21) {
		t.Error("lapse is reported once, at the end")
	}
	if h.Extend(21, 60) || h.Valid(21) {
		t.Error("a lapsed lease came back")
	}
}
