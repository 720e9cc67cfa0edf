package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"baton/daemon/cgroup"
	"baton/daemon/guard/mounts"
	"baton/daemon/guard/page"
	"baton/daemon/resource/floatingip"
)

// clearer takes everything of every group off this server. What it needs is opened
// beforehand, so that clearing asks for as little as possible.
type clearer struct {
	page   *page.Page
	table  *floatingip.Table
	addrs  map[netip.Addr]bool
	places []cgroup.Place
	points []string // mount points
	// unmounting is the attempt to unmount that is under way. One that hangs in the
	// kernel is not waited for, and no second one is begun beside it.
	unmounting chan unmounted
	// turn is called between the stages, for the guard's beat.
	turn func()

	found bool // by the last clear: something was here

	// For the judge, who looks on from another goroutine.
	last  atomic.Pointer[verdict] // of the last attempt
	stage atomic.Pointer[string]  // of the attempt under way
	began atomic.Int64            // when it began; 0: none is under way
}

// unmounted is how an attempt to unmount went.
type unmounted struct {
	found bool
	err   error
}

// verdict is what stands in the way, as far as is known.
type verdict struct {
	text  string
	dying bool // nothing but killed processes that have not ended yet
}

// notTried is the verdict before the first attempt.
var notTried = verdict{text: "the guard has not come to it"}

func newClearer(p *page.Page) (*clearer, error) {
	table, err := floatingip.OpenTable()
	if err != nil {
		return nil, err
	}
	c := &clearer{page: p, table: table, turn: func() {}}
	c.forget()
	c.last.Store(&notTried)
	return c, nil
}

func (c *clearer) close() { c.table.Close() }

func (c *clearer) forget() { c.addrs, c.places, c.points = map[netip.Addr]bool{}, nil, nil }

// add adds what a spec names. Nothing is forgotten while a session lasts: an address
// that the operator has just taken out of the configuration may still be here.
func (c *clearer) add(s Spec) {
	for _, a := range s.Addresses {
		c.addrs[a] = true
	}
	for _, m := range s.Mounts {
		if !slices.Contains(c.points, m) {
			c.points = append(c.points, m)
		}
	}
	if !slices.Contains(c.places, s.Place) {
		c.places = append(c.places, s.Place)
	}
}

// at notes the stage that is tried now.
func (c *clearer) at(stage string) { c.stage.Store(&stage) }

// hindrance is what stands in the way. Any goroutine may ask. An attempt that has
// lasted for longer than limit hangs, and its stage is the answer.
func (c *clearer) hindrance(limit time.Duration) (text string, dying bool) {
	v, began := c.last.Load(), c.began.Load()
	if began != 0 && time.Duration(page.Now()-began) > limit {
		return "hangs while it is to " + *c.stage.Load(), false
	}
	return v.text, v.dying
}

// clear tries once, for as long as killed processes may take to go, and returns what
// is left, "" where nothing is.
//
// The order: first what takes microseconds and stops clients from being served, then
// the scan for processes outside the cgroups, then the file systems that they used, then
// a last look at the addresses: a step child can have been in the kernel, adding one,
// when it was killed. (Nor can it mount behind our back: it is gone before.)
func (c *clearer) clear() (left string) {
	if sparesAll() {
		return ""
	}
	v := &verdict{dying: true}
	note := func(err error, dying bool) {
		if err != nil {
			v.text = strings.TrimPrefix(v.text+"; "+err.Error(), "; ")
			v.dying = v.dying && dying
		}
	}
	c.found = false
	c.at("kill the processes of the groups")
	c.began.Store(page.Now())
	defer func() { c.last.Store(v); c.began.Store(0) }()
	for _, p := range c.places {
		c.found = c.found || p.Populated()
		note(p.KillCgroup(), false)
	}
	c.at("remove the floating IPs")
	n, err := c.table.RemoveAll(c.addrs)
	c.found = c.found || n > 0
	note(err, false)
	c.turn()
	c.at("wait for the processes of the groups")
	for _, p := range c.places {
		dying, err := c.await(p)
		note(err, dying)
	}
	c.at("unmount file systems")
	note(c.unmount(), false)
	c.at("remove the floating IPs")
	n, err = c.table.RemoveAll(c.addrs)
	note(err, false)
	if n > 0 {
		// Found some again: only a pass without any shows that nobody adds them.
		if n, err = c.table.RemoveAll(c.addrs); n > 0 {
			note(fmt.Errorf("%d floating IPs come back", n), false)
		}
		note(err, false)
	}
	if v.text == "" {
		for _, p := range c.places {
			p.Remove() // whoever is born in a cgroup that has been killed dies, see Remove
		}
	}
	return v.text
}

// await kills until no process is left. The dying need a moment: memory has to be
// given back. dying: those that are left are on their way out.
func (c *clearer) await(p cgroup.Place) (dying bool, err error) {
	const poll = 2 * time.Millisecond
	for end := time.Now().Add(c.patience()); ; {
		c.turn()
		begin := time.Now()
		left, err := p.Kill()
		if left {
			c.found = true
		}
		if err != nil || !left {
			return false, err
		}
		if time.Now().Before(end) {
			// As long as it took at least, where it looks at every process: this one goes
			// before the dying, and they need the processor too.
			time.Sleep(max(poll, time.Since(begin)))
			continue
		}
		if stuck := p.Stuck(); stuck != "" {
			return false, fmt.Errorf("%s of a group does not end by SIGKILL: it is stuck in the kernel", stuck)
		}
		return true, errors.New("killed processes of a group have not ended yet")
	}
}

// unmount unmounts what is mounted at and below the mount points.
func (c *clearer) unmount() error {
	if len(c.points) == 0 && c.unmounting == nil {
		return nil
	}
	if c.unmounting == nil {
		answer := make(chan unmounted, 1)
		c.unmounting = answer
		m := mounts.New(slices.Clone(c.points))
		go func() { // ends when the kernel lets it
			err := clearMounts(m)
			answer <- unmounted{m.Found, err}
		}()
	}
	wait := time.NewTimer(c.patience())
	defer wait.Stop()
	for {
		select {
		case u := <-c.unmounting:
			c.unmounting = nil
			c.found = c.found || u.found
			return u.err
		case <-time.After(turn):
			c.turn()
		case <-wait.C:
			c.found = true // or nothing would hang
			return fmt.Errorf("unmounting at and below %s does not come back: a disk or server does not answer", strings.Join(c.points, ", "))
		}
	}
}

// clearMounts is (*mounts.Clearer).Clear, but for tests.
var clearMounts = (*mounts.Clearer).Clear

// patience is how long one stage is waited for: the judge needs a verdict within E.
func (c *clearer) patience() time.Duration {
	const most = 200 * time.Millisecond // then the addresses are looked at again
	if _, stop := c.page.Times(); stop > 0 {
		return min(most, stop/4)
	}
	return most
}

// renew gives every wanted address that is here a new lifetime.
func (c *clearer) renew() error {
	if c.page.Lifetime() == 0 {
		return nil
	}
	list, err := c.table.List()
	if err != nil {
		return err
	}
	for _, f := range list {
		if !c.addrs[f.Addr] {
			continue
		}
		c.page.Renew(f.Addr, func() {
			// Asked again for each: this process can have stood still since.
			if seconds := c.page.Lifetime(); seconds > 0 {
				if e := c.table.Renew(f, seconds); e != nil {
					err = fmt.Errorf("renew %s: %w", f.Addr, e)
				}
			}
		})
	}
	return err
}
