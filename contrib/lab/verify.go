package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
)

// Verify says everything that has been against the rules in this lab so far:
//
//   - two servers had one floating IP on a card at one instant;
//   - two MAC addresses claimed one floating IP within one heartbeat interval of each
//     other. Where an operator had asked for the change (Operate, a graceful stop), the
//     old owner may have answered shortly before the new one, but never after it;
//   - scripts of one group ran on two servers at once;
//   - two servers had the file system of one group mounted at one instant (Mounts);
//   - for longer than a heartbeat interval one server had any part of a group (address,
//     mount, running script) and another server any part of it too. Where the lab itself
//     stood still meanwhile it was told so much later, and takes off that;
//   - a batond ended by itself, panicked, or found a data race;
//   - anything that the lab itself could not do.
func (l *Lab) Verify() error {
	errs := l.Complaints()
	if l.witness != nil {
		for _, o := range l.overlaps() {
			errs = append(errs, fmt.Errorf("two claims within one heartbeat interval (%s): %s", l.opts.Interval, o))
		}
	}
	runs, err := l.Journal()
	if err == nil {
		err = overlappingRuns(runs)
	}
	if err != nil {
		errs = append(errs, err)
	}
	all, err := l.carries(time.Now())
	if err == nil { // else it has been said already
		err = shared(all, func(from, until time.Time) time.Duration {
			return l.opts.Interval + l.pauses.longest(from, until)
		})
	}
	if err != nil {
		errs = append(errs, err)
	}
	for _, s := range l.Servers {
		text, err := os.ReadFile(s.LogPath("batond"))
		if err != nil {
			continue // never started
		}
		for _, bad := range []string{"panic:", "fatal error:", "WARNING: DATA RACE"} {
			if i := bytes.Index(text, []byte(bad)); i >= 0 {
				errs = append(errs, fmt.Errorf("batond on %s: %s", s.Name, text[i:min(len(text), i+2000)]))
			}
		}
	}
	return errors.Join(errs...)
}

// overlaps are the witness's, less those that an operator asked for.
func (l *Lab) overlaps() []Overlap {
	l.mu.Lock()
	asked := append([]window(nil), l.handovers...)
	l.mu.Unlock()
	var out []Overlap
	for _, g := range l.opts.Groups {
		ip := netip.MustParseAddr(g.Address)
		out = append(out, judge(ip, l.witness.Claims(ip), l.opts.Interval, asked)...)
	}
	return out
}

// judge finds the changes of hands that were too quick: each with less than interval
// between the old owner's last claim and the new one's first. One that was asked for
// may be quick, but only once: the one before must not come back within interval.
func judge(ip netip.Addr, claims []Claim, interval time.Duration, asked []window) []Overlap {
	var out []Overlap
	for i := 1; i < len(claims); i++ {
		old, new := claims[i-1], claims[i]
		if new.First.Sub(old.Last) >= interval {
			continue
		}
		wanted := false
		for _, w := range asked {
			wanted = wanted || w.touches(old.Last, new.First)
		}
		back := i >= 2 && claims[i-2].MAC == new.MAC && new.First.Sub(claims[i-2].Last) < interval
		if !wanted || back {
			out = append(out, Overlap{Address: ip, Old: old.MAC, New: new.MAC, Last: old.Last, First: new.First})
		}
	}
	return out
}
