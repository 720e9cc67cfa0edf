package lab_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/conf"
	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// matrixAll in the environment (BATON_LAB_MATRIX=all) runs every line of the matrix;
// without it only those that `make test` has time for.
const matrixAll = "BATON_LAB_MATRIX"

// The matrix: how many servers, which tie-breaker, which fault. Each line says what
// must come of it, and ends with Verify.
func TestMatrix(t *testing.T) {
	all := os.Getenv(matrixAll) == "all"
	for _, f := range faults {
		for _, size := range sizes {
			if !f.fits(size) || !all && !slices.Contains(f.always, size) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", f.name, size), func(t *testing.T) {
				t.Parallel()
				timeout := f.timeout
				if timeout == 0 {
					timeout = time.Second
				}
				options := append([]lab.Option{
					lab.Servers(size.servers), lab.Tiebreaker(size.kind), lab.Timeout(timeout), lab.ReturnAuto(), lab.Mounts(),
				}, f.options...)
				m := &match{T: t, size: size, timeout: timeout, Cluster: lab.Start(t, options...)}
				f.play(m)
				m.Verify()
			})
		}
	}
}

// size is a cluster of the matrix.
type size struct {
	servers int
	kind    string
}

func (s size) String() string { return fmt.Sprintf("%d %s", s.servers, s.kind) }

// isFull: the tie-breaker lets at most one half go on, and one if it can be reached.
func (s size) isFull() bool { return s.kind == conf.TiebreakerDisk || s.kind == conf.TiebreakerWitness }

var (
	twoWitness = size{2, conf.TiebreakerWitness}
	twoDisk    = size{2, conf.TiebreakerDisk}
	twoPing    = size{2, conf.TiebreakerPing}
	twoNone    = size{2, conf.TiebreakerNone}
	twoFence   = size{2, conf.TiebreakerFence}
	sizes      = []size{
		twoWitness, twoDisk, twoPing, twoNone, twoFence,
		{3, conf.TiebreakerNone},
		{3, conf.TiebreakerWitness},
		{4, conf.TiebreakerNone},
		{4, conf.TiebreakerWitness},
		{5, conf.TiebreakerNone},
		{5, conf.TiebreakerWitness},
	}
)

// fault is a column of the matrix.
type fault struct {
	name    string
	play    func(m *match)
	fits    func(size) bool
	always  []size        // in every `make test`
	timeout time.Duration // heartbeat.timeout, 0 for 1 s
	options []lab.Option  // of the cluster, besides
}

func anySize(size) bool      { return true }
func isTwoFull(s size) bool  { return s.servers == 2 && s.isFull() }
func hasWitness(s size) bool { return s == twoWitness }
func hasRecord(s size) bool  { return isMajority(s) && s.kind != conf.TiebreakerPing }
func isMany(s size) bool     { return s.servers > 2 }
func isFew(s size) bool {
	return s == twoWitness || s == twoDisk || s.servers == 3 && s.kind == conf.TiebreakerNone
}
func isStrong(s size) bool  { return s != twoFence && s != twoPing }
func isTwoDisk(s size) bool { return s == twoDisk }
func isHalvable(s size) bool {
	return s.servers%2 == 0 && s.kind != conf.TiebreakerPing && s != twoFence
}

func isMajority(s size) bool {
	return s != twoFence && (s.servers > 2 || s.kind != conf.TiebreakerNone)
}
func isTwoFence(s size) bool { return s == twoFence }
func isNoFence(s size) bool  { return s != twoFence }

