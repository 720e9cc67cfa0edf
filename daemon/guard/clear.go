package guard

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"baton/daemon/cgroup"
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
	// turn is called between the stages, for the guard's beat.
	turn func()
}

func newClearer(p *page.Page) (*clearer, error) {
	table, err := floatingip.OpenTable()
	if err != nil {
		return nil, err
	}
	return &clearer{page: p, table: table, addrs: map[netip.Addr]bool{}, turn: func() {}}, nil
}

func (c *clearer) close() { c.table.Close() }

// add adds what a spec names. Nothing is forgotten while a session lasts: an address
// that the operator has just taken out of the configuration may still be here.
func (c *clearer) add(s Spec) {
	for _, a := range s.Addresses {
		c.addrs[a] = true
	}
	for _, p := range c.places {
		if p == s.Place {
			return
		}
	}
	c.places = append(c.places, s.Place)
}

// clear tries once, for as long as killed processes may take to go, and returns what
// is left, "" where nothing is.
//
// The order: first what takes microseconds and stops clients from being served, then
// the scan for processes outside the cgroups, then a last look at the addresses: a
// step child can have been in the kernel, adding one, when it was killed.
func (c *clearer) clear() (left string) {
	if sparesAll() {
		return ""
	}
	var faults []string
	note := func(err error) {
		if err != nil {
			faults = append(faults, err.Error())
		}
	}
	for _, p := range c.places {
		note(p.KillCgroup())
	}
	_, err := c.table.RemoveAll(c.addrs)
	note(err)
	c.turn()
	for _, p := range c.places {
		note(c.await(p))
	}
	n, err := c.table.RemoveAll(c.addrs)
	note(err)
	if n > 0 {
		// Found some again: only a pass without any shows that nobody adds them.
		if n, err = c.table.RemoveAll(c.addrs); n > 0 {
			note(fmt.Errorf("%d floating IPs come back", n))
		}
		note(err)
	}
	if len(faults) == 0 {
		for _, p := range c.places {
			p.Remove() // whoever is born in a cgroup that has been killed dies, see Remove
		}
	}
	return strings.Join(faults, "; ")
}

// await kills until no process is left. The dying need a moment: memory has to be
// given back.
func (c *clearer) await(p cgroup.Place) error {
	const (
		poll  = 2 * time.Millisecond
		limit = 200 * time.Millisecond // then the addresses are looked at again
	)
	for end := time.Now().Add(limit); ; time.Sleep(poll) {
		c.turn()
		left, err := p.Kill()
		if err != nil || !left {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes of a group cannot be killed (stuck in the kernel?)")
		}
	}
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
