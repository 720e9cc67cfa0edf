package sim

import (
	"hash/maphash"

	"baton/core/cluster"
)

// digestSeed differs from process to process: a digest is compared, never printed.
var digestSeed = maphash.MakeSeed()

// digest makes one number of a state; two states that differ have different ones.
// The events are left out but for the last ID: they are compared one by one as they
// are told, and are most of the bytes.
func digest(st *cluster.State) uint64 {
	var h maphash.Hash
	h.SetSeed(digestSeed)
	put := func(v any) { maphash.WriteComparable(&h, v) }
	names := func(list []string) {
		put(len(list))
		for _, n := range list {
			h.WriteString(n)
			h.WriteByte(0)
		}
	}
	maphash.WriteComparable(&h, [4]uint64{uint64(st.Version), st.ID, st.Index, st.Revision})
	h.WriteString(string(st.Phase))
	digestConfig(&h, &st.Config, names)
	for i := range st.Servers {
		s := st.Servers[i]
		names(s.FailedWith)
		for _, step := range s.Recovering {
			maphash.WriteComparable(&h, step)
		}
		maphash.WriteComparable(&h, [2]string{s.Name, string(s.State)})
		maphash.WriteComparable(&h, [6]string{s.Reason, s.Boot, s.Life, s.FailedBoot, s.Leaving, string(s.Then)})
		maphash.WriteComparable(&h, [5]uint64{uint64(s.Since), s.Session, s.LastSession, s.Offered, s.Changed})
		maphash.WriteComparable(&h, [3]bool{s.Present, s.Failed, s.Disconnected})
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		maphash.WriteComparable(&h, [7]string{g.Name, string(g.State), g.Server, g.Reason, g.Warning, g.LastServer, g.Op})
		maphash.WriteComparable(&h, [5]int64{g.Since, int64(g.Failovers), g.StartMillis, g.StopMillis, int64(g.Changed)})
		maphash.WriteComparable(&h, [4]bool{g.Wanted, g.Stuck, g.Degraded, g.Step != nil})
		maphash.WriteComparable(&h, g.LastStart)
		maphash.WriteComparable(&h, g.Left)
		put(len(g.Anomalies))
		for _, a := range g.Anomalies {
			maphash.WriteComparable(&h, a)
		}
		if g.Step != nil {
			maphash.WriteComparable(&h, *g.Step)
		}
		put(len(g.Next))
		for _, n := range g.Next {
			maphash.WriteComparable(&h, n)
		}
	}
	put(len(st.Ops))
	for i := range st.Ops {
		maphash.WriteComparable(&h, st.Ops[i])
	}
	if n := len(st.Events); n > 0 {
		maphash.WriteComparable(&h, st.Events[n-1].ID)
	}
	return h.Sum64()
}

func digestConfig(h *maphash.Hash, c *cluster.Config, names func([]string)) {
	h.WriteString(c.Cluster)
	maphash.WriteComparable(h, c.ReturnAuto)
	names(c.Servers)
	for i := range c.Groups {
		g := &c.Groups[i]
		names(g.Policy)
		maphash.WriteComparable(h, [3]string{g.Name, g.OnAnomaly, g.FailoverTo})
		maphash.WriteComparable(h, [3]bool{g.Autostart, g.FailbackAuto, g.MonitorScript})
		maphash.WriteComparable(h, g.MaxFailovers)
	}
}
