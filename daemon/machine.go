package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/core/lease"
	"baton/core/node"
	"baton/daemon/cgroup"
	"baton/daemon/guard"
	"baton/daemon/heartbeat"
	"baton/daemon/peer"
	"baton/daemon/resource/floatingip"
	"baton/daemon/runner"
	"baton/daemon/store"
	"baton/daemon/tiebreak/disk"
)

// machine is this server: the hands of the loop. The embedded guard extends, disarms
// and says what it has cleared; all of that is memory only.
type machine struct {
	*guard.Guard
	place cgroup.Place
	store *store.Store
	beat  *heartbeat.Heartbeat
	// diskBeat is the heartbeat over the CLUSTER partition; nil: there is none.
	diskBeat *disk.Beat
	peers    *peer.Peer
	notes    *pathNotes
	runner   *runner.Runner
	watch    *addressWatch
	tie      *arbiter
	loop     *loop
	desk     *desk

	self, networks int // number of this server, and of heartbeat paths over networks

	lease   atomic.Int64  // end of the lease, as extended last; CLOCK_BOOTTIME, ns
	session atomic.Uint64 // the session that was extended last; 0: none
}

func (m *machine) failures() failures { return failures{m.PagePath() + ".failures"} }

// Extend moves the guard's deadline.
func (m *machine) Extend(session uint64, end lease.Instant) bool {
	if !m.Guard.Extend(session, end) {
		return false
	}
	m.lease.Store(int64(end))
	m.session.Store(session)
	m.noteQuorum()
	return true
}

// Fire ends the session now.
func (m *machine) Fire() { m.Guard.Fire() }

// Ask calls the tie-breaker.
func (m *machine) Ask(calls []node.RegisterCall) { m.tie.ask(calls) }

// Write hands a batch to the store's writer.
func (m *machine) Write(b node.Batch) { m.store.Write(b) }

// Send hands each message to the side that carries its kind; each skips the other's.
func (m *machine) Send(msgs []node.Message) {
	m.beat.Send(msgs)
	m.peers.Send(msgs)
}

// Run carries out a step in a process of its own.
func (m *machine) Run(r node.Run) {
	m.watch.pause(r.Step)
	done := func(o cluster.Outcome) {
		m.desk.ended(r.Step, o)
		m.loop.put(node.Input{Result: &node.StepResult{Token: r.Step.Token, Outcome: o}})
	}
	if r.Adopt {
		m.runner.Adopt(r.Step, done)
		return
	}
	left := lease.Instant(m.lease.Load()).Sub(readClock().Mono)
	m.runner.Run(r.Step, max(0, left), done)
}

// addressWatch tells the node when an address of a group that is online here stops
// working.
type addressWatch struct {
	watcher *floatingip.Watcher
	ips     map[string][]floatingip.Spec // of the groups that are watched

	mu sync.Mutex
	on map[string]bool // groups that are watched now
}

func newAddressWatch(c *conf.Config, put func(node.Input)) *addressWatch {
	return &addressWatch{
		ips: watchedIPs(c), on: map[string]bool{},
		watcher: floatingip.NewWatcher(func(f floatingip.Fault) {
			put(node.Input{Anomaly: &node.LocalFault{Group: f.Group, Resource: conf.ResourceFloatingIP, Text: f.Text}})
		}),
	}
}

func (w *addressWatch) run(ctx context.Context, log *slog.Logger) {
	w.watcher.Run(ctx, func(err error) { log.Warn("floating IPs are watched by looking only", "error", err) })
}

// pause ends the watching before a step touches the group's addresses.
func (w *addressWatch) pause(st cluster.Step) {
	if st.Kind == cluster.StepRecover {
		return // runs a script and nothing else
	}
	w.set(st.Group, false)
}

// follow watches the groups that are online here with nothing under way. A view may
// be a little old; the node takes an anomaly only of a group that is online here.
func (w *addressWatch) follow(v *node.View) {
	for name := range w.ips {
		g := v.State.Group(name)
		w.set(name, g != nil && g.State == cluster.GroupOnline && g.Server == v.Server && g.Step == nil && v.Lease > 0)
	}
}

func (w *addressWatch) set(group string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.on[group] == on || len(w.ips[group]) == 0 {
		return
	}
	w.on[group] = on
	if on {
		w.watcher.Set(group, w.ips[group])
	} else {
		w.watcher.Set(group, nil)
	}
}

// diskBeatConfig is the heartbeat over the CLUSTER partition. What it sees is an input
// that may be lost: the next one follows within a round.
func (m *machine) diskBeatConfig(c *conf.Config, id identity, log *slog.Logger) disk.BeatConfig {
	return disk.BeatConfig{
		Device: c.Tiebreaker.Device, Self: id.self, Servers: len(c.Servers), Round: m.loop.times.Round, Timeout: m.loop.times.Timeout,
		Turns: m.loop.turns.Load, Heard: func(server int) { m.loop.offer(node.Input{Seen: server}) },
		Changed: m.notes.changed, Log: log,
	}
}

// pathStats is what is known of all heartbeat paths to this server, the CLUSTER
// partition behind the networks.
func (m *machine) pathStats() heartbeat.Stats {
	st := m.beat.Stats()
	if m.diskBeat == nil {
		return st
	}
	for i, s := range m.diskBeat.Sights() {
		if i+1 != m.self {
			st.Paths = append(st.Paths, heartbeat.Directed{Path: m.networks, Name: conf.DiskPath, From: i + 1, OK: s.OK, Age: s.Age, Loss: -1, RTT: -1})
		}
	}
	return st
}

// figures sorts what the heartbeats measured by sender and path.
func figures(st heartbeat.Stats, servers, paths int) [][]pathFigures {
	out := make([][]pathFigures, servers)
	for i := range out {
		out[i] = make([]pathFigures, paths)
		for k := range out[i] {
			out[i][k] = pathFigures{Age: -1, Loss: -1, RTT: -1}
		}
	}
	for _, d := range st.Paths {
		if d.From >= 1 && d.From <= servers && d.Path < paths {
			out[d.From-1][d.Path] = pathFigures{Age: d.Age, Loss: d.Loss, RTT: d.RTT}
		}
	}
	return out
}

// bySide puts the drops of both sides into one table.
func bySide(heartbeats, streams map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(heartbeats)+len(streams))
	for why, n := range heartbeats {
		out["heartbeat "+why] = n
	}
	for why, n := range streams {
		out["stream "+why] = n
	}
	return out
}

// progressEvent is a line for the event log about a step that takes longer than
// usual, such as the wait for an address that another machine has.
func progressEvent(st cluster.Step, text string) *cluster.Event {
	return &cluster.Event{
		Severity: cluster.Warn, Code: cluster.CodeStepProgress, Group: st.Group,
		Text: fmt.Sprintf("%s of %s: %s", st.Kind, st.Group, text),
	}
}

// clearPatience is how long the start waits for the guard to clear what an earlier
// batond left. After that batond runs, and the node waits.
const clearPatience = 10 * time.Second
