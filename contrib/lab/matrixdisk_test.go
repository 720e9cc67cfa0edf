package lab_test

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
	"baton/daemon/tiebreak/disk"
)

// The faults of the matrix that are a disk's: that of a server's own state, and the
// tie-breaker's while batond runs.

// fullSize is the size of a disk that is to be full: some MiB more than a store needs.
const fullSize = 4 << 20

// busy has the cluster write something: an operation on a group that the victim carries.
// Its outcome may be any, but it has one.
func (m *match) busy(victim string) (outcome func()) {
	m.Helper()
	mine := m.groups(victim)
	if len(mine) == 0 {
		m.Fatalf("%s carries nothing", victim)
	}
	ctx, cancel := contextOf(playLimit)
	to := m.Other(victim)
	r, err := m.Request(ctx, to, api.Operation{Verb: cluster.VerbMove, Group: mine[0], Server: to, From: "lab"})
	if err != nil {
		m.T.Logf("the move of %s is refused: %v", mine[0], err)
		return cancel
	}
	return func() {
		m.Helper()
		defer cancel()
		op, err := r.Outcome(ctx)
		if err != nil {
			m.T.Errorf("a move that was accepted has no outcome: %v", err)
		}
		m.T.Logf("move of %s to %s: %s %s", mine[0], to, op.State, op.Text)
	}
}

// logSays: batond's log on a server has a line with all of these in it.
func (m *match) logSays(server string, words ...string) {
	m.Helper()
	text, err := os.ReadFile(m.Get(server).LogPath("batond"))
	must(m.T, err)
	for line := range strings.Lines(string(text)) {
		has := true
		for _, w := range words {
			has = has && strings.Contains(line, w)
		}
		if has {
			m.T.Logf("%s: %s", server, strings.TrimSpace(line))
			return
		}
	}
	m.T.Errorf("the log of %s has no line with %q", server, words)
}

// storeHangs: the leader's own disk hangs under its running batond. The others go on
// without it: with its groups, after ten timeouts at the latest; and it says why. When
// the disk answers again it is one of them, by itself.
func (m *match) storeHangs() {
	victim := m.Leader()
	check := m.untouched(m.others(victim))
	must(m.T, m.Get(victim).HangIO(lab.StoreFile))
	outcome := m.busy(victim)
	m.allOn(m.names(victim)...)
	check()
	outcome()
	m.mustSayWhy(victim)
	m.logSays(victim, "no quorum", "the disk of this server's state directory does not answer")
	must(m.T, m.Get(victim).HealIO(lab.StoreFile))
	m.WaitAll()
}

// storeFails: every write of the leader's own disk fails. Its batond ends and says why,
// and each that is started after it, until the disk works again.
func (m *match) storeFails() {
	victim := m.Leader()
	check := m.untouched(m.others(victim))
	must(m.T, m.Get(victim).FailIO(lab.StoreFile, unix.EIO))
	outcome := m.busy(victim)
	m.allOn(m.names(victim)...)
	check()
	outcome()
	m.logSays(victim, "level=ERROR", "batond ends", "baton.db", "input/output error")
	must(m.T, m.Get(victim).HealIO(lab.StoreFile))
	m.WaitAll()
}

// diskFull: there is no room on the leader's own disk. What runs goes on, on every
// server; what has to be written down first does not start there, and says why; what is
// moved away goes. With room again everything is as it was.
func (m *match) diskFull() {
	victim := m.Leader()
	other := m.Other(victim)
	moved, coming := m.groups(victim)[0], m.groups(other)[0]
	check := m.untouched(m.others(victim)[1:])
	must(m.T, m.Get(victim).FillDisk())
	m.Move(moved, other)
	m.WaitOnline(moved, other)
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	op, err := m.Operate(ctx, api.Operation{Verb: cluster.VerbMove, Group: coming, Server: victim, From: "lab"})
	m.T.Logf("move of %s to %s: %s %s (%v)", coming, victim, op.State, op.Text, err)
	m.WaitStatus(coming+" runs elsewhere", func(s *api.Status) bool {
		return lab.GroupOf(s, coming).Server != victim && m.IsOnline(s, coming, "")
	})
	if err == nil && op.State == cluster.OpDone {
		m.T.Errorf("the move to a server with a full disk is done: %s", op.Text)
	}
	check()
	m.logSays(other, "no space left on device")
	// Should batond have ended for it, the cluster is to know that before it is back.
	time.Sleep(m.timeout)
	must(m.T, m.Get(victim).FreeDisk())
	m.WaitAll()
	// On a busy machine the server that is back may lose its lease once more.
	for end := time.Now().Add(playLimit); ; m.WaitAll() {
		op, err := m.Operate(ctx, api.Operation{Verb: cluster.VerbMove, Group: coming, Server: victim, From: "lab"})
		if err == nil && op.State == cluster.OpDone {
			break
		}
		if time.Now().After(end) {
			m.Fatalf("move of %s to %s, whose disk has room again: %s %s (%v)", coming, victim, op.State, op.Text, err)
		}
	}
	m.WaitOnline(coming, victim)
}

// diskHangs: the CLUSTER partition hangs under both running batonds. That stops nothing;
// but when one server dies the other one cannot go on, says why, and goes on by itself
// when the disk answers.
func (m *match) diskHangs() {
	m.diskDuring(func(s *lab.Server) error { return s.HangIO(lab.ClusterDisk) })
}

func (m *match) diskFails() {
	m.diskDuring(func(s *lab.Server) error { return s.FailIO(lab.ClusterDisk, unix.EIO) })
}

func (m *match) diskDuring(harm func(*lab.Server) error) {
	m.Helper()
	check := m.untouched([]string{"A", "B", "C"})
	for _, s := range m.Lab.Servers {
		must(m.T, harm(s))
	}
	m.WaitStatus("the tie-breaker is lost", func(s *api.Status) bool { return s.Quorum && s.Tiebreaker.State == "lost" })
	time.Sleep(m.timeout)
	check()
	victim := m.Leader()
	other := m.Other(victim)
	m.PowerCut(victim)
	m.nothingRuns()
	m.mustSayWhy(other)
	must(m.T, m.Get(other).HealIO(lab.ClusterDisk))
	m.allOn(other)
	must(m.T, m.Get(victim).HealIO(lab.ClusterDisk))
	m.PowerOn(victim)
	m.WaitAll()
}

// diskZeroed: the CLUSTER partition is overwritten while all is well. It gives out no
// epoch until it is prepared again and a leader has enrolled the cluster.
func (m *match) diskZeroed() {
	m.oneDies(m.Leader()) // so that there is a later epoch to forget
	zero := make([]byte, disk.Size)
	f, err := os.OpenFile(m.ClusterDiskPath(), os.O_WRONLY, 0)
	must(m.T, err)
	_, err = f.WriteAt(zero, 0)
	must(m.T, errors.Join(err, f.Close()))
	victim := m.Leader()
	other := m.Other(victim)
	m.PowerCut(victim)
	m.nothingRuns()
	m.mustSayWhy(other)
	m.PowerOn(victim) // two of two need no tie-breaker
	m.WaitAll()
	_, err = disk.Init(m.ClusterDiskPath(), true)
	must(m.T, err)
	m.WaitStatus("the tie-breaker answers", func(s *api.Status) bool { return s.Quorum && s.Tiebreaker.State == "ok" })
	m.oneDies(m.Leader())
}