var faults = []fault{
	{name: "power cut, leader", play: func(m *match) { m.powerCut(m.Leader()) }, fits: anySize, always: []size{twoWitness, twoPing}},
	{name: "power cut, not leader", play: func(m *match) { m.powerCut(m.Other(m.Leader())) }, fits: anySize, always: []size{twoDisk, twoNone}},
	{name: "interconnects cut", play: (*match).interconnectsCut, fits: anySize, always: []size{twoWitness}},
	{name: "halves cut apart", play: (*match).halves, fits: isHalvable, always: []size{twoWitness, twoDisk, {4, conf.TiebreakerWitness}}},
	{name: "leader cut off", play: func(m *match) { m.cutOff(m.Leader()) }, fits: isMajority, always: []size{twoWitness}},
	{name: "not leader cut off", play: func(m *match) { m.cutOff(m.Other(m.Leader())) }, fits: isMajority, always: []size{twoPing}},
	{name: "one way, from leader", play: func(m *match) { m.oneWay(m.Leader(), true) }, fits: isMajority, always: []size{twoDisk}},
	{name: "one way, to leader", play: func(m *match) { m.oneWay(m.Leader(), false) }, fits: isMajority},
	{name: "minority cut apart", play: (*match).minority, fits: isMany, always: []size{{3, conf.TiebreakerNone}}},
	{name: "batond stalled", play: (*match).batondStalled, fits: isMajority, always: []size{twoWitness}},
	{name: "server stalled", play: (*match).serverStalled, fits: isMajority, timeout: 3 * time.Second, always: []size{twoDisk}},
	{name: "batond resumed as its lease ends", play: (*match).batondResumed, fits: isFew, timeout: 2 * time.Second},
	{name: "server resumed as its lease ends", play: (*match).serverResumed, fits: isFew, timeout: 2 * time.Second},
	{name: "quick reboot, leader", play: func(m *match) { m.quickReboot(m.Leader()) }, fits: isNoFence, timeout: 3 * time.Second, always: []size{twoWitness}},
	{name: "quick reboot, not leader", play: func(m *match) { m.quickReboot(m.Other(m.Leader())) }, fits: isNoFence, timeout: 3 * time.Second},
	{name: "state lost, leader", play: func(m *match) { m.stateLost(m.Leader()) }, fits: isMajority, always: []size{twoDisk}},
	{name: "state lost, not leader", play: func(m *match) { m.stateLost(m.Other(m.Leader())) }, fits: isMajority},
	{name: "clock step", play: (*match).clockStep, fits: isFew, options: []lab.Option{lab.Faults("wall=" + lab.WallFile)}, always: []size{twoWitness}},
	{name: "witness lost before", play: (*match).witnessBefore, fits: hasWitness, always: []size{twoWitness}},
	{name: "witness lost during", play: (*match).witnessDuring, fits: hasWitness},
	{name: "witness lost alone", play: (*match).witnessAlone, fits: func(s size) bool { return s.kind == conf.TiebreakerWitness }},
	{name: "witness wiped", play: (*match).witnessWiped, fits: hasWitness, always: []size{twoWitness}},
	{name: "disk lost before", play: (*match).diskBefore, fits: func(s size) bool { return s == twoDisk }, always: []size{twoDisk}},
	{name: "store hangs", play: (*match).storeHangs, fits: hasRecord, options: []lab.Option{lab.IOFaults()}},
	{name: "store fails", play: (*match).storeFails, fits: hasRecord, options: []lab.Option{lab.IOFaults(), lab.Restart()}},
	{name: "disk full", play: (*match).diskFull, fits: isMajority, options: []lab.Option{lab.DiskSize(fullSize), lab.Restart()}},
	{name: "disk hangs during", play: (*match).diskHangs, fits: isTwoDisk, options: []lab.Option{lab.IOFaults()}},
	{name: "disk fails during", play: (*match).diskFails, fits: isTwoDisk, options: []lab.Option{lab.IOFaults()}},
	{name: "disk zeroed", play: (*match).diskZeroed, fits: isTwoDisk},
	{name: "fence, both cut off", play: (*match).fenceBoth, fits: isTwoFence, always: []size{twoFence}, options: fenceDelay},
	{name: "fence, batond stalled", play: (*match).fenceStalled, fits: isTwoFence, options: fenceDelay},
	{name: "fence, switch broken", play: (*match).fenceBroken, fits: isTwoFence, options: fenceDelay},
	{name: "cut and healed", play: (*match).cutAndHealed, fits: isStrong},
	{name: "one and the other", play: (*match).oneAndTheOther, fits: isTwoFull},
}

// match is one line of the matrix under way.
type match struct {
	*testing.T
	*lab.Cluster
	size    size
	timeout time.Duration
}

// names of the servers, but those given.
func (m *match) names(but ...string) (out []string) {
	for _, s := range m.Lab.Servers {
		if !slices.Contains(but, s.Name) {
			out = append(out, s.Name)
		}
	}
	return out
}

