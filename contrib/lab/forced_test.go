package lab_test

import (
	"context"
	"testing"
	"time"

	"baton/contrib/lab"
	"baton/daemon/api"
)

// Two of three servers are gone for good. The third waits, says for whom, and goes on
// with all groups when an operator vouches that the others are off. When these boot
// later, they join what has gone on, with nothing of theirs.
func TestForcedReturn(t *testing.T) {
	t.Parallel()
	c := lab.Start(t)
	last := c.Leader()
	other := c.Other(last)
	for _, s := range c.Servers {
		if s.Name != last {
			c.PowerCut(s.Name)
		}
	}
	c.WaitStatus("no quorum", func(st *api.Status) bool { return !st.Quorum && st.Waiting != "" })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := c.Get(last).Client()
	if _, err := client.Operate(ctx, api.Operation{Verb: api.VerbForceReturn, Server: other}); err == nil {
		t.Error("a server let another one go on alone")
	}
	if _, err := client.Operate(ctx, api.Operation{Verb: api.VerbForceReturn, Server: last}); err != nil {
		t.Fatal(err)
	}
	for _, g := range c.Options().Groups {
		c.WaitOnline(g.Name, last)
	}
	c.WaitStatus("epoch 2", func(st *api.Status) bool { return st.Epoch == 2 && st.Leader == last })
	for _, s := range c.Servers {
		if s.Name != last {
			c.PowerOn(s.Name)
			c.WaitStatus(s.Name+" is back", func(st *api.Status) bool {
				for i := range st.Servers {
					if st.Servers[i].Name == s.Name {
						return st.Servers[i].State == "detached" || st.Servers[i].State == "online"
					}
				}
				return false
			})
		}
	}
	for _, g := range c.Options().Groups {
		c.WaitOnline(g.Name, last)
	}
	c.Verify()
}
