package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/core/node"
	"baton/daemon/api"
	"baton/daemon/cgroup"
	"baton/daemon/guard"
	"baton/daemon/guard/reboot"
	"baton/daemon/heartbeat"
	"baton/daemon/peer"
	"baton/daemon/runner"
	"baton/daemon/store"
	"baton/daemon/tiebreak/disk"

	"golang.org/x/sys/unix"
)

// closePatience bounds each part of the end: a disk or a reader that hangs does not
// keep batond from ending.
const closePatience = 2 * time.Second

// serve runs this server until its end. Everything is opened in an order in which
// nothing is told to anybody before it can be honoured, and closed in the reverse.
func serve(o options, c *conf.Config, id identity, keys []conf.Key, log *slog.Logger) error {
	var tidy cleanup
	defer tidy.run(log)

	var err error
	if id.stateDir, err = filepath.Abs(id.stateDir); err != nil {
		return err
	}
	l := newLoop(nil, nil, timesOf(c), log, newBook())
	m := &machine{loop: l, self: id.self, networks: c.PathCount()}
	l.hands = m
	m.desk = newDesk(l, c, version)

	m.store, err = store.Open(id.stateDir, store.Config{
		Done: func(batch uint64) { l.put(node.Input{Written: batch}) },
		Fail: l.end,
	})
	if err != nil {
		return err
	}
	tidy.add("store", m.store.Close)
	image, err := m.store.Load()
	if err != nil {
		return err
	}

	nc := nodeConfig(c, id)
	if err := m.openGroups(c, id, log, &tidy); err != nil {
		return err
	}
	m.sayReboots(id, log)
	if err := m.takeOver(&nc, len(image) > 0, log); err != nil {
		return err
	}

	first := node.Output{}
	if l.node, first, err = newNode(nc, image); err != nil {
		return fmt.Errorf("state directory %s: %w", id.stateDir, err)
	}

	if err := m.openTie(c, id, keys, log, &tidy); err != nil {
		return err
	}
	if err := m.openNetwork(c, id, keys, log, &tidy); err != nil {
		return err
	}
	service, err := api.New(api.Config{Socket: id.socket, Backend: m.desk, Permissions: api.SystemPermissions(), Log: log})
	if err != nil {
		return err
	}
	tidy.add("api", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closePatience/2)
		defer cancel()
		return service.Close(ctx)
	})
	log.Info("batond runs", "version", version, "cluster", c.Cluster.Name, "server", id.name, "state", id.stateDir,
		"socket", id.socket, "timeout", l.times.Timeout, "groups", m.place.Kind())
	began := readClock().Mono
	err = m.turn(o, c, first, log)
	if session := m.session.Load(); isFailure(err) && session != 0 {
		if err := m.failures().add(session, readClock().Mono.Sub(began), 10*l.times.Timeout); err != nil {
			log.Warn("how often batond has ended by an error is not counted", "error", err)
		}
	}
	return err
}

// newNode is node.New with a result that fits the loop.
func newNode(nc node.Config, image node.Image) (thinker, node.Output, error) {
	n, first, err := node.New(nc, image, readClock())
	if err != nil {
		return nil, first, err
	}
	return n, first, nil
}

// openGroups opens what runs and clears groups.
func (m *machine) openGroups(c *conf.Config, id identity, log *slog.Logger, tidy *cleanup) (err error) {
	m.place, err = cgroup.Find(cgroup.Params{Cluster: c.Cluster.Name, Server: id.name, StateDir: id.stateDir})
	if err != nil {
		return err
	}
	if m.place.Dir == "" {
		log.Warn("no cgroup v2: processes of groups are found by a mark in their environment", "why", m.place.Why)
	}
	m.Guard, err = guard.Open(guard.Config{
		StateDir: id.stateDir, Spec: guardSpec(c, id.stateDir, m.place),
		Notice: func(text string) { m.notice(log, text) },
	})
	if err != nil {
		return err
	}
	tidy.add("guard", func() error { m.Guard.Close(); return nil })
	m.runner, err = runner.New(runner.Config{
		StateDir: id.stateDir, Cluster: c.Cluster.Name, Server: id.name, Place: m.place, Page: m.PagePath(),
		Socket: id.socket, Groups: runnerGroups(c),
		Progress: func(st cluster.Step, text string) { m.loop.offer(node.Input{Note: progressEvent(st, text)}) },
	})
	if err != nil {
		return err
	}
	tidy.add("runner", func() error { m.runner.Close(); return nil })
	m.desk.logFile = m.runner.LogFile
	m.watch = newAddressWatch(c, m.loop.put)
	m.desk.seen = m.watch.follow
	return nil
}