// groups carried by a server now.
func (m *match) groups(server string) (out []string) {
	m.Helper()
	for _, g := range m.WaitStatus("there is a quorum", func(s *api.Status) bool { return s.Quorum }).Groups {
		if g.Server == server {
			out = append(out, g.Name)
		}
	}
	return out
}

// others are the groups that a server does not carry.
func (m *match) others(server string) (out []string) {
	m.Helper()
	mine := m.groups(server)
	for _, g := range m.Options().Groups {
		if !slices.Contains(mine, g.Name) {
			out = append(out, g.Name)
		}
	}
	return out
}

// untouched watches groups; the result fails the test if one was interrupted meanwhile.
// A machine that is busy with other things lets leases of 0.7 s lapse, which is safe. So
// with timeouts below the default it is an error only in the whole matrix, which is to
// have the machine to itself, and only if no batond of this cluster has said that it was
// kept waiting for too long (TestDeathsInterruptNobody knows no such excuse). It says so
// once in ten seconds at most, so what it said before counts too.
func (m *match) untouched(groups []string) (check func()) {
	m.Helper()
	if m.timeout >= 3*time.Second {
		return m.watched(groups, m.T.Errorf)
	}
	return m.watched(groups, func(format string, args ...any) {
		m.Helper()
		if late := m.lateLoops(); late > 0 || os.Getenv(matrixAll) != "all" {
			m.T.Logf(format+" (%d event loops were late)", append(args, late)...)
			return
		}
		m.T.Errorf(format, args...)
	})
}

// lateLoops counts how often a batond has said that its event loop was late.
func (m *match) lateLoops() (n int) {
	m.Helper()
	for _, name := range m.names() {
		text, _ := os.ReadFile(m.Get(name).LogPath("batond"))
		n += strings.Count(string(text), "the event loop is late")
	}
	return n
}

// watched reports groups of which an address has left its card or come to one, or a
// script has run. A client is served all the time then, as far as the machine has time
// for it.
func (m *match) watched(groups []string, report func(string, ...any)) (check func()) {
	m.Helper()
	holdings, runs := map[string]int{}, m.runsOf(groups)
	for _, g := range groups {
		holdings[g] = len(m.Holdings(m.IP(g)))
	}
	return func() {
		m.Helper()
		for _, g := range groups {
			switch now := m.Holdings(m.IP(g)); {
			case len(now) != holdings[g] || len(now) == 0 || !now[len(now)-1].Until.IsZero():
				report("%s, which runs on a surviving server, was interrupted: it had its address %v", g, now[max(0, len(now)-3):])
			case m.runsOf([]string{g})[g] != runs[g]:
				report("%s, which runs on a surviving server, was interrupted: its scripts have run", g)
			}
		}
	}
}

// runsOf counts the runs of groups' scripts so far, but for those beside the group.
func (m *match) runsOf(groups []string) map[string]int {
	m.Helper()
	runs, err := m.Journal()
	must(m.T, err)
	count := map[string]int{}
	for _, r := range runs {
		if slices.Contains(groups, r.Group) && r.Event != string(cluster.EventRecover) {
			count[r.Group]++
		}
	}
	return count
}

// goesOnWithoutOne says whether the cluster goes on without one server.
func (m *match) goesOnWithoutOne() bool {
	return m.size.servers > 2 || m.size.kind != conf.TiebreakerNone
}

// allOn waits until every group is online on one of these servers.
func (m *match) allOn(servers ...string) {
	m.Helper()
	m.WaitStatus(fmt.Sprintf("all groups are online on %s", servers), func(s *api.Status) bool {
		return slices.Contains(servers, s.Server) && m.allOnline(s, servers)
	})
}

func (m *match) allOnline(s *api.Status, servers []string) bool {
	for _, g := range s.Groups {
		if !slices.Contains(servers, g.Server) || !m.IsOnline(s, g.Name, g.Server) {
			return false
		}
	}
	return s.Quorum
}

// nothingRuns waits until no server has any group's address, and fails if one has it
// again within the time in which a takeover would have come.
func (m *match) nothingRuns() {
	m.Helper()
	time.Sleep(2*m.timeout + m.timeout/2)
	for _, g := range m.Options().Groups {
		if h := m.Holders(m.IP(g.Name)); len(h) > 0 {
			m.T.Errorf("%s still has %s", h, g.Name)
		}
	}
}

