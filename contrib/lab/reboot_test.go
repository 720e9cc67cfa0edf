package lab_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// batond is killed and not started again, with recovery.on_quorum_loss = "reboot": its
// guard clears at the end of the lease and reboots the whole server. The group goes on
// elsewhere; the server boots, and says why it was away.
func TestGuardReboots(t *testing.T) {
	t.Parallel()
	// The default timeout: with a short one a busy machine lets more leases lapse than that.
	c := lab.Start(t, lab.Timeout(3*time.Second), lab.Config("[recovery]\non_quorum_loss = \"reboot\""))
	old := c.Carrier("A")
	s := c.Get(old)
	boot := s.BootID()
	begin := time.Now()
	c.KillBatond(old)
	now := c.WaitOnline("A")
	if now == old {
		t.Errorf("A is still on %s", old)
	}
	c.WaitServer(old, cluster.ServerDetached)
	t.Logf("back and detached %s after the kill", time.Since(begin).Round(time.Millisecond))
	if s.Reboots() != 1 || s.BootID() == boot {
		t.Errorf("%d reboots, boot id %s, before %s", s.Reboots(), s.BootID(), boot)
	}
	if text, _ := os.ReadFile(s.LogPath("batond")); !strings.Contains(string(text), "the guard has rebooted this server: the lease of session") {
		t.Errorf("the log of batond does not say why:\n%s", text)
	}
	for _, o := range c.Servers {
		if o != s && o.Reboots() != 0 {
			t.Errorf("%s has rebooted too", o.Name)
		}
	}
	c.Verify()
}

// A server that is cut off reboots, and the two others do not; with "stop" (any other
// test here) nobody does.
func TestCutOffReboots(t *testing.T) {
	t.Parallel()
	// The default timeout: with a short one a busy machine lets more leases lapse than that.
	c := lab.Start(t, lab.Timeout(3*time.Second), lab.Config("[recovery]\non_quorum_loss = \"reboot\""))
	old := c.Carrier("B")
	for _, o := range c.Servers {
		if o.Name != old {
			must(t, c.Cut(old, o.Name))
		}
	}
	c.WaitStatus("B is elsewhere", lab.Elsewhere(c.Lab, "B", old))
	deadline := time.Now().Add(10 * time.Second)
	for c.Get(old).Reboots() == 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	must(t, c.Heal())
	c.WaitServer(old, cluster.ServerDetached)
	for _, o := range c.Servers {
		want := 0
		if o.Name == old {
			want = 1 // and not again: a server without groups does not reboot
		}
		if o.Reboots() != want {
			t.Errorf("%s has rebooted %d times, want %d", o.Name, o.Reboots(), want)
		}
	}
	c.Verify()
}

// batond and its guard are killed together: nobody is left but the kernel, which ends
// the floating IP before another server has it. The batond that comes next finds the
// group's process still there, clears it, and only then is the server back.
func TestBatondAndGuardKilled(t *testing.T) {
	t.Parallel()
	g := lab.Group{Name: "A", Start: "[ $ARMS_EVENT = RECOVER ] && exit\nsleep 1000 >/dev/null 2>&1 &\necho $! >/run/baton/A.pid"}
	c := lab.Start(t, lab.Timeout(3*time.Second), lab.Groups(g))
	old := c.Carrier("A")
	s := c.Get(old)
	c.KillBatond(old)
	killed := run(t, s, `for p in /proc/[0-9]*; do
	if tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^/proc/self/exe guard '; then kill -9 ${p#/proc/} && echo killed; fi
done`)
	if killed != "killed" {
		t.Fatalf("the guard: %q", killed)
	}
	now := c.WaitOnline("A")
	h := c.Holdings(c.IP("A"))
	if now == old || len(h) != 2 || h[0].Until.IsZero() || !h[0].Until.Before(h[1].From) {
		t.Errorf("holdings %+v, want that of %s to have ended before %s began", h, old, now)
	}
	const isThere = `kill -0 $(cat /run/baton/A.pid) 2>/dev/null && echo there || echo gone`
	if got := run(t, s, isThere); got != "there" {
		t.Errorf("A's process is %s: who ended it?", got)
	}
	c.StartBatond(old)
	c.WaitServer(old, cluster.ServerOnline)
	if got := run(t, s, isThere); got != "gone" {
		t.Errorf("A's process is still %s with the server online", got)
	}
	// batond asks for it, or its new guard has been there first: it finds the session
	// of the one before in the page as soon as it runs.
	text, _ := os.ReadFile(s.LogPath("batond"))
	if !strings.Contains(string(text), "it is cleared first") && !strings.Contains(string(text), "is over and cleared within") {
		t.Errorf("neither batond nor its guard says in the log that it cleared:\n%s", text)
	}
	c.Verify()
}

// batond that ends by an error again and again, within its lease, would keep its groups
// and get nothing done. The one after that gives them up. The count is written here, as
// batonds that fail to write their state leave it.
func TestBatondFailsAgainAndAgain(t *testing.T) {
	t.Parallel()
	c := lab.Start(t, lab.Timeout(3*time.Second))
	old := c.Carrier("A")
	s := c.Get(old)
	for _, tc := range []struct {
		times int
		stays bool
	}{{2, true}, {3, false}} {
		files := run(t, s, fmt.Sprintf(`for p in /run/baton/*/guard.page; do echo 1 %d >$p.failures && echo $p; done`, tc.times))
		if strings.Count(files, "guard.page") != 1 {
			t.Fatalf("pages of guards: %q, want one", files)
		}
		c.KillBatond(old)
		c.StartBatond(old)
		if tc.stays {
			c.WaitServer(old, cluster.ServerOnline)
			if now := c.WaitOnline("A"); now != old {
				t.Errorf("after %d errors A runs on %s", tc.times, now)
			}
			time.Sleep(time.Second) // its lease is extended
			continue
		}
		c.WaitStatus("A runs elsewhere", func(st *api.Status) bool {
			g := lab.GroupOf(st, "A")
			return g.State == string(cluster.GroupOnline) && g.Server != old
		})
	}
	text, _ := os.ReadFile(s.LogPath("batond"))
	if !strings.Contains(string(text), "again and again") {
		t.Errorf("batond does not say why it gave the group up:\n%s", text)
	}
	c.Verify()
}
