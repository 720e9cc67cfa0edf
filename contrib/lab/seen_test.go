package lab_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// A check that has never failed proves nothing. Here batond is built with a fault in it
// (build tag "faults", daemon/faults.go): each scene is played with the fault until
// Verify has seen it, and once with the build that users run, which must pass.
func TestVerifyIsSeenToFail(t *testing.T) {
	for _, s := range []weakBuild{
		{
			name: "no guard", faults: "noguard", timeout: time.Second, servers: 3, play: carrierCutOff,
			sees: []string{"two holders of", "two claims within", "mounted twice", "scripts of one group at once", "on two servers for"},
		},
		{
			name: "L3, a grant of the whole lease", faults: "weaken=GrantFull", timeout: 2 * time.Second, servers: 5,
			play: minorityWithTheLeader, sees: []string{"two holders of", "mounted twice"},
		},
		{
			name: "L4, no wait for former leases", faults: "weaken=NoW", timeout: 2 * time.Second, servers: 3,
			play: voterRestarts, sees: []string{"two holders of", "mounted twice"},
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.untilSeen(t)
			if err := s.attempt(t, ""); err != nil {
				t.Errorf("the build that users run: %v", err)
			}
		})
	}
}

// weakBuild is a fault and a scene: something that goes wrong where a rule is missing.
type weakBuild struct {
	name    string
	faults  string   // BATON_FAULTS
	sees    []string // what Verify must say of it
	timeout time.Duration
	servers int
	play    func(m *match)
}

// tries is how often a scene is played until the fault shows: the timing of some is luck.
const tries = 8

func (s weakBuild) untilSeen(t *testing.T) {
	t.Helper()
	var err error
	for i := range tries {
		if err = s.attempt(t, s.faults); s.isSeen(err) {
			first, _, _ := strings.Cut(err.Error(), "\n")
			t.Logf("seen in try %d of %s: %s, and %d lines more", i+1, s.faults, first, strings.Count(err.Error(), "\n"))
			return
		}
	}
	t.Errorf("with %s, %d tries: want each of %q, Verify says: %v", s.faults, tries, s.sees, err)
}

func (s weakBuild) isSeen(err error) bool {
	for _, what := range s.sees {
		if err == nil || !strings.Contains(err.Error(), what) {
			return false
		}
	}
	return true
}

// attempt plays the scene once, in a cluster of its own, and returns Verify's word.
func (s weakBuild) attempt(t *testing.T, faults string) (verdict error) {
	t.Helper()
	name := faults
	if name == "" {
		name = "normal"
	}
	t.Run(name, func(t *testing.T) {
		var groups []lab.Group
		for range 3 {
			groups = append(groups, lab.Group{Start: gate("start")})
		}
		m := &match{T: t, timeout: s.timeout, size: size{servers: s.servers}, Cluster: lab.Start(t, lab.Servers(s.servers),
			lab.Timeout(s.timeout), lab.Groups(groups...), lab.Mounts(), lab.Faults(faults))}
		s.play(m)
		verdict = m.Lab.Verify()
	})
	return verdict
}

// cutFromServers cuts some servers from the others, but not from the client, which goes
// on asking all of them.
func (m *match) cutFromServers(those ...string) {
	m.Helper()
	for _, a := range those {
		for _, b := range m.names(those...) {
			must(m.T, m.Cut(a, b))
		}
	}
}

// takenOver waits until a server other than those says that it has a group, whoever
// answers for it.
func (m *match) takenOver(group string, from ...string) {
	m.Helper()
	m.WaitStatus(group+" has been taken over", func(s *api.Status) bool {
		g := lab.GroupOf(s, group)
		return s.Quorum && g.State == string(cluster.GroupOnline) && !strings.Contains(strings.Join(from, " "), g.Server)
	})
}

// carrierCutOff: a server that carries a group, and on which the start script of another
// one is running, is cut off.
func carrierCutOff(m *match) {
	victim, moved := m.Carrier("A"), "B"
	if m.Carrier(moved) == victim {
		moved = "C"
	}
	letGo := m.starting(moved, victim)
	m.cutFromServers(victim)
	m.takenOver("A", victim)
	m.takenOver(moved, victim)
	letGo()
	time.Sleep(m.timeout / 2)
}

// starting moves a group to a server, and returns when its start script runs there; it
// goes on running until letGo.
func (m *match) starting(group, server string) (letGo func()) {
	m.Helper()
	hold := filepath.Join(m.Dir(), "scripts", group, "hold.start."+server)
	must(m.T, os.WriteFile(hold, nil, 0o644))
	ctx, cancel := contextOf(playLimit)
	defer cancel()
	_, err := m.Request(ctx, m.Leader(), api.Operation{Verb: cluster.VerbMove, Group: group, Server: server, From: "lab"})
	must(m.T, err)
	for isRunning := false; !isRunning; time.Sleep(5 * time.Millisecond) {
		runs, err := m.Journal()
		must(m.T, errors.Join(err, ctx.Err()))
		for _, r := range runs {
			isRunning = isRunning || r.Group == group && r.Server == server && r.End == 0
		}
	}
	return func() { must(m.T, os.Remove(hold)) }
}

// minorityWithTheLeader: of five servers the leader and one that carries a group are cut
// off together. The leader's lease goes on for a while, and it grants.
func minorityWithTheLeader(m *match) {
	leader := m.Leader()
	group := "A"
	if m.Carrier(group) == leader {
		group = "B"
	}
	victim := m.Carrier(group)
	m.cutFromServers(leader, victim)
	m.takenOver(group, leader, victim)
	time.Sleep(m.timeout / 2)
}

// voterRestarts: the leader and a second server do not hear each other; when that one
// could take the leader for dead, the third one is cut from the leader too, and its
// batond starts anew and forgets how lately it has supported the leader, whose lease
// goes on for a while.
func voterRestarts(m *match) {
	leader := m.Leader()
	second := m.Other(leader)
	third := m.Other(leader, second)
	mine := m.groups(leader)
	if len(mine) == 0 {
		m.Fatalf("%s leads and carries nothing", leader)
	}
	must(m.T, m.Cut(leader, second))
	time.Sleep(m.timeout * 85 / 100)
	m.KillBatond(third)
	must(m.T, m.Cut(leader, third))
	m.StartBatond(third)
	m.takenOver(mine[0], leader)
	time.Sleep(m.timeout / 2)
}