// notice tells the operator what the guard has to say.
func (m *machine) notice(log *slog.Logger, text string) {
	log.Warn(text)
	m.loop.offer(node.Input{Note: &cluster.Event{Severity: cluster.Warn, Code: cluster.CodeGuard, Text: text}})
}

// sayReboots says what there is to say about the guard's last means: that it cannot
// be had, and that it was used before this boot.
func (m *machine) sayReboots(id identity, log *slog.Logger) {
	if _, err := reboot.Find(); err != nil {
		log.Warn("the guard could not reboot this server, should it be unable to clear the groups", "why", err)
	}
	file := filepath.Join(id.stateDir, rebootFile)
	b, err := os.ReadFile(file)
	if err != nil {
		return
	}
	// A note and no boot: the reboot has failed, and the guard has said so.
	boot, why, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if boot != id.boot {
		m.notice(log, "the guard has rebooted this server: "+why)
	}
	if err := os.Remove(file); err != nil {
		log.Warn("the note of the guard's reboot stays, and will be told again", "error", err)
	}
}

// takeOver decides what becomes of the groups that an earlier batond may have left
// running: they go on where the guard still holds their lease and batond does not end by
// an error each time, else they are cleared first.
func (m *machine) takeOver(nc *node.Config, known bool, log *slog.Logger) error {
	left, err := m.runner.Leftover()
	if err != nil {
		return err
	}
	nc.Clean = left == ""
	session, end, adopted := m.Adopted()
	failed := m.failures().of(session)
	if adopted && known && failed < maxFailures {
		nc.Adopt = end
		m.lease.Store(int64(end))
		m.session.Store(session)
		log.Info("goes on with the session of an earlier batond", "session", session,
			"lease", end.Sub(readClock().Mono).Round(time.Millisecond), "found", left)
	} else if adopted || left != "" || m.Fired() {
		if adopted && failed >= maxFailures {
			log.Error("batond has ended by an error again and again: this server gives its groups up, so that another one can run them; the error before this line says what to mend", "session", session, "times", failed, "found", left)
		} else {
			log.Warn("an earlier batond has left something of the groups and its lease is over; it is cleared first", "found", left)
		}
		ctx, cancel := context.WithTimeout(context.Background(), clearPatience)
		defer cancel()
		if err := m.ClearNow(ctx); err != nil {
			// The node waits, and the loop tells it when the guard has done it.
			log.Error("groups of an earlier batond are still here; this server waits until they are gone", "error", err)
			m.loop.refused = 1
		}
		nc.Clean = err == nil
	}
	// Whatever the guard clears from here on the node must hear of.
	m.loop.cleared, _ = m.Finished()
	nc.Over = m.loop.cleared
	return nil
}

// openNetwork opens what carries messages: streams first, for a heartbeat that is
// heard again makes them dial.
func (m *machine) openNetwork(c *conf.Config, id identity, keys []conf.Key, log *slog.Logger, tidy *cleanup) (err error) {
	ends := ends(c, id, keys)
	pc := peer.Config{Ends: ends, Timeout: c.Heartbeat.Timeout.D(), Deliver: m.loop.stream, Log: log}
	if m.peers, err = peer.New(pc); err != nil {
		return err
	}
	tidy.add("streams", func() error { m.peers.Close(); return nil })

	m.notes = newPathNotes(c, id, func(e *cluster.Event) { m.loop.offer(node.Input{Note: e}) })
	hc := heartbeat.Config{Ends: ends, Round: timesOf(c).Round, Deliver: m.loop.packet, Log: log}
	hc.Changed = func(ch heartbeat.Change) {
		if ch.OK {
			m.peers.Kick(ch.From)
		}
		m.notes.changed()
	}
	if m.beat, err = heartbeat.New(hc); err != nil {
		return err
	}
	if c.HasDiskPath() {
		if m.diskBeat, err = disk.NewBeat(m.diskBeatConfig(c, id, log)); err != nil {
			return err
		}
	}
	tidy.add("heartbeat", func() error { m.beat.Close(); return nil })
	m.desk.figures = func() [][]pathFigures { return figures(m.pathStats(), len(c.Servers), pathCount(c)) }
	m.desk.drops = func() map[string]uint64 { return bySide(m.beat.Stats().Drops, m.peers.Stats().Drops) }
	return nil
}

