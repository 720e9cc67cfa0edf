package lab_test

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"baton/contrib/lab"
	"baton/core/cluster"
)

// The faults of the matrix for two servers that fence each other, by an agent that
// really takes the other one's power.

// fenceDelay: server1 is to survive when the two have lost each other.
var fenceDelay = []lab.Option{func(o *lab.Options) { o.FenceDelay = time.Second }}

// isShot: exactly this server has been shot, and it is off.
func (m *match) isShot(victim string) {
	m.Helper()
	for end := time.Now().Add(10 * m.timeout); m.Get(victim).On() && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if shots := m.Shots(); m.Get(victim).On() || len(shots) == 0 || slices.ContainsFunc(shots, func(s string) bool { return s != victim }) {
		m.T.Errorf("%s is on: %t; shot: %v, want %s and nobody else", victim, m.Get(victim).On(), shots, victim)
	}
}

// fenceBoth: the servers have lost each other on all networks, and each would shoot the
// other one. The one that is to survive is faster. The one that was shot boots, still cut
// off: it has no quorum, says why, and shoots nobody (T3).
func (m *match) fenceBoth() {
	must(m.T, m.Cut("server1", "server2"))
	m.isShot("server2")
	m.allOn("server1")
	m.mustTell("server1", cluster.CodeHalfGoesOn)
	m.PowerOn("server2")
	time.Sleep(4 * m.timeout)
	m.mustSayWhy("server2")
	m.isNotShot("server1")
	m.allOn("server1")
	must(m.T, m.Heal())
	m.WaitAll()
}

func (m *match) isNotShot(name string) {
	m.Helper()
	if slices.Contains(m.Shots(), name) {
		m.T.Errorf("%s has been shot", name)
	}
}

// fenceStalled: a batond that stands still, with the machine well, is shot; nothing of it
// comes back when it would go on.
func (m *match) fenceStalled() {
	victim := m.Leader()
	must(m.T, m.Get(victim).Batond().Signal(unix.SIGSTOP))
	m.isShot(victim)
	m.allOn(m.Other(victim))
	m.PowerOn(victim)
	m.WaitAll()
}

// fenceBroken: the agents fail. The server that is left must wait, and says why; it goes
// on when they work.
func (m *match) fenceBroken() {
	victim := m.Leader()
	m.BreakPowerSwitch(true)
	m.PowerCut(victim)
	m.nothingRuns()
	m.mustSayWhy(m.Other())
	m.BreakPowerSwitch(false)
	m.allOn(m.Other())
	m.PowerOn(victim)
	m.WaitAll()
}