// view is one server's own picture.
func (m *match) view(server string) *api.Status {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.T.Context(), 5*time.Second)
	defer cancel()
	s, err := m.Get(server).Client().Status(ctx)
	if err != nil {
		m.Fatalf("status of %s: %v", server, err)
	}
	return s
}

// mustSayWhy: a server without a quorum says in one sentence what it waits for.
func (m *match) mustSayWhy(server string) {
	m.Helper()
	s := m.view(server)
	m.T.Logf("%s: quorum %t, phase %s, waiting: %q", server, s.Quorum, s.Phase, s.Waiting)
	if s.Quorum || strings.TrimSpace(s.Waiting) == "" {
		m.T.Errorf("%s: quorum %t, waiting %q; want no quorum and a reason", server, s.Quorum, s.Waiting)
	}
}

func (m *match) powerCut(victim string) {
	survivors := m.names(victim)
	lost := m.groups(victim)
	check := m.untouched(m.others(victim))
	var p *lab.Probe
	if len(lost) > 0 {
		p = m.Probe(lost[0])
	}
	m.PowerCut(victim)
	if m.goesOnWithoutOne() {
		m.allOn(survivors...)
		if p != nil {
			gap := p.Stop()
			m.T.Logf("outage %s", gap)
			if gap.Duration() > m.timeout+2*time.Second {
				m.T.Errorf("outage %s at a timeout of %s", gap, m.timeout)
			}
		}
		time.Sleep(m.timeout)
		check()
	} else {
		m.nothingRuns()
		m.mustSayWhy(survivors[0])
	}
	m.PowerOn(victim)
	m.WaitAll()
}

func (m *match) interconnectsCut() {
	check := m.untouched([]string{"A", "B", "C"})
	must(m.T, m.CutAll(m.names(), lab.LAN1))
	time.Sleep(2*m.timeout + m.timeout/2)
	check()
	must(m.T, m.Heal())
	m.WaitAll()
}

// halves: the servers are cut into two halves, on all networks; both reach the
// tie-breaker. Exactly one goes on, the other has stopped before.
func (m *match) halves() {
	a, b := m.names()[:m.size.servers/2], m.names()[m.size.servers/2:]
	cut := func() {
		for _, x := range a {
			for _, y := range b {
				must(m.T, m.Cut(x, y))
			}
		}
	}
	cut()
	if !m.size.isFull() {
		m.nothingRuns()
		m.mustSayWhy(a[0])
		m.mustSayWhy(b[0])
	} else {
		s := m.WaitStatus("all groups are online on one half", func(s *api.Status) bool {
			return m.allOnline(s, a) || m.allOnline(s, b)
		})
		winner, loser := a, b
		if slices.Contains(b, s.Server) {
			winner, loser = b, a
		}
		m.T.Logf("%s goes on", winner)
		time.Sleep(m.timeout)
		m.allOn(winner...)
		for _, name := range loser {
			m.mustSayWhy(name)
			m.logSays(name, "no quorum")
		}
		m.mustTell(winner[0], cluster.CodeHalfGoesOn)
	}
	must(m.T, m.Heal())
	m.WaitAll()
}

// minority: the leader and others, fewer than half, are cut from the rest, on all
// networks. The rest goes on, with its groups untouched; they have stopped before, and
// say why.
func (m *match) minority() {
	part := append([]string{m.Leader()}, m.names(m.Leader())...)[:(m.size.servers-1)/2]
	rest := m.names(part...)
	var theirs []string
	for _, name := range rest {
		theirs = append(theirs, m.groups(name)...)
	}
	check := m.untouched(theirs)
	m.cutFromServers(part...)
	m.allOn(rest...)
	check()
	time.Sleep(m.timeout / 2)
	for _, name := range part {
		m.mustSayWhy(name)
		m.logSays(name, "no quorum")
	}
	must(m.T, m.Heal())
	m.WaitAll()
}

// mustTell: a server tells an event of this code.
func (m *match) mustTell(server, code string) {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.T.Context(), 5*time.Second)
	defer cancel()
	events, err := m.Get(server).Client().Events(ctx, 0, 1000)
	must(m.T, err)
	for _, e := range events {
		if e.Code == code {
			m.T.Logf("%s: %s", server, e.Text)
			return
		}
	}
	m.T.Errorf("%s tells no event %s", server, code)
}

