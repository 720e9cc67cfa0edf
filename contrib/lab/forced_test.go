package lab_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
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
	text, code, err := lab.Baton{}.Run(ctx, c.Get(last), "return", last, "--force", "--yes")
	if err != nil || code != 0 || !strings.Contains(text, last+" goes on alone") {
		t.Fatalf("baton return --force: exit code %d, %v: %s", code, err, text)
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

// An operator has a server that is cut off go on alone, though the other two run. That
// breaks the promise, and baton cannot know it. When they meet, the two, whose epoch is
// the lower one, stop their groups at once, join, and say what has happened.
func TestTwoHistories(t *testing.T) {
	t.Parallel()
	c := lab.Start(t, lab.Timeout(time.Second))
	const alone = "server3"
	must(t, c.Cut(alone, "server1"))
	must(t, c.Cut(alone, "server2"))
	c.WaitStatus("the other two go on", func(st *api.Status) bool {
		g := lab.GroupOf(st, "C")
		return st.Server != alone && g.Server != alone && c.IsOnline(st, "C", g.Server)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := c.Get(alone).Client()
	_, err := client.Operate(ctx, api.Operation{Verb: api.VerbForceReturn, Server: alone})
	must(t, err)
	waitHolders := func(ip netip.Addr, want int) []string {
		t.Helper()
		var on []string
		for ctx.Err() == nil {
			if on = c.Holders(ip); len(on) == want && slices.Contains(on, alone) {
				return on
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatalf("%s is on %v, want %s among %d", ip, on, alone, want)
		return nil
	}
	for _, g := range c.Options().Groups {
		t.Logf("%s is on %v", g.Name, waitHolders(c.IP(g.Name), 2))
	}
	must(t, c.Heal())
	begin := time.Now()
	for _, g := range c.Options().Groups {
		waitHolders(c.IP(g.Name), 1)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("two carriers for %s after they had met", took)
	}
	for {
		events, err := client.Events(ctx, 0, 1000)
		must(t, err)
		if i := slices.IndexFunc(events, func(e cluster.Event) bool { return e.Code == cluster.CodeTwoHistories }); i >= 0 {
			t.Log(events[i].Text)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, s := range []string{"server1", "server2"} {
		c.WaitStatus(s+" is back", func(st *api.Status) bool {
			return st.Leader == alone && slices.ContainsFunc(st.Servers, func(o api.Server) bool {
				return o.Name == s && (o.State == string(cluster.ServerDetached) || o.State == string(cluster.ServerOnline))
			})
		})
	}
}
