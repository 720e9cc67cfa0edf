package lab_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/contrib/lab"
	"baton/daemon/api"
)

// The heartbeat over the CLUSTER partition is a path like the others in the picture.
// Where every network is cut, one of two servers goes on and the other stops, as if
// there were no such path, and the one says that the other is alive.
func TestDiskHeartbeat(t *testing.T) {
	t.Parallel()
	c := lab.Start(t, lab.Servers(2), lab.Timeout(time.Second), lab.Tiebreaker(conf.TiebreakerDisk), lab.ReturnAuto())
	path := func(st *api.Status) (out []api.Path) {
		for _, p := range st.Paths {
			if p.Name == conf.DiskPath {
				out = append(out, p)
			}
		}
		return out
	}
	c.WaitStatus("the disk path works both ways", func(st *api.Status) bool {
		p := path(st)
		return len(p) == 2 && p[0].State == "ok" && p[1].State == "ok"
	})
	must(t, c.Cut("server1", "server2"))
	st := c.WaitStatus("one goes on", func(st *api.Status) bool {
		for _, g := range st.Groups {
			if g.Server != st.Server || !c.IsOnline(st, g.Name, st.Server) {
				return false
			}
		}
		return st.Quorum
	})
	other := c.Other(st.Server)
	for _, s := range st.Servers {
		if s.Name == other && !strings.Contains(s.Reason, "silent on 2 of 3 paths") || s.Name == other && !strings.Contains(s.Reason, "still writes to the CLUSTER partition") {
			t.Errorf("%s: %q does not say that it is alive", s.Name, s.Reason)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	lost, err := c.Get(other).Client().Status(ctx)
	must(t, err)
	t.Logf("%s: %s", other, lost.Waiting)
	if lost.Quorum || !strings.Contains(lost.Waiting, st.Server) {
		t.Errorf("%s: quorum %t, waits for %q", other, lost.Quorum, lost.Waiting)
	}
	must(t, c.Heal())
	c.WaitAll()
	c.Verify()
}