// cutOff: one server is cut off from everything but a disk.
func (m *match) cutOff(victim string) {
	survivors := m.names(victim)
	hasDisk := m.size == twoDisk
	check := func() {}
	if !hasDisk {
		check = m.untouched(m.others(victim))
	}
	must(m.T, m.CutOff(victim))
	if hasDisk { // it may be the one that goes on, though no client reaches it
		time.Sleep(3 * m.timeout)
	} else {
		m.allOn(survivors...)
		check()
		m.mustSayWhy(victim)
	}
	must(m.T, m.Heal())
	m.WaitAll()
}

func (m *match) oneWay(from string, away bool) {
	for _, to := range m.names(from) {
		if away {
			must(m.T, m.DropOneWay(from, to))
		} else {
			must(m.T, m.DropOneWay(to, from))
		}
	}
	time.Sleep(m.timeout)
	m.allOn(m.names()...)
	must(m.T, m.Heal())
	m.WaitAll()
}

// batondStalled: batond alone stands still; the guard stops its groups. When it goes on
// again it finds that they are elsewhere, and leaves them there.
func (m *match) batondStalled() {
	victim := m.Leader()
	m.frozen(victim, func() { must(m.T, m.Get(victim).Batond().Signal(unix.SIGSTOP)) })
	m.goesOnAgain(victim, func() { must(m.T, m.Get(victim).Batond().Signal(unix.SIGCONT)) })
}

func (m *match) serverStalled() {
	victim := m.Leader()
	m.frozen(victim, func() { m.Stall(victim) })
	m.goesOnAgain(victim, func() { m.Resume(victim) })
}

// goesOnAgain: a server that stood still for longer than T goes on. Whoever has taken
// its groups over keeps them, without an interruption.
func (m *match) goesOnAgain(victim string, resume func()) {
	m.Helper()
	if m.size == twoPing { // nobody has
		resume()
		m.WaitAll()
		return
	}
	check := m.untouched([]string{"A", "B", "C"})
	resume()
	m.WaitAll()
	check()
	if mine := m.groups(victim); len(mine) > 0 {
		m.T.Errorf("%s has %s again", victim, mine)
	}
}

// batondResumed and serverResumed: something stands still until a moment around the end
// of its lease, a little before or after, and goes on.
func (m *match) batondResumed() {
	m.resumedAtTheEnd(func(s string) { must(m.T, m.Get(s).Batond().Signal(unix.SIGSTOP)) },
		func(s string) { must(m.T, m.Get(s).Batond().Signal(unix.SIGCONT)) })
}

func (m *match) serverResumed() {
	m.resumedAtTheEnd(func(s string) { m.Stall(s) }, func(s string) { m.Resume(s) })
}

func (m *match) resumedAtTheEnd(stop, resume func(string)) {
	m.Helper()
	lease := m.timeout*97/100 - m.timeout/4
	for i, d := range []int{-20, -10, -5, -2, 0, 2, 5} { // in hundredths of T
		victim := m.names()[i%2]
		stop(victim)
		time.Sleep(lease + time.Duration(d)*m.timeout/100)
		resume(victim)
		m.WaitAll()
	}
}

// frozen: nobody hears of a server whose kernel goes on. The tie-breaker "ping" refuses
// as long as that one answers; with any other the rest goes on.
func (m *match) frozen(victim string, freeze func()) {
	m.Helper()
	if m.size == twoPing {
		freeze()
		m.nothingRuns()
		m.mustSayWhy(m.Other(victim))
		return
	}
	check := m.untouched(m.others(victim))
	freeze()
	m.allOn(m.names(victim)...)
	check()
}

func (m *match) quickReboot(victim string) {
	check := func() {}
	if m.goesOnWithoutOne() {
		check = m.untouched(m.others(victim))
	}
	m.PowerCut(victim)
	m.PowerOn(victim)
	m.WaitAll()
	check()
}

func (m *match) stateLost(victim string) {
	check := m.untouched(m.others(victim))
	m.PowerCut(victim)
	must(m.T, m.Get(victim).LoseState())
	m.PowerOn(victim)
	m.WaitAll()
	check()
}

