package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// This file puts what the lab's four observers saw of a group side by side: the kernels'
// reports of addresses, the ARP witness, the scripts' journal, and the mounts.

// stretch is a time in which a server had a part of a group.
type stretch struct {
	Group, Server, What string
	From, Until         time.Time
}

// What a server can have of a group.
const (
	hasAddress = "address"
	hasMount   = "mount"
	hasScript  = "script"
)

// carries are all stretches so far, by their beginning. What goes on lasts until now.
//
// A server that stands still as a whole (Stall) cannot end anything: its kernel takes
// the addresses away, but processes and what they have mounted are left until it goes
// on, and for as long as the guard then may take. That much is left out.
func (l *Lab) carries(now time.Time) ([]stretch, error) {
	var out []stretch
	add := func(s stretch) {
		if s.Until.IsZero() {
			s.Until = now
		}
		if s.What == hasAddress {
			out = append(out, s)
			return
		}
		out = append(out, without(s, l.excuses(s.Server))...)
	}
	for _, g := range l.opts.Groups {
		for _, h := range l.Holdings(netip.MustParseAddr(g.Address)) {
			add(stretch{g.Name, h.Server, hasAddress, h.From, h.Until})
		}
	}
	if l.mounts != nil {
		for _, m := range l.mounts.list() {
			add(stretch{m.Group, m.Server, hasMount, m.From, m.Until})
		}
	}
	runs, err := l.Journal()
	for _, r := range runs {
		if r.Event == "RECOVER" {
			continue // beside a group that runs elsewhere
		}
		s := stretch{r.Group, r.Server, hasScript, l.wall(r.Begin), l.wall(r.End)}
		if r.End == 0 {
			s.Until = s.From // killed, nobody knows when
		}
		add(s)
	}
	slices.SortStableFunc(out, func(a, b stretch) int { return a.From.Compare(b.From) })
	return out, err
}

// excuses are the times in which a server cannot be asked to have ended anything.
func (l *Lab) excuses(server string) []window {
	s := l.Server(server)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stalls)
}

func (l *Lab) excused(server string, at time.Time) bool {
	return slices.ContainsFunc(l.excuses(server), func(w window) bool { return w.touches(at, at) })
}

// without takes windows of time out of a stretch.
func without(s stretch, windows []window) []stretch {
	out := []stretch{s}
	for _, w := range windows {
		var next []stretch
		for _, s := range out {
			if !w.touches(s.From, s.Until) {
				next = append(next, s)
				continue
			}
			if s.From.Before(w.from) {
				next = append(next, stretch{s.Group, s.Server, s.What, s.From, w.from})
			}
			if !w.until.IsZero() && w.until.Before(s.Until) {
				next = append(next, stretch{s.Group, s.Server, s.What, w.until, s.Until})
			}
		}
		out = next
	}
	return out
}

// shared finds the stretches in which two servers had a part of one group, for longer
// than the observers may be late then. Each kind of part has an exact check of its own;
// this one is across the kinds.
func shared(all []stretch, late func(from, until time.Time) time.Duration) error {
	var texts []string
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.Group != b.Group || a.Server == b.Server {
				continue
			}
			from, until := later(a.From, b.From), a.Until
			if b.Until.Before(until) {
				until = b.Until
			}
			if both := until.Sub(from); both > late(from, until) {
				texts = append(texts, fmt.Sprintf("group %s on two servers for %s, at %s: %s had its %s, %s its %s",
					a.Group, both.Round(time.Millisecond), from.Format("15:04:05.000"), a.Server, a.What, b.Server, b.What))
			}
		}
	}
	if texts == nil {
		return nil
	}
	if more := len(texts) - 10; more > 0 {
		texts = append(texts[:10], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%s", strings.Join(texts, "\n"))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wall is an instant of CLOCK_BOOTTIME on the clock of the other observers.
func (l *Lab) wall(boot time.Duration) time.Time { return l.began.Add(boot - l.beganBoot) }

// happening is something that was done to the lab.
type happening struct {
	at   time.Time
	text string
}

// note keeps what was done to the lab, for the timeline.
func (l *Lab) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.happenings = append(l.happenings, happening{time.Now(), fmt.Sprintf(format, args...)})
}

// timelineLines is how much of a timeline is printed: its end.
const timelineLines = 150

// Timeline is who had what of which group when, with the faults in between: a line for
// each change, in seconds since the lab began.
func (l *Lab) Timeline() string {
	l.mu.Lock()
	lines := slices.Clone(l.happenings)
	l.mu.Unlock()
	for i := range lines {
		lines[i].text = "-- " + lines[i].text
	}
	now := time.Now()
	add := func(at time.Time, format string, args ...any) {
		if !at.IsZero() && at.Before(now) {
			lines = append(lines, happening{at, fmt.Sprintf(format, args...)})
		}
	}
	all, err := l.carries(now)
	for _, s := range all {
		add(s.From, "%s %s has the %s", s.Group, s.Server, s.What)
		add(s.Until, "%s %s no %s", s.Group, s.Server, s.What)
	}
	if l.witness != nil {
		for _, g := range l.opts.Groups {
			for _, c := range l.witness.Claims(netip.MustParseAddr(g.Address)) {
				who := l.whose(c.MAC)
				add(c.First, "%s %s answers ARP", g.Name, who)
				add(c.Last, "%s %s answers ARP for the last time (%d)", g.Name, who, c.Packets)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b happening) int { return a.at.Compare(b.at) })
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "    %v\n", err)
	}
	for _, h := range lines[max(0, len(lines)-timelineLines):] {
		fmt.Fprintf(&b, "    %8.3f %s\n", h.at.Sub(l.began).Seconds(), h.text)
	}
	return b.String()
}

// whose is the server with this MAC address on the public LAN.
func (l *Lab) whose(hw string) string {
	for _, s := range l.Servers {
		if mac(s.Addr(Public)).String() == hw {
			return s.Name
		}
	}
	return hw
}