// turn runs the loop and what goes with it to the end.
func (m *machine) turn(o options, c *conf.Config, first node.Output, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(m.desk.run)
	group.Go(func() { m.watch.run(ctx, log) })
	group.Go(func() { m.notes.run(ctx, m.pathStats) })
	if m.diskBeat != nil {
		group.Go(func() { m.diskBeat.Run(ctx) })
	}
	group.Go(func() { feedWatchdog(ctx, m.loop.turns.Load) })
	group.Go(func() { m.signals(ctx, o, c, log) })
	notify("READY=1")
	err := m.loop.run(ctx, first)
	switch {
	case err != nil:
	case m.Disarm():
		m.place.Remove()
	default:
		log.Warn("the guard has fired at the end; it clears what is left of the groups")
	}
	if err == nil && m.loop.then != "" {
		return lastAct(m.loop.then)
	}
	return err
}

// lastAct is why serve returns where an operator wants more than the end of batond.
type lastAct cluster.Then

func (a lastAct) Error() string { return string(a) }

// Why the loop ends before its time.
var (
	errReload = errors.New("reload")
	errAtOnce = errors.New("told twice to end: not waiting for the groups; the guard stops them when the lease is over")
)

// signals answers the service manager.
func (m *machine) signals(ctx context.Context, o options, c *conf.Config, log *slog.Logger) {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer signal.Stop(ch)
	var (
		leaving bool
		limit   <-chan time.Time
		group   sync.WaitGroup
	)
	defer group.Wait()
	for {
		select {
		case sig := <-ch:
			switch {
			case sig == unix.SIGHUP && leaving:
				log.Warn("no reload while the groups are being handed over")
			case sig == unix.SIGHUP:
				if _, _, _, err := prepare(o); err != nil {
					log.Error("no reload: batond would not start again", "error", err)
					continue
				}
				log.Info("reload: the program file is executed anew, the groups go on running")
				notify("RELOADING=1")
				m.loop.end(errReload)
			case leaving:
				m.loop.end(errAtOnce)
			default:
				leaving = true
				wait := handOverLimit(c)
				log.Info("told to end: the groups are handed over first", "signal", unix.SignalName(sig.(unix.Signal)), "limit", wait)
				m.loop.put(node.Input{Leave: &node.Leave{Who: cluster.Who{User: unix.SignalName(sig.(unix.Signal)) + " to batond"}}})
				group.Go(func() { stopping(ctx) })
				timer := time.NewTimer(wait)
				defer timer.Stop()
				limit = timer.C
			}
		case <-limit:
			m.loop.end(fmt.Errorf("the groups are not handed over within %v; the guard stops them when the lease is over", handOverLimit(c)))
		case <-ctx.Done():
			return
		}
	}
}

// cleanup closes what has been opened, the last first, none for longer than
// closePatience.
type cleanup struct{ steps []closing }

type closing struct {
	what  string
	close func() error
}

func (t *cleanup) add(what string, f func() error) { t.steps = append(t.steps, closing{what, f}) }

func (t *cleanup) run(log *slog.Logger) {
	for i := len(t.steps) - 1; i >= 0; i-- {
		s := t.steps[i]
		ended := make(chan error, 1)
		go func() { ended <- s.close() }()
		select {
		case err := <-ended:
			if err != nil {
				log.Warn("close", "what", s.what, "error", err)
			}
		case <-time.After(closePatience):
			log.Warn("close takes too long, going on without", "what", s.what, "limit", closePatience)
		}
	}
}