// clockStep: the wall clocks of two servers jump, apart and back, and one of the servers
// dies meanwhile. Nothing but the times that people read goes by them.
func (m *match) clockStep() {
	check := m.untouched([]string{"A", "B", "C"})
	leader, other := m.Leader(), m.Other(m.Leader())
	for _, step := range []time.Duration{time.Hour, -24 * time.Hour, 10 * 365 * 24 * time.Hour, 0} {
		must(m.T, m.Get(leader).StepWall(step))
		must(m.T, m.Get(other).StepWall(-step))
		time.Sleep(m.timeout)
	}
	check()
	must(m.T, m.Get(other).StepWall(-time.Hour))
	m.oneDies(leader)
	to := m.Other(m.Carrier("A"))
	m.Move("A", to)
	m.WaitOnline("A", to)
	must(m.T, m.Get(other).StepWall(0))
	m.WaitAll()
}

// witnessBefore: the witness is off when a server dies. The other one stops and says
// why; it goes on when the witness is back.
func (m *match) witnessBefore() {
	victim := m.Leader()
	check := m.untouched([]string{"A", "B", "C"})
	m.WitnessOff()
	time.Sleep(2 * m.timeout)
	check()
	m.PowerCut(victim)
	m.nothingRuns()
	m.mustSayWhy(m.Other())
	m.WitnessOn()
	m.allOn(m.Other())
	m.PowerOn(victim)
	m.WaitAll()
}

func (m *match) witnessDuring() {
	victim := m.Leader()
	m.PowerCut(victim)
	time.Sleep(m.timeout / 4)
	m.WitnessOff()
	time.Sleep(2 * m.timeout)
	m.WitnessOn()
	m.allOn(m.names(victim)...)
	m.PowerOn(victim)
	m.WaitAll()
}

func (m *match) witnessAlone() {
	check := m.untouched([]string{"A", "B", "C"})
	for range 3 {
		m.WitnessOff()
		time.Sleep(m.timeout)
		m.WitnessOn()
		time.Sleep(m.timeout / 2)
	}
	check()
	m.WaitAll()
}

// witnessWiped: the witness forgets everything while all is well; the servers tell it
// again, and a server's death is survived as before.
func (m *match) witnessWiped() {
	m.oneDies(m.Leader()) // so that there is a later epoch to forget
	m.WitnessWiped()
	time.Sleep(3 * m.timeout)
	m.WaitAll()
	m.oneDies(m.Leader())
}

func (m *match) oneDies(victim string) {
	m.Helper()
	m.PowerCut(victim)
	m.allOn(m.names(victim)...)
	m.PowerOn(victim)
	m.WaitAll()
}

// diskBefore: a server boots without the CLUSTER partition; the other one dies. It
// stops and says why, and goes on when the partition is there.
func (m *match) diskBefore() {
	victim := m.Leader()
	other := m.Other(victim)
	m.PowerCut(other)
	m.allOn(victim)
	must(m.T, m.Get(other).LoseDisk())
	m.PowerOn(other)
	m.WaitAll()
	m.PowerCut(victim)
	m.nothingRuns()
	m.mustSayWhy(other)
	must(m.T, m.Get(other).FindDisk())
	m.allOn(other)
	m.PowerOn(victim)
	m.WaitAll()
}

// cutAndHealed: all networks, again and again, for times around the timeout: of two
// servers those between them, of more each time other ones. Not with ping, which is weak
// in just this: both servers reach its address and do not hear each other for a moment.
// Not with fence: what it has shot stays off.
func (m *match) cutAndHealed() {
	all := m.names()
	for i := range 20 {
		// One more each time, beginning with another one: 1 of 3, 2 of 3, ...
		part := make([]string, 0, len(all))
		for k := range 1 + i%(len(all)-1) {
			part = append(part, all[(i/2+k)%len(all)])
		}
		m.cutFromServers(part...)
		time.Sleep(time.Duration(i%7+1) * m.timeout / 4)
		must(m.T, m.Heal())
		time.Sleep(time.Duration(i%3) * m.timeout / 4)
	}
	m.WaitAll()
}

// oneAndTheOther: each server in turn loses its power and comes back, ten times.
func (m *match) oneAndTheOther() {
	for i := range 10 {
		m.oneDies(m.names()[i%2])
	}
	m.WaitServer(m.names()[0], cluster.ServerOnline)
}
